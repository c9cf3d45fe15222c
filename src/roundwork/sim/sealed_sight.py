"""What the nodes of a simulation see of rounds under roundwork-1, filled from the state.

The views are those that a real node reads over RPC. What no block has changed is not built anew.
"""

from ..hardened_views import AssignmentsView
from ..protocol.execute import Outcome
from ..protocol.params import NodeKey, TaskKey
from ..protocol.read import view_round
from ..protocol.read_hardened import view_assignments
from ..protocol.state import TABLE_KINDS, State
from ..views import RoundView


def _letters(*names: str) -> bytes:
    return b"".join(TABLE_KINDS[name].letter for name in names)


SHOWN = _letters(
    "rounds", "submissions", "lists", "list_audits", "list_votes", "challenges", "proofs", "trials",
    "verdicts", "ranks",
)  # fmt: skip
"""Letters of the tables of a round that decide what a node owes."""

DRAWN = _letters("checks", "jurors", "verdicts")
"""Letters of the tables that decide which submissions a node checks and judges."""

SEALS = TABLE_KINDS["seals"].letter

CHALLENGES = TABLE_KINDS["challenges"].letter


class SealedSight:
    """The views of one task. Call `notice` after each block."""

    def __init__(self, state: State, task: TaskKey) -> None:
        self._state = state
        self._task = task
        self._rounds: dict[int, RoundView] = {}
        self._owns: dict[int, dict[NodeKey, AssignmentsView]] = {}

    def notice(self, outcome: Outcome) -> set[int]:
        """Take in a block: the rounds in which it may give every node something to do, that is an answer.

        Everything else that concerns all nodes begins with a window.
        """
        stirred: set[int] = set()
        rounds = TABLE_KINDS["rounds"].letter + self._task
        for change in outcome.changes:
            letter, task, suffix = change.name[:1], change.name[1:33], change.name[33:]
            if task != self._task:
                continue
            if change.name == rounds:
                for key, _ in change.rows:
                    self._rounds.pop(int.from_bytes(key, "big"), None)
                continue
            round_number = int.from_bytes(suffix, "big")
            if letter in SHOWN:
                self._rounds.pop(round_number, None)
            if letter in DRAWN:
                self._owns.pop(round_number, None)
            elif letter == SEALS:
                for key, _ in change.rows:
                    self._owns.get(round_number, {}).pop(NodeKey(key[1:]), None)
            if letter == CHALLENGES:
                stirred.add(round_number)
        return stirred

    def look(self, round_number: int) -> RoundView:
        """A round; its `slot` is that of the block that last changed it."""
        view = self._rounds.get(round_number)
        if view is None:
            view = self._rounds[round_number] = view_round(self._state, self._task, round_number)
        return view

    def look_own(self, round_number: int, node: NodeKey) -> AssignmentsView:
        """What a node was drawn for, and what it has committed and revealed."""
        owns = self._owns.setdefault(round_number, {})
        own = owns.get(node)
        if own is None:
            own = owns[node] = view_assignments(self._state, self._task, round_number, node)
        return own

    def forget(self, before_round: int) -> None:
        """Drop the views of rounds below `before_round`."""
        for kept in (self._rounds, self._owns):
            for round_number in [each for each in kept if each < before_round]:
                del kept[round_number]
