"""What is acknowledged is on disk, and what is on disk comes back."""

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from roundwork.errors import BadGenesis, StoreCorrupt, StoreFull, StoreInUse
from roundwork.ledger import chain as chain_module
from roundwork.ledger.chain import Chain
from roundwork.ledger.embedded.producer import Producer
from roundwork.ledger.inspect import read_info, verify
from roundwork.ledger.limits import LIMITS
from roundwork.ledger.rpc.call import Desk
from roundwork.ledger.rpc.dispatch import METHODS, Request, Rpc
from roundwork.ledger.rpc.rates import Rates
from roundwork.ledger.server import FAUCET_FILE, found_development, lock, read_keypair
from roundwork.ledger.signatures import Verifier
from roundwork.protocol.execute import next_block
from roundwork.protocol.params import key_of
from roundwork.protocol.state import State
from roundwork.protocol.ticks import get_newest_tick
from roundwork.protocol.transaction import decode_transaction

from .process import give


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found_development(tmp_path / "ledger")
    return tmp_path / "ledger"


def sign(chain: Chain, pair: Keypair, amount: int) -> bytes:
    from solders.hash import Hash
    from solders.message import Message
    from solders.transaction import Transaction

    tick = Hash(get_newest_tick(chain.state, chain.state.head.slot + 1)[0])
    ask = give(pair, Keypair().pubkey(), amount)
    return bytes(Transaction([pair], Message.new_with_blockhash([ask], pair.pubkey(), tick), tick))


def make_block(chain: Chain, *wires: bytes) -> None:
    """Execute, persist and publish one block, a slot later."""
    head = chain.state.head
    time_ms = head.began_ms + chain.genesis.slot_ms
    block = next_block(chain.state, time_ms, wires, key_of(chain.genesis.producer))
    outcome = chain.execute(block, [True] * len(wires))
    assert all(receipt.kind == 0 for receipt in outcome.receipts), outcome.receipts
    chain.persist(block, outcome)
    chain.publish(block, outcome)


def run_blocks(chain: Chain, count: int) -> list[bytes]:
    """Blocks with a faucet transfer each; the signatures."""
    faucet = read_keypair(chain.directory / FAUCET_FILE)
    make_block(chain)
    signatures = []
    for number in range(count):
        wire = sign(chain, faucet, number + 1)
        make_block(chain, wire)
        signatures.append(decode_transaction(wire).signatures[0])
    return signatures


def dump(state: State) -> dict[bytes, Any]:
    return {name: dict(table.rows) for name, table in state.tables.items() if table.rows}


def abandon(chain: Chain) -> None:
    """Let go of a chain as a crash would: nothing more is written."""
    chain._writer.shutdown(wait=True)
    chain.history.close()
    chain.checkpoint.close()
    chain.journal.close()


@pytest.mark.parametrize("lost", [[], ["checkpoint.db"], ["history.db"], ["checkpoint.db", "history.db"]])
def test_a_ledger_comes_back_whole_whatever_derived_file_is_lost(
    directory: Path, lost: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "CHECKPOINT_BLOCKS", 4)
    with closing(Chain(directory)) as chain:
        signatures = run_blocks(chain, 10)
        expected = (dump(chain.state), chain.state.head)
    for name in lost:
        for path in directory.glob(f"{name}*"):
            path.unlink()

    with closing(Chain(directory)) as chain:
        assert expected == (dump(chain.state), chain.state.head)
        assert chain.history.wait_for(chain.journal.height, 10)
        for signature in signatures:
            [place] = chain.history.find_transaction(signature)
            entry = chain.journal.read(place.height)
            assert entry is not None
            assert signature in entry.block.transactions[place.position]
        make_block(chain)


def test_a_crash_between_checkpoints_loses_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "CHECKPOINT_BLOCKS", 4)
    chain = Chain(directory)
    run_blocks(chain, 10)
    expected = (dump(chain.state), chain.state.head)
    abandon(chain)

    with closing(Chain(directory)) as chain:
        assert 0 < chain.checkpointed.height <= chain.state.head.height
        assert expected == (dump(chain.state), chain.state.head)
        assert chain.recent.size


