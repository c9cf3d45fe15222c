"""Strategies about proofs: hidden, served to some nodes only, and challenged."""

from typing import ClassVar

from ..participant.sealed import PostProof, SealedDuty, SealedMemory, SealedView, SendChallenge
from ..protocol.tasks.round import WINDOWS, Activity
from .base import RULES, Duties, Finding, SealedMember, SealedStrategy, Value, is_open, leave_out, list_others
from .submissions import submit_lie


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
    is_lying = True

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        return False

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        return submit_lie(me, round_number, lie)

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        return True if candidate in me.coalition else honest()

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return leave_out(
            me, owed, lambda duty: isinstance(duty, PostProof | SendChallenge) and duty.node in me.coalition
        )


class ChallengedLie(HiddenLie):
    """Lies, hides the proof, and posts it when it is challenged."""

    name = "challenged-lie"
    doing = "does no work, submits a lie, and shows its proof when it is challenged"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return leave_out(me, owed, lambda duty: isinstance(duty, SendChallenge) and duty.node in me.coalition)


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
        return leave_out(me, owed, lambda duty: isinstance(duty, PostProof) and duty.node == me.node)


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
        return leave_out(me, owed, lambda duty: isinstance(duty, PostProof) and duty.node == me.node)


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
        return leave_out(me, owed, lambda duty: isinstance(duty, PostProof) and duty.node == me.node)


class Challenger(SealedStrategy):
    """Challenges every honest proof."""

    name = "challenger"
    doing = "challenges every honest proof as soon as it can"
    challenges_max: ClassVar[int] = 1000

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        if not is_open(view, slot, Activity.CHALLENGE):
            return owed
        victims = [node for node in self._choose(me, view) if view.names_proof(node)]
        mine: list[SealedDuty] = [
            SendChallenge(view.round.round, node) for node in victims if view.find(node).challenge is None
        ]
        me.act(*mine)
        return [*owed, *(duty for duty in mine if duty not in owed)]

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        """Each member challenges its part of the honest nodes."""
        others = list_others(me, view)
        members = sorted(me.coalition)
        return others[members.index(me.node) :: len(members)]


class ChallengerOfOne(Challenger):
    """Challenges one honest proof."""

    name = "challenger-of-one"
    doing = "challenges the proof of one honest node"

    def _choose(self, me: SealedMember, view: SealedView) -> list[str]:
        others = list_others(me, view)
        return [me.draw(view.round.round, "challenge").choice(others)] if others else []


def _get_last_slot(view: SealedView, activity: Activity) -> int:
    return WINDOWS[RULES][activity].compute_slots(view.table, view.round.round)[1]
