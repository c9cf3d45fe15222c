"""Runtimes of several nodes on one task, in one test: a real ledger process, real sandboxed lanes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from textwrap import dedent

import msgspec
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, read_task, set_active
from roundwork.client.rpc import Client
from roundwork.node.confinement.sandbox import choose_sandbox
from roundwork.node.lookout import CurrentTask, Identity
from roundwork.node.memory import MemoryFile
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.parts import PartBook
from roundwork.node.peers.proofs import Proofs
from roundwork.node.peers.reasons import SlashNotices
from roundwork.node.peers.storage import BlobStore
from roundwork.node.python.environments import Environment
from roundwork.node.python.lane import TaskSetting
from roundwork.node.python.lanes import Lanes
from roundwork.node.python.runtime import Runtime
from roundwork.package.folder import load_package
from roundwork.participant.moment import compute_timetable
from roundwork.participant.plays import find_play
from roundwork.participant.sealed_step import Bounds
from roundwork.protocol.params import KOII, KOII_1
from roundwork.views import RoundView, StakeView

from ...ledger.process import running
from ..house import HEADER

STAKE = 5 * KOII
MONEY = 1000 * KOII
WINDOWS = {"round_time": 50, "submission_window": 20, "audit_window": 20}
"""In slots of 50 ms."""

TRIES = 5
"""Rounds within which a busy machine is expected to show what is waited for."""

HONEST = """
task.distribution(equal_split(slash="70%"))

@task.work
def work(ctx):
    ctx.state["value"] = "truth"

@task.submission
def submission(ctx):
    return ctx.state["value"]

@task.audit
def audit(ctx, candidate):
    return candidate.value == "truth"

@task.lie
def lie(ctx):
    return ctx.params["lie"]
"""
CONFIG = """
task_name: crew
author: tests
description: what a test needs
repositoryUrl: https://example.org/crew
task_executable_network: IPFS
task_audit_program: task.py
round_time: 40
submission_window: 16
audit_window: 16
minimum_stake_amount: 1
total_bounty_amount: 1000
bounty_amount_per_round: 6
allowed_failed_distributions: 2
environment: TEST
"""


class Member:
    """One node: its keys and its folder stay when its runtime is stopped and started again."""

    def __init__(self, directory: Path, client: Client, lanes: Lanes, identity: Identity, task: str) -> None:
        self.directory = directory
        self.identity = identity
        self._client = client
        self.lanes = lanes
        self._task = task
        self._running: asyncio.Task[None] | None = None
        self._store = BlobStore(directory / "blobs")

    @property
    def memory(self) -> MemoryFile:
        return MemoryFile(self.directory / "memory.db")

    async def start(self) -> None:
        current = CurrentTask(await read_task(self._client, self._task))
        fetcher, node = Fetcher(is_development=True), self.identity.node
        notices = SlashNotices(fetcher, node, dict, self._client.get_round)
        parts = PartBook(self._client, fetcher, self._store, node, dict)
        runtime = Runtime(
            self._client,
            self.identity,
            self.lanes,
            self._store,
            self.directory,
            current,
            notices,
            parts,
            Proofs(self._client, self._task, node, self._store, fetcher, dict),
            Bounds(),
        )
        self._running = asyncio.create_task(runtime.run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def check(self) -> None:
        """Raises what its runtime raised."""
        if self._running is not None and self._running.done():
            self._running.result()


class Crew:
    """Nodes on one task."""

    def __init__(self, client: Client, task: str) -> None:
        self.client = client
        self.task = task
        self.members: list[Member] = []

    async def read(self, number: int) -> RoundView:
        view = await self.client.get_round(self.task, number)
        assert view is not None
        return view

    async def read_stake(self, member: Member) -> StakeView:
        task = await read_task(self.client, self.task)
        return next(one for one in task.stakes if one.node == member.identity.node)

    async def has_submitted(self, member: Member, number: int) -> bool:
        return member.identity.node in {each.node for each in (await self.read(number)).submissions}

    async def reach(self, is_there: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
        """Wait until something is true."""
        async with asyncio.timeout(seconds):
            while not await is_there():
                for member in self.members:
                    member.check()
                await asyncio.sleep(0.02)

    async def finish(self, number: int) -> RoundView:
        """A round, when its three ledger rounds are over."""

        async def is_over() -> bool:
            task = await read_task(self.client, self.task)
            return task.slot >= compute_timetable(task).compute_start(number + 3)

        await self.reach(is_over)
        return await self.read(number)

    async def settle(self, number: int, is_so: Callable[[RoundView], bool] = lambda view: True) -> RoundView:
        """The first round from `number` on that is paid and of which something is true."""
        for each in range(number, number + TRIES):
            view = await self.finish(each)
            if view.status == "PayoutSuccessful" and is_so(view):
                return view
        raise AssertionError(f"in no round from {number} to {number + TRIES - 1}")


@asynccontextmanager
async def open_crew(
    directory: Path,
    environment: Environment,
    source: str = HONEST,
    lies: Sequence[str | None] = (None,),
    starts: bool = True,
    stretch: int = 1,
    rules: str = KOII_1.name,
) -> AsyncIterator[Crew]:
    """A ledger, a task of this source, and a node for each of `lies`: what it submits, None for the truth.

    The nodes' addresses are in ascending order. `stretch` makes the windows so many times longer.
    """
    folder = directory / "task"
    folder.mkdir()
    (folder / "task.py").write_text(HEADER + dedent(source))
    (folder / "config-task.yml").write_text(CONFIG)
    windows = {name: slots * stretch for name, slots in WINDOWS.items()}
    package = msgspec.structs.replace(load_package(folder), rules=rules, **windows)
    keys = sorted((Keypair() for _ in lies), key=lambda pair: bytes(pair.pubkey()))
    async with AsyncExitStack() as stack:
        ledger = stack.enter_context(running(directory / "ledger"))
        client = await stack.enter_async_context(Client(ledger.url))
        manager = Keypair()
        await airdrop(client, str(manager.pubkey()), 2000 * KOII)
        task = await deploy(client, manager, package, "")
        await set_active(client, manager, task, True)
        crew = Crew(client, task)
        for number, (lie, staking) in enumerate(zip(lies, keys, strict=True)):
            home = directory / f"node-{number}"
            home.mkdir()
            endpoint = f"http://127.0.0.1:{number + 1}"
            identity = Identity(
                Keypair(),
                staking,
                bytes([number]) * 32,
                STAKE,
                endpoint,
                play=find_play("honest" if lie is None else "liar"),
            )
            await airdrop(client, str(identity.payer.pubkey()), MONEY)
            setting = TaskSetting(
                task=task,
                node=identity.node,
                program=folder / "task.py",
                home=home / "task",
                environment=environment,
                params={"lie": lie},
            )
            lanes = Lanes(setting, choose_sandbox(), {}, identity.secret, lambda line: None)
            stack.push_async_callback(lanes.close)
            member = Member(home, client, lanes, identity, task)
            crew.members.append(member)
            stack.push_async_callback(member.stop)
            if starts:
                await member.start()
        yield crew
