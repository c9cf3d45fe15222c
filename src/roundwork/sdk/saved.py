"""JSON values of a task in one SQLite file: saved by assignment, seen at once by all its processes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WAIT_SECONDS = 10.0
ACROSS_ROUNDS = -1
"""The round that `ctx.store` is kept under."""


class SavedFile:
    """The file. `path` may be ":memory:". One connection, for use by any one thread at a time."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(
            path, isolation_level=None, timeout=WAIT_SECONDS, check_same_thread=False
        )
        self._write_ahead()
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS saved"
            " (round INTEGER, key TEXT, value TEXT NOT NULL, PRIMARY KEY (round, key)) WITHOUT ROWID"
        )

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
        self._connection.execute("DELETE FROM saved WHERE round >= 0 AND round < ?", (before_round,))

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
        self._connection.execute(
            "INSERT OR REPLACE INTO saved VALUES (?, ?, ?)", (self._round, key, json.dumps(value))
        )

    def __delitem__(self, key: str) -> None:
        row = (self._round, key)
        if not self._connection.execute("DELETE FROM saved WHERE round = ? AND key = ?", row).rowcount:
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        rows = self._connection.execute("SELECT key FROM saved WHERE round = ? ORDER BY key", (self._round,))
        return iter([key for (key,) in rows])

    def __len__(self) -> int:
        count: int = self._connection.execute(
            "SELECT count(*) FROM saved WHERE round = ?", (self._round,)
        ).fetchone()[0]
        return count
