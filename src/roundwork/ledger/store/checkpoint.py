"""The state on disk, row by row, so that a restart replays seconds of the journal and not all of it."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import msgspec

from ...errors import StoreCorrupt, StoreFull
from ...protocol.records import Record
from ...protocol.state import RECORDS, Head, State, TableChange
from .journal import open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    name BLOB NOT NULL, key BLOB NOT NULL, record BLOB NOT NULL, PRIMARY KEY (name, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY CHECK (id = 1), head BLOB NOT NULL) STRICT;
"""
_encoder = msgspec.msgpack.Encoder()
_decoders = {kind: msgspec.msgpack.Decoder(record) for kind, record in RECORDS.items()}


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
        """The whole state, for the first checkpoint."""
        pending = cls()
        for name, table in state.tables.items():
            if table.rows:
                pending.rows[name] = dict(table.rows)
        return pending


class Checkpoint:
    """The checkpoint file of one ledger. It is derived: without it the journal is replayed from genesis."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises StoreCorrupt, StoreFull."""
        self.path = path
        self._database = open_database(path, _SCHEMA, "NORMAL")

    def load(self) -> tuple[Head, Iterator[TableChange]] | None:
        """The head and the tables it holds; None if it was never written. Raises StoreCorrupt."""
        try:
            row = self._database.execute("SELECT head FROM head").fetchone()
            head = msgspec.msgpack.decode(row[0], type=Head) if row else None
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise StoreCorrupt(f"{self.path}: {error}; delete it, and the journal is replayed") from error
        return (head, self._read_tables()) if head else None

    def write(self, head: Head, pending: Pending) -> None:
        """Bring the file to `head`, all at once. Raises StoreFull."""
        database = self._database
        try:
            database.execute("BEGIN")
            for name in pending.dropped:
                database.execute("DELETE FROM records WHERE name = ?", (name,))
            for name, rows in pending.rows.items():
                self._write_table(name, rows)
            database.execute("INSERT OR REPLACE INTO head VALUES (1, ?)", (_encoder.encode(head),))
            database.execute("COMMIT")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.DatabaseError as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise StoreFull(
                f"{self.path}: {error}; the ledger goes on, a restart will take longer"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _write_table(self, name: bytes, rows: dict[bytes, Record | None]) -> None:
        encode = _encoder.encode
        kept = ((name, key, encode(record)) for key, record in rows.items() if record is not None)
        self._database.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", kept)
        gone = ((name, key) for key, record in rows.items() if record is None)
        self._database.executemany("DELETE FROM records WHERE name = ? AND key = ?", gone)

    def _read_tables(self) -> Iterator[TableChange]:
        found = self._database.execute("SELECT name, key, record FROM records ORDER BY name")
        try:
            for name, rows in groupby(found, key=itemgetter(0)):
                decode = _decoders[name[:1]].decode
                yield TableChange(name, False, [(key, decode(record)) for _, key, record in rows])
        except (sqlite3.DatabaseError, msgspec.DecodeError, KeyError) as error:
            raise StoreCorrupt(f"{self.path}: {error}; delete it, and the journal is replayed") from error


def read_head(path: Path) -> Head | None:
    """The head that the checkpoint in a file has, beside a running ledger; None if there is none.

    Raises StoreCorrupt, StoreFull.
    """
    if not path.exists():
        return None
    with closing(Checkpoint(path)) as checkpoint:
        loaded = checkpoint.load()
    return loaded[0] if loaded else None
