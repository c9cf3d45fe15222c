"""Strategies about what a node submits: bad work, copies, nothing, or not in time."""

from ..participant.sealed import SealedMemory, SealedView, SendCommitment
from ..protocol.tasks.commitments import SealKind
from ..protocol.tasks.round import Activity
from .base import Duties, SealedMember, SealedStrategy, Value, is_commitment, is_open, is_reveal, leave_out


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
    is_lying = True

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        return submit_lie(me, round_number, lie)


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
        return leave_out(me, owed, lambda duty: is_reveal(duty, SealKind.SUBMISSION))


class RoundCloser(SealedStrategy):
    """Commits and never reveals, so that fewer than three submissions may be left."""

    name = "round-closer"
    doing = "commits and never reveals"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return leave_out(me, owed, lambda duty: is_reveal(duty, SealKind.SUBMISSION))


class Equivocator(SealedStrategy):
    """Commits to a second value as well."""

    name = "equivocator"
    doing = "commits to its value, and then to another one"
    is_watchful = True

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        is_time = is_open(view, slot, Activity.COMMIT)
        second = SendCommitment(view.round.round, SealKind.SUBMISSION, b"another value")
        if not is_time or SealKind.SUBMISSION not in view.own.committed or second in me.deviations:
            return owed
        me.act(second)
        return [*owed, second]


def submit_lie(me: SealedMember, round_number: int, lie: Value) -> str | None:
    """A lie, which is no deviation until the task has named it: without work some tasks cannot."""
    value = lie()
    if value is not None:
        me.act(round_number, bad_round=round_number)
    return value


class Late(SealedStrategy):
    """Commits after its window."""

    name = "late"
    doing = "commits its value when the window has ended"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        kept = leave_out(me, owed, lambda duty: is_commitment(duty, SealKind.SUBMISSION))
        if not is_open(view, slot, Activity.REVEAL) or memory.value is None:
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
