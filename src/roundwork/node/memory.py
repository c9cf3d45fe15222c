"""What a node decided, on disk before anything follows from it: values, opinions, lists, stakes sent."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, assert_never

import msgspec

from ..client.operations import Signed
from ..errors import Malformed, StoreCorrupt, StoreFull
from ..participant.decisions import (
    Decision,
    ListDecided,
    Memory,
    OpinionDecided,
    ValueDecided,
    Worked,
    learn,
)
from ..wire import decode_json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    kind TEXT NOT NULL, round INTEGER NOT NULL, subject TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (kind, round, subject)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reasons (
    round INTEGER NOT NULL, candidate TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (round, candidate)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
FORGOTTEN = "forgotten"
ON_ITS_WAY = "on its way"
STAKED = "staked"

KEEP_REASONS_ROUNDS = 1_000
"""Reasons are kept so many rounds longer than decisions: they explain old rounds."""


class MemoryFile:
    """The decisions of one node in one task, each written once.

    So a node that was killed between deciding and sending sends what it decided, and never contradicts
    itself.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises StoreCorrupt, StoreFull."""
        self.path = path
        with self._named_errors():
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)

    def load(self) -> Memory:
        """Everything that was decided and not forgotten. Raises StoreCorrupt."""
        with self._named_errors():
            rows = self._database.execute("SELECT kind, round, subject, value FROM decisions").fetchall()
        memory = Memory(forgotten=self._get_fact(FORGOTTEN, int) or 0)
        for row in rows:
            memory = learn(memory, self._decode_row(*row))
        return memory

    def decide(self, decision: Decision) -> Decision:
        """Make a decision durable; returns the one that stands, the first. Raises StoreFull, StoreCorrupt."""
        kind, round_number, subject, value = _compose_row(decision)
        with self._named_errors():
            self._database.execute(
                "INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?)",
                (kind, round_number, subject, msgspec.json.encode(value).decode()),
            )
            (text,) = self._database.execute(
                "SELECT value FROM decisions WHERE (kind, round, subject) = (?, ?, ?)",
                (kind, round_number, subject),
            ).fetchone()
        return self._decode_row(kind, round_number, subject, text)

    def forget(self, before_round: int) -> None:
        """Let go of closed rounds. Raises StoreFull, StoreCorrupt."""
        with self._named_errors():
            self._database.execute("DELETE FROM decisions WHERE round < ?", (before_round,))
            oldest = before_round - KEEP_REASONS_ROUNDS
            self._database.execute("DELETE FROM reasons WHERE round < ?", (oldest,))
        self._set_fact(FORGOTTEN, before_round)

    def keep_reason(self, round_number: int, candidate: str, reason: str) -> None:
        """Keep why this node found a proof invalid. Raises StoreFull, StoreCorrupt."""
        with self._named_errors():
            self._database.execute(
                "INSERT OR IGNORE INTO reasons VALUES (?, ?, ?)", (round_number, candidate, reason)
            )

    def get_reasons(self, round_number: int) -> dict[str, str]:
        """The reasons that this node gave in a round, by candidate. Raises StoreFull, StoreCorrupt."""
        with self._named_errors():
            return dict(
                self._database.execute(
                    "SELECT candidate, reason FROM reasons WHERE round = ?", (round_number,)
                ).fetchall()
            )

    @property
    def on_its_way(self) -> Signed | None:
        """The stake that was being sent, if that was not brought to an end."""
        signed: Signed | None = self._get_fact(ON_ITS_WAY, Signed)
        return signed

    @on_its_way.setter
    def on_its_way(self, signed: Signed | None) -> None:
        self._set_fact(ON_ITS_WAY, signed)

    @property
    def staked(self) -> int:
        """Roe that the node has staked in all, for a task that can take its stake out by itself."""
        return self._get_fact(STAKED, int) or 0

    @staked.setter
    def staked(self, amount: int) -> None:
        self._set_fact(STAKED, amount)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _get_fact(self, name: str, kind: Any) -> Any:
        with self._named_errors():
            row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return self._decode(row[0], kind | None) if row else None

    def _set_fact(self, name: str, value: Any) -> None:
        with self._named_errors():
            self._database.execute(
                "REPLACE INTO facts VALUES (?, ?)", (name, msgspec.json.encode(value).decode())
            )

    def _decode_row(self, kind: str, round_number: int, subject: str, text: str) -> Decision:
        match kind:
            case "work":
                return Worked(round_number)
            case "value":
                return ValueDecided(round_number, self._decode(text, str | None))
            case "verdict":
                return OpinionDecided(round_number, subject, self._decode(text, str))
            case "list":
                return ListDecided(round_number, self._decode(text, dict[str, int]))
            case _:
                raise StoreCorrupt(f"{self.path}: no decision has the kind {kind!r}")

    def _decode(self, text: str, kind: Any = Any) -> Any:
        try:
            return decode_json(text, kind)
        except Malformed as error:
            raise StoreCorrupt(f"{self.path}: {text[:80]!r} is nothing that we wrote: {error}") from error

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """What SQLite reports, as an error that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreFull(f"{self.path}: {error}; nothing was decided") from error
        except sqlite3.DatabaseError as error:
            raise StoreCorrupt(
                f"{self.path}: {error}; delete it: what the ledger does not show yet is decided anew"
            ) from error


def _compose_row(decision: Decision) -> tuple[str, int, str, Any]:
    """A decision as the file has it: its kind, its round, its subject, its value."""
    match decision:
        case Worked():
            return "work", decision.round, "", True
        case ValueDecided():
            return "value", decision.round, "", decision.value
        case OpinionDecided():
            return "verdict", decision.round, decision.node, decision.opinion
        case ListDecided():
            return "list", decision.round, "", decision.amounts
        case _:
            assert_never(decision)
