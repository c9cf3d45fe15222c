"""Strategies against roundwork-1: the honest participant with one decision replaced.

A new strategy is a subclass of `SealedStrategy` that replaces a method and says where it deviates with
`me.act`. All nodes of a coalition share one instance, so they can agree on what they do.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from random import Random
from typing import ClassVar

from .participant.sealed import (
    AccuseList,
    DecideSealedList,
    FetchProof,
    PostProof,
    Seal,
    SealedDuty,
    SealedMemory,
    SealedView,
    SendAccusation,
    SendAmounts,
    SendChallenge,
    SendCommitment,
    SendReveal,
    VoteOnList,
)
from .protocol.tasks.commitments import SealKind, encode_bits
from .protocol.tasks.round import WINDOWS, Activity
from .views import ListView

RULES = "roundwork-1"

Amounts = dict[str, int]
Duties = Sequence[SealedDuty]
Value = Callable[[], str | None]
"""Calls a function of the task's that gives what to submit."""
Finding = Callable[[], bool | None]
"""Calls the task's audit: whether it finds a submission valid, None for not yet."""


class SealedMember:
    """A node of a coalition, as its strategy sees it."""

    def __init__(self, node: str, coalition: Sequence[str], seed: int) -> None:
        self.node = node
        """Its address."""
        self.coalition = frozenset({node, *coalition})
        """The addresses of all nodes that play together, its own among them."""
        self.seed = seed
        self.deviations: set[Hashable] = set()
        """What it did otherwise than an honest node."""
        self.bad_rounds: set[int] = set()
        """The rounds for which it submitted something that is not the proof of its work."""

    def act(self, *deviations: Hashable, bad_round: int | None = None) -> None:
        """Note deviations, each once: duties done otherwise, left out, or added.

        `bad_round` if what it submits for that round is not the proof of its work.
        """
        self.deviations.update(deviations)
        if bad_round is not None:
            self.bad_rounds.add(bad_round)

    def draw(self, round_number: int, what: str = "") -> Random:
        """The chance of a round, the same whenever it is drawn."""
        return Random(f"{self.seed}/{self.node}/{round_number}/{what}")


class SealedStrategy:
    """The honest participant. Subclasses replace a decision."""

    name: ClassVar[str] = "honest"
    doing: ClassVar[str] = "does what the task says"
    is_split: ClassVar[bool] = False
    """Whether the coalition's nodes share the stake of one node: then honest play is that one node."""
    is_watchful: ClassVar[bool] = False
    """Whether it decides in every slot: else only where a window begins, or where something has changed."""

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        """Whether it does the work of a round."""
        return True

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        """What it submits; None for nothing. `honest()` and `lie()` call the task's functions."""
        return honest()

    def is_serving(self, me: SealedMember, view: SealedView, owner: str, reader: str) -> bool:
        """Whether it gives `reader` the proof of `owner`, which it has. `view` is the reader's."""
        return True

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        """Whether it finds a submission valid, None for not yet. `honest()` calls the task's audit."""
        return honest()

    def choose_list(self, me: SealedMember, view: SealedView, honest: Callable[[], Amounts]) -> Amounts:
        """The distribution list that it claims to be right; `honest()` calls the task's function."""
        return honest()

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        """What it does in a slot: the honest duties that it follows, and what it adds."""
        return owed


HONEST = SealedStrategy()


# Submissions


class LazyWorker(SealedStrategy):
    """Saves the work."""

    name = "lazy-worker"
    doing = "does no work and submits garbage that names no proof"

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        return False

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        me.act(round_number, bad_round=round_number)
        return f"garbage of round {round_number}"


class OldProof(SealedStrategy):
    """Works once and submits that proof in every round."""

    name = "old-proof"
    doing = "works in its first round and submits that proof again"

    def __init__(self) -> None:
        self._proofs: dict[str, str] = {}

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        return me.node not in self._proofs

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        if me.node not in self._proofs:
            proof = honest()
            if proof is not None:
                self._proofs[me.node] = proof
            return proof
        me.act(round_number, bad_round=round_number)
        return self._proofs[me.node]


class Lie(SealedStrategy):
    """Works, and submits what `@task.lie` gives; its proof can be had."""

    name = "lie"
    doing = "works and submits a lie that looks right"

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        return _lie(me, round_number, lie)


class Guesser(Lie):
    """Saves the work and submits what might be right."""

    name = "guesser"
    doing = "does no work and submits a guess, with a proof"

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        return False