def test_a_block_that_was_not_persisted_is_not_there_after_a_crash(directory: Path) -> None:
    chain = Chain(directory)
    run_blocks(chain, 3)
    expected = chain.state.head
    head = chain.state.head
    block = next_block(chain.state, head.time_ms, [], key_of(chain.genesis.producer))
    chain.execute(block, [])
    abandon(chain)

    with closing(Chain(directory)) as chain:
        assert expected == chain.state.head


def test_the_same_block_is_journalled_once_and_another_one_of_its_height_never(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 2)
        entry = chain.journal.read(2)
        assert entry is not None
        from roundwork.protocol.execute import Outcome

        same = Outcome(entry.block_hash, entry.state_hash, entry.receipts, entry.events, [])
        chain.journal.append(entry.block, [], same)
        with pytest.raises(StoreCorrupt, match="another"):
            chain.journal.append(entry.block, [], Outcome(bytes(32), entry.state_hash, [], [], []))


def test_an_engine_that_delivers_again_starts_at_the_checkpoint(directory: Path) -> None:
    chain = Chain(directory, replay=False)
    run_blocks(chain, 3)
    assert 0 == chain.checkpointed.height  # nothing was allowed
    abandon(chain)

    chain = Chain(directory, replay=False)
    assert (0, 4) == (chain.state.head.height, chain.journal.height)
    abandon(chain)


def test_a_checkpoint_waits_until_the_engine_allows_it_and_the_history_has_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "CHECKPOINT_BLOCKS", 2)
    chain = Chain(directory, replay=False)
    run_blocks(chain, 3)
    assert chain.history.wait_for(4, 10)
    assert 0 == chain.checkpointed.height

    chain.allow_checkpoint(4)
    chain._writer.submit(lambda: None).result()

    assert 2 <= chain.checkpointed.height <= 4
    abandon(chain)


def test_a_reader_is_shown_nothing_that_is_not_on_disk(directory: Path) -> None:
    async def run(chain: Chain) -> tuple[int, int]:
        desk = Desk(chain, Producer(chain, Verifier(workers=0)))
        rpc = Rpc(desk, METHODS, Rates(LIMITS))
        ask = Request("getBlockHeight")
        make_block(chain)
        before = await rpc.call(ask)
        head = chain.state.head
        block = next_block(chain.state, head.time_ms + 1000, [], key_of(chain.genesis.producer))
        outcome = chain.execute(block, [])

        reading = asyncio.create_task(rpc.call(ask))
        _, pending = await asyncio.wait([reading], timeout=0)
        assert {reading} == pending
        chain.persist(block, outcome)
        chain.publish(block, outcome)
        return before, await reading

    with closing(Chain(directory)) as chain:
        before, after = asyncio.run(run(chain))

    assert before < after


@pytest.mark.parametrize("kept", [2, 0])
@pytest.mark.parametrize("derived", ["checkpoint.db", "history.db"])
def test_a_journal_whose_end_is_lost_is_said_so(directory: Path, kept: int, derived: str) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 3)
        assert chain.history.wait_for(4, 10)
    (directory / {"checkpoint.db": "history.db", "history.db": "checkpoint.db"}[derived]).unlink()
    with closing(sqlite3.connect(directory / "journal.db")) as journal:
        journal.execute("DELETE FROM blocks WHERE height > ?", (kept,))
        journal.commit()
    lost = rf"ends at block {kept}, .*/{derived} is of block 4: blocks {kept + 1} to 4 are lost"

    with pytest.raises(StoreCorrupt, match=lost):
        verify(directory, lambda done, total: None)
    if derived == "checkpoint.db":
        with pytest.raises(StoreCorrupt, match=lost):
            Chain(directory)


def test_a_journal_that_is_gone_is_said_so(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 3)
    (directory / "journal.db").unlink()

    with pytest.raises(StoreCorrupt, match="blocks 1 to 4 are lost"):
        verify(directory, lambda done, total: None)


