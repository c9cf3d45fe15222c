"""The searchable past: which block holds a transaction, which transactions name an address, what rounds did.

An index of the journal. A thread fills it and lags behind bursts by design. The file may be deleted: then
it is built again.
"""

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from ...errors import RoundworkError, StoreCorrupt, StoreFull, Undecodable
from ...protocol.execute import Kind, decode_landed
from ...protocol.state import u64
from ...protocol.tasks.events import Pruned
from ...sdk.saved import shows_damage
from .database import FORMAT, READ_ERRORS, Reader, open_to_write
from .journal import Entry, Journal

REMEDY = "delete it, and it is built again from the journal"

BATCH_TRANSACTIONS = 10_000
"""Transactions indexed in one commit: keys are random, so that more of them in a commit share more pages."""

CACHE_KIB = 16_384
"""Pages of the index that are kept in memory, for the same reason."""

BUCKET_SHIFT = 54
"""The first ten bits of a name say in which bucket it lies."""

_PRIME = 2**31 - 1
_FACTOR = 65_599

_encoder = msgspec.msgpack.Encoder()

log = logging.getLogger(__name__)


class Index(IntEnum):
    """What is searched for; a table each, by its name in lower case."""

    TRANSACTIONS = 0
    ADDRESSES = 1
    PRUNED = 2

    @property
    def table(self) -> str:
        """The name of its table."""
        return self.name.lower()


class Place(NamedTuple):
    """A transaction, or an event: the block's height and the position in it."""

    height: int
    position: int


_SCHEMA = "\n".join(
    [
        "BEGIN;",
        *[f"DROP TABLE IF EXISTS {table};" for table in ("events", "totals", "progress", "buckets")],
        *[
            f"DROP TABLE IF EXISTS {index.table};"
            f"CREATE TABLE {index.table} ("
            "    name INTEGER NOT NULL, height INTEGER NOT NULL, position INTEGER NOT NULL,"
            "    PRIMARY KEY (name, height, position)"
            ") STRICT, WITHOUT ROWID;"
            for index in Index
        ],
        "CREATE TABLE buckets ("
        "    kind INTEGER NOT NULL, bucket INTEGER NOT NULL, rows INTEGER NOT NULL, sum INTEGER NOT NULL,"
        "    PRIMARY KEY (kind, bucket)"
        ") STRICT, WITHOUT ROWID;",
        "CREATE TABLE progress ("
        "    id INTEGER PRIMARY KEY CHECK (id = 1), genesis_hash BLOB NOT NULL, height INTEGER NOT NULL,"
        "    transactions INTEGER NOT NULL, rows INTEGER NOT NULL, sum INTEGER NOT NULL, digest BLOB NOT NULL"
        ") STRICT;",
        f"PRAGMA user_version = {FORMAT};",
        "COMMIT;",
    ]
)


class Progress(NamedTuple):
    """How far a history has come, of which ledger."""

    genesis_hash: bytes
    height: int
    """The last block that it holds."""
    transactions: int
    """Those that ran up to there."""
    rows: int
    """Of all tables."""
    sum: int
    """That of the checksums of all rows."""


