"""What a node decided, on disk before anything follows from it: values, verdicts, lists."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from ..errors import StoreCorrupt, StoreFull
from ..participant import Memory

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    kind TEXT NOT NULL, round INTEGER NOT NULL, subject TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (kind, round, subject)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (id INTEGER PRIMARY KEY CHECK (id = 1), round INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO forgotten VALUES (1, 0);
"""


class MemoryFile:
    """The decisions of one node in one task. A decision is written once; a second one is ignored.

    So a node that was killed between deciding and sending sends what it decided, and never contradicts
    itself.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises StoreCorrupt, StoreFull."""
        self.path = path
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            raise StoreFull(f"{path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreCorrupt(
                f"{path}: {error}; delete it, and the node sits out the rounds it took part in"
            ) from error

    def load(self) -> Memory:
        """Everything that was decided and not forgotten."""
        memory = Memory(forgotten=self._database.execute("SELECT round FROM forgotten").fetchone()[0])
        rows = self._database.execute("SELECT kind, round, subject, value FROM decisions")
        for kind, number, subject, text in rows:
            value = msgspec.json.decode(text)
            match kind:
                case "work":
                    memory.worked[number] = value
                case "value":
                    memory.values[number] = value
                case "verdict":
                    memory.verdicts.setdefault(number, {})[subject] = value
                case "list":
                    memory.lists[number] = value
                case _:
                    raise StoreCorrupt(f"{self.path}: a decision of kind {kind!r} is none of ours")
        return memory

    def write(self, kind: str, number: int, subject: str, value: Any) -> None:
        """Make a decision durable. Raises StoreFull."""
        row = (kind, number, subject, msgspec.json.encode(value).decode())
        try:
            self._database.execute("INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?)", row)
        except sqlite3.OperationalError as error:
            raise StoreFull(f"{self.path}: {error}; nothing was decided") from error

    def forget(self, before_round: int) -> None:
        """Let go of closed rounds."""
        self._database.execute("DELETE FROM decisions WHERE round < ?", (before_round,))
        self._database.execute("UPDATE forgotten SET round = ?", (before_round,))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
