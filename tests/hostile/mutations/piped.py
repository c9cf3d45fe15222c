"""Children of a node whose programs are played by the test, in this process."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import pytest

from roundwork.node.confinement.order import Ended, Order
from roundwork.node.python import lane
from roundwork.node.python.channel import open_reader


def encode_frame(body: bytes) -> bytes:
    """A body with its length before it."""
    return len(body).to_bytes(4, "little") + body


class PipedChild:
    """What the node has of a started program: three pipes; and the program's ends of them."""

    def __init__(self) -> None:
        (task_in, node_out), (node_in, task_out), (node_err, task_err) = (os.pipe() for _ in range(3))
        self.stdin: IO[bytes] = os.fdopen(node_out, "wb", buffering=0)
        self.stdout: IO[bytes] = os.fdopen(node_in, "rb", buffering=0)
        self.stderr: IO[bytes] = os.fdopen(node_err, "rb", buffering=0)
        self._pipes = [
            os.fdopen(task_in, "rb", 0),
            os.fdopen(task_out, "wb", 0),
            os.fdopen(task_err, "wb", 0),
        ]
        self._ended = asyncio.Event()
        self._reader: asyncio.StreamReader | None = None
        self._writers: list[asyncio.StreamWriter] = []

    # The node's side

    def kill(self) -> None:
        self.end()

    async def wait(self) -> Ended:
        await self._ended.wait()
        return Ended(0, "exit 0")

    # The program's side

    @property
    def is_ended(self) -> bool:
        """Whether it was killed, or has ended."""
        return self._ended.is_set()

    async def connect(self) -> None:
        """Open the program's ends on this loop."""
        loop = asyncio.get_running_loop()
        self._reader = await open_reader(self._pipes[0])
        for pipe in self._pipes[1:]:
            transport, protocol = await loop.connect_write_pipe(
                lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe
            )
            self._writers.append(asyncio.StreamWriter(transport, protocol, None, loop))

    async def read(self) -> Any:
        """The next frame of the node's; None at the end."""
        assert self._reader is not None
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "little")
            return json.loads(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def write(self, raw: bytes, printed: bytes = b"") -> None:
        """Send bytes, and print some."""
        with suppress(ConnectionError):
            for writer, sent in zip(self._writers, (raw, printed), strict=True):
                writer.write(sent)
                await writer.drain()

    def end(self) -> None:
        """End as a process does: all its pipes close."""
        self._ended.set()
        for writer in self._writers:
            writer.close()


class PipedStarter:
    """Starts programs that are played in this process."""

    def __init__(self) -> None:
        self._started: asyncio.Queue[PipedChild] = asyncio.Queue()

    async def start(self, order: Order) -> PipedChild:
        """The node's side."""
        child = PipedChild()
        await child.connect()
        self._started.put_nowait(child)
        return child

    async def wait_for_start(self) -> PipedChild:
        """The next program that is started."""
        return await self._started.get()


@contextmanager
def play_programs() -> Iterator[PipedStarter]:
    """Let lanes of this process start played programs."""
    with pytest.MonkeyPatch.context() as patch:
        starter = PipedStarter()
        patch.setattr(lane, "starter", starter)
        yield starter