class HistoryReader:
    """The index of one ledger, read beside the process that fills it or without one. Changes nothing.

    Names lie in buckets, and each bucket says how many rows it has and the sum of their checksums. A bucket
    is compared with that before the first search in it, because a row that is missing makes no answer wrong
    but "there is none".
    """

    def __init__(self, path: Path) -> None:
        """Open the file; a missing one holds nothing, and is not made. Raises StoreCorrupt."""
        self.path = path
        self._reader = Reader(path, REMEDY)
        self.format = self._reader.read_format("progress", "digest")
        """None if it holds nothing yet."""
        self._checked: set[tuple[Index, int]] = set()

    def read_progress(self) -> Progress | None:
        """How far it has come; None if it holds nothing that can be used. Raises StoreCorrupt."""
        if self.format != FORMAT:
            return None
        rows = self._reader.fetch(
            "SELECT genesis_hash, height, transactions, rows, sum, digest,"
            " (SELECT coalesce(sum(rows), 0) FROM buckets), (SELECT coalesce(sum(sum), 0) FROM buckets)"
            " FROM progress"
        )
        if not rows and not self._reader.fetch("SELECT 1 FROM buckets LIMIT 1"):
            return None
        *values, digest, all_rows, all_sums = rows[0] if rows else [None] * 8
        if digest != _digest(values) or (all_rows, all_sums) != tuple(values[3:]):
            raise StoreCorrupt(f"{self.path}: its progress is not as it was written; {REMEDY}")
        return Progress(*values)

    def read_height(self) -> int:
        """The last block that it holds, also if it is of an older version. Raises StoreCorrupt."""
        if self.format == 0:
            rows = self._reader.fetch("SELECT height FROM progress")
            if rows and not isinstance(rows[0][0], int):
                raise StoreCorrupt(f"{self.path}: it ends at block {rows[0][0]!r}; {REMEDY}")
            return rows[0][0] if rows else 0
        progress = self.read_progress()
        return progress.height if progress else 0

    def check_buckets(self) -> None:
        """Compare every bucket with its rows. Raises StoreCorrupt."""
        if self.format != FORMAT:
            return
        for index in Index:
            [(differences,)] = self._reader.fetch(
                f"WITH found AS (SELECT name >> {BUCKET_SHIFT} AS bucket, count(*) AS rows, {_SUM} AS sum"
                f" FROM {index.table} GROUP BY 1),"
                " said AS (SELECT bucket, rows, sum FROM buckets WHERE kind = ?)"
                " SELECT (SELECT count(*) FROM (SELECT * FROM found EXCEPT SELECT * FROM said))"
                " + (SELECT count(*) FROM (SELECT * FROM said EXCEPT SELECT * FROM found))",
                (index,),
            )
            [(rows, _, *found)] = self._reader.fetch(_compose_scan(index))
            if differences or found != [rows, rows]:
                raise StoreCorrupt(f"{self.path}: {index.table} are not as they were written; {REMEDY}")

    def find_transaction(self, signature: bytes) -> list[Place]:
        """The places of transactions whose signature begins like this one, oldest first.

        Raises StoreCorrupt, and StoreFull once the history could not be written, as every search here does.
        """
        return self._find(Index.TRANSACTIONS, compute_name(signature))

    def find_address(self, address: bytes, before: Place | None, limit: int) -> list[Place]:
        """The newest transactions that name an address like this one, newest first."""
        name = compute_name(address)
        self._check_bucket(Index.ADDRESSES, name >> BUCKET_SHIFT)
        height, position = before or (2**62, 0)
        rows = self._reader.fetch(
            "SELECT height, position FROM addresses WHERE name = ? AND (height, position) < (?, ?) "
            "ORDER BY height DESC, position DESC LIMIT ?",
            (name, height, position, limit),
        )
        return [Place(*row) for row in rows]

    def find_pruned(self, task: bytes, round_number: int) -> list[Place]:
        """The places of events of blocks that pruned a round like this one."""
        return self._find(Index.PRUNED, compute_round_name(task, round_number))

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def _find(self, index: Index, name: int) -> list[Place]:
        self._check_bucket(index, name >> BUCKET_SHIFT)
        query = f"SELECT height, position FROM {index.table} WHERE name = ? ORDER BY height, position"
        return [Place(*row) for row in self._reader.fetch(query, (name,))]

    def _check_bucket(self, index: Index, bucket: int) -> None:
        """Compare a bucket with its rows, once. Raises StoreCorrupt."""
        if (index, bucket) in self._checked:
            return
        names = f"name BETWEEN {bucket << BUCKET_SHIFT} AND {(bucket + 1 << BUCKET_SHIFT) - 1}"
        said = (
            "SELECT coalesce(sum(rows), 0), coalesce(sum(sum), 0) FROM buckets WHERE kind = ? AND bucket = ?"
        )
        query = f"SELECT * FROM ({said}), ({_compose_scan(index, names)})"  # in one statement: of one moment
        [(rows, total, *found)] = self._reader.fetch(query, (index, bucket))
        if found != [rows, total, rows, rows]:
            raise StoreCorrupt(f"{self.path}: its {index.table} are not as they were written; {REMEDY}")
        self._checked.add((index, bucket))


