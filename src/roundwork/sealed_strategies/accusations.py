"""Strategies about accusations and juries: false accusations, friends' accusations, rings of voters."""

from random import Random

from ..participant.sealed import SealedDuty, SealedMemory, SealedView, SendAccusation
from ..protocol.tasks.commitments import SealKind
from ..protocol.tasks.round import Activity
from .base import (
    Duties,
    Finding,
    SealedMember,
    SealedStrategy,
    Value,
    accuse,
    get_speaker,
    is_commitment,
    is_open,
    leave_out,
    list_others,
    revote,
    takes_part,
)
from .submissions import Lie


class BlindAccuser(SealedStrategy):
    """Accuses everything that it has to check, without looking."""

    name = "blind-accuser"
    doing = "accuses everything that it is to check, unseen"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        if view.find(candidate).trial is not None:
            return honest()
        me.act(view.round.round, candidate)
        return False


class _Accuser(SealedStrategy):
    """Accuses victims, and its friends vote against them."""

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        """Whom this member accuses in a round."""
        return []

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        voting = [revote(view, duty, lambda node, found: self._vote(me, view, node, found)) for duty in owed]
        if not is_open(view, slot, Activity.ACCUSE):
            return voting
        accusing = accuse(memory, view, self._choose(me, view))
        me.act(*accusing)
        return [*voting, *(duty for duty in accusing if duty not in voting)]

    def _vote(self, me: SealedMember, view: SealedView, node: str, found: bool) -> bool:
        """The vote over a submission that it found to be so."""
        trial = view.find(node).trial
        is_ours = trial is not None and trial.accuser in me.coalition
        return found and (node in me.coalition or not is_ours)


class Griefer(_Accuser):
    """All members accuse honest nodes, as many as they can."""

    name = "griefer"
    doing = "accuses all honest nodes, and its friends vote against them"

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        others, members = list_others(me, view), sorted(me.coalition)
        return others[members.index(me.node) :: len(members)]


class OneVictim(_Accuser):
    """The ring accuses one honest node a round."""

    name = "one-victim"
    doing = "accuses one honest node a round, and all members vote against it"

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        others = list_others(me, view)
        is_speaker = me.node == get_speaker(me, view)
        chance = Random(f"{me.seed}/{view.round.round}/victim")
        return [chance.choice(others)] if others and is_speaker else []


class Picker(OneVictim):
    """Accuses where the receipts are likely to be wanting: a node that friends check."""

    name = "picker"
    doing = "accuses the honest node that most friends check, whose receipts say invalid"

    def __init__(self) -> None:
        self._checked: dict[int, dict[str, set[str]]] = {}

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        self._checked.setdefault(view.round.round, {}).setdefault(candidate, set()).add(me.node)
        return honest()

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        checked = self._checked.get(view.round.round, {})
        others = sorted(list_others(me, view), key=lambda node: (-len(checked.get(node, ())), node))
        is_speaker = me.node == get_speaker(me, view)
        return others[:1] if is_speaker else []


class SelfAccuser(_Accuser):
    """Friends accuse one another's good submissions: the bond goes to the jurors, friends among them."""

    name = "self-accuser"
    doing = "accuses its friends' good submissions, so that all others must judge them"

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        members = sorted(each for each in me.coalition if takes_part(view, each))
        at = members.index(me.node) if me.node in members else 0
        return [] if len(members) < 2 else [members[(at + 1) % len(members)]]


class FriendFirst(SelfAccuser, Lie):
    """Lies, and a friend is the first to accuse the lie."""

    name = "friend-first"
    doing = "lies, and friends accuse the lies first"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        return True if candidate in me.coalition else honest()

    def _vote(self, me: SealedMember, view: SealedView, node: str, found: bool) -> bool:
        return found


class FrontRunner(SealedStrategy):
    """Accuses what another node posts the proof of: that node is about to accuse it."""

    name = "front-runner"
    is_watchful = True
    doing = "accuses, unseen, a submission whose proof another node has just posted"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        if not is_open(view, slot, Activity.ACCUSE):
            return owed
        posted = [
            each.node
            for each in view.hardened.submissions
            if each.is_posted and each.challenge is None and each.trial is None and each.node != me.node
        ]
        accusing: list[SealedDuty] = [SendAccusation(view.round.round, node) for node in posted]
        added = [duty for duty in accusing if duty not in owed]
        me.act(*added)
        return [*owed, *added]


class VoteRing(Lie):
    """Its members lie, and find one another's lies valid."""

    name = "vote-ring"
    doing = "lies, and its members find one another's lies valid"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        return True if candidate in me.coalition else honest()


class OneLiar(VoteRing):
    """A member lies in each round, and the ring protects it."""

    name = "one-liar"
    doing = "one member lies in a round, and all members find the lie valid"

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        members = sorted(me.coalition)
        if members[round_number % len(members)] != me.node:
            return honest()
        return super().choose_value(me, round_number, honest, lie)


class QuorumRing(Lie):
    """Its members lie, and cast no seat in trials of friends, so that the quorum is missed."""

    name = "quorum-ring"
    doing = "lies, and gives no votes where a friend is tried"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        if not any(node in me.coalition for node in view.own.trials):
            return owed
        return leave_out(me, owed, lambda duty: is_commitment(duty, SealKind.VOTES))
