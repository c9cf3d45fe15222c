"""Many nodes of one owner, a crowd that fails alike, and the canaries of the task's creator."""

from ..participant.sealed import SealedMemory, SealedView
from ..protocol.tasks.round import Activity
from .accusations import VoteRing
from .base import Duties, Finding, SealedMember, SealedStrategy, Value, accuse, is_open, list_others
from .submissions import submit_lie


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
        return submit_lie(me, round_number, lie)

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        chance = me.draw(view.round.round, "accuse")
        if not is_open(view, slot, Activity.ACCUSE) or chance.random() >= self.accuse_chance:
            return owed
        others = list_others(me, view)
        accusing = accuse(memory, view, [chance.choice(others)] if others else [])
        return [*owed, *(duty for duty in accusing if duty not in owed)]