def test_a_checkpoint_of_another_ledger_is_found(directory: Path, tmp_path: Path) -> None:
    for place in (directory, tmp_path / "other"):
        found_development(place)
        with closing(Chain(place)) as chain:
            run_blocks(chain, 3)
    shutil.copy(tmp_path / "other" / "checkpoint.db", directory)

    with pytest.raises(StoreCorrupt, match=r"checkpoint\.db: block 4 is not the journal's"):
        verify(directory, lambda done, total: None)


def test_a_derived_file_that_is_empty_is_one_that_is_built_again(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 3)
    for name in ("checkpoint.db", "history.db"):
        (directory / name).write_bytes(b"")

    assert 4 == verify(directory, lambda done, total: None)["blocks"]
    assert 4 == read_info(directory)["history_lag_blocks"]
    with closing(Chain(directory)) as chain:
        assert chain.history.wait_for(4, 10)


@pytest.mark.parametrize("column", ["block", "verified", "receipts", "events", "block_hash", "state_hash"])
def test_verify_finds_one_changed_bit(directory: Path, column: str) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 3)
    assert 4 == verify(directory, lambda done, total: None)["blocks"]
    with closing(sqlite3.connect(directory / "journal.db")) as journal:
        [raw] = journal.execute(f"SELECT {column} FROM blocks WHERE height = 3").fetchone()
        changed = raw[:-1] + bytes([raw[-1] ^ 1])
        journal.execute(f"UPDATE blocks SET {column} = ? WHERE height = 3", (changed,))
        journal.commit()

    with pytest.raises(StoreCorrupt, match="block 3"):
        verify(directory, lambda done, total: None)


def test_a_missing_block_is_found(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 3)
    with closing(sqlite3.connect(directory / "journal.db")) as journal:
        journal.execute("DELETE FROM blocks WHERE height = 2")
        journal.commit()

    with pytest.raises(StoreCorrupt, match="block 2 is missing"):
        verify(directory, lambda done, total: None)


def test_a_file_that_is_no_database_is_said_so(directory: Path) -> None:
    (directory / "journal.db").write_bytes(b"not a database at all, but long enough to look at" * 100)

    with pytest.raises(StoreCorrupt, match=r"journal\.db"):
        Chain(directory)


@pytest.mark.parametrize("cut", [1, 3_000, 9_000])
def test_a_torn_tail_of_the_journal_costs_what_was_being_written_and_nothing_before(
    directory: Path, tmp_path: Path, cut: int
) -> None:
    """As a power cut leaves it: the last pages of the write-ahead log did not reach the disk."""
    torn = tmp_path / "torn"
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 10)
        shutil.copytree(directory, torn)
        expected = [(entry.block_hash, entry.state_hash) for entry in chain.journal.read_from(1)]
    log = torn / "journal.db-wal"
    os.truncate(log, log.stat().st_size - cut)

    with closing(Chain(torn)) as chain:
        height = chain.state.head.height
        found = [(entry.block_hash, entry.state_hash) for entry in chain.journal.read_from(1)]
        make_block(chain)

    assert 0 < height < len(expected)
    assert expected[:height] == found
    assert height + 1 == verify(torn, lambda done, total: None)["blocks"]


def test_blocks_wait_for_a_history_that_is_too_far_behind(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "HISTORY_LAG_BLOCKS_MAX", 3)
    with closing(Chain(directory)) as chain, closing(sqlite3.connect(directory / "history.db")) as other:
        other.execute("BEGIN IMMEDIATE")  # nobody else writes meanwhile
        run_blocks(chain, 5)
        assert chain.is_behind()

        other.rollback()
        chain.wait_for_history()

        assert not chain.is_behind()


