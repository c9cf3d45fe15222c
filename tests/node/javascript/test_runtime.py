"""A node in a JavaScript task, on a real ledger: when it starts the program, and what it stakes for it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, read_task, set_active, stake, withdraw
from roundwork.client.rpc import Client
from roundwork.node.javascript.runtime import JavascriptRuntime
from roundwork.node.javascript.standing import read_standing
from roundwork.node.lookout import CurrentTask, Identity
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.parts import PartBook
from roundwork.node.peers.reasons import SlashNotices
from roundwork.node.peers.storage import BlobStore
from roundwork.package.folder import load_package
from roundwork.protocol.params import KOII

from ...ledger.process import running
from ..house import require_sandbox
from .mainjs import MainJs, open_program, require_node

HELLO = Path(__file__).parents[3] / "examples" / "hello"
STAKE = 5 * KOII
TELL = "process.on('message', (message) => console.log('told', message.functionCall, process.argv[10]));"


class Place:
    """One node's keys and folder; its runtime can be started more than once."""

    def __init__(self, client: Client, task: str, directory: Path) -> None:
        self.client = client
        self.task = task
        self.identity = Identity(Keypair(), Keypair(), bytes(32), STAKE, "http://127.0.0.1:1")
        self.directory = directory

    async def read_stake(self) -> int:
        stakes = {one.node: one.amount for one in (await read_task(self.client, self.task)).stakes}
        return stakes.get(self.identity.node, 0)

    @asynccontextmanager
    async def run(self, source: str = TELL) -> AsyncIterator[MainJs]:
        program, lines = open_program(self.directory, source, "sandlock", task=self.task)
        current = CurrentTask(await read_task(self.client, self.task))
        fetcher, node = Fetcher(is_development=True), self.identity.node
        notices = SlashNotices(fetcher, node, dict, self.client.get_round)
        parts = PartBook(self.client, fetcher, BlobStore(self.directory / "blobs"), node, dict)
        runtime = JavascriptRuntime(
            self.client, self.identity, program, self.directory, current, notices, parts
        )
        running = asyncio.create_task(runtime.run())
        try:
            yield MainJs(program, lines, running)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await program.close()


def use(directory: Path, work: Callable[[Place], Awaitable[None]]) -> None:
    require_node()
    require_sandbox("sandlock")

    async def run() -> None:
        with running(directory / "ledger") as ledger:
            async with Client(ledger.url) as client:
                manager = Keypair()
                await airdrop(client, str(manager.pubkey()), 2000 * KOII)
                task = await deploy(client, manager, load_package(HELLO), "")
                await set_active(client, manager, task, True)
                place = Place(client, task, directory)
                await airdrop(client, str(place.identity.payer.pubkey()), 100 * KOII)
                await work(place)

    asyncio.run(run())


async def reach(is_there: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await is_there():  # noqa: ASYNC110 -- neither ledger nor log tells when
            await asyncio.sleep(0.05)


def test_it_is_started_with_its_stake_and_told_what_is_due(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        async with place.run() as main:
            await main.wait_for(lambda line: line == f"javascript: told executeTask {STAKE}")
            assert STAKE == await place.read_stake()
            # The task has no submissions, so no round is open and no list is due.
            await main.wait_for(lambda line: "told auditPayload" in line)
            assert not any("Distribution" in line or "distribution" in line for line in main.lines)

    use(tmp_path, work)


def test_its_ends_are_warnings_and_its_standing_is_kept_while_the_node_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crash = "process.on('message', () => { throw new Error('x') });"
    leave = "process.on('message', () => process.exit(1));"

    async def has_standing(state: str) -> bool:
        standing = read_standing(tmp_path)
        return standing is not None and standing.state == state

    async def work(place: Place) -> None:
        assert read_standing(tmp_path) is None
        async with place.run(crash):
            await reach(lambda: has_standing("waits"))
            await reach(lambda: has_standing("runs"))
        assert read_standing(tmp_path) is None
        how = "ended by an exception that nothing caught: started again in 2 s"
        assert f"task {place.task}: its main.js {how}" in [record.getMessage() for record in caplog.records]
        caplog.clear()
        async with place.run(leave):
            await reach(lambda: has_standing("stopped"))
        how = "ended itself with exit code 1: it is not started again"
        assert f"task {place.task}: its main.js {how}" in [record.getMessage() for record in caplog.records]

    with caplog.at_level(logging.WARNING):
        use(tmp_path, work)


def test_a_stake_that_the_task_takes_out_is_not_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def is_warned() -> bool:
        return "are yours to add: `roundwork node stake`" in caplog.text

    async def is_staked(place: Place) -> bool:
        return await place.read_stake() >= STAKE

    async def work(place: Place) -> None:
        main_key = str(place.identity.payer.pubkey())
        async with place.run():
            await reach(lambda: is_staked(place))
        await withdraw(place.client, place.identity.payer, place.identity.staking, place.task)
        left = await place.client.get_balance(main_key)

        for _ in range(2):
            caplog.clear()
            async with place.run() as main:
                await reach(is_warned)
                assert main.program.starts == 0
            assert 0 == await place.read_stake()
            assert left == await place.client.get_balance(main_key)

        await stake(place.client, place.identity.payer, place.identity.staking, place.task, STAKE)
        async with place.run() as main:
            await main.wait_for(lambda line: "told executeTask" in line)

    with caplog.at_level(logging.WARNING):
        use(tmp_path, work)
