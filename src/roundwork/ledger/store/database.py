"""SQLite files of a ledger: opened to be written, or read without a change to any of them."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import StoreCorrupt, StoreFull
from ...sdk.saved import shows_damage

FORMAT = 1
"""The `user_version` of files that carry digests. Files without digests, of an older version, have 0."""

READ_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a read of a damaged file raises. SQLite quotes damaged names, which Python may not decode."""

_ROWS_AT_ONCE = 1_000


def open_to_write(path: Path, synchronous: str) -> sqlite3.Connection:
    """A SQLite file with a write-ahead log, made if missing. Raises StoreCorrupt, StoreFull."""
    try:
        database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={synchronous}")
    except READ_ERRORS as error:
        if shows_damage(error):
            raise StoreCorrupt(f"{path}: {error}") from error
        raise StoreFull(f"{path}: {error}; make room and start again") from error
    return database


class Reader:
    """Reads a SQLite file with a connection for each thread, beside a process that writes it or without one.

    No content changes: SQLite leaves the file and its write-ahead log as they are, and may make the index of
    that log (`-shm`). A missing file is read as an empty one and is not made.

    All reads of one connection see the file as it was when the oldest unfinished one began. So on a shared
    connection, a read that another thread has not finished would hide blocks that are written.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        """`remedy` says what to do if the file is damaged; errors end with it. Raises StoreCorrupt."""
        self._path = path
        self._remedy = remedy
        self._thread = threading.local()
        self._databases: list[sqlite3.Connection] = []
        self._connect()

    def fetch(self, query: str, values: Sequence[int | bytes | str] = ()) -> list[Any]:
        """All rows of a query. Raises StoreCorrupt."""
        with reading(self._path, self._remedy):
            return self._get_database().execute(query, values).fetchall()

    def iterate(self, query: str) -> Iterator[Any]:
        """The rows of a query that are too many for a list, in one snapshot. Raises StoreCorrupt."""
        with reading(self._path, self._remedy):
            cursor = self._get_database().execute(query)
        while True:
            with reading(self._path, self._remedy):
                rows = cursor.fetchmany(_ROWS_AT_ONCE)
            if not rows:
                return
            yield from rows

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads of this thread meanwhile see the file as it is at the first of them."""
        self.fetch("BEGIN")
        try:
            yield
        finally:
            self.fetch("ROLLBACK")

    def read_format(self, table: str, mark: str) -> int | None:
        """The format of the file: FORMAT, 0 for one of an older version, None for a file that is empty.

        Only the present format has the column `mark` in `table`. Raises StoreCorrupt, also if version and
        columns contradict each other.
        """
        [(version,)] = self.fetch("PRAGMA user_version")
        columns = {name for (name,) in self.fetch("SELECT name FROM pragma_table_info(?)", (table,))}
        if not columns and not version:
            return None
        if (version, mark in columns) not in ((FORMAT, True), (0, False)):
            raise StoreCorrupt(
                f"{self._path} has format {version}, which this roundwork cannot read; {self._remedy}"
            )
        return int(version)

    def close(self) -> None:
        """Let go of the file."""
        for database in self._databases:
            database.close()

    def _get_database(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = getattr(self._thread, "database", None)
        return database or self._connect()

    def _connect(self) -> sqlite3.Connection:
        place = f"file:{_quote(self._path)}?mode=ro" if self._path.exists() else ":memory:"
        with reading(self._path, self._remedy):
            database = sqlite3.connect(
                place, uri=True, check_same_thread=False, isolation_level=None, timeout=10
            )
        self._thread.database = database
        self._databases.append(database)
        return database


@contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """Give every failure of a read its name. Raises StoreCorrupt, which ends with the remedy."""
    try:
        yield
    except READ_ERRORS as error:
        raise StoreCorrupt(f"{path}: {error}; {remedy}") from error


def _quote(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
