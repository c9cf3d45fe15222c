"""What is acknowledged is on disk, and what is on disk comes back."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roundwork.errors import BadGenesis, StoreInUse
from roundwork.ledger import chain as chain_module
from roundwork.ledger.chain import Chain
from roundwork.ledger.embedded.producer import Producer
from roundwork.ledger.inspect import read_info, verify
from roundwork.ledger.limits import LIMITS
from roundwork.ledger.rpc.budget import Budget
from roundwork.ledger.rpc.dispatch import METHODS, Request, Rpc
from roundwork.ledger.rpc.ledger import Ledger
from roundwork.ledger.rpc.rates import Rates
from roundwork.ledger.server import lock
from roundwork.ledger.signatures import Verifier
from roundwork.protocol.execute import next_block
from roundwork.protocol.params import key_of

from .blocks import abandon, dump, make_block, run_blocks
from .process import NEWEST


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


def test_a_reader_is_shown_nothing_that_is_not_on_disk(directory: Path) -> None:
    async def run(chain: Chain) -> tuple[int, int]:
        ledger = Ledger(chain, Producer(chain, Verifier(workers=0)))
        rpc = Rpc(ledger, METHODS, Rates(LIMITS))
        request = Request("getBlockHeight", [NEWEST])
        make_block(chain)
        before = await rpc.call(request, Budget("", LIMITS))
        head = chain.state.head
        block = next_block(chain.state, head.time_ms + 1000, [], key_of(chain.genesis.producer))
        outcome = chain.execute(block, [])

        reading = asyncio.create_task(rpc.call(request, Budget("", LIMITS)))
        _, pending = await asyncio.wait([reading], timeout=0)
        assert {reading} == pending
        chain.persist(block, outcome)
        chain.publish(block, outcome)
        return before, await reading

    with closing(Chain(directory)) as chain:
        before, after = asyncio.run(run(chain))

    assert before < after


def test_a_derived_file_that_is_empty_is_one_that_is_built_again(directory: Path) -> None:
    with closing(Chain(directory)) as chain:
        run_blocks(chain, 3)
    for name in ("checkpoint.db", "history.db"):
        (directory / name).write_bytes(b"")

    assert 4 == verify(directory, lambda done, total: None)["blocks"]
    assert 4 == read_info(directory)["history_lag_blocks"]
    with closing(Chain(directory)) as chain:
        assert chain.history.wait_for(4, 10)


def test_a_directory_has_one_owner(directory: Path) -> None:
    with lock(directory), pytest.raises(StoreInUse, match="another process"), lock(directory):
        pass


def test_a_ledger_is_founded_once(directory: Path) -> None:
    with pytest.raises(BadGenesis, match="already"):
        Chain.create(directory, chain_module.read_genesis(directory))


def test_a_directory_without_genesis_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(BadGenesis, match=r"genesis\.json is missing"):
        Chain(tmp_path)