def _compose_scan(index: Index, names: str = "TRUE") -> str:
    """Query how many rows there are, the sum of their checksums, how many are found, how many from the end.

    SQLite searches by bisection: among rows out of order it finds nothing, and no error. Where each row of
    a range is found, and the range is met from either end, each search inside the range is right.
    """
    columns = ("name", "height", "position")
    is_it = " AND ".join(f"other.{column} = {index.table}.{column}" for column in columns)
    descending = ", ".join(f"{column} DESC" for column in columns)
    backwards = f"SELECT 1 FROM {index.table} WHERE {names} ORDER BY {descending} LIMIT -1"
    return (
        f"SELECT count(*), coalesce({_SUM}, 0),"
        f" coalesce(sum(EXISTS (SELECT 1 FROM {index.table} AS other WHERE {is_it})), 0),"
        f" (SELECT count(*) FROM ({backwards})) FROM {index.table} WHERE {names}"
    )


class History(HistoryReader):
    """The index of one ledger and the thread that fills it.

    `height` is the last block it holds, `count` the transactions that ran up to there.
    """

    def __init__(self, path: Path, journal: Journal, genesis_hash: bytes) -> None:
        """Open or make the file and begin to follow the journal. One of an older version is built again.

        Raises StoreCorrupt, StoreFull.
        """
        self._writer = open_to_write(path, "NORMAL")
        self._writer.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        super().__init__(path)
        self._journal = journal
        if self.format != FORMAT:
            self._prepare()
        self._progress = self.read_progress() or Progress(genesis_hash, 0, 0, 0, 0)
        self.failure: RoundworkError | None = None
        self._work = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._follow, name="history", daemon=True)
        self._thread.start()

    @property
    def height(self) -> int:
        """The last block that it holds."""
        return self._progress.height

    @property
    def count(self) -> int:
        """The transactions that ran up to there."""
        return self._progress.transactions

    def wake(self) -> None:
        """Say that the journal has grown."""
        with self._work:
            self._work.notify_all()

    def wait_for(self, height: int, timeout_seconds: float) -> bool:
        """Wait until the history holds a height or has failed; whether it holds it."""
        with self._work:
            self._work.wait_for(
                lambda: self.height >= height or self._is_closing or self.failure, timeout_seconds
            )
            return self.height >= height

    def close(self) -> None:
        """Stop following the journal and close the file."""
        with self._work:
            self._is_closing = True
            self._work.notify_all()
        self._thread.join()
        super().close()
        self._writer.close()

    def _check_bucket(self, index: Index, bucket: int) -> None:
        if self.failure is not None:
            raise self.failure
        super()._check_bucket(index, bucket)

    def _prepare(self) -> None:
        if self.format is not None:
            log.warning("%s is of an older version: it is built again from the journal", self.path)
        try:
            self._writer.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreFull(f"{self.path}: {error}; make room and start again") from error
        self.format = FORMAT

    def _follow(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._is_closing or self.height < self._journal.height)
                if self._is_closing:
                    return
            try:
                progress = self._index_batch()
            except (StoreCorrupt, *READ_ERRORS) as error:
                self._fail(error)
                return
            with self._work:
                self._progress = progress
                self._work.notify_all()

    def _fail(self, error: Exception) -> None:
        failure: RoundworkError
        if shows_damage(error):
            failure = StoreCorrupt(f"{self.path}: {error}; the past cannot be searched. Stop, {REMEDY}")
        else:
            failure = StoreFull(f"{self.path}: {error}; the past cannot be searched until a restart")
        log.error("%s", failure)
        with self._work:
            self.failure = failure
            self._work.notify_all()

    def _index_batch(self) -> Progress:
        """Index the next blocks in one commit; how far that leads."""
        genesis_hash, height, count, rows, total = self._progress
        size, added = 0, _Added()
        self._writer.execute("BEGIN")
        try:
            while height < self._journal.height and size < BATCH_TRANSACTIONS and not self._is_closing:
                entry = self._journal.read(height + 1)
                assert entry is not None, "the journal grows without gaps"
                count += self._index(entry, added)
                height += 1
                size += len(entry.block.transactions) + 1
            progress = Progress(
                genesis_hash, height, count, rows + added.rows.total(), total + added.sums.total()
            )
            self._writer.executemany(
                "INSERT INTO buckets VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " rows = rows + excluded.rows, sum = sum + excluded.sum",
                [(*bucket, rows, added.sums[bucket]) for bucket, rows in added.rows.items()],
            )
            self._writer.execute(
                "INSERT OR REPLACE INTO progress VALUES (1, ?, ?, ?, ?, ?, ?)", (*progress, _digest(progress))
            )
            self._writer.execute("COMMIT")
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        return progress

    def _index(self, entry: Entry, added: "_Added") -> int:
        """Index one block; how many of its transactions ran."""
        height = entry.block.height
        transactions, addresses = [], []
        for position, (wire, receipt) in enumerate(
            zip(entry.block.transactions, entry.receipts, strict=True)
        ):
            if receipt.kind == Kind.VOID:
                continue
            try:
                transaction = decode_landed(wire, receipt)
            except Undecodable as error:
                raise StoreCorrupt(f"block {height} holds a receipt for what is not a transaction") from error
            transactions.append((compute_name(transaction.signatures[0]), height, position))
            names = {compute_name(key) for key in transaction.accounts}
            addresses += [(name, height, position) for name in names]
        pruned = [
            (compute_round_name(event.task, event.round), height, position)
            for position, event in enumerate(entry.events)
            if isinstance(event, Pruned)
        ]
        found = {Index.TRANSACTIONS: transactions, Index.ADDRESSES: addresses, Index.PRUNED: pruned}
        for index, rows in found.items():
            self._writer.executemany(f"INSERT INTO {index.table} VALUES (?, ?, ?)", rows)
            added.take(index, rows)
        return len(transactions)


