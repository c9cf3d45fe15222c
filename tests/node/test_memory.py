"""What a node decided survives it, and never changes."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from roundwork.client.operations import Signed
from roundwork.errors import StoreCorrupt, StoreFull
from roundwork.node.memory import _SCHEMA, MemoryFile
from roundwork.participant.decisions import ListDecided, Memory, OpinionDecided, ValueDecided, Worked


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


def reopen(file: MemoryFile) -> MemoryFile:
    file.close()
    return MemoryFile(file.path)


def test_a_new_memory_is_empty(path: Path) -> None:
    assert Memory() == MemoryFile(path).load()


def test_decisions_are_there_after_a_restart(path: Path) -> None:
    file = MemoryFile(path)
    file.decide(Worked(3))
    file.decide(ValueDecided(3, "proof ☃"))
    file.decide(ValueDecided(4, None))
    file.decide(OpinionDecided(2, "Ann", "invalid"))
    file.decide(OpinionDecided(2, "Bob", "valid"))
    file.decide(ListDecided(1, {"Ann": -7, "Bob": 2**63 - 1}))

    memory = reopen(file).load()

    assert (
        Memory(
            worked=frozenset((3,)),
            values={3: "proof ☃", 4: None},
            opinions={2: {"Ann": "invalid", "Bob": "valid"}},
            lists={1: {"Ann": -7, "Bob": 2**63 - 1}},
        )
        == memory
    )


def test_the_first_decision_stands(path: Path) -> None:
    file = MemoryFile(path)

    assert ValueDecided(1, "one") == file.decide(ValueDecided(1, "one"))
    assert ValueDecided(1, "one") == file.decide(ValueDecided(1, "two"))
    assert {1: "one"} == reopen(file).load().values


def test_what_is_forgotten_is_gone_and_remembered_to_be(path: Path) -> None:
    file = MemoryFile(path)
    for number in range(5):
        file.decide(ValueDecided(number, str(number)))

    file.forget(3)

    memory = reopen(file).load()
    assert (3, {3: "3", 4: "4"}) == (memory.forgotten, memory.values)


def test_a_stake_on_its_way_is_remembered_until_it_has_arrived(path: Path) -> None:
    file, signed = MemoryFile(path), Signed(b"\x00wire\xff", 300)
    assert file.on_its_way is None

    file.on_its_way = signed
    file = reopen(file)
    assert signed == file.on_its_way

    file.on_its_way = None
    assert reopen(file).on_its_way is None


def test_a_decision_is_on_disk_when_it_is_made(path: Path) -> None:
    """SIGKILL right after `decide` has returned."""
    source = (
        "import sys; from pathlib import Path; from roundwork.node.memory import MemoryFile\n"
        "from roundwork.participant.decisions import ValueDecided\n"
        "file = MemoryFile(Path(sys.argv[1]))\n"
        "for number in range(10**6):\n"
        "    print(number, file.decide(ValueDecided(number, 'x')).value, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(20)]
        os.kill(child.pid, signal.SIGKILL)
        said += child.stdout.readlines()

    whole = [line for line in said if line.endswith("x\n")]
    assert set(range(len(whole))) <= set(MemoryFile(path).load().values)


def test_a_damaged_file_is_said_to_be_damaged(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be one " * 100)

    with pytest.raises(StoreCorrupt, match=r"memory\.db: .*; delete it"):
        MemoryFile(path)


def test_a_decision_that_changed_or_is_missing_is_noticed(path: Path) -> None:
    """Damage that SQLite does not notice: the file is in order, and says something else."""
    file = MemoryFile(path)
    file.decide(ValueDecided(3, "proof"))
    file.keep_reason(3, "Ann", "the proof is not there")
    file.staked = 5
    file.close()
    whole = path.read_bytes()
    for change in (
        "UPDATE decisions SET value = '\"other\"'",
        "DELETE FROM decisions",
        "UPDATE facts SET value = '6'",
        "DELETE FROM reasons",
        "DELETE FROM total",
    ):
        path.write_bytes(whole)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(change)

        with pytest.raises(
            StoreCorrupt, match=r"memory\.db: its rows are not as they were written; delete it"
        ):
            MemoryFile(path)


def test_an_empty_file_is_no_new_memory(path: Path) -> None:
    path.touch()

    with pytest.raises(StoreCorrupt, match=r"memory\.db is empty; delete it"):
        MemoryFile(path)


def test_a_file_without_a_total_gets_one(path: Path) -> None:
    """As roundwork 0.1 wrote it, with a write-ahead log."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(_SCHEMA.partition("CREATE TABLE IF NOT EXISTS total")[0])
        database.execute("INSERT INTO decisions VALUES ('value', 3, '', '\"proof\"')")

    file = MemoryFile(path)
    file.decide(ValueDecided(4, "more"))

    assert {3: "proof", 4: "more"} == reopen(file).load().values


@pytest.mark.parametrize(
    "row",
    [
        ("value", 1, "", "no JSON"),
        ("value", 1, "", "5"),
        ("verdict", 1, "Ann", "null"),
        ("list", 1, "", "[1]"),
        ("nonsense", 1, "", "1"),
    ],
)
def test_rows_that_are_none_of_ours_are_refused(path: Path, row: tuple[object, ...]) -> None:
    MemoryFile(path).close()
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO decisions VALUES (?, ?, ?, ?)", row)
    database.close()

    with pytest.raises(StoreCorrupt, match=r"memory\.db"):
        MemoryFile(path).load()


def test_a_full_disk_is_said_and_nothing_is_decided(path: Path) -> None:
    file = MemoryFile(path)
    file.decide(ValueDecided(0, "x"))
    file._database.execute("PRAGMA max_page_count = 1")

    with pytest.raises(StoreFull, match="nothing was decided"):
        file.decide(ValueDecided(1, "x" * 100_000))

    assert {0: "x"} == reopen(file).load().values


@pytest.mark.parametrize("size", [1, 50, 99, 100, 600, 4096, 9000])
def test_what_is_left_of_a_cut_file_is_no_new_one(tmp_path: Path, size: int) -> None:
    path = tmp_path / "memory.db"
    with closing(MemoryFile(path)) as file:
        file.decide(Worked(1))
    os.truncate(path, size)

    with pytest.raises(StoreCorrupt, match="delete it"):
        MemoryFile(path)


def test_a_damaged_table_is_damage_and_not_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with closing(MemoryFile(path)) as file:
        file.decide(Worked(1))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"rows INTEGER", b"raws INTEGER"))

    with pytest.raises(StoreCorrupt, match="no such column: rows; delete it"):
        MemoryFile(path)
