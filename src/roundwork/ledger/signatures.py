"""Signatures verified in batches: a few in this process, many in worker processes."""

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
"""Up to this many transactions are verified in this process: sending them to a worker costs as much."""

FRAME = 128
"""Transactions that travel to a worker together."""

COMMAND = (sys.executable, "-m", "roundwork.ledger.verifying")

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """Transactions to verify, and the verdicts that a caller waits for."""

    transactions: Sequence[Transaction]
    verdicts: asyncio.Future[list[bool]]


Frame = list[Request]


class Verifier:
    """Says of transactions whether all their signatures verify. `async with` it.

    Requests that come in the same turn of the event loop are verified together, so that single requests of
    many connections make one batch. Workers start when a batch is large. No request waits for a worker to
    start: until it is ready, and after it has ended, this process does its work.
    """

    def __init__(self, workers: int | None = None, command: Sequence[str] = COMMAND) -> None:
        self.workers: list[Worker] = []
        self._workers_max = (os.cpu_count() or 1) if workers is None else workers
        self._command = command
        self._requests: list[Request] = []

    async def verify(self, transactions: Sequence[Transaction]) -> list[bool]:
        """One verdict for each transaction."""
        parts = [transactions[at : at + FRAME] for at in range(0, len(transactions), FRAME)]
        waiting = [self._request(part) for part in parts]
        return [verdict for verdicts in waiting for verdict in await verdicts]

    async def __aenter__(self) -> "Verifier":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            await worker.close()

    def _request(self, transactions: Sequence[Transaction]) -> asyncio.Future[list[bool]]:
        loop = asyncio.get_running_loop()
        request = Request(transactions, loop.create_future())
        if not self._requests:
            loop.call_soon(self._verify_requests)
        self._requests.append(request)
        return request.verdicts

    def _verify_requests(self) -> None:
        requests, self._requests = self._requests, []
        if count(requests) <= INLINE_MAX:
            verify_here(requests)
            return
        for frame in divide(requests):
            self._hand_out(frame)

    def _hand_out(self, frame: Frame) -> None:
        ready = [worker for worker in self.workers if worker.is_open]
        if all(worker.frames for worker in ready):
            self._start_worker()
        if ready:
            min(ready, key=lambda worker: len(worker.frames)).send(frame)
        else:
            asyncio.get_running_loop().call_soon(verify_here, frame)  # one a turn of the loop

    def _start_worker(self) -> None:
        self.workers = [worker for worker in self.workers if not worker.is_gone]
        is_starting = any(worker.stage is Stage.STARTING for worker in self.workers)
        if not is_starting and len(self.workers) < self._workers_max:
            self.workers.append(Worker(self._command))


class Stage(Enum):
    """Where a worker stands. UNFIT ended before it was ready and keeps its place: others would end too."""

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
        """Whether it takes frames. When its process ends, the pipe closes before the loop knows."""
        stdin = self.process.stdin if self.process is not None else None
        return self.stage is Stage.READY and stdin is not None and not stdin.is_closing()

    @property
    def is_gone(self) -> bool:
        """Whether it was ready and its process has ended: another worker may take its place."""
        return self.stage is Stage.ENDED and self._running.done()

    def send(self, frame: Frame) -> None:
        """Have a frame verified. The worker is open."""
        assert self.process is not None
        assert self.process.stdin is not None
        claims = [
            (transaction.signatures, transaction.keys[: transaction.signers], transaction.message)
            for request in frame
            for transaction in request.transactions
        ]
        self.process.stdin.write(encode_frame(claims))
        self.frames.append(frame)

    async def close(self) -> None:
        """Stop the process, and wait until it has ended."""
        if self.stage in (Stage.STARTING, Stage.READY):  # else its end is awaited already
            self._running.cancel()
        await asyncio.wait([self._running])

    async def _run(self, command: Sequence[str]) -> None:
        try:
            self.process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
            assert self.process.stdout is not None
            await self._collect(self.process.stdout)
        except OSError as error:
            log.warning("a process that verifies signatures cannot start, this one does it: %s", error)
        else:
            log.warning("a process that verifies signatures has ended, this one does its part")
        finally:
            self.stage = Stage.ENDED if self.stage is Stage.READY else Stage.UNFIT
            for frame in self.frames:
                verify_here(frame)
            if self.process is not None:
                with suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()

    async def _collect(self, verdicts: asyncio.StreamReader) -> None:
        """Read the verdicts of the process until it ends."""
        if await verdicts.read(len(READY)):
            self.stage = Stage.READY
        received = b""
        while said := await verdicts.read(2**16):
            received += said
            while self.frames and len(received) >= (size := count(self.frames[0])):
                answer(self.frames.popleft(), [verdict == 1 for verdict in received[:size]])
                received = received[size:]


def divide(requests: Sequence[Request]) -> Iterator[Frame]:
    """Frames of the requests, in their order."""
    frame: Frame = []
    for request in requests:
        if frame and count(frame) + len(request.transactions) > FRAME:
            yield frame
            frame = []
        frame.append(request)
    yield frame


def count(requests: Sequence[Request]) -> int:
    """How many transactions these are."""
    return sum([len(request.transactions) for request in requests])


def verify_here(frame: Sequence[Request]) -> None:
    """Verify in this process what still has a waiting caller."""
    for request in frame:
        if not request.verdicts.done():
            request.verdicts.set_result([is_signed(transaction) for transaction in request.transactions])


def answer(frame: Frame, verdicts: Sequence[bool]) -> None:
    """Give each request of a frame its part of the verdicts."""
    at = 0
    for request in frame:
        end = at + len(request.transactions)
        if not request.verdicts.done():  # else its caller has gone
            request.verdicts.set_result(list(verdicts[at:end]))
        at = end
