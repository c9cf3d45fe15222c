"""Keyed records in tables (one per kind, task and round), the change set of a block, and the state hash.

Every change goes through `put`, `remove` or `drop`, which keep what was there in a log: a rejected
transaction is rolled back from it, and at the end of a block it says what has changed.
"""

import heapq
from collections.abc import Iterable
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from blake3 import blake3

from .params import Genesis, Key, NodeKey, TaskKey
from .records import (
    Account,
    Audit,
    Bond,
    Challenge,
    Chunk,
    DistributionList,
    Duties,
    Held,
    Mark,
    Net,
    Payment,
    Proof,
    QueuedPayout,
    Ranks,
    Record,
    Round,
    RoundDigest,
    Seal,
    Stake,
    Submission,
    Task,
    Trial,
    Verdict,
    Vote,
)  # fmt: skip

K = TypeVar("K", bound=bytes)
R = TypeVar("R", bound=Record)


class Scope(Enum):
    """What a table belongs to. Its name is the letter of its kind, then the bytes described here."""

    LEDGER = "the ledger"
    TASK = "a task: its address"
    ROUND = "a round: the task's address, then the round number"
    SLOT = "a slot: its number"


class TableKind(NamedTuple):
    """A kind of table: the first byte of its name, its records, their keys, and its scope."""

    letter: bytes
    record: type[Record]
    keys: str
    scope: Scope
    is_kept_empty: bool = False
    """Whether the table exists also while it holds nothing."""
    is_pruned: bool = False
    """Whether its records go to history when the round is pruned."""


TABLE_KINDS = {
    "accounts": TableKind(b"A", Account, "address", Scope.LEDGER, is_kept_empty=True),
    "tasks": TableKind(b"T", Task, "task", Scope.LEDGER, is_kept_empty=True),
    "stakes": TableKind(b"K", Stake, "node", Scope.TASK),
    "rounds": TableKind(b"R", Round, "round number", Scope.TASK),
    "submissions": TableKind(b"S", Submission, "node", Scope.ROUND, is_pruned=True),
    "audits": TableKind(b"U", Audit, "candidate", Scope.ROUND, is_pruned=True),
    "votes": TableKind(b"V", Vote, "candidate, voter", Scope.ROUND, is_pruned=True),
    "voices": TableKind(
        b"N", Mark, "node that gave an opinion of a submission or a list", Scope.ROUND, is_pruned=True
    ),
    "lists": TableKind(b"L", DistributionList, "attempt, a byte", Scope.ROUND, is_pruned=True),
    "list_audits": TableKind(b"M", Audit, "attempt, a byte", Scope.ROUND, is_pruned=True),
    "list_votes": TableKind(b"W", Vote, "attempt, a byte, then voter", Scope.ROUND, is_pruned=True),
    "payments": TableKind(b"P", Payment, "node", Scope.ROUND, is_pruned=True),
    "chunks": TableKind(b"C", Chunk, "node, then chunk number of two bytes", Scope.ROUND),
    "seals": TableKind(b"E", Seal, "kind, a byte, then node", Scope.ROUND, is_pruned=True),
    "checks": TableKind(b"I", Duties, "checker", Scope.ROUND, is_pruned=True),
    "challenges": TableKind(b"G", Challenge, "candidate", Scope.ROUND, is_pruned=True),
    "answers": TableKind(
        b"F", Chunk, "candidate, poster, chunk number of two bytes", Scope.ROUND, is_pruned=True
    ),
    "proofs": TableKind(b"O", Proof, "candidate", Scope.ROUND, is_pruned=True),
    "trials": TableKind(b"J", Trial, "candidate", Scope.ROUND, is_pruned=True),
    "jurors": TableKind(b"Y", Duties, "juror", Scope.ROUND, is_pruned=True),
    "verdicts": TableKind(b"Z", Verdict, "candidate", Scope.ROUND, is_pruned=True),
    "ranks": TableKind(b"a", Ranks, "attempt, a byte", Scope.ROUND, is_pruned=True),
    "nets": TableKind(b"n", Net, "node", Scope.ROUND, is_pruned=True),
    "heads": TableKind(b"h", RoundDigest, "round number", Scope.ROUND, is_pruned=True),
    "bonds": TableKind(b"B", Bond, "candidate, or attempt, a byte", Scope.ROUND),
    "held": TableKind(b"w", Held, "node; the round is the ledger round of the payment", Scope.ROUND),
    "last_heads": TableKind(b"t", Mark, "task", Scope.LEDGER),
    "due": TableKind(b"D", Mark, "step (tasks/round.py)", Scope.LEDGER, is_kept_empty=True),
    "queue": TableKind(b"Q", QueuedPayout, "place of a payout", Scope.LEDGER, is_kept_empty=True),
    "ticks": TableKind(b"H", Mark, "slot", Scope.LEDGER, is_kept_empty=True),
    "spent": TableKind(b"X", Mark, "signature that names the slot's tick", Scope.SLOT),
}
"""Every kind of table by its name. Numbers in names and keys are big endian."""

