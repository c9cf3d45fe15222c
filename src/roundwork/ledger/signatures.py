"""Signatures verified in batches: few of them right here, many in worker processes."""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import Enum, auto
from types import TracebackType
from typing import NamedTuple

from ..protocol.transaction import Transaction, is_signed
from .verifying import READY, encode_frame

INLINE_MAX = 8
"""Up to so many transactions are verified on the spot: a trip to a worker costs as much."""

FRAME = 128
"""Transactions that travel to a worker together."""

COMMAND = (sys.executable, "-m", "roundwork.ledger.verifying")

log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """Transactions that somebody waits for the verdicts on."""

    transactions: Sequence[Transaction]
    verdicts: asyncio.Future[list[bool]]


Frame = list[Asked]


class Verifier:
    """Says of transactions whether all their signatures verify. `async with` it.

    What is asked in one turn of the event loop is looked at together, so that single requests of many
    connections make one batch. Workers start when a batch is large, and nobody waits for one: until it says
    that it is ready, and when it ends, what it would do is done here.
    """

    def __init__(self, workers: int | None = None, command: Sequence[str] = COMMAND) -> None:
        self.workers: list[Worker] = []
        self._workers_max = (os.cpu_count() or 1) if workers is None else workers
        self._command = command
        self._asked: list[Asked] = []

    async def verify(self, transactions: Sequence[Transaction]) -> list[bool]:
        """One verdict for each transaction."""
        parts = [transactions[at : at + FRAME] for at in range(0, len(transactions), FRAME)]
        waiting = [self._ask(part) for part in parts]
        return [verdict for verdicts in waiting for verdict in await verdicts]

    async def __aenter__(self) -> "Verifier":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            await worker.close()

    def _ask(self, transactions: Sequence[Transaction]) -> asyncio.Future[list[bool]]:
        loop = asyncio.get_running_loop()
        asked = Asked(transactions, loop.create_future())
        if not self._asked:
            loop.call_soon(self._look_at_asked)
        self._asked.append(asked)
        return asked.verdicts

    def _look_at_asked(self) -> None:
        asked, self._asked = self._asked, []
        if count(asked) <= INLINE_MAX:
            verify_here(asked)
            return
        for frame in divide(asked):
            self._hand_out(frame)

    def _hand_out(self, frame: Frame) -> None:
        ready = [worker for worker in self.workers if worker.is_open]
        if all(worker.frames for worker in ready):
            self._start_worker()
        if ready:
            min(ready, key=lambda worker: len(worker.frames)).send(frame)
        else:
            asyncio.get_running_loop().call_soon(verify_here, frame)  # a frame a turn: others have theirs too

    def _start_worker(self) -> None:
        self.workers = [worker for worker in self.workers if not worker.is_gone]
        is_starting = any(worker.stage is Stage.STARTING for worker in self.workers)
        if not is_starting and len(self.workers) < self._workers_max:
            self.workers.append(Worker(self._command))


class Stage(Enum):
    """Where a worker stands. One that ended before it was ready keeps its place: others would end too."""

    STARTING = auto()
    READY = auto()
    ENDED = auto()
    UNFIT = auto()


class Worker:
    """One worker process, and the frames that it has not answered yet, oldest first."""

    def __init__(self, command: Sequence[str]) -> None:
        self.stage = Stage.STARTING
        self.frames: deque[Frame] = deque()
        self.process: asyncio.subprocess.Process | None = None
        self._running = asyncio.create_task(self._run(command))

    @property
    def is_open(self) -> bool:
        """Whether it may be sent a frame. A process that has just ended is known by its pipe first."""
        stdin = self.process.stdin if self.process is not None else None
        return self.stage is Stage.READY and stdin is not None and not stdin.is_closing()

    @property
    def is_gone(self) -> bool:
        """Whether it was ready once, and its process has ended: another one may take its place."""
        return self.stage is Stage.ENDED and self._running.done()

    def send(self, frame: Frame) -> None:
        """Have a frame verified, by a worker that is open."""
        assert self.process is not None
        assert self.process.stdin is not None
        claims = [
            (one.signatures, one.keys[: one.signers], one.message)
            for asked in frame
            for one in asked.transactions
        ]
        self.process.stdin.write(encode_frame(claims))
        self.frames.append(frame)

    async def close(self) -> None:
        """Stop the process, and wait until it has ended."""
        if self.stage in (Stage.STARTING, Stage.READY):  # else it is waited for already
            self._running.cancel()
        await asyncio.wait([self._running])

    async def _run(self, command: Sequence[str]) -> None:
        try:
            self.process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
            assert self.process.stdout is not None
            await self._collect(self.process.stdout)
        except OSError as error:
            log.warning("no process to verify signatures starts; they are verified here: %s", error)
        else:
            log.warning("a process that verifies signatures has ended; its part is done here")
        finally:
            self.stage = Stage.ENDED if self.stage is Stage.READY else Stage.UNFIT
            for frame in self.frames:
                verify_here(frame)
            if self.process is not None:
                with suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()

    async def _collect(self, verdicts: asyncio.StreamReader) -> None:
        """Take in what the process says, until it ends."""
        if await verdicts.read(len(READY)):
            self.stage = Stage.READY
        received = b""
        while said := await verdicts.read(2**16):
            received += said
            while self.frames and len(received) >= (size := count(self.frames[0])):
                answer(self.frames.popleft(), [verdict == 1 for verdict in received[:size]])
                received = received[size:]


def divide(asked: Sequence[Asked]) -> Iterator[Frame]:
    """Frames of what was asked, in its order."""
    frame: Frame = []
    for one in asked:
        if frame and count(frame) + len(one.transactions) > FRAME:
            yield frame
            frame = []
        frame.append(one)
    yield frame


def count(asked: Sequence[Asked]) -> int:
    """How many transactions these are."""
    return sum([len(one.transactions) for one in asked])


def verify_here(frame: Sequence[Asked]) -> None:
    """Verify what is still waited for, on the spot."""
    for asked in frame:
        if not asked.verdicts.done():
            asked.verdicts.set_result([is_signed(transaction) for transaction in asked.transactions])


def answer(frame: Frame, verdicts: Sequence[bool]) -> None:
    """Give everybody in a frame the part that they asked for."""
    at = 0
    for asked in frame:
        end = at + len(asked.transactions)
        if not asked.verdicts.done():  # else whoever asked has gone
            asked.verdicts.set_result(list(verdicts[at:end]))
        at = end
