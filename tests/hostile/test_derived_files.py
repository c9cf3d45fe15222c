"""Files of a ledger that are damaged, lost or exchanged: the right answer or a named refusal, no other money.

`ROUNDWORK_DAMAGES` says how many damages each file gets in this process, `ROUNDWORK_SEED` which.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from solders.keypair import Keypair

from roundwork.errors import RoundworkError, StoreCorrupt
from roundwork.ledger.chain import Chain
from roundwork.ledger.comet.home import Home, write_home
from roundwork.ledger.inspect import read_info, verify
from roundwork.ledger.server import found_development
from roundwork.ledger.store.history import HistoryReader, Place
from roundwork.ledger.store.journal import Journal

from ..ledger.blocks import abandon
from ..ledger.process import NEWEST, RpcFailure, RunningLedger, find_port, give, running
from ..protocol.world import keypair_of, make_genesis
from .damaged import FILES, STATES, Kept, damage, hash_files, make_kept

DAMAGES = int(os.environ.get("ROUNDWORK_DAMAGES", "9"))
SEED = os.environ.get("ROUNDWORK_SEED", "1")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return make_kept(tmp_path_factory.mktemp("kept"))


@pytest.mark.parametrize(("state", "name"), [(state, name) for state in STATES for name in FILES[state]])
def test_a_damaged_file_leads_to_the_right_answer_or_to_a_named_refusal(
    kept: Kept, tmp_path: Path, state: str, name: str
) -> None:
    raw = (kept.directories[state] / name).read_bytes()
    for number in range(DAMAGES):
        chance = random.Random(f"{SEED} {state} {name} {number}")
        copy = tmp_path / str(number)
        shutil.copytree(kept.directories[state], copy)
        (copy / name).write_bytes(damage(raw, chance))

        fault = kept.find_fault(copy)

        assert "" == fault, f"damage {number} of {name}, seed {SEED}"
        shutil.rmtree(copy)


def test_a_bit_of_a_balance_that_flips_in_the_checkpoint_is_no_money(kept: Kept, tmp_path: Path) -> None:
    """The damage that a disk does not notice: SQLite finds the file in order."""
    copy = tmp_path / "copy"
    shutil.copytree(kept.directories["stopped"], copy)
    with closing(sqlite3.connect(copy / "checkpoint.db")) as database:
        query = "SELECT key, record FROM records WHERE name = ? AND key = ?"
        [(key, record)] = database.execute(query, (b"A", kept.faucet)).fetchall()
        at = record.index(b"\xcf") + 8  # the last byte of a balance of eight bytes
        more = record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]
        database.execute("UPDATE records SET record = ? WHERE key = ?", (more, key))
        database.commit()

    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=r"records are not as they were written; delete it"):
            Chain(copy)
    with pytest.raises(StoreCorrupt, match="records are not as they were written"):
        verify(copy, lambda done, total: None)
    for path in copy.glob("checkpoint.db*"):
        path.unlink()
    kept.examine(copy)


@pytest.mark.parametrize("table", ["transactions", "addresses", "pruned"])
def test_a_row_that_is_missing_in_the_history_is_not_answered_with_none(
    kept: Kept, tmp_path: Path, table: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(kept.directories["stopped"], copy)
    with closing(sqlite3.connect(copy / "history.db")) as database:
        if table == "pruned":
            database.execute("INSERT INTO pruned VALUES (0, 1, 0)")
        else:
            database.execute(f"DELETE FROM {table}")
        database.commit()

    with pytest.raises(StoreCorrupt, match=f"{table} are not as they were written; delete it"):
        verify(copy, lambda done, total: None)
    searches: dict[str, Callable[[Chain], object]] = {
        "transactions": lambda chain: chain.history.find_transaction(kept.signatures[0]),
        "addresses": lambda chain: chain.history.find_address(kept.faucet, None, 10),
    }
    if table in searches:
        with (
            closing(Chain(copy)) as chain,
            pytest.raises(StoreCorrupt, match=f"{table} are not as they were written; delete it"),
        ):
            searches[table](chain)


@pytest.mark.parametrize("table", ["transactions", "addresses"])
def test_rows_that_are_out_of_order_in_the_history_mislead_no_search(
    kept: Kept, tmp_path: Path, table: str
) -> None:
    """SQLite searches by bisection. All rows are there, and it goes past them without an error."""
    path = tmp_path / "history.db"
    shutil.copy(kept.directories["stopped"] / "history.db", path)
    with closing(sqlite3.connect(path)) as database:
        [(page,)] = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
        [(page_size,)] = database.execute("PRAGMA page_size")
        [(count,)] = database.execute(f"SELECT count(*) FROM {table}")
    raw = path.read_bytes()
    pointers = (page - 1) * page_size + 8  # behind the header of a leaf: two bytes for each row
    assert count == int.from_bytes(raw[pointers - 5 : pointers - 3], "big"), "the table is one page"

    def search(reader: HistoryReader, key: bytes) -> list[Place]:
        return reader.find_transaction(key) if table == "transactions" else reader.find_address(key, None, 99)

    keys = kept.signatures if table == "transactions" else [kept.faucet, *kept.receivers]
    with closing(HistoryReader(path)) as reader:
        right = {key: search(reader, key) for key in keys}
    assert all(right.values())
    refusals = []
    for number in range(60):
        here, there = sorted(random.Random(f"{SEED} {number}").sample(range(count), 2))
        order = [raw[pointers + 2 * at : pointers + 2 * at + 2] for at in range(count)]
        order[here], order[there] = order[there], order[here]
        path.write_bytes(raw[:pointers] + b"".join(order) + raw[pointers + 2 * count :])
        for key in keys:
            with closing(HistoryReader(path)) as reader:
                try:
                    found = search(reader, key)
                except StoreCorrupt as error:
                    refusals.append(str(error))
                else:
                    assert right[key] == found, f"rows {here} and {there} are exchanged"
    assert len(refusals) > 60
    assert all(f"its {table} are not as they were written; delete it" in refusal for refusal in refusals)


# A real process


def run_ledger(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    words = [
        sys.executable,
        "-m",
        "roundwork",
        "ledger",
        *(command or ("run", "--port", str(find_port()))),
        "--directory",
    ]
    return subprocess.run([*words, str(directory)], capture_output=True, text=True, timeout=60)


class Killed(NamedTuple):
    """A ledger process that was killed, and the transactions that it had acknowledged."""

    directory: Path
    signatures: list[str]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    directory = tmp_path_factory.mktemp("killed") / "ledger"
    ledger = RunningLedger(directory)
    pair = Keypair()
    ledger.fund(pair)
    signatures = [ledger.send(ledger.sign(pair, give(pair, Keypair().pubkey(), 1))) for _ in range(40)]
    ledger.call("getTransactionCount")  # the history has them
    ledger.kill()
    ledger.stop()
    return Killed(directory, signatures)


def test_a_damaged_write_ahead_log_loses_nothing_silently(killed: Killed, tmp_path: Path) -> None:
    log = (killed.directory / "journal.db-wal").read_bytes()
    for number, place in enumerate((4, 32 + 8, 32 + 24 + 100, len(log) // 2, len(log) - 5000)):
        copy = tmp_path / str(number)
        shutil.copytree(killed.directory, copy)
        damaged = bytearray(log)
        damaged[place] ^= 1
        (copy / "journal.db-wal").write_bytes(damaged)
        before = hash_files(copy)

        refused = run_ledger(copy)

        assert (1, "") == (refused.returncode, refused.stdout)
        assert refused.stderr.startswith("StoreCorrupt: ")
        assert 1 == len(refused.stderr.splitlines())
        assert before == hash_files(copy)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_damaged_log_is_noticed_also_without_any_derived_file(
    killed: Killed, tmp_path: Path, share: float
) -> None:
    """Blocks that a later block follows were acknowledged, so the log itself proves the loss."""
    copy = tmp_path / "copy"
    shutil.copytree(killed.directory, copy)
    for name in ("checkpoint.db", "history.db"):
        for path in copy.glob(f"{name}*"):
            path.unlink()
    log = bytearray((copy / "journal.db-wal").read_bytes())
    log[int(len(log) * share)] ^= 0x10
    (copy / "journal.db-wal").write_bytes(log)

    with pytest.raises(StoreCorrupt, match=r"journal\.db-wal is damaged before its end"):
        Chain(copy)


def test_a_journal_that_is_older_than_its_history_is_refused_and_comes_back(
    killed: Killed, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(killed.directory, copy)
    (copy / "journal.db-wal").unlink()
    before = hash_files(copy)

    refused = run_ledger(copy)

    assert 1 == refused.returncode
    assert "are lost. Put the journal back, or delete checkpoint.db and history.db" in refused.stderr
    assert before == hash_files(copy)
    shutil.copy(killed.directory / "journal.db-wal", copy)
    with running(copy) as ledger:
        statuses = ledger.call("getSignatureStatuses", killed.signatures)["value"]
    assert all(status is not None and status["err"] is None for status in statuses)


@pytest.mark.parametrize("change", ["edited", "deleted", "exchanged"])
def test_a_genesis_that_is_not_that_of_the_blocks_ruins_nothing(
    killed: Killed, tmp_path: Path, change: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(killed.directory, copy)
    genesis = copy / "genesis.json"
    if change == "edited":
        genesis.write_text(genesis.read_text().replace('"fee_per_signature": 5000', '"fee_per_signature": 1'))
    elif change == "deleted":
        genesis.unlink()
    else:
        found_development(tmp_path / "other")
        shutil.copy(tmp_path / "other" / "genesis.json", genesis)
    before = hash_files(copy)

    answers = [
        run_ledger(copy),
        run_ledger(copy, "verify"),
        run_ledger(copy, "info"),
        run_ledger(copy, "export"),
    ]

    assert [1] * 4 == [answer.returncode for answer in answers]
    wanted = "genesis.json is missing" if change == "deleted" else "Put the genesis of that ledger back"
    assert all(wanted in answer.stderr for answer in answers), [answer.stderr for answer in answers]
    assert before == hash_files(copy)
    shutil.copy(killed.directory / "genesis.json", genesis)
    assert verify(copy, lambda done, total: None)["blocks"] == read_info(copy)["height"]


def test_looking_at_a_ledger_makes_no_file(tmp_path: Path) -> None:
    found_development(tmp_path)
    before = hash_files(tmp_path)

    codes = [run_ledger(tmp_path, command).returncode for command in ("info", "verify", "export")]

    assert [0, 0, 0] == codes
    assert before == hash_files(tmp_path)


def test_a_block_that_is_damaged_is_an_error_for_its_reader_and_for_no_other(
    killed: Killed, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(killed.directory, copy)
    with closing(Chain(copy)) as chain:
        assert chain.history.wait_for(chain.journal.height, 20)
        places = [entry for entry in chain.journal.read_from(1) if entry.block.transactions]
        hurt, whole = places[5].block, places[-1].block
    with closing(sqlite3.connect(copy / "journal.db")) as database:
        [(receipts,)] = database.execute("SELECT receipts FROM blocks WHERE height = ?", (hurt.height,))
        assert receipts[1:3] == b"\x9c\x00"  # an array of twelve fields, whose first is the kind
        paid_nothing = receipts[:2] + b"\x01" + receipts[3:]  # the kind of the first receipt: rejected
        database.execute("UPDATE blocks SET receipts = ? WHERE height = ?", (paid_nothing, hurt.height))
        database.commit()

    with running(copy) as ledger:
        names = ledger.call("getBlock", whole.slot, {"transactionDetails": "signatures"})["signatures"]
        with pytest.raises(RpcFailure) as caught:
            ledger.call("getBlock", hurt.slot, {"transactionDetails": "signatures"})
        assert names
        assert ledger.call("getTransaction", names[0], NEWEST)["meta"]["err"] is None
        ledger.fund(Keypair())

    assert -32603 == caught.value.code
    assert "StoreCorrupt" == caught.value.data["roundwork"]["name"]
    assert f"block {hurt.height} is not as it was written" in caught.value.message


# Files of the last version


def make_old(directory: Path) -> None:
    """What a ledger directory of the version before digests looks like."""
    with closing(sqlite3.connect(directory / "journal.db", isolation_level=None)) as database:
        database.execute("ALTER TABLE blocks DROP COLUMN digest")
        database.execute("CREATE INDEX blocks_by_slot ON blocks (slot)")
        database.execute("PRAGMA user_version = 0")
    with closing(sqlite3.connect(directory / "checkpoint.db", isolation_level=None)) as database:
        [(head,)] = database.execute("SELECT head FROM head").fetchall()
        database.execute("DROP TABLE head")
        database.execute(
            "CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), head BLOB NOT NULL) STRICT"
        )
        database.execute("INSERT INTO head VALUES (1, ?)", (head,))
        database.execute("PRAGMA user_version = 0")
    with closing(sqlite3.connect(directory / "history.db", isolation_level=None)) as database:
        [(height,)] = database.execute("SELECT height FROM progress").fetchall()
        for table in ("progress", "buckets", "pruned"):
            database.execute(f"DROP TABLE {table}")
        database.execute(
            "CREATE TABLE progress (id INTEGER PRIMARY KEY CHECK (id = 1), height INTEGER NOT NULL) STRICT"
        )
        database.execute("CREATE TABLE totals (id INTEGER PRIMARY KEY, transactions INTEGER NOT NULL) STRICT")
        database.execute("INSERT INTO progress VALUES (1, ?)", (height,))
        database.execute("PRAGMA user_version = 0")


def test_files_of_the_last_version_are_brought_to_this_one_once(
    kept: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(kept.directories["stopped"], copy := tmp_path / "copy")
    make_old(copy)
    assert kept.head.height == read_info(copy)["height"]
    assert kept.head.height == verify(copy, lambda done, total: None)["blocks"]

    kept.examine(copy)
    said = [record.getMessage() for record in caplog.records]
    caplog.clear()
    kept.examine(copy)

    assert 3 == len(said), said
    assert all("older version" in line for line in said)
    assert [] == caplog.records


def test_a_checkpoint_of_the_last_version_is_no_source_of_money(kept: Kept, tmp_path: Path) -> None:
    shutil.copytree(kept.directories["stopped"], copy := tmp_path / "copy")
    make_old(copy)
    with closing(sqlite3.connect(copy / "checkpoint.db")) as database:
        database.execute("DELETE FROM records WHERE key <> ?", (kept.faucet,))
        database.commit()

    kept.examine(copy)


def test_a_text_of_an_old_block_that_is_not_utf8_is_named(kept: Kept, tmp_path: Path) -> None:
    """Blocks of the last version have no digest, so what they hold is decoded as it is."""
    shutil.copytree(kept.directories["stopped"], copy := tmp_path / "copy")
    make_old(copy)
    with closing(sqlite3.connect(copy / "journal.db")) as database:
        database.execute("UPDATE blocks SET events = ? WHERE height = 3", (b"\x91\x91\xa1\xff",))
        database.commit()

    with pytest.raises(StoreCorrupt, match="block 3 cannot be read"):
        verify(copy, lambda done, total: None)


@pytest.mark.parametrize("name", ["checkpoint.db", "history.db"])
def test_also_an_old_file_shows_that_the_journal_has_lost_blocks(
    kept: Kept, tmp_path: Path, name: str
) -> None:
    shutil.copytree(kept.directories["stopped"], copy := tmp_path / "copy")
    make_old(copy)
    (copy / {"checkpoint.db": "history.db", "history.db": "checkpoint.db"}[name]).unlink()
    with closing(sqlite3.connect(copy / "journal.db")) as database:
        database.execute("DELETE FROM blocks WHERE height = (SELECT max(height) FROM blocks)")
        database.commit()
    before = hash_files(copy)

    with pytest.raises(StoreCorrupt, match=f"{name} is of block {kept.head.height}: blocks"):
        Chain(copy)

    assert before == hash_files(copy)


# CometBFT's home


def test_a_damaged_home_is_the_same_home_or_refused_by_name(tmp_path: Path) -> None:
    home = tmp_path / "ledger"
    write_home(home, make_genesis([keypair_of("n00")]), "tcp://127.0.0.1:0", keypair_of("validator"))
    wanted = read_home(home)
    for name in ("genesis.json", "config.toml", "priv_validator_key.json"):
        place = home / "comet/config" / name
        raw = place.read_bytes()
        for number in range(10 * DAMAGES):
            damaged = damage(raw, random.Random(f"{SEED} {name} {number}"))
            place.write_bytes(damaged)

            try:
                found = read_home(home)
            except RoundworkError as error:
                refusal = str(error)
                found = wanted if str(place) in refusal else (refusal,)
            assert wanted == found, f"damage {number} of {name}, seed {SEED}"
        place.write_bytes(raw)


def read_home(directory: Path) -> tuple[Any, ...]:
    """What we use of a home."""
    home = Home(directory)
    return home.genesis.app_state, home.genesis.chain_id, home.producers


def test_a_validator_that_is_delivered_another_block_than_its_journal_has_stops(
    kept: Kept, tmp_path: Path
) -> None:
    """As from a damaged block store: the journal compares each block that is delivered again."""
    shutil.copytree(kept.directories["stopped"], copy := tmp_path / "copy")
    (copy / "checkpoint.db").unlink()
    chain = Chain(copy, replay=False)
    with closing(Journal(copy / "journal.db")) as journal:
        entry = journal.read(1)
    assert entry is not None
    from msgspec.structs import replace

    other = replace(entry.block, time_ms=entry.block.time_ms + 1)
    outcome = chain.execute(other, list(map(bool, entry.verified)))
    with pytest.raises(StoreCorrupt, match="block 1 is written already, and is another one"):
        chain.persist(other, outcome)
    abandon(chain)
