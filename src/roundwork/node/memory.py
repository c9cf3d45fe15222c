"""What a node decided, on disk before anything follows from it: values, opinions, lists, stakes sent."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, assert_never

import msgspec
from blake3 import blake3

from ..client.operations import Signed
from ..errors import Malformed, StoreCorrupt, StoreFull
from ..host.wal import check_log
from ..participant.decisions import (
    Decision,
    ListDecided,
    Memory,
    OpinionDecided,
    Sealed,
    ValueDecided,
    Worked,
    learn,
)
from ..sdk.saved import shows_damage
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
CREATE TABLE IF NOT EXISTS total (
    id INTEGER PRIMARY KEY CHECK (id = 1), rows INTEGER NOT NULL, sum BLOB NOT NULL
) STRICT;
"""
FORMAT = 1
"""The `user_version` of files with a total. Older files have 0, and get one."""

REMEDY = "delete it: what the ledger does not show yet is decided anew"
TABLES = ("decisions", "facts", "reasons")
SUM_BYTES = 32
FORGOTTEN = "forgotten"
ON_ITS_WAY = "on its way"
STAKED = "staked"

KEEP_REASONS_ROUNDS = 1_000
"""Reasons are kept this many rounds longer than decisions: they explain old rounds."""


class MemoryFile:
    """The decisions of one node in one task, each written once.

    So a node that was killed between deciding and sending sends what it decided, and never contradicts
    itself. The file has the number of its rows and the sum of their digests: what is damaged is not used.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises StoreCorrupt, StoreFull."""
        self.path = path
        is_new = not path.exists()
        if not is_new and not path.stat().st_size:
            raise StoreCorrupt(f"{path} is empty; {REMEDY}")
        check_log(path)
        with self._named_errors():
            self._database = sqlite3.connect(path, isolation_level=None)
            # Without a write-ahead log: its end could be lost, and nothing would show that.
            self._database.execute("PRAGMA journal_mode = DELETE")
            self._database.execute("PRAGMA synchronous = FULL")
        try:
            self._check(is_new)
        except StoreCorrupt:
            self._database.close()
            raise

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
        self._put("decisions", (kind, round_number, subject, msgspec.json.encode(value).decode()))
        with self._named_errors():
            (text,) = self._database.execute(
                "SELECT value FROM decisions WHERE (kind, round, subject) = (?, ?, ?)",
                (kind, round_number, subject),
            ).fetchone()
        return self._decode_row(kind, round_number, subject, text)

    def forget(self, before_round: int) -> None:
        """Let go of closed rounds. Raises StoreFull, StoreCorrupt."""
        self._drop("decisions", before_round)
        self._drop("reasons", before_round - KEEP_REASONS_ROUNDS)
        self._set_fact(FORGOTTEN, before_round)

    def keep_reason(self, round_number: int, candidate: str, reason: str) -> None:
        """Keep why this node found a proof invalid. Raises StoreFull, StoreCorrupt."""
        self._put("reasons", (round_number, candidate, reason))

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
        with self._named_errors(), self._transaction() as total:
            for row in self._database.execute("SELECT * FROM facts WHERE name = ?", (name,)).fetchall():
                total.remove("facts", row)
            new = (name, msgspec.json.encode(value).decode())
            self._database.execute("REPLACE INTO facts VALUES (?, ?)", new)
            total.add("facts", new)

    def _put(self, table: str, row: tuple[Any, ...]) -> None:
        """Write a row, unless the table has one under its key. Raises StoreFull, StoreCorrupt."""
        marks = ", ".join("?" * len(row))
        with self._named_errors(), self._transaction() as total:
            written = self._database.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
            if written.rowcount:
                total.add(table, row)

    def _drop(self, table: str, before_round: int) -> None:
        """Delete the rows of earlier rounds. Raises StoreFull, StoreCorrupt."""
        with self._named_errors(), self._transaction() as total:
            gone = self._database.execute(f"SELECT * FROM {table} WHERE round < ?", (before_round,))
            for row in gone.fetchall():
                total.remove(table, row)
            self._database.execute(f"DELETE FROM {table} WHERE round < ?", (before_round,))

    @contextmanager
    def _transaction(self) -> Iterator["_Total"]:
        """What is done within is written all at once, with the total that it leads to."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            total = self._read_total()
            yield total
            self._database.execute("REPLACE INTO total VALUES (1, ?, ?)", total.describe())
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _check(self, is_new: bool) -> None:
        """Raises StoreCorrupt unless all rows are as they were written. Makes the tables of a new file."""
        with self._named_errors():
            [(version,)] = self._database.execute("PRAGMA user_version").fetchall()
            names = self._database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            has_total = ("total",) in names
            # SQLite takes what is left of a cut file for an empty one, which no old file is.
            is_old = version == 0 and not has_total and (is_new or ("decisions",) in names)
            if not is_old and (version, has_total) != (FORMAT, True):
                raise StoreCorrupt(f"{self.path} has format {version}, which is not ours; {REMEDY}")
            if has_total:
                written = self._database.execute("SELECT rows, sum FROM total").fetchall()
                if written != [self._count().describe()]:
                    raise StoreCorrupt(f"{self.path}: its rows are not as they were written; {REMEDY}")
                return
            self._database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}")
            self._database.execute("INSERT INTO total VALUES (1, ?, ?)", self._count().describe())
            self._database.execute(f"PRAGMA user_version = {FORMAT}")
            self._database.execute("COMMIT")

    def _count(self) -> "_Total":
        """The total of all rows as they are."""
        total = _Total(0, 0)
        for table in TABLES:
            for row in self._database.execute(f"SELECT * FROM {table}").fetchall():
                total.add(table, row)
        return total

    def _read_total(self) -> "_Total":
        [(rows, total)] = self._database.execute("SELECT rows, sum FROM total").fetchall()
        return _Total(rows, int.from_bytes(total, "big"))

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
            case "sealed":
                return Sealed(round_number, int(subject), bytes.fromhex(self._decode(text, str)))
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
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if shows_damage(error):
                raise StoreCorrupt(f"{self.path}: {error}; {REMEDY}") from error
            raise StoreFull(f"{self.path}: {error}; nothing was decided") from error


class _Total:
    """How many rows the tables have, and the sum of the digests of all."""

    def __init__(self, rows: int, digests: int) -> None:
        self._rows = rows
        self._sum = digests

    def add(self, table: str, row: tuple[Any, ...]) -> None:
        self._rows += 1
        self._sum += _digest(table, row)

    def remove(self, table: str, row: tuple[Any, ...]) -> None:
        self._rows -= 1
        self._sum -= _digest(table, row)

    def describe(self) -> tuple[int, bytes]:
        """The row that says so."""
        return self._rows, (self._sum % 2 ** (8 * SUM_BYTES)).to_bytes(SUM_BYTES, "big")


def _digest(table: str, row: tuple[Any, ...]) -> int:
    return int.from_bytes(blake3(msgspec.msgpack.encode((table, *row))).digest(), "big")


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
        case Sealed():
            return "sealed", decision.round, str(decision.kind), decision.payload.hex()
        case _:
            assert_never(decision)