RECORDS = {kind.letter: kind.record for kind in TABLE_KINDS.values()}
"""The type of record by the first byte of a table's name."""

ROUND_TABLES = tuple(kind.letter for kind in TABLE_KINDS.values() if kind.is_pruned)
"""The letters of the tables whose records go to history when their round is pruned."""

_KEPT = b"".join(kind.letter for kind in TABLE_KINDS.values() if kind.is_kept_empty)


def u64(number: int) -> bytes:
    """Eight bytes that sort as the number does."""
    return number.to_bytes(8, "big")


class Table(Generic[K, R]):
    """Records of one kind under keys. Read `rows` freely; change them through the state only."""

    __slots__ = ("name", "rows")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.rows: dict[K, R] = {}


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Where the chain stands after its last block. `began_ms` is when `slot` began."""

    height: int
    slot: int
    began_ms: int
    time_ms: int
    block_hash: bytes
    state_hash: bytes


class TableChange(msgspec.Struct, frozen=True, array_like=True):
    """The changes of a block in one table: all rows gone first or not, then rows by key (None: removed)."""

    name: bytes
    is_dropped: bool
    rows: list[tuple[bytes, Record | None]]


_Undo = tuple[Table[Any, Any], bytes | None, Any]
"""Table, key and the record before; without a key the whole table was dropped, and `before` is its rows."""

_encoder = msgspec.msgpack.Encoder()


def encode_changes(changes: list[TableChange]) -> bytes:
    """The canonical bytes of a change set: tables by name, rows by key."""
    return _encoder.encode(changes)


def compute_state_hash(before: bytes, changes: list[TableChange]) -> bytes:
    """The hash of the state after a block: a chain over change sets. Source: docs/PROTOCOL.md 3."""
    return blake3(before + blake3(encode_changes(changes)).digest()).digest()


class State:
    """The whole state of the law, in memory. Not safe to share between threads."""

    def __init__(self, genesis: Genesis, genesis_hash: bytes, head: Head) -> None:
        self.genesis = genesis
        self.genesis_hash = genesis_hash
        self.head = head
        self.tables: dict[bytes, Table[Any, Any]] = {}
        self._fresh: list[bytes] = []
        self.accounts: Table[Key, Account] = self.get_table(b"A")
        self.tasks: Table[TaskKey, Task] = self.get_table(b"T")
        self.due: Table[bytes, Mark] = self.get_table(b"D")
        self.queue: Table[bytes, QueuedPayout] = self.get_table(b"Q")
        self.ticks: Table[bytes, Mark] = self.get_table(b"H")
        self.tick_slots: dict[bytes, int] = {}
        self.lists_read: set[bytes] = set()
        """Task, round and account of the lists that were read in this block, accepted or not."""
        self.duties: dict[bytes, tuple[NodeKey, ...]] = {}
        """What nodes check or judge, by the name of the table and the node: found out anew in each block."""
        self.last_place = b""
        """The place that the queue gave last; it is derived, and unknown after a start."""
        self.successors: dict[TaskKey, TaskKey] = {}
        """Of tasks that have moved: a successor of theirs that was once the last. It is derived, and grows
        when it is looked for."""
        self._heap: list[bytes] = []
        self._heaped: set[bytes] = set()
        """The keys of the heap. One that was rolled back stays there until its slot, but once."""
        self._log: list[_Undo] = []

    # Tables

    def get_table(self, name: bytes) -> Table[Any, Any]:
        """The table of that name, created at its first use. Do not keep it across blocks."""
        table = self.tables.get(name)
        if table is None:
            table = self.tables[name] = Table(name)
            self._fresh.append(name)
        return table

    def get_stakes(self, task: TaskKey) -> Table[NodeKey, Stake]:
        name = b"K" + task
        return self.tables.get(name) or self.get_table(name)

    def get_spent(self, slot: int) -> Table[bytes, Mark]:
        return self.get_table(b"X" + u64(slot))

    # Changes

    def put(self, table: Table[K, R], key: K, record: R) -> None:
        """Put a record under a key, in the place of what was there."""
        rows = table.rows
        self._log.append((table, key, rows.get(key)))
        rows[key] = record

    def remove(self, table: Table[K, R], key: K) -> None:
        """Take the record away that is under a key."""
        self._log.append((table, key, table.rows.pop(key)))

    def drop(self, table: Table[K, R]) -> None:
        """Empty a table at once."""
        if table.rows:
            self._log.append((table, None, table.rows))
            table.rows = {}

    def mark(self) -> int:
        """A point that `rollback` can return to, until the block ends."""
        return len(self._log)

    def rollback(self, mark: int) -> None:
        """Undo every change made since `mark`."""
        log = self._log
        while len(log) > mark:
            table, key, before = log.pop()
            assert key is not None, "whole tables are dropped between transactions only"
            if before is None:
                del table.rows[key]
            else:
                table.rows[key] = before

    def take_changes(self) -> list[TableChange]:
        """The changes since the last call, in canonical order. They cannot be rolled back afterwards."""
        touched: dict[bytes, set[bytes]] = {}
        dropped: set[bytes] = set()
        for table, key, _ in self._log:
            keys = touched.get(table.name)
            if keys is None:
                keys = touched[table.name] = set()
            if key is None:
                keys.clear()
                dropped.add(table.name)
            else:
                keys.add(key)
        self._log.clear()
        changes = []
        for name in sorted(touched):
            rows = self.tables[name].rows
            changes.append(
                TableChange(name, name in dropped, [(k, rows.get(k)) for k in sorted(touched[name])])
            )
        self._forget_empty([*self._fresh, *touched])
        self._fresh.clear()
        return changes

    def _forget_empty(self, names: list[bytes]) -> None:
        for name in names:
            if name[:1] not in _KEPT and name in self.tables and not self.tables[name].rows:
                del self.tables[name]

    # What falls due

    def schedule(self, key: bytes) -> None:
        """Have the step of this key come up when its slot does."""
        self.put(self.due, key, Mark())
        if key not in self._heaped:
            self._heaped.add(key)
            heapq.heappush(self._heap, key)

    def pop_due(self, slot: int) -> bytes | None:
        """Take the first step that is due at `slot`, in the order of the law; None if there is none."""
        heap, limit = self._heap, u64(slot + 1)
        while heap and heap[0] < limit:
            key = heapq.heappop(heap)
            self._heaped.remove(key)
            if key in self.due.rows:  # else it was rolled back
                self.remove(self.due, key)
                return key
        return None

    # To and from the disk

    def load(self, changes: Iterable[TableChange]) -> None:
        """Take in rows as they were stored, and rebuild what is derived from them."""
        for change in changes:
            table: Table[Any, Record] = self.get_table(change.name)
            table.rows.update((key, record) for key, record in change.rows if record is not None)
        self.rebuild_indexes()

    def rebuild_indexes(self) -> None:
        """Derive the heap of due steps and the slots of ticks from the tables."""
        self._heap = sorted(self.due.rows)
        self._heaped = set(self._heap)
        self.tick_slots = {mark.digest: int.from_bytes(key, "big") for key, mark in self.ticks.rows.items()}
