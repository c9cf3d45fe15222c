"""Channel frames against real processes: a sandboxed task that sends bent frames, a worker that gets them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from roundwork.errors import TaskFailed
from roundwork.node.confinement.order import Limits, Order
from roundwork.node.confinement.sandbox import choose_sandbox
from roundwork.node.confinement.starter import Child, starter
from roundwork.node.python.channel import open_reader
from roundwork.node.python.environments import Environment
from roundwork.node.python.lane import TaskSetting
from roundwork.node.python.lanes import Lanes, Opinion

from ...node.house import HEADER, NODE, SECRET, SEED, TASK, make_environment
from .bend import bend_bytes, bend_json, write
from .channel_frames import Exchange, is_whole, make_exchange
from .piped import encode_frame
from .surface import Wrong

SECONDS = 20.0

SOURCE = """
import gc
channel = next(each for each in gc.get_objects() if type(each).__name__ == "Channel")
write = channel.write
inputs = os.path.join(os.path.dirname(__file__), "inputs")
number = None

def write_more(message):
    path = os.path.join(inputs, str(number))
    if "answer" in message and os.path.exists(path):
        with open(path, "rb") as file:
            raw = file.read().replace(b"@id@", str(message["id"]).encode())
        channel._sink.write(raw)
        channel._sink.flush()
    write(message)

channel.write = write_more

@task.submission
def submission(ctx):
    global number
    number = ctx.round
    return "honest"

@task.audit
def audit(ctx, candidate):
    global number
    number = None
    return candidate.value == "honest"

@task.routes
def routes(ctx):
    return {"/page": lambda request: "honest"}
"""
"""A task that sends the bytes of a file before the answer of the round whose number the file has."""

CALL = {
    "id": 7, "call": "audit", "seconds": 20, "round": 1, "seed": SEED, "random_seed": SEED,
    "candidate": {"node": str(NODE.pubkey()), "value": "honest", "seed": SEED, "stake": 5},
}  # fmt: skip
CALLS: list[Any] = [
    CALL,
    {**CALL, "id": 8, "call": "submission"},
    {"id": 9, "call": "forget", "before_round": 1},
    {"id": 10, "answer": [1, 2]},
    {"id": 11, "error": {"kind": "Refused", "text": "no"}},
    {"spill": "down-1"},
]


class FromNode(NamedTuple):
    """Bytes that a worker gets as if from its node."""

    raw: bytes


class ChannelProcesses:
    """The lanes of a task in a sandbox, and a worker without a node, each against bent frames."""

    def __init__(self, directory: Path, environment: Environment) -> None:
        self._directory = directory
        self._environment = environment
        self._program = directory / "task" / "task.py"
        (directory / "task" / "inputs").mkdir(parents=True)
        self._program.write_text(HEADER + SOURCE)
        setting = TaskSetting(
            task=TASK,
            node=str(NODE.pubkey()),
            program=self._program,
            home=directory / "home",
            environment=environment,
        )
        self._lanes = Lanes(setting, choose_sandbox(), {}, SECRET, lambda line: None)
        self._round = 0
        self._worker: Worker | None = None

    def make(self, random: Random) -> Exchange | FromNode:
        if random.random() < 0.5:
            return make_exchange(random)
        if random.random() < 0.5:
            return FromNode(encode_frame(bend_json(random, random.choice(CALLS), CALLS)))
        whole = encode_frame(write(random, random.choice(CALLS)))
        return FromNode(bend_bytes(random, whole, [whole]))

    async def attack(self, made: Exchange | FromNode) -> None:
        if isinstance(made, Exchange):
            await self._attack_node(made)
        else:
            await self._attack_worker(made.raw)

    async def confirm(self) -> None:
        verdict = await self._lanes.audit(0, SEED, str(NODE.pubkey()), "honest", 5, SECONDS)
        if verdict != Opinion("valid"):
            raise Wrong(f"an honest audit gives {verdict}")

    async def close(self) -> None:
        """End all processes."""
        await self._lanes.close()
        if self._worker is not None:
            await self._worker.close()

    async def _attack_node(self, made: Exchange) -> None:
        self._round += 1
        raw = b"".join(encode_frame(body) for body in made.frames) + made.raw
        (self._directory / "task" / "inputs" / str(self._round)).write_bytes(raw)
        try:
            await self._lanes.submit(self._round, SEED, SECONDS)
        except TaskFailed as failure:
            if "still running" in str(failure):
                raise Wrong(f"a call is answered by its deadline only: {failure}") from failure

    async def _attack_worker(self, raw: bytes) -> None:
        """A worker answers an honest call behind the bent one, or it has ended."""
        if self._worker is None:
            self._worker = await Worker.start(self._directory / "worker", self._program, self._environment)
        worker = self._worker
        honest = encode_frame(json.dumps({**CALL, "id": 999}).encode())
        await worker.send(raw + honest, ends=not is_whole(raw))
        while (message := await worker.read()) is not None:
            if message.get("id") == 999:
                return
        self._worker = None
        await worker.close()


class Worker:
    """A worker process whose node is the test."""

    def __init__(self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._child = child
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, home: Path, program: Path, environment: Environment) -> "Worker":
        """Start it, and wait until it is ready."""
        spill = home / "spill"
        spill.mkdir(parents=True, exist_ok=True)
        order = Order(
            sandbox="none",
            command=environment.command,
            environment={},
            readable=(),
            home=str(home),
            limits=Limits(),
        )
        child = await starter.start(order)
        assert child.stdin is not None
        loop = asyncio.get_running_loop()
        reader = await open_reader(child.stdout)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), child.stdin
        )
        worker = cls(child, reader, asyncio.StreamWriter(transport, protocol, None, loop))
        start = {
            "lane": "review", "filter": "", "task": TASK, "node": str(NODE.pubkey()), "program": str(program),
            "home": str(home), "spill_folder": str(spill), "params": {}, "secrets": {},
        }  # fmt: skip
        await worker.send(encode_frame(json.dumps(start).encode()))
        ready = await worker.read()
        assert ready is not None
        assert "ready" in ready, ready
        return worker

    async def send(self, raw: bytes, ends: bool = False) -> None:
        """Send bytes, if it still reads; `ends`: and no more."""
        with suppress(ConnectionError):
            self._writer.write(raw)
            await self._writer.drain()
        if ends:
            self._writer.close()

    async def read(self) -> Any:
        """Its next frame; None when it has ended."""
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "little")
            return json.loads(await self._reader.readexactly(size))
        except asyncio.IncompleteReadError:
            return None

    async def close(self) -> None:
        """End it."""
        self._child.kill()
        self._writer.close()
        await self._child.wait()
        self._child.stderr.close()


@asynccontextmanager
async def open_processes(directory: Path) -> AsyncIterator[ChannelProcesses]:
    """A task in a sandbox and a worker."""
    environment = await asyncio.to_thread(make_environment, directory / "environments")
    processes = ChannelProcesses(directory, environment)
    try:
        yield processes
    finally:
        await processes.close()
