"""The searchable past: which block holds a transaction, which transactions name an address, what rounds did.

An index of the journal. A thread fills it and lags behind bursts by design. The file may be deleted: then
it is built again.
"""

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, assert_never

from ...errors import StoreCorrupt, StoreFull, Undecodable
from ...protocol.execute import Kind, decode_landed
from ...protocol.tasks.events import AttemptFailed, ClosedUnpaid, Event, Paid, Pruned, Settled, Slashed
from .journal import Entry, Journal, Reader, open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS transactions (
    signature INTEGER NOT NULL, height INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (signature, height, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS addresses (
    address INTEGER NOT NULL, height INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (address, height, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    height INTEGER NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, task BLOB NOT NULL,
    round INTEGER NOT NULL, node BLOB NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (height, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_by_round ON events (task, round);
CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY CHECK (id = 1), height INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO progress VALUES (1, 0);
CREATE TABLE IF NOT EXISTS totals (
    id INTEGER PRIMARY KEY CHECK (id = 1), transactions INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO totals SELECT 1, count(*) FROM transactions;
"""
BATCH_TRANSACTIONS = 10_000
"""Transactions indexed in one commit: keys are random, so that more of them in a commit share more pages."""

CACHE_KIB = 16_384
"""Pages of the index that are kept in memory, for the same reason."""

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """A transaction: the block's height and the position in it."""

    height: int
    position: int


class History:
    """The index of one ledger and the thread that fills it.

    `height` is the last block it holds, `count` the transactions that ran up to there.
    """

    def __init__(self, path: Path, journal: Journal) -> None:
        """Open or make the file and begin to follow the journal. Raises StoreCorrupt, StoreFull."""
        self.path = path
        self._journal = journal
        self._writer = open_database(path, _SCHEMA, "NORMAL")
        self._writer.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._reader = Reader(path)
        self.height: int
        (self.height,) = self._writer.execute("SELECT height FROM progress").fetchone()
        self.count: int
        (self.count,) = self._writer.execute("SELECT transactions FROM totals").fetchone()
        if self.height > journal.height:  # the journal is the truth
            self._clear()
        self.failure: StoreFull | None = None
        self._work = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._follow, name="history", daemon=True)
        self._thread.start()

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

    def find_transaction(self, signature: bytes) -> list[Place]:
        """The places of transactions whose signature begins like this one, oldest first.

        Raises StoreFull, as every search here does, once the history could not be written.
        """
        rows = self._search(
            "SELECT height, position FROM transactions WHERE signature = ? ORDER BY height, position",
            (_prefix(signature),),
        )
        return [Place(*row) for row in rows]

    def find_address(self, address: bytes, before: Place | None, limit: int) -> list[Place]:
        """The newest transactions that name an address like this one, newest first."""
        height, position = before or (2**62, 0)
        rows = self._search(
            "SELECT height, position FROM addresses WHERE address = ? AND (height, position) < (?, ?) "
            "ORDER BY height DESC, position DESC LIMIT ?",
            (_prefix(address), height, position, limit),
        )
        return [Place(*row) for row in rows]

    def find_pruned(self, task: bytes, round_number: int) -> int | None:
        """The height of the block that pruned a round; None if no block did."""
        rows = self._search(
            "SELECT height FROM events WHERE task = ? AND round = ? AND kind = 'pruned'", (task, round_number)
        )
        return rows[0][0] if rows else None

    def _search(self, query: str, values: tuple[int | bytes, ...]) -> list[Any]:
        if self.failure is not None:
            raise self.failure
        return self._reader.fetch(query, values)

    def close(self) -> None:
        """Stop following the journal and close the file."""
        with self._work:
            self._is_closing = True
            self._work.notify_all()
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def _follow(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._is_closing or self.height < self._journal.height)
                if self._is_closing:
                    return
            try:
                height, count = self._index_batch()
            except (StoreCorrupt, sqlite3.DatabaseError) as error:
                failure = StoreFull(f"{self.path}: {error}; the past cannot be searched until a restart")
                log.error("%s", failure)
                with self._work:
                    self.failure = failure
                    self._work.notify_all()
                return
            with self._work:
                self.height, self.count = height, self.count + count
                self._work.notify_all()

    def _index_batch(self) -> tuple[int, int]:
        """Index the next blocks in one commit; the height of the last one, and how many transactions ran."""
        height, size, count = self.height, 0, 0
        self._writer.execute("BEGIN")
        try:
            while height < self._journal.height and size < BATCH_TRANSACTIONS and not self._is_closing:
                entry = self._journal.read(height + 1)
                assert entry is not None, "the journal grows without gaps"
                count += self._index(entry)
                height += 1
                size += len(entry.block.transactions) + 1
            self._writer.execute("UPDATE progress SET height = ?", (height,))
            self._writer.execute("UPDATE totals SET transactions = transactions + ?", (count,))
            self._writer.execute("COMMIT")
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        return height, count

    def _index(self, entry: Entry) -> int:
        """Index one block; how many of its transactions ran."""
        height = entry.block.height
        signatures, addresses = [], []
        for position, (wire, receipt) in enumerate(
            zip(entry.block.transactions, entry.receipts, strict=True)
        ):
            if receipt.kind == Kind.VOID:
                continue
            try:
                transaction = decode_landed(wire, receipt)
            except Undecodable as error:
                raise StoreCorrupt(
                    f"block {height} holds a receipt for bytes that are not a transaction"
                ) from error
            signatures.append((_prefix(transaction.signatures[0]), height, position))
            addresses += [(_prefix(key), height, position) for key in transaction.accounts]
        write = self._writer.executemany
        write("INSERT OR IGNORE INTO transactions VALUES (?, ?, ?)", signatures)
        write("INSERT OR IGNORE INTO addresses VALUES (?, ?, ?)", addresses)
        write(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (height, number, event.kind, event.task, event.round, *_get_details(event))
                for number, event in enumerate(entry.events)
            ],
        )
        return len(signatures)

    def _clear(self) -> None:
        for table in ("transactions", "addresses", "events"):
            self._writer.execute(f"DELETE FROM {table}")
        self._writer.execute("UPDATE progress SET height = 0")
        self._writer.execute("UPDATE totals SET transactions = 0")
        self.height = self.count = 0


def read_progress(path: Path) -> int:
    """The last block that the history in a file holds, beside a running ledger; 0 if there is none.

    Raises StoreCorrupt, StoreFull.
    """
    if not path.exists():
        return 0
    with closing(open_database(path, _SCHEMA, "NORMAL")) as database:
        [(height,)] = database.execute("SELECT height FROM progress")
        return int(height)


def _prefix(name: bytes) -> int:
    """The first eight bytes of a signature or address.

    A caller that finds a row by them compares the rest.
    """
    return int.from_bytes(name[:8], "big", signed=True)


def _get_details(event: Event) -> tuple[bytes, int]:
    """The node and the amount of an event; of one without an amount, the attempt."""
    match event:
        case Paid() | Slashed():
            return event.node, event.amount
        case Settled() | AttemptFailed() | ClosedUnpaid():
            return b"", event.attempt
        case Pruned():
            return b"", 0
        case _:
            assert_never(event)
