"""The checkpoint: when it is written, and what a ledger does without a good one."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from roundwork.errors import StoreCorrupt
from roundwork.ledger import chain as chain_module
from roundwork.ledger.chain import Chain
from roundwork.ledger.inspect import verify
from roundwork.ledger.server import found_development

from ..blocks import abandon, dump, run_blocks


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


def test_a_checkpoint_of_another_ledger_is_found(directory: Path, tmp_path: Path) -> None:
    for place in (directory, tmp_path / "other"):
        found_development(place)
        with closing(Chain(place)) as chain:
            run_blocks(chain, 3)
    shutil.copy(tmp_path / "other" / "checkpoint.db", directory)

    with pytest.raises(StoreCorrupt, match=r"checkpoint\.db is of the ledger"):
        verify(directory, lambda done, total: None)


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