class Copycat(SealedStrategy):
    """Submits what another node revealed in the round before: this round's values are sealed."""

    name = "copycat"
    doing = "does no work and submits another node's proof of the round before"

    def __init__(self) -> None:
        self._seen: dict[int, str] = {}

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        return False

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        me.act(round_number, bad_round=round_number)
        return self._seen.get(round_number - 1, f"nothing to copy in round {round_number}")

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        others = [each.value for each in view.round.submissions if each.node not in me.coalition]
        if others:
            self._seen[view.round.round] = others[0]
        return owed


class NoShow(SealedStrategy):
    """Stakes and submits nothing."""

    name = "no-show"
    doing = "stakes, and neither works nor submits"

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        return False

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        me.act(round_number)
        return None


class RevealSkipper(SealedStrategy):
    """Commits, and keeps its value to itself in every second round, to choose among beacons."""

    name = "reveal-skipper"
    doing = "commits, and does not reveal in half of the rounds, as a node that grinds the beacon would"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        if me.draw(view.round.round, "skip").random() < 0.5:
            return owed
        return _leave_out(me, owed, lambda duty: _is_reveal(duty, SealKind.SUBMISSION))


class RoundCloser(SealedStrategy):
    """Commits and never reveals, so that fewer than three submissions may be left."""

    name = "round-closer"
    doing = "commits and never reveals"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return _leave_out(me, owed, lambda duty: _is_reveal(duty, SealKind.SUBMISSION))


class Equivocator(SealedStrategy):
    """Commits to a second value as well."""

    name = "equivocator"
    doing = "commits to its value, and then to another one"
    is_watchful = True

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        is_open = _is_open(view, slot, Activity.COMMIT)
        second = SendCommitment(view.round.round, SealKind.SUBMISSION, b"another value")
        if not is_open or SealKind.SUBMISSION not in view.own.committed or second in me.deviations:
            return owed
        me.act(second)
        return [*owed, second]


def _lie(me: SealedMember, round_number: int, lie: Value) -> str | None:
    """A lie, which is no deviation until the task has named it: without work some tasks cannot."""
    value = lie()
    if value is not None:
        me.act(round_number, bad_round=round_number)
    return value


# Proofs


class _Hider(SealedStrategy):
    """Gives its friends' proofs to friends alone."""

    def is_serving(self, me: SealedMember, view: SealedView, owner: str, reader: str) -> bool:
        if owner not in me.coalition or reader in me.coalition:
            return True
        me.act(view.round.round, owner, reader)
        return False


class HiddenLie(_Hider):
    """Lies, and lets only friends see the proof: it is paid where all checkers are friends."""

    name = "hidden-lie"
    doing = "does no work, submits a lie, and gives its proof to friends alone, who find it valid"

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        return False

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        return _lie(me, round_number, lie)

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        return True if candidate in me.coalition else honest()

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return _leave_out(
            me, owed, lambda duty: isinstance(duty, PostProof | SendChallenge) and duty.node in me.coalition
        )


class ChallengedLie(HiddenLie):
    """Lies, hides the proof, and posts it when it is challenged."""

    name = "challenged-lie"
    doing = "does no work, submits a lie, and shows its proof when it is challenged"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return _leave_out(
            me, owed, lambda duty: isinstance(duty, SendChallenge) and duty.node in me.coalition
        )


class Withholder(SealedStrategy):
    """Serves its proof to some nodes and not to others, and posts nothing."""

    name = "withholder"
    doing = "works, gives its proof to some nodes only, and does not answer challenges"

    def is_serving(self, me: SealedMember, view: SealedView, owner: str, reader: str) -> bool:
        if owner != me.node or me.draw(view.round.round, reader).random() < 0.5:
            return True
        me.act(view.round.round, reader)
        return False

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return _leave_out(me, owed, lambda duty: isinstance(duty, PostProof) and duty.node == me.node)


class LedgerOnly(SealedStrategy):
    """Serves its proof to nobody and posts it when it is challenged."""

    name = "ledger-only"
    doing = "works, serves its proof to nobody, and posts it when it is challenged"

    def is_serving(self, me: SealedMember, view: SealedView, owner: str, reader: str) -> bool:
        if owner != me.node:
            return True
        me.act(view.round.round, reader)
        return False


