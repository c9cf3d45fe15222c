"""The state on disk, row by row, so that a restart replays seconds of the journal and not all of it.

The file says how many records it holds and the sum of their digests. A record that is damaged, missing or of
another moment than the head changes that sum, and then none of the records is used.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import msgspec
from blake3 import blake3

from ...errors import Malformed, StoreCorrupt, StoreFull
from ...protocol.records import Record
from ...protocol.state import RECORDS, Head, State, TableChange
from ...wire import decode_msgpack, make_msgpack_decoder
from .database import FORMAT, Reader, open_to_write

_SCHEMA = f"""
BEGIN;
DROP TABLE IF EXISTS records;
DROP TABLE IF EXISTS head;
CREATE TABLE records (
    name BLOB NOT NULL, key BLOB NOT NULL, record BLOB NOT NULL, PRIMARY KEY (name, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1), genesis_hash BLOB NOT NULL, head BLOB NOT NULL,
    records INTEGER NOT NULL, sum BLOB NOT NULL, digest BLOB NOT NULL
) STRICT;
PRAGMA user_version = {FORMAT};
COMMIT;
"""
REMEDY = "delete it, and the journal is replayed"

_DIGEST_BYTES = 32
_KEYS_AT_ONCE = 500

_encoder = msgspec.msgpack.Encoder()
_decoders = {kind: make_msgpack_decoder(record) for kind, record in RECORDS.items()}

log = logging.getLogger(__name__)


class Pending:
    """The changes since the last checkpoint: the newest record under each key, None for a removed one."""

    def __init__(self) -> None:
        self.rows: dict[bytes, dict[bytes, Record | None]] = {}
        self.dropped: set[bytes] = set()

    def merge(self, changes: Iterable[TableChange]) -> None:
        """Take in the change set of the next block."""
        for change in changes:
            if change.is_dropped:
                self.dropped.add(change.name)
                self.rows[change.name] = {}
            self.rows.setdefault(change.name, {}).update(change.rows)

    @classmethod
    def of(cls, state: State) -> "Pending":
        """All records of a state, for a checkpoint that starts from nothing."""
        pending = cls()
        for name, table in state.tables.items():
            if table.rows:
                pending.rows[name] = dict(table.rows)
        return pending


class Content(NamedTuple):
    """How many records a checkpoint holds, and the sum of their digests."""

    records: int
    sum: int

    def add(self, rows: Iterable[tuple[bytes, bytes, bytes]]) -> "Content":
        """The content with more rows of table name, key and encoded record."""
        digests = [_digest_row(row) for row in rows]
        return Content(self.records + len(digests), (self.sum + sum(digests)) % 2 ** (8 * _DIGEST_BYTES))

    def remove(self, rows: Iterable[tuple[bytes, bytes, bytes]]) -> "Content":
        """The content without some rows."""
        digests = [_digest_row(row) for row in rows]
        return Content(self.records - len(digests), (self.sum - sum(digests)) % 2 ** (8 * _DIGEST_BYTES))


class Saved(NamedTuple):
    """What a checkpoint says of itself: of which ledger and block it is, and what it holds."""

    genesis_hash: bytes
    head: Head
    content: Content


class CheckpointReader:
    """The checkpoint file of one ledger, read beside a running ledger or without one. Changes nothing."""

    def __init__(self, path: Path) -> None:
        """Open the file; a missing one holds nothing, and is not made. Raises StoreCorrupt."""
        self.path = path
        self._reader = Reader(path, REMEDY)
        self.format = self._reader.read_format("head", "digest")
        """None if it holds nothing yet."""

    def read_saved(self) -> Saved | None:
        """What the file says of itself; None if it holds nothing that can be used. Raises StoreCorrupt."""
        if self.format != FORMAT:
            return None
        rows = self._reader.fetch("SELECT genesis_hash, head, records, sum, digest FROM head")
        if not rows:
            return None
        *row, digest = rows[0]
        try:
            if digest != _digest_head(row):
                raise StoreCorrupt(f"{self.path}: its head is not as it was written; {REMEDY}")
            genesis_hash, head, records, total = row
            head = decode_msgpack(head, Head)
        except (Malformed, ValueError, TypeError) as error:
            raise StoreCorrupt(f"{self.path}: {error}; {REMEDY}") from error
        return Saved(genesis_hash, head, Content(records, int.from_bytes(total, "big")))

    def read_height(self) -> int:
        """The block that the file is of, also if it is of an older version. Raises StoreCorrupt."""
        if self.format == 0:
            rows = self._reader.fetch("SELECT head FROM head")
            try:
                height: int = decode_msgpack(rows[0][0], Head).height if rows else 0
            except Malformed as error:
                raise StoreCorrupt(f"{self.path}: {error}; {REMEDY}") from error
            return height
        saved = self.read_saved()
        return saved.head.height if saved else 0

    def read_tables(self, expected: Content) -> Iterator[TableChange]:
        """The records of each table. Raises StoreCorrupt at the end if they are not the expected ones."""
        content = Content(0, 0)
        found = self._reader.iterate("SELECT name, key, record FROM records ORDER BY name")
        try:
            for name, group in groupby(found, key=itemgetter(0)):
                rows = list(group)
                content = content.add(rows)
                decode = _decoders[name[:1]]
                yield TableChange(name, False, [(key, decode(record)) for _, key, record in rows])
        except (Malformed, ValueError, LookupError, TypeError) as error:
            raise StoreCorrupt(f"{self.path}: {error!r}; {REMEDY}") from error
        if content != expected:
            raise StoreCorrupt(f"{self.path}: its records are not as they were written; {REMEDY}")

    def check_records(self) -> None:
        """Raises StoreCorrupt if the records are not as they were written; also beside a running ledger."""
        with self._reader.snapshot():
            saved = self.read_saved()
            for _ in self.read_tables(saved.content) if saved else ():
                pass

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


class Checkpoint(CheckpointReader):
    """The same, and its one writer. It is derived: without it the journal is replayed from genesis."""

    def __init__(self, path: Path, genesis_hash: bytes) -> None:
        """Open or make the file. One of an older version has no digests, so it is emptied.

        Raises StoreCorrupt, StoreFull.
        """
        self._database = open_to_write(path, "NORMAL")
        super().__init__(path)
        self._genesis_hash = genesis_hash
        if self.format != FORMAT:
            self._prepare()
        saved = self.read_saved()
        self._content = saved.content if saved else Content(0, 0)

    def write(self, head: Head, pending: Pending) -> None:
        """Bring the file to `head`, all at once. Raises StoreFull."""
        database, content = self._database, self._content
        try:
            database.execute("BEGIN")
            for name in pending.dropped:
                content = content.remove(
                    self._select("SELECT name, key, record FROM records WHERE name = ?", name)
                )
                database.execute("DELETE FROM records WHERE name = ?", (name,))
            for name, rows in pending.rows.items():
                content = self._write_table(name, rows, content)
            row = [self._genesis_hash, _encoder.encode(head), content.records]
            row.append(content.sum.to_bytes(_DIGEST_BYTES, "big"))
            database.execute(
                "INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?, ?, ?)", (*row, _digest_head(row))
            )
            database.execute("COMMIT")
            self._content = content
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.DatabaseError as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise StoreFull(
                f"{self.path}: {error}; the ledger goes on, a restart will take longer"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        super().close()
        self._database.close()

    def _write_table(self, name: bytes, rows: dict[bytes, Record | None], content: Content) -> Content:
        """Put rows into a table and take rows out of it; what the file holds then."""
        encode, left = _encoder.encode, iter(rows.items())
        while batch := list(islice(left, _KEYS_AT_ONCE)):
            marks = ", ".join("?" * len(batch))
            query = f"SELECT name, key, record FROM records WHERE name = ? AND key IN ({marks})"
            content = content.remove(self._select(query, name, *[key for key, _ in batch]))
            kept = [(name, key, encode(record)) for key, record in batch if record is not None]
            content = content.add(kept)
            self._database.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", kept)
            gone = [(name, key) for key, record in batch if record is None]
            self._database.executemany("DELETE FROM records WHERE name = ? AND key = ?", gone)
        return content

    def _select(self, query: str, *values: bytes) -> list[tuple[bytes, bytes, bytes]]:
        return self._database.execute(query, values).fetchall()

    def _prepare(self) -> None:
        if self.format is not None:
            log.warning("%s is of an older version, without digests: the journal is replayed", self.path)
        try:
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreFull(f"{self.path}: {error}; make room and start again") from error
        self.format = FORMAT


def _digest_row(row: tuple[bytes, bytes, bytes]) -> int:
    return int.from_bytes(blake3(_encoder.encode(row)).digest(), "big")


def _digest_head(row: Iterable[object]) -> bytes:
    return blake3(_encoder.encode(tuple(row))).digest()