def test_a_history_that_cannot_be_written_says_so_and_stops_no_block(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "HISTORY_LAG_BLOCKS_MAX", 3)
    with closing(Chain(directory)) as chain:
        [signature, *_] = run_blocks(chain, 3)
        assert chain.history.wait_for(4, 10)
        chain.history._writer.execute("PRAGMA query_only = 1")  # as a disk that refuses to write
        run_blocks(chain, 10)

        assert not chain.history.wait_for(chain.journal.height, 10)
        assert not chain.is_behind()
        with pytest.raises(StoreFull, match="the past cannot be searched until a restart"):
            chain.history.find_transaction(signature)

    with closing(Chain(directory)) as chain:
        assert chain.history.wait_for(chain.journal.height, 10)
        assert [2] == [place.height for place in chain.history.find_transaction(signature)]


def test_a_full_disk_acknowledges_nothing_and_loses_nothing(directory: Path) -> None:
    chain = Chain(directory)
    run_blocks(chain, 2)
    expected = chain.journal.height
    pages = chain.journal._writer.execute("PRAGMA page_count").fetchone()[0]
    chain.journal._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull, match="nothing in it is acknowledged"):
        run_blocks(chain, 200)
    reached = chain.journal.height
    abandon(chain)

    with closing(Chain(directory)) as chain:
        assert expected <= reached == chain.state.head.height


def test_a_checkpoint_that_cannot_be_written_stops_no_block(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "CHECKPOINT_BLOCKS", 2)
    chain = Chain(directory)
    chain.checkpoint._database.execute("PRAGMA query_only = 1")  # as a disk that refuses to write
    run_blocks(chain, 10)
    chain._writer.submit(lambda: None).result()
    assert 0 == chain.checkpointed.height
    expected = chain.state.head
    abandon(chain)

    with closing(Chain(directory)) as chain:
        assert expected == chain.state.head


def test_a_checkpoint_that_is_damaged_stops_no_block_and_a_restart_says_what_to_do(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "CHECKPOINT_BLOCKS", 2)
    path = directory / "checkpoint.db"
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 5)
        chain._writer.submit(lambda: None).result()
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        chain.checkpoint._database.execute("PRAGMA shrink_memory")  # or it would not look at the file
        before = chain.checkpointed
        run_blocks(chain, 5)
        chain._writer.submit(lambda: None).result()
        assert before == chain.checkpointed
        expected = (dump(chain.state), chain.state.head)

    with pytest.raises(StoreCorrupt, match=r"checkpoint\.db: .* delete it, and the journal is replayed"):
        Chain(directory)
    for lost in directory.glob("checkpoint.db*"):
        lost.unlink()
    with closing(Chain(directory)) as chain:
        assert expected == (dump(chain.state), chain.state.head)


def test_a_directory_has_one_owner(directory: Path) -> None:
    with lock(directory), pytest.raises(StoreInUse, match="another process"), lock(directory):
        pass


def test_a_ledger_is_founded_once(directory: Path) -> None:
    with pytest.raises(BadGenesis, match="already"):
        Chain.create(directory, chain_module.read_genesis(directory))


def test_a_directory_without_genesis_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(BadGenesis, match=r"genesis\.json is missing"):
        Chain(tmp_path)


def test_info_reads_beside_a_running_ledger(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 2)

        facts = read_info(directory)

        assert (3, chain.state.head.state_hash.hex()) == (facts["height"], facts["state_hash"])
        assert 0 <= int(facts["history_lag_blocks"]) <= 3


def test_info_of_a_ledger_without_blocks(directory: Path) -> None:
    assert 0 == read_info(directory)["height"]


def test_addresses_and_events_are_found_in_the_past(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 5)
        faucet = bytes(read_keypair(directory / FAUCET_FILE).pubkey())
        assert chain.history.wait_for(chain.journal.height, 10)

        newest = chain.history.find_address(faucet, None, 3)
        older = chain.history.find_address(faucet, newest[-1], 10)

        assert [6, 5, 4] == [place.height for place in newest]
        assert [3, 2] == [place.height for place in older]
        assert [] == chain.history.find_events(bytes(32))
        assert [] == chain.history.find_events(bytes(32), 3)
