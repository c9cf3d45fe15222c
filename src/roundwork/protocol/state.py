"""Keyed records in tables (one per kind, task and round), the change set of a block, and the state hash.

Every change goes through `put`, `remove` or `drop`, which keep what was there in a log: a rejected
transaction is rolled back from it, and at the end of a block it says what has changed.
"""

import heapq
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec
from blake3 import blake3

from .params import Genesis, Key
from .records import (
    Account,
    Audit,
    Chunk,
    DistributionList,
    Mark,
    Payment,
    Record,
    Round,
    Settlement,
    Stake,
    Submission,
    Task,
    Vote,
)  # fmt: skip

R = TypeVar("R", bound=Record)

RECORDS: dict[bytes, type[Record]] = {
    b"A": Account,  # address
    b"T": Task,  # task
    b"K": Stake,  # of a task: node
    b"R": Round,  # of a task: u64 round
    b"S": Submission,  # of a round: node
    b"U": Audit,  # of a round: candidate
    b"V": Vote,  # of a round: candidate, voter
    b"N": Mark,  # of a round: node that viewed a submission or a list
    b"L": DistributionList,  # of a round: u8 attempt
    b"M": Audit,  # of a round's lists: u8 attempt
    b"W": Vote,  # of a round's lists: u8 attempt, voter
    b"P": Payment,  # of a round: node
    b"C": Chunk,  # of a round's lists, 2^64 - 1 where none is named: node, u16 number
    b"D": Mark,  # u64 slot, task, u8 step, u64 round: what falls due
    b"Q": Settlement,  # u64 number: payouts in their order
    b"H": Mark,  # u64 slot: its tick
    b"X": Mark,  # of a slot: spent signatures that name its tick
}
"""The kind of a table is the first byte of its name. Numbers in names and keys are big endian."""

ROUND_TABLES = (b"S", b"U", b"V", b"N", b"L", b"M", b"W", b"P")
"""The kinds of tables that belong to one round."""

_KEPT = b"ATDQH"
"""Tables that exist even when they are empty."""


def u64(number: int) -> bytes:
    """Eight bytes that sort as the number does."""
    return number.to_bytes(8, "big")


class Table(Generic[R]):
    """Records of one kind under keys. Read `rows` freely; change them through the state only."""

    __slots__ = ("name", "rows")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.rows: dict[bytes, R] = {}


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Where the chain stands after its last block. `began_ms` is when `slot` began."""

    height: int
    slot: int
    began_ms: int
    time_ms: int
    block_hash: bytes
    state_hash: bytes


class TableChange(msgspec.Struct, frozen=True, array_like=True):
    """What a block changed in one table: all rows gone first or not, then rows by key (None: removed)."""

    name: bytes
    is_dropped: bool
    rows: list[tuple[bytes, Record | None]]


_Undo = tuple[Table[Any], bytes | None, Any]
"""Table, key and the record before; without a key the whole table was dropped, and `before` is its rows."""

_encoder = msgspec.msgpack.Encoder()


def encode_changes(changes: list[TableChange]) -> bytes:
    """The canonical bytes of a change set: tables by name, rows by key."""
    return _encoder.encode(changes)


def compute_state_hash(before: bytes, changes: list[TableChange], lattice: bytes = b"") -> bytes:
    """The hash of the state after a block: a chain over change sets. Source: docs/PROTOCOL.md 3."""
    return blake3(before + blake3(encode_changes(changes)).digest() + lattice).digest()


class State:
    """Everything the law knows, in memory. One owner; not safe to share between threads."""

    def __init__(self, genesis: Genesis, genesis_hash: bytes, head: Head) -> None:
        self.genesis = genesis
        self.genesis_hash = genesis_hash
        self.head = head
        self.tables: dict[bytes, Table[Any]] = {}
        self._fresh: list[bytes] = []
        self.accounts: Table[Account] = self.get_table(b"A")
        self.tasks: Table[Task] = self.get_table(b"T")
        self.due: Table[Mark] = self.get_table(b"D")
        self.queue: Table[Settlement] = self.get_table(b"Q")
        self.ticks: Table[Mark] = self.get_table(b"H")
        self.tick_slots: dict[bytes, int] = {}
        self._heap: list[bytes] = []
        self._log: list[_Undo] = []

    # Tables

    def get_table(self, name: bytes) -> Table[Any]:
        """The table of that name, made when first asked for. Do not keep it across blocks."""
        table = self.tables.get(name)
        if table is None:
            table = self.tables[name] = Table(name)
            self._fresh.append(name)
        return table

    def get_stakes(self, task: Key) -> Table[Stake]:
        name = b"K" + task
        return self.tables.get(name) or self.get_table(name)

    def get_rounds(self, task: Key) -> Table[Round]:
        name = b"R" + task
        return self.tables.get(name) or self.get_table(name)

    def get_chunks(self, task: Key, number: int) -> Table[Chunk]:
        name = b"C" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_submissions(self, task: Key, number: int) -> Table[Submission]:
        name = b"S" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_audits(self, task: Key, number: int) -> Table[Audit]:
        name = b"U" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_votes(self, task: Key, number: int) -> Table[Vote]:
        name = b"V" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_voices(self, task: Key, number: int) -> Table[Mark]:
        name = b"N" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_lists(self, task: Key, number: int) -> Table[DistributionList]:
        name = b"L" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_list_audits(self, task: Key, number: int) -> Table[Audit]:
        name = b"M" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_list_votes(self, task: Key, number: int) -> Table[Vote]:
        name = b"W" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_payments(self, task: Key, number: int) -> Table[Payment]:
        name = b"P" + task + number.to_bytes(8, "big")
        return self.tables.get(name) or self.get_table(name)

    def get_spent(self, slot: int) -> Table[Mark]:
        return self.get_table(b"X" + u64(slot))

    # Changes

    def put(self, table: Table[R], key: bytes, record: R) -> None:
        """Put a record under a key, in the place of what was there."""
        rows = table.rows
        self._log.append((table, key, rows.get(key)))
        rows[key] = record

    def remove(self, table: Table[R], key: bytes) -> None:
        """Take the record away that is under a key."""
        self._log.append((table, key, table.rows.pop(key)))

    def drop(self, table: Table[R]) -> None:
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
        """What changed since this was last asked, in canonical order. Forgets how to roll it back."""
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
        heapq.heappush(self._heap, key)

    def pop_due(self, slot: int) -> bytes | None:
        """Take the first step that is due at `slot`, in the order of the law; None if there is none."""
        heap, limit = self._heap, u64(slot + 1)
        while heap and heap[0] < limit:
            key = heapq.heappop(heap)
            if key in self.due.rows:  # else it was rolled back, or scheduled twice
                self.remove(self.due, key)
                return key
        return None

    # To and from the disk

    def load(self, changes: Iterable[TableChange]) -> None:
        """Take in rows as they were stored, and rebuild what is derived from them."""
        for change in changes:
            table: Table[Record] = self.get_table(change.name)
            table.rows.update((key, record) for key, record in change.rows if record is not None)
        self.rebuild_indexes()

    def rebuild_indexes(self) -> None:
        """Derive the heap of due steps and the slots of ticks from the tables."""
        self._heap = sorted(self.due.rows)
        self.tick_slots = {mark.digest: int.from_bytes(key, "big") for key, mark in self.ticks.rows.items()}
