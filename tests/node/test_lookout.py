"""What a node learns of the stakes of its task, from a real ledger that is killed and started again."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, read_task, set_active, stake
from roundwork.client.rpc import Client
from roundwork.node.lookout import CurrentTask, Identity, Lookout
from roundwork.package.folder import load_package
from roundwork.protocol.params import KOII

from ..ledger.process import RunningLedger, running

HELLO = Path(__file__).parents[2] / "examples" / "hello"
SECONDS = 60
"""A node that has not learned something within so many seconds never learns it."""


class Watcher:
    """A lookout that looks again and again, as the loop of a node does."""

    def __init__(self, client: Client, task: CurrentTask) -> None:
        self.task = task
        self._news = asyncio.Event()
        identity = Identity(Keypair(), Keypair(), bytes(32), 0, "")
        self._lookout = Lookout(client, identity, task, self._news)

    async def begin(self) -> None:
        await self._lookout.begin()

    def close(self) -> None:
        self._lookout.close()

    async def look_until(self, is_so: Callable[[dict[str, str]], bool]) -> None:
        """Look until something holds for the endpoints of all nodes with stake."""
        async with asyncio.timeout(SECONDS):
            while not is_so({each.node: each.endpoint for each in self.task.task.stakes if each.amount}):
                await self._lookout.look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._lookout.slot_seconds):
                        await self._news.wait()
                self._news.clear()


def test_a_node_learns_of_stakes_before_and_after_a_restart_of_its_ledger(tmp_path: Path) -> None:
    ledger = RunningLedger(tmp_path / "ledger")
    package = load_package(HELLO)
    manager, nodes = Keypair(), [Keypair() for _ in range(3)]
    first, second, third = (str(node.pubkey()) for node in nodes)

    async def live() -> None:
        async with Client(ledger.url) as client:
            await airdrop(client, str(manager.pubkey()), 10_000 * KOII)
            task = await deploy(client, manager, package, "")
            await set_active(client, manager, task, True)

            async def add(node: Keypair, endpoint: str) -> None:
                await stake(client, manager, node, task, package.minimum_stake, endpoint)

            await add(nodes[0], "http://127.0.0.1:1")
            watcher = Watcher(client, CurrentTask(await read_task(client, task)))
            await watcher.begin()
            try:
                await add(nodes[1], "http://127.0.0.1:2")
                await watcher.look_until(lambda endpoints: {first, second} == endpoints.keys())
                ledger.kill()
                with running(tmp_path / "ledger", ledger.port):
                    await add(nodes[0], "http://127.0.0.1:4")
                    await watcher.look_until(lambda endpoints: endpoints[first] == "http://127.0.0.1:4")
                    await add(nodes[2], "http://127.0.0.1:3")
                    await watcher.look_until(lambda endpoints: {first, second, third} == endpoints.keys())
            finally:
                watcher.close()

    try:
        asyncio.run(live())
    finally:
        if ledger.process.poll() is None:
            ledger.kill()
