"""A directory is looked at and verified, beside a running ledger and without one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roundwork.errors import StoreCorrupt
from roundwork.ledger.chain import Chain
from roundwork.ledger.inspect import read_info, verify

from .blocks import run_blocks


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


def test_info_reads_beside_a_running_ledger(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 2)

        facts = read_info(directory)

        assert (3, chain.state.head.state_hash.hex()) == (facts["height"], facts["state_hash"])
        assert 0 <= int(facts["history_lag_blocks"]) <= 3


def test_info_of_a_ledger_without_blocks(directory: Path) -> None:
    assert 0 == read_info(directory)["height"]