class Hoarder(LedgerOnly):
    """Serves its proof to nobody and does not post it."""

    name = "hoarder"
    doing = "works, and lets no other node have its proof"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return _leave_out(me, owed, lambda duty: isinstance(duty, PostProof) and duty.node == me.node)


class LateAnswerer(LedgerOnly):
    """Serves its proof to nobody and posts it in the last slot in which it can."""

    name = "late-answerer"
    is_watchful = True
    doing = "works, serves its proof to nobody, and answers a challenge in the last slot"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        if slot == _get_last_slot(view, Activity.ANSWER) - 1:
            return owed
        return _leave_out(me, owed, lambda duty: isinstance(duty, PostProof) and duty.node == me.node)


class Challenger(SealedStrategy):
    """Challenges every honest proof."""

    name = "challenger"
    doing = "challenges every honest proof as soon as it can"
    challenges_max: ClassVar[int] = 1000

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        if not _is_open(view, slot, Activity.CHALLENGE):
            return owed
        victims = [node for node in self._choose(me, view) if view.names_proof(node)]
        mine: list[SealedDuty] = [
            SendChallenge(view.round.round, node) for node in victims if view.find(node).challenge is None
        ]
        me.act(*mine)
        return [*owed, *(duty for duty in mine if duty not in owed)]

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        """Each member challenges its part of the honest nodes."""
        others = _list_others(me, view)
        members = sorted(me.coalition)
        return others[members.index(me.node) :: len(members)]


class ChallengerOfOne(Challenger):
    """Challenges one honest proof."""

    name = "challenger-of-one"
    doing = "challenges the proof of one honest node"

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        others = _list_others(me, view)
        return [me.draw(view.round.round, "challenge").choice(others)] if others else []


# Checks and votes


class LazyChecker(SealedStrategy):
    """Saves its checks: its receipts say valid."""

    name = "lazy-checker"
    doing = "checks nothing: its receipts say valid unseen"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        if view.find(candidate).trial is not None:
            return honest()
        me.act(view.round.round, candidate)
        return True


class LazyHider(LazyChecker):
    """The same, and keeps a receipt to itself that has cleared what is accused."""

    name = "lazy-hider"
    doing = "checks nothing, and does not reveal a receipt over a submission that is accused"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        if all(view.find(node).trial is None for node in view.own.checks):
            return owed
        return _leave_out(me, owed, lambda duty: _is_reveal(duty, SealKind.RECEIPT))


class UnseenJuror(SealedStrategy):
    """Saves its trials: it votes valid."""

    name = "unseen-juror"
    doing = "checks, and votes valid in every trial unseen"
    vote: ClassVar[bool] = True

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        if view.find(candidate).trial is None:
            return honest()
        me.act(view.round.round, candidate)
        return self.vote


class UnseenAccuser(UnseenJuror):
    """Saves its trials: it votes invalid, because most accusations are true."""

    name = "unseen-invalid"
    doing = "checks, and votes invalid in every trial unseen"
    vote = False


class Follower(SealedStrategy):
    """Saves checks and trials: what is accused is invalid, and what is not is valid."""

    name = "follower"
    doing = "looks at nothing: receipts say valid, votes say invalid"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        me.act(view.round.round, candidate)
        return view.find(candidate).trial is None

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return [_revote(view, duty, lambda node, found: False) for duty in owed]


class NeverLooks(Follower):
    """Saves checks and trials: everything is valid."""

    name = "never-looks"
    doing = "looks at nothing: receipts and votes say valid"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        me.act(view.round.round, candidate)
        return True

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return owed


class ReceiptStriker(SealedStrategy):
    """Commits no receipt."""

    name = "receipt-striker"
    doing = "commits no receipt and accuses nobody"
    left_out: ClassVar[tuple[SealKind, ...]] = (SealKind.RECEIPT,)

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        is_checking, is_judging = (_is_open(view, slot, each) for each in (Activity.CHECK, Activity.JUDGE))
        is_struck = (is_checking and SealKind.RECEIPT in self.left_out) or (
            is_judging and SealKind.VOTES in self.left_out
        )
        return _leave_out(me, owed, lambda duty: is_struck or self._is_struck(duty))

    def _is_struck(self, duty: SealedDuty) -> bool:
        return isinstance(duty, SendAccusation)


class VoteStriker(ReceiptStriker):
    """Commits no votes."""

    name = "vote-striker"
    doing = "checks, and votes in no trial"
    left_out = (SealKind.VOTES,)

    def _is_struck(self, duty: SealedDuty) -> bool:
        return False


