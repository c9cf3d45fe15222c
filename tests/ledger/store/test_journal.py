"""The journal: blocks are there once, whole and in order, or the loss is said."""

import os
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from roundwork.errors import StoreCorrupt, StoreFull
from roundwork.ledger.chain import Chain
from roundwork.ledger.inspect import verify

from ..blocks import abandon, make_block, run_blocks


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
    for derived in torn.glob("history.db*"):  # what was not acknowledged was not indexed either
        derived.unlink()

    with closing(Chain(torn)) as chain:
        height = chain.state.head.height
        found = [(entry.block_hash, entry.state_hash) for entry in chain.journal.read_from(1)]
        make_block(chain)

    assert 0 < height < len(expected)
    assert expected[:height] == found
    assert height + 1 == verify(torn, lambda done, total: None)["blocks"]


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


def test_readers_on_several_threads_see_every_block_that_is_written(directory: Path) -> None:
    """Also the history is one: it ended for good when another reader hid a block from it."""
    with closing(Chain(directory)) as chain, ThreadPoolExecutor(3) as threads:
        run_blocks(chain, 100)
        last = chain.journal.height + 200
        missing: list[int] = []

        def look() -> None:
            while chain.journal.height < last:
                chain.journal.find_slot(2)
                chain.history.find_address(bytes(32), None, 1000)

        def follow() -> None:
            while (height := chain.journal.height) < last:
                entry = chain.journal.read(height)
                if entry is None or entry.block.height != height:
                    missing.append(height)

        running = [threads.submit(work) for work in (look, look, follow)]
        while chain.journal.height < last:
            make_block(chain)
        for done in running:
            done.result()

        assert [] == missing
        assert chain.history.wait_for(last, 30)
