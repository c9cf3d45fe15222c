"""What the nodes of a simulation see: the views that a real node reads over RPC, filled from the state.

The head, the parts of rounds and a node's own records are the same structs as on a real node. What has not
changed since the last block is not built anew.
"""

from collections.abc import Sequence

from ..participant.parts import RoundParts, compose_rounds
from ..participant.step import View
from ..protocol.clock import DISTRIBUTION
from ..protocol.execute import Outcome
from ..protocol.params import NodeKey, TaskKey
from ..protocol.read import OwnReader, list_frozen, read_part, view_head
from ..protocol.records import Stake
from ..protocol.state import State
from ..protocol.tasks.cursor import RoundCursor
from ..views import OwnView, PartKey, Row, TaskHead

OWN_TABLES = b"KSVWP"
"""Letters of the tables of a task whose keys end with a node: stakes, submissions, both votes, payments."""

AUDIT_TABLES = b"UM"
"""Letters of the tables of raised audits: every node that can vote may owe its opinion then."""


class Sight:
    """The views of one task. Call `notice` after each block."""

    def __init__(self, state: State, task: TaskKey) -> None:
        self._state = state
        self._task = task
        self._head: TaskHead | None = None
        self._owns: dict[NodeKey, OwnView] = {}
        self._reader: OwnReader | None = None
        self._frozen: dict[PartKey, Sequence[Row]] = {}
        self._rounds: dict[tuple[PartKey, ...], dict[int, RoundParts]] = {}
        self._lasting: dict[tuple[PartKey, ...], dict[int, RoundParts]] = {}
        self._switches = self._get_switches()
        self._amounts: dict[NodeKey, int] = {}
        """Stakes by node, in roe."""

    def notice(self, outcome: Outcome) -> tuple[set[NodeKey], bool]:
        """Take in a block: the nodes whose stake it changed, and whether all nodes may owe something new.

        They may when an audit was raised, and when the task was switched or has moved. Everything else that
        concerns all nodes begins with a window. A node's own submission, opinion or reward gives it nothing
        to do.
        """
        self._head = self._reader = None
        self._rounds = {}
        changed: set[NodeKey] = set()
        switches = self._get_switches()
        is_new_to_all, self._switches = switches != self._switches, switches
        for change in outcome.changes:
            letter = change.name[:1]
            if letter in OWN_TABLES and change.name[1:33] == self._task:
                for key, record in change.rows:
                    node = NodeKey(key[-32:])
                    self._owns.pop(node, None)
                    if isinstance(record, Stake) and record.amount != self._amounts.get(node, 0):
                        self._amounts[node] = record.amount
                        changed.add(node)
            is_new_to_all |= letter in AUDIT_TABLES
        return changed, is_new_to_all

    def _get_switches(self) -> tuple[bool, bool, bytes]:
        task = self._state.tasks.rows[self._task]
        return task.is_active, task.is_closed, task.migrated_to

    def is_list_missing(self, ledger_round: int) -> bool:
        """Whether an open round whose attempt is in this ledger round has no list yet."""
        return any(
            shown.round in self.head.open_rounds
            and shown.round + DISTRIBUTION + shown.attempt == ledger_round
            and all(listed.attempt != shown.attempt for listed in shown.lists)
            for shown in self.head.rounds
        )

    @property
    def head(self) -> TaskHead:
        """The task's head after the last block."""
        if self._head is None:
            self._head = view_head(self._state, self._task)
        return self._head

    def look(self, node: str, key: NodeKey, secret: bytes, stake_target: int, endpoint: str = "") -> View:
        """The view of a node, without parts of rounds."""
        own = self._owns.get(key)
        if own is None:
            if self._reader is None:
                self._reader = OwnReader(self._state, self._task)
            own = self._owns[key] = self._reader.view(key, node)
        return View(node, self.head, own, {}, secret, stake_target, endpoint)

    def add_parts(self, view: View, needed: Sequence[PartKey]) -> View:
        """The view with these parts of rounds."""
        if not needed:
            return view
        rounds = self._compose_rounds(tuple(needed))
        return View(view.node, view.head, view.own, rounds, view.secret, view.stake_target, view.endpoint)

    def _compose_rounds(self, needed: tuple[PartKey, ...]) -> dict[int, RoundParts]:
        rounds = self._rounds.get(needed)
        if rounds is None:
            attempts = {shown.round: shown.attempt for shown in self.head.rounds}
            parts = {part: self._read(part) for part in needed}
            if all(part in self._frozen for part in needed):
                rounds = self._lasting.get(needed)
                if rounds is None:
                    rounds = self._lasting[needed] = compose_rounds(parts, attempts)
            else:
                rounds = compose_rounds(parts, attempts)
            self._rounds[needed] = rounds
        return rounds

    def _read(self, part: PartKey) -> Sequence[Row]:
        rows = self._frozen.get(part)
        if rows is None:
            rows = read_part(self._state, self._task, part)
            if part in list_frozen(RoundCursor(self._state, self._task, part.round)):
                self._frozen[part] = rows
        return rows