class Striker(ReceiptStriker):
    """Works, and does nothing after that."""

    name = "striker"
    doing = "works, and takes no part in checks, trials and lists"
    left_out = (SealKind.RECEIPT, SealKind.VOTES)

    def _is_struck(self, duty: SealedDuty) -> bool:
        struck = SendAccusation | SendChallenge | DecideSealedList | SendAmounts | AccuseList | VoteOnList
        return isinstance(duty, struck)


class QuietInvalid(SealedStrategy):
    """Says invalid of an honest submission in its receipt, and does not accuse it."""

    name = "quiet-invalid"
    doing = "its receipts say invalid of all but friends, and it accuses nobody"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        if candidate in me.coalition or view.find(candidate).trial is not None:
            return honest()
        me.act(view.round.round, candidate)
        return False

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return [duty for duty in owed if not isinstance(duty, SendAccusation)]


# Accusations


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
        voting = [_revote(view, duty, lambda node, found: self._vote(me, view, node, found)) for duty in owed]
        if not _is_open(view, slot, Activity.ACCUSE):
            return voting
        accusing = _accuse(memory, view, self._choose(me, view))
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
        others, members = _list_others(me, view), sorted(me.coalition)
        return others[members.index(me.node) :: len(members)]


class OneVictim(_Accuser):
    """The ring accuses one honest node a round."""

    name = "one-victim"
    doing = "accuses one honest node a round, and all members vote against it"

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        others = _list_others(me, view)
        is_speaker = me.node == min(each for each in me.coalition if _takes_part(view, each))
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
        others = sorted(_list_others(me, view), key=lambda node: (-len(checked.get(node, ())), node))
        is_speaker = me.node == min(each for each in me.coalition if _takes_part(view, each))
        return others[:1] if is_speaker else []


class SelfAccuser(_Accuser):
    """Friends accuse one another's good submissions: the bond goes to the jurors, friends among them."""

    name = "self-accuser"
    doing = "accuses its friends' good submissions, so that all others must judge them"

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        members = sorted(each for each in me.coalition if _takes_part(view, each))
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
        if not _is_open(view, slot, Activity.ACCUSE):
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
        return _leave_out(me, owed, lambda duty: _is_commitment(duty, SealKind.VOTES))


class Cartel(SealedStrategy):
    """One member checks for all."""

    name = "cartel"
    doing = "shares its checks: what one member has found, no other looks at"

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], bool] = {}

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        key = view.round.round, candidate
        if candidate in me.coalition:
            me.act(key)
            return True
        if key in self._found:
            me.act(key)
            return self._found[key]
        found = honest()
        if found is not None:
            self._found[key] = found
        return found


# Lists


class SilentLeader(SealedStrategy):
    """Never hands in a list, also when it is its turn."""

    name = "silent-leader"
    doing = "hands in no list when it has a rank"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return _leave_out(me, owed, lambda duty: isinstance(duty, SendAmounts))


