"""The journal: one row for each block, synced before anything in it is acknowledged. It is the truth."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ...errors import OldLaw, StoreCorrupt, StoreFull
from ...protocol.execute import Block, Outcome, Receipt, decode_block, encode_block
from ...protocol.genesis import describe_old_law
from ...protocol.params import LAW_VERSION
from ...protocol.tasks.events import Event

_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (
    height INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL,
    block BLOB NOT NULL,
    verified BLOB NOT NULL,
    receipts BLOB NOT NULL,
    events BLOB NOT NULL,
    block_hash BLOB NOT NULL,
    state_hash BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS blocks_by_slot ON blocks (slot);
"""
_COLUMNS = "height, slot, block, verified, receipts, events, block_hash, state_hash"

_encoder = msgspec.msgpack.Encoder()
_receipts = msgspec.msgpack.Decoder(list[Receipt])
_events = msgspec.msgpack.Decoder(list[Event])


class Entry(NamedTuple):
    """A block as it was written, with the verdicts on its signatures, its receipts, events and hashes."""

    block: Block
    verified: bytes
    receipts: list[Receipt]
    events: list[Event]
    block_hash: bytes
    state_hash: bytes


class Journal:
    """The block log of one ledger. Written by one thread at a time; read from any."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises StoreCorrupt, StoreFull."""
        self.path = path
        self._writer = open_database(path, _SCHEMA, "FULL")
        self._reader = Reader(path)
        (newest,) = self._writer.execute("SELECT max(height) FROM blocks").fetchone()
        self.height: int = newest or 0

    def append(self, block: Block, verified: Sequence[bool], outcome: Outcome) -> None:
        """Make a block durable. Writing the same block again changes nothing.

        Raises StoreFull if the disk refuses, StoreCorrupt if another block has this height.
        """
        if block.height <= self.height:
            self._check_same(block, outcome)
            return
        row = (
            block.height,
            block.slot,
            encode_block(block),
            bytes(verified),
            _encoder.encode(outcome.receipts),
            _encoder.encode(outcome.events),
            outcome.block_hash,
            outcome.state_hash,
        )
        try:
            self._writer.execute(f"INSERT INTO blocks ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.OperationalError as error:
            raise StoreFull(
                f"{self.path}: {error}; block {block.height} is not written, nothing in it is acknowledged. "
                "Make room and start again"
            ) from error
        self.height = block.height

    def read(self, height: int) -> Entry | None:
        """The block of a height, if there is one. Raises StoreCorrupt."""
        rows = self._reader.fetch(f"SELECT {_COLUMNS} FROM blocks WHERE height = ?", (height,))
        return self._decode(rows[0]) if rows else None

    def read_from(self, height: int) -> Iterator[Entry]:
        """The blocks from a height on, in order. Raises StoreCorrupt, also where one is missing."""
        while height <= self.height:
            entry = self.read(height)
            if entry is None:
                raise StoreCorrupt(f"{self.path}: block {height} is missing; the newest one is {self.height}")
            yield entry
            height += 1

    def find_slot(self, slot: int) -> list[Entry]:
        """The blocks of a slot, in order."""
        rows = self._reader.fetch(f"SELECT {_COLUMNS} FROM blocks WHERE slot = ? ORDER BY height", (slot,))
        return [self._decode(row) for row in rows]

    def find_before(self, slot: int) -> Entry | None:
        """The last block before a slot."""
        rows = self._reader.fetch(
            f"SELECT {_COLUMNS} FROM blocks WHERE slot < ? ORDER BY slot DESC, height DESC LIMIT 1", (slot,)
        )
        return self._decode(rows[0]) if rows else None

    def check_reaches(self, height: int, derived: Path) -> None:
        """Raises StoreCorrupt if the journal ends before a block that a file derived from it has."""
        if height > self.height:
            raise StoreCorrupt(
                f"{self.path} ends at block {self.height}, {derived} is of block {height}: blocks "
                f"{self.height + 1} to {height} are lost. Put the journal back, or delete {derived.name} to "
                "go on without them"
            )

    def check_law(self) -> None:
        """Raises OldLaw if the blocks are of another version of the law."""
        rows = self._reader.fetch("SELECT block FROM blocks ORDER BY height LIMIT 1")
        version = msgspec.msgpack.decode(rows[0][0])[0] if rows else LAW_VERSION
        if version != LAW_VERSION:
            raise OldLaw(describe_old_law(str(self.path)))

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self._writer.close()

    def _check_same(self, block: Block, outcome: Outcome) -> None:
        entry = self.read(block.height)
        if entry is None or (entry.block_hash, entry.state_hash) != (outcome.block_hash, outcome.state_hash):
            raise StoreCorrupt(f"{self.path}: block {block.height} is written already, and is another one")

    def _decode(self, row: tuple[int, int, bytes, bytes, bytes, bytes, bytes, bytes]) -> Entry:
        height, _, block, verified, receipts, events, block_hash, state_hash = row
        try:
            return Entry(
                decode_block(block), verified, _receipts.decode(receipts), _events.decode(events),
                block_hash, state_hash,
            )  # fmt: skip
        except msgspec.DecodeError as error:
            raise StoreCorrupt(f"{self.path}: block {height} cannot be read: {error}") from error


class Reader:
    """Reads a SQLite file with a connection for each thread.

    All reads of one connection see the file as it was when the oldest unfinished one began. So on a shared
    connection, a read that another thread has not finished would hide blocks that are written.
    """

    def __init__(self, path: Path) -> None:
        """Raises StoreCorrupt, StoreFull."""
        self._path = path
        self._thread = threading.local()
        self._databases: list[sqlite3.Connection] = []
        self._connect()

    def fetch(self, query: str, values: Sequence[int | bytes] = ()) -> list[Any]:
        """All rows of a query. Raises StoreCorrupt, StoreFull where a thread cannot open the file."""
        database: sqlite3.Connection = getattr(self._thread, "database", None) or self._connect()
        return database.execute(query, values).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        for database in self._databases:
            database.close()

    def _connect(self) -> sqlite3.Connection:
        database = open_database(self._path, "", "NORMAL")
        self._thread.database = database
        self._databases.append(database)
        return database


def open_database(path: Path, schema: str, synchronous: str) -> sqlite3.Connection:
    """A SQLite file with a write-ahead log, made if missing. Raises StoreCorrupt, StoreFull."""
    try:
        database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={synchronous}")
        database.executescript(schema)
    except sqlite3.OperationalError as error:
        raise StoreFull(f"{path}: {error}; make room and start again") from error
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{path}: {error}") from error
    return database
