"""What a node learns of the stakes of its task, from a real ledger that is killed and started again."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, read_task, set_active, stake
from roundwork.client.rpc import Client
from roundwork.node.lookout import CurrentTask, Identity, Lookout
from roundwork.package.folder import load_package
from roundwork.participant.reading import STAKES_SLOTS
from roundwork.protocol.params import KOII
from roundwork.views import HeadView, OwnView, StakeNews, StakeView

from ..ledger.process import RunningLedger, running
from ..participant.test_reading import head_of
from .peers.neighbours import serve
from .peers.test_registrations import make_task

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


@pytest.mark.parametrize("is_failing", [False, True])
@pytest.mark.parametrize("phase", range(STAKES_SLOTS))
def test_a_stake_that_changes_in_every_slot_is_read_in_one_of_four(
    phase: int, is_failing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    keypair = Keypair()
    node = str(keypair.pubkey())
    slot, reads = 100, list[int]()

    def answer(method: str) -> Any:
        if method == "getTaskHead":
            head = replace(head_of(), slot=slot, stakes_slot=slot)
            return HeadView(head, OwnView(node=node, slot=slot))
        reads.append(slot)
        return "nonsense" if is_failing else StakeNews(slot, [StakeView(node, slot, 0, "")])

    async def ledger(scope: Any, receive: Any, send: Any) -> None:
        request = msgspec.json.decode((await receive())["body"])
        reply = {"jsonrpc": "2.0", "id": request["id"], "result": answer(request["method"])}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": msgspec.json.encode(reply)})

    async def live() -> None:
        nonlocal slot
        async with serve(ledger) as url, Client(url) as client:
            identity = Identity(Keypair(), keypair, phase.to_bytes(8) + bytes(24), 0, "")
            lookout = Lookout(client, identity, CurrentTask(make_task([])))
            for _ in range(3 * STAKES_SLOTS):
                for _ in range(3):
                    await lookout.look()
                slot += 1

    asyncio.run(live())

    assert [100 + phase + STAKES_SLOTS * turn for turn in range(3)] == reads
    warnings = [
        line for line in caplog.messages if line.startswith("the stakes of other nodes cannot be read")
    ]
    assert is_failing == len(warnings)