class ListThief(SealedStrategy):
    """Hands in a list that pays everything to the coalition, and votes for it."""

    name = "list-thief"
    doing = "hands in a list that pays the coalition everything, and votes for it"

    def choose_list(self, me: SealedMember, view: SealedView, honest: Callable[[], Amounts]) -> Amounts:
        amounts = honest()
        ours = [node for node in amounts if node in me.coalition]
        return dict.fromkeys(ours, sum(amounts.values()) // len(ours)) if ours else amounts

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        kept = [duty for duty in owed if not isinstance(duty, AccuseList)]
        me.act(*(duty for duty in kept if isinstance(duty, SendAmounts)))
        return [
            VoteOnList(duty.round, duty.attempt, duty.node, True) if isinstance(duty, VoteOnList) else duty
            for duty in kept
        ]


class ListForger(ListThief):
    """Hands in a list that takes a part of what others are due."""

    name = "list-forger"
    doing = "hands in a list that moves a tenth of what others earn to the coalition"

    def choose_list(self, me: SealedMember, view: SealedView, honest: Callable[[], Amounts]) -> Amounts:
        amounts = honest()
        ours = [node for node in amounts if node in me.coalition]
        if not ours:
            return amounts
        cut = {node: amount // 10 for node, amount in amounts.items() if node not in ours}
        gain = sum(cut.values()) // len(ours)
        return {
            node: amount + gain if node in ours else amount - cut[node] for node, amount in amounts.items()
        }


class ListKiller(SealedStrategy):
    """Accuses honest lists, and votes against them."""

    name = "list-killer"
    doing = "accuses every honest list, and votes against it"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        standing = _find_list(view)
        is_honest = standing is not None and standing.submitter not in me.coalition
        if standing is None or not is_honest or view.round.status != "Open":
            return owed
        added: list[SealedDuty] = []
        window = WINDOWS[RULES][Activity.ACCUSE_LIST]
        is_open = window.is_open(view.table, slot, view.round.round, view.round.attempt)
        if is_open and standing.trigger_by is None and me.node == _get_speaker(me, view):
            added.append(AccuseList(view.round.round, view.round.attempt, standing.submitter))
        kept = [_reverse(duty) for duty in owed if not isinstance(duty, AccuseList)]
        me.act(*added)
        return [*kept, *added]


class VetoThief(ListThief, ListKiller):
    """Steals as the list thief does, and accuses the lists of others."""

    name = "veto-thief"
    doing = "hands in lists that pay the coalition everything, and accuses honest lists"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        stolen = ListThief.change_duties(self, me, memory, view, slot, owed)
        return ListKiller.change_duties(self, me, memory, view, slot, stolen)


# Stakes and crowds


class SybilRing(SealedStrategy):
    """Splits one stake into as many nodes as the coalition has."""

    name = "sybil-ring"
    doing = "splits the stake of one node into many nodes, which all do honest work"
    is_split = True

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        me.act(round_number)
        return honest()


class CrowdFailure(VoteRing):
    """Honest nodes whose work goes wrong in the same way: they believe their own results alone."""

    name = "crowd-failure"
    doing = "fails in one way: it finds its own crowd's wrong results right, and all others wrong"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        me.act(view.round.round, candidate)
        return candidate in me.coalition


# Roles that people give nodes of a simulation


class Late(SealedStrategy):
    """Commits after its window."""

    name = "late"
    doing = "commits its value when the window has ended"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        kept = _leave_out(me, owed, lambda duty: _is_commitment(duty, SealKind.SUBMISSION))
        if not _is_open(view, slot, Activity.REVEAL) or memory.value is None:
            return kept
        return [*kept, SendCommitment(view.round.round, SealKind.SUBMISSION, memory.value.encode())]


class Silent(NoShow):
    """Stakes and does nothing else."""

    name = "silent"
    doing = "stakes and does nothing else"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return []


class Canary(SealedStrategy):
    """A node of the task's creator: it submits work known to be bad now and then, and accuses falsely.

    Only so has a checker a reason to look, and a juror too. Its costs are the creator's.
    """

    name = "canary"
    doing = "submits bad work in some rounds, and now and then accuses a good submission"

    def __init__(self, bad_chance: float, accuse_chance: float) -> None:
        """The chances of bad work of a node in a round, and of a false accusation by it."""
        self.bad_chance = bad_chance
        self.accuse_chance = accuse_chance

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        if me.draw(round_number, "bad").random() >= self.bad_chance:
            return honest()
        return _lie(me, round_number, lie)

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        chance = me.draw(view.round.round, "accuse")
        if not _is_open(view, slot, Activity.ACCUSE) or chance.random() >= self.accuse_chance:
            return owed
        others = _list_others(me, view)
        accusing = _accuse(memory, view, [chance.choice(others)] if others else [])
        return [*owed, *(duty for duty in accusing if duty not in owed)]


STRATEGIES: dict[str, type[SealedStrategy]] = {
    strategy.name: strategy
    for strategy in (
        SealedStrategy, LazyWorker, OldProof, Lie, Guesser, Copycat, NoShow, RevealSkipper, RoundCloser,
        Equivocator, HiddenLie, ChallengedLie, Withholder, LedgerOnly, LateAnswerer, Challenger,
        ChallengerOfOne, LazyChecker, LazyHider, UnseenJuror, UnseenAccuser, Follower, NeverLooks,
        ReceiptStriker, VoteStriker, Striker, QuietInvalid, BlindAccuser, Griefer, OneVictim, Picker,
        SelfAccuser, FriendFirst, FrontRunner, VoteRing, OneLiar, QuorumRing, Cartel, SilentLeader, ListThief,
        ListForger, ListKiller, VetoThief, SybilRing, CrowdFailure,
    )
}  # fmt: skip
"""The strategies that have a meaning under `roundwork-1`, by name."""

NOT_PLAYED = {
    "flash stakers, stake-and-run, half stakes": "a stake at risk is locked, and what a node has at risk is"
    " fixed once: tests/protocol/test_hardened_honest.py tops up and leaves at every moment",
    "mouse against whale, whale above the duty cap": "they are strategies of this list with other stakes:"
    " `--stakes mice`, `--stakes whale`",
    "beacon grinders with the block's hash": "only who makes the last block can; `reveal-skipper` pays what"
    " a node without that power pays",
    "creators who run a ring": "slashes go back to the bounty; add them to the profit",
    "outages, dark nodes": "they are faults, not decisions: tests/sim/test_sealed_schedules.py plays them",
    "judgement-proof griefers": "a commitment needs half of the minimum stake, and every accusation its bond",
}
"""Strategies that are not simulated here, and why."""

ROLES: dict[str, type[SealedStrategy]] = {
    "honest": SealedStrategy,
    "liar": Lie,
    "copycat": Copycat,
    "late": Late,
    "silent": Silent,
    "lazy": Striker,
    "accuser": BlindAccuser,
    "thief": ListThief,
    "mute": SilentLeader,
    "slanderer": ListKiller,
    "withholder": Hoarder,
    "reluctant": LedgerOnly,
    "hider": HiddenLie,
}
"""The ways to play that `simulate` and `up` name."""


# Helpers


def _is_open(view: SealedView, slot: int, activity: Activity) -> bool:
    return WINDOWS[RULES][activity].is_open(view.table, slot, view.round.round)


def _get_last_slot(view: SealedView, activity: Activity) -> int:
    return WINDOWS[RULES][activity].compute_slots(view.table, view.round.round)[1]


def _is_commitment(duty: SealedDuty, kind: SealKind) -> bool:
    return isinstance(duty, SendCommitment) and duty.kind == kind


def _is_reveal(duty: SealedDuty, kind: SealKind) -> bool:
    return isinstance(duty, SendReveal) and duty.kind == kind


def _leave_out(me: SealedMember, owed: Duties, is_left: Callable[[SealedDuty], bool]) -> Duties:
    """The duties without some, which are noted."""
    left = [duty for duty in owed if is_left(duty)]
    me.act(*left)
    return [duty for duty in owed if duty not in left]


def _list_others(me: SealedMember, view: SealedView) -> list[str]:
    """The submitters that do not belong to the coalition and are not missing, in order of addresses."""
    return [
        each.node
        for each in view.hardened.submissions
        if each.node not in me.coalition and each.node != me.node and each.verdict != "missing"
    ]


def _takes_part(view: SealedView, node: str) -> bool:
    return any(each.node == node for each in view.round.submissions)


def _get_speaker(me: SealedMember, view: SealedView) -> str:
    """The member that speaks for all, the first of those that take part."""
    return min((each for each in me.coalition if _takes_part(view, each)), default="")


def _accuse(memory: SealedMemory, view: SealedView, victims: Iterable[str]) -> list[SealedDuty]:
    """What accuses these submissions: their proofs are fetched and posted first."""
    duties: list[SealedDuty] = []
    for node in victims:
        shown = view.find(node)
        if shown.trial is not None or not _takes_part(view, view.node):
            continue
        if not view.names_proof(node) or shown.is_posted:
            duties.append(SendAccusation(view.round.round, node))
        elif node in memory.fetched:
            duties.append(PostProof(view.round.round, node))
        else:
            duties.append(FetchProof(view.round.round, node))
    return duties


def _revote(view: SealedView, duty: SealedDuty, choose: Callable[[str, bool], bool]) -> SealedDuty:
    """The duty; if it writes down votes, with the votes that `choose(node, found)` gives."""
    if not isinstance(duty, Seal) or duty.kind != SealKind.VOTES:
        return duty
    bits = int.from_bytes(duty.payload, "little")
    found = [choose(node, bool(bits >> at & 1)) for at, node in enumerate(view.own.trials)]
    return Seal(duty.round, duty.kind, encode_bits(found))


def _find_list(view: SealedView) -> ListView | None:
    return next((each for each in view.round.lists if each.attempt == view.round.attempt), None)


def _reverse(duty: SealedDuty) -> SealedDuty:
    """A vote against the list; other duties as they are."""
    return VoteOnList(duty.round, duty.attempt, duty.node, False) if isinstance(duty, VoteOnList) else duty