class _Added:
    """The rows and the sums of checksums that a batch adds, by index and bucket."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[int, int]] = Counter()
        self.sums: Counter[tuple[int, int]] = Counter()

    def take(self, index: Index, rows: Iterable[tuple[int, int, int]]) -> None:
        for name, height, position in rows:
            bucket = index, name >> BUCKET_SHIFT
            self.rows[bucket] += 1
            self.sums[bucket] += _compute_checksum(name, height, position)


def compute_name(key: bytes) -> int:
    """The first eight bytes of a signature or address. A search compares the rest with the journal."""
    return int.from_bytes(key[:8], "big", signed=True)


def compute_round_name(task: bytes, round_number: int) -> int:
    """The name of a round of a task."""
    return compute_name(blake3(task + u64(round_number)).digest())


def _compute_checksum(name: int, height: int, position: int) -> int:
    """A polynomial of a row modulo a prime. SQLite computes the same, without a turn through Python."""
    first = (name & _PRIME) * _FACTOR + ((name >> 31) & _PRIME)
    second = first % _PRIME * _FACTOR + height
    return (second % _PRIME * _FACTOR + position * 4 + ((name >> 62) & 3)) % _PRIME


_FIRST = f"(name & {_PRIME}) * {_FACTOR} + ((name >> 31) & {_PRIME})"
_SECOND = f"({_FIRST}) % {_PRIME} * {_FACTOR} + height"
_SUM = f"sum((({_SECOND}) % {_PRIME} * {_FACTOR} + position * 4 + ((name >> 62) & 3)) % {_PRIME})"
"""The sum of the checksums of rows, in SQL."""


def _digest(progress: Iterable[Any]) -> bytes:
    return blake3(_encoder.encode(tuple(progress))).digest()
