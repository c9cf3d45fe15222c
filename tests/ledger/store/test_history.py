"""The history: what is found in the past, and how far it may lag behind."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roundwork.errors import StoreFull
from roundwork.host.keypairs import read_keypair
from roundwork.ledger import chain as chain_module
from roundwork.ledger.chain import Chain
from roundwork.ledger.server import FAUCET_FILE

from ..blocks import run_blocks


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


def test_addresses_are_found_in_the_past(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 5)
        faucet = bytes(read_keypair(directory / FAUCET_FILE).pubkey())
        assert chain.history.wait_for(chain.journal.height, 10)

        newest = chain.history.find_address(faucet, None, 3)
        older = chain.history.find_address(faucet, newest[-1], 10)

        assert [6, 5, 4] == [place.height for place in newest]
        assert [3, 2] == [place.height for place in older]
