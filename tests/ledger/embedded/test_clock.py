"""Progress does not hang on the wall clock: it may jump while a ledger runs and between two starts."""

import asyncio
import json
import logging
from contextlib import closing
from pathlib import Path

import pytest

from roundwork.ledger.chain import Chain
from roundwork.ledger.embedded.clock import BlockClock, read_steady_ms, read_wall_ms
from roundwork.ledger.embedded.producer import Producer
from roundwork.ledger.server import found_development
from roundwork.ledger.signatures import Verifier

from ...cli.test_task import run
from ..process import NEWEST, running

HOUR_MS = 3_600_000


@pytest.mark.parametrize("jump", [HOUR_MS, -HOUR_MS])
def test_a_wall_clock_that_jumps_stops_no_slots(tmp_path: Path, jump: int) -> None:
    found_development(tmp_path, slot_ms=10)
    shift = 0

    async def produce(chain: Chain) -> None:
        nonlocal shift
        async with Verifier() as verifier:
            clock = BlockClock(chain.state.head.time_ms, lambda: read_wall_ms() + shift)
            producer = Producer(chain, verifier, clock=clock)
            running = asyncio.create_task(producer.run())
            await grow(chain, 3)
            before, shift = chain.state.head, jump
            await grow(chain, 5)
            producer.stop()
            await running
            after = chain.state.head
            assert 0 < after.time_ms - before.time_ms < HOUR_MS / 2
            assert after.slot > before.slot

    with closing(Chain(tmp_path)) as chain:
        asyncio.run(asyncio.wait_for(produce(chain), 30))


async def grow(chain: Chain, blocks: int) -> None:
    """Wait until so many more blocks are durable."""
    height, reached = chain.state.head.height + blocks, asyncio.Event()
    chain.listeners.append(lambda block, outcome: reached.set() if block.height >= height else None)
    await reached.wait()


def test_a_wall_clock_behind_the_last_block_is_warned_of_and_time_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ahead = read_wall_ms() + HOUR_MS

    with caplog.at_level(logging.WARNING):
        clock = BlockClock(ahead)
        BlockClock(read_wall_ms() - HOUR_MS)

    assert ahead <= clock.now_ms() <= ahead + 60_000
    [record] = caplog.records
    assert "behind the last block" in record.getMessage()
    assert read_steady_ms() <= read_steady_ms()


def test_a_ledger_that_warped_ahead_of_the_wall_clock_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "ledger"
    with running(directory) as ledger:
        before = ledger.call("getSlot", NEWEST)

    warped = json.loads(run("ledger", "warp", "--directory", directory, "--slots", 2001, "--json").stdout)

    assert before + 2001 <= warped["slot"]
    assert 1001 == warped["blocks"]
    with running(directory) as ledger:
        assert ledger.call("getSlot", NEWEST) >= warped["slot"]
        first = ledger.call("getLatestBlockhash")["context"]["slot"]
        while ledger.call("getSlot", NEWEST) < first + 5:
            pass
        refused = run("ledger", "warp", "--directory", directory, "--slots", 5)
        assert (1, True) == (refused.returncode, "StoreInUse" in refused.stderr)
    assert (
        "every signature and every hash is right" in run("ledger", "verify", "--directory", directory).stdout
    )


def test_only_a_development_ledger_warps(tmp_path: Path) -> None:
    found_development(tmp_path)
    path = tmp_path / "genesis.json"
    genesis = json.loads(path.read_text())
    path.write_text(json.dumps({**genesis, "kind": "production", "faucet": None}))

    refused = run("ledger", "warp", "--directory", tmp_path, "--slots", 5)

    assert (1, True) == (refused.returncode, "a production ledger does not warp" in refused.stderr)
