"""JSON values of a task in one SQLite file: saved by assignment, seen at once by all its processes."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from binascii import crc32
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Row = tuple[int, str, str]

WAIT_SECONDS = 10.0
ACROSS_ROUNDS = -1
"""The round that `ctx.store` is kept under."""


SCHEMA = """
CREATE TABLE IF NOT EXISTS saved (
    round INTEGER, key TEXT, value TEXT NOT NULL, PRIMARY KEY (round, key)
) WITHOUT ROWID;
CREATE TABLE total (id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, sum INTEGER NOT NULL);
INSERT INTO total VALUES (1, 0, 0);
"""
FORMAT = 1
"""The `user_version` of files with a total. Older files have 0, and get one."""

SUM_MAX = 2**61
"""The sum is taken modulo this, so that SQLite's integers hold every step of it."""

REMEDY = "delete it to start with no values"
NO_DAMAGE = (
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM,
)  # fmt: skip
"""What SQLite fails with although the file is in order."""


def shows_damage(error: Exception) -> bool:
    """Whether the error of a read or write says that a SQLite file is damaged, and not that it has no room.

    SQLite quotes damaged names, which Python may not decode: such an error has no code.
    """
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in NO_DAMAGE


class SavedCorrupt(Exception):
    """The file differs from what was saved. A task whose file is deleted starts with no values."""


class SavedFile:
    """The file. `path` may be ":memory:". One connection, for use by any one thread at a time.

    The file has the number of its values and a sum over them; both are compared when it is opened.
    """

    def __init__(self, path: str) -> None:
        """Raises SavedCorrupt."""
        self._path = path
        is_file = path != ":memory:"
        if is_file and not os.path.exists(path):
            _make(path)
        elif is_file and not os.path.getsize(path):
            raise SavedCorrupt(f"{path} is empty; {REMEDY}")
        self._connection = sqlite3.connect(
            path, isolation_level=None, timeout=WAIT_SECONDS, check_same_thread=False
        )
        try:
            self._write_ahead()
            self._connection.execute("PRAGMA synchronous = NORMAL")
            with writing(self._connection):  # lanes start side by side
                if not is_file:
                    _found(self._connection)
                self._check()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            self._connection.close()
            if not shows_damage(error):
                raise
            raise SavedCorrupt(f"{path}: {error}; {REMEDY}") from error
        except SavedCorrupt:
            self._connection.close()
            raise

    def _check(self) -> None:
        """Raises SavedCorrupt unless all values are as they were saved. An older file gets its total."""
        [(version,)] = self._connection.execute("PRAGMA user_version").fetchall()
        names = self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        tables = {name for (name,) in names}
        # SQLite takes what is left of a cut file for an empty one.
        if (version, tables) not in ((FORMAT, {"saved", "total"}), (0, {"saved"})):
            raise SavedCorrupt(f"{self._path} has format {version}, which is not ours; {REMEDY}")
        has_total = "total" in tables
        if not has_total:
            _found(self._connection)
        count, total, before = 0, 0, None
        for round, key, value in self._connection.execute("SELECT round, key, value FROM saved"):
            kinds = type(round), type(key), type(value)
            if kinds != (int, str, str) or (before is not None and before >= (round, key)):
                raise SavedCorrupt(f"{self._path}: {key!r} is not in its place; {REMEDY}")
            count, total, before = count + 1, total + _sum(round, key, value), (round, key)
        if not has_total:
            self._connection.execute("UPDATE total SET rows = ?, sum = ?", (count, total % SUM_MAX))
        found = self._connection.execute("SELECT rows, sum FROM total").fetchall()
        if found != [(count, total % SUM_MAX)]:
            raise SavedCorrupt(f"{self._path}: values are not as they were saved; {REMEDY}")

    def _write_ahead(self) -> None:
        """So that a reader in another lane never waits for a writer.

        Lanes start side by side, and SQLite does not wait for another process that does this: we do.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def of_round(self, round: int) -> SavedValues:
        """`ctx.state` of a round."""
        return SavedValues(self._connection, round)

    def across_rounds(self) -> SavedValues:
        """`ctx.store`."""
        return SavedValues(self._connection, ACROSS_ROUNDS)

    def forget(self, before_round: int) -> None:
        """Drop the values of every round below `before_round`."""
        with writing(self._connection):
            rows = self._connection.execute(
                "SELECT round, key, value FROM saved WHERE round >= 0 AND round < ?", (before_round,)
            ).fetchall()
            self._connection.execute("DELETE FROM saved WHERE round >= 0 AND round < ?", (before_round,))
            _count(self._connection, removed=rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class SavedValues(MutableMapping[str, "Any"]):
    """A dict that is on disk. A value changed in place is not saved until it is assigned again."""

    def __init__(self, connection: sqlite3.Connection, round: int) -> None:
        self._connection = connection
        self._round = round

    def __getitem__(self, key: str) -> Any:
        row = self._connection.execute(
            "SELECT value FROM saved WHERE round = ? AND key = ?", (self._round, key)
        ).fetchone()
        if row is None:
            raise KeyError(key)
        return json.loads(row[0])

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"{key!r} cannot be a key here: keys are text")
        row = (self._round, key, json.dumps(value))
        with writing(self._connection):
            before = self._find(key)
            self._connection.execute("INSERT OR REPLACE INTO saved VALUES (?, ?, ?)", row)
            _count(self._connection, removed=before, added=[row])

    def __delitem__(self, key: str) -> None:
        with writing(self._connection):
            before = self._find(key)
            if not before:
                raise KeyError(key)
            self._connection.execute("DELETE FROM saved WHERE round = ? AND key = ?", (self._round, key))
            _count(self._connection, removed=before)

    def _find(self, key: str) -> list[Row]:
        query = "SELECT round, key, value FROM saved WHERE round = ? AND key = ?"
        return self._connection.execute(query, (self._round, key)).fetchall()

    def __iter__(self) -> Iterator[str]:
        rows = self._connection.execute("SELECT key FROM saved WHERE round = ? ORDER BY key", (self._round,))
        return iter([key for (key,) in rows])

    def __len__(self) -> int:
        count: int = self._connection.execute(
            "SELECT count(*) FROM saved WHERE round = ?", (self._round,)
        ).fetchone()[0]
        return count


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """What is done within is written all at once, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _make(path: str) -> None:
    """A file with its tables appears all at once: a lane that starts meanwhile sees no empty file."""
    part = f"{path}.{os.urandom(8).hex()}.new"  # every lane may have the same process id, in a namespace
    connection = sqlite3.connect(part, isolation_level=None)
    try:
        with writing(connection):
            _found(connection)
    finally:
        connection.close()
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(part)


def _found(connection: sqlite3.Connection) -> None:
    """Make the tables that are missing; the total is that of no values."""
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _count(connection: sqlite3.Connection, removed: Sequence[Row] = (), added: Sequence[Row] = ()) -> None:
    """Bring the total to what was removed and added."""
    change = sum(_sum(*row) for row in added) - sum(_sum(*row) for row in removed)
    connection.execute(
        f"UPDATE total SET rows = rows + ?, sum = (sum + ? + {SUM_MAX}) % {SUM_MAX}",
        (len(added) - len(removed), change % SUM_MAX),
    )


def _sum(round: int, key: str, value: str) -> int:
    return crc32(f"{round} {key} {value}".encode())
