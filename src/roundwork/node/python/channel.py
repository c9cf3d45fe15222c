"""A running worker and its channel: frames on pipes, calls to the worker, services that it requests, its log.

The other end is `worker.py`; its docstring describes the frames. Nothing that a worker sends is trusted:
sizes are bounded, every frame is decoded against its shape, and a bad frame ends the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import IO, Annotated, Any

import msgspec

from ...errors import Malformed, RemoteError, StoreFull, TaskFailed
from ...host.logs import Allowance
from ...sdk.worker import FRAME_BYTES_MAX
from ...shown import Blackout, plain
from ...wire import decode_json, read_text
from ..answers import ServiceError
from ..confinement.starter import Child
from ..decoding import run_if_long
from .budget import requests
from .spill import BadSpill, SpillFolder

Service = Callable[[msgspec.Raw], Awaitable[Any]]
"""Answers one method that a task may call at its node: params as JSON bytes in, a JSON value out.

Raises ServiceError for what the task should know, Malformed for wrong params, RemoteError or
StoreFull when the ledger or the disk fails.
"""

Services = Mapping[str, Service]

REQUESTS_MAX = 16
"""Requests of one process that are served at a time; its further frames wait in the pipe."""

LOG_LINE_BYTES_MAX = 4096
LOG_BYTES_PER_MINUTE = 64 * 1024
"""What a process and its successors may log. Strangers start calls: a bound for each call does not help."""

FLOOD_PAUSE_SECONDS = 0.01
"""A pause before each further piece of what is left out: a flood takes little of the node's time."""

FAILURE_CHARACTERS_MAX = 16_384
LAST_WORDS_SECONDS = 1.0
"""A process that closed its channel gets this long to end by itself, so that we learn how it ended."""

log = logging.getLogger(__name__)


class _Frame(msgspec.Struct):
    """Every kind of frame that a worker may send."""

    id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    ready: list[str] | None = None
    method: str | None = msgspec.field(default=None, name="ask")
    """The service that the task requests."""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    answer: msgspec.Raw = msgspec.Raw()
    failed: str | None = None
    spill: str | None = None


class WorkerProcess:
    """One worker, from its start to its end. Every way it can fail ends all waiting calls with TaskFailed."""

    def __init__(self, child: Child, spill: SpillFolder, services: Services, log: TaskLog) -> None:
        self.is_over = False
        self.failure: TaskFailed | None = None
        """Why it can answer nothing more, which may be known before the next call."""
        self.answers = 0
        assert child.stdin is not None
        self._child = child
        self._stdin = child.stdin
        self._writing: asyncio.WriteTransport | None = None
        """None until `start` has connected it: the deadline of `start` may pass before."""
        self._spill = spill
        self._services = services
        self._log = log
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._last_id = 0
        self._serving = asyncio.Semaphore(REQUESTS_MAX)
        self._sending = asyncio.Lock()
        self._faults: set[tuple[str, str]] = set()
        """Services and errors that are in the log already."""
        self._jobs: set[asyncio.Task[None]] = set()
        self._ready: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    async def start(self, message: dict[str, Any]) -> list[str]:
        """Send the first frame and wait until the author's file is imported; the steps it has.

        Raises TaskFailed.
        """
        loop = asyncio.get_running_loop()
        self._from_child = await open_reader(self._child.stdout)
        errors = await open_reader(self._child.stderr)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), self._stdin
        )
        self._writing = transport
        self._to_child = asyncio.StreamWriter(transport, protocol, None, loop)
        self._spawn(self._log.follow(errors))
        self._spawn(self._read())
        await self._send(message)
        return await self._ready

    async def call(self, message: dict[str, Any]) -> msgspec.Raw:
        """Send a call and wait for its answer. Raises TaskFailed."""
        if self.failure is not None:
            raise self.failure
        self._last_id += 1
        call_id = self._last_id
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = future
        try:
            await self._send({**message, "id": call_id})
            return await future
        finally:
            del self._calls[call_id]

    def fail(self, reason: str) -> None:
        """End all waiting calls with TaskFailed; the process is not used again."""
        self.failure = self.failure or TaskFailed(reason[:FAILURE_CHARACTERS_MAX])
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._calls.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(self.failure)
        if not self._ready.cancelled():
            # If nothing waits for it, the failure was reported before: do not report it again.
            self._ready.exception()

    async def end(self) -> None:
        """Kill the process and all that it started, and wait until it has ended; idempotent."""
        if self.is_over:
            return
        self.is_over = True
        self._child.kill()
        for job in self._jobs:
            job.cancel()
        self.fail("its process was killed")
        if self._writing is None:
            self._stdin.close()
        elif not self._writing.is_closing():
            self._writing.abort()
        await self._child.wait()
        self._spill.close()

    async def _read(self) -> None:
        try:
            while self.failure is None:
                size = int.from_bytes(await self._from_child.readexactly(4), "little")
                if size > FRAME_BYTES_MAX:
                    return self.fail(f"it sent a frame of {size} bytes; {FRAME_BYTES_MAX} are allowed")
                await self._take(await self._from_child.readexactly(size))
        except asyncio.IncompleteReadError:
            await self._explain_end()
        except (Malformed, BadSpill) as error:
            self.fail(f"it sent a bad frame: {error}")
        except OSError as error:
            self.fail(f"its channel cannot be read: {error}")

    async def _take(self, body: bytes) -> None:
        """One frame. Raises Malformed, BadSpill."""
        frame = await run_if_long(len(body), _decode, body)
        if frame.spill is None:
            await self._handle(frame)
            return
        size = await asyncio.to_thread(self._spill.measure, frame.spill)
        await requests.take(size)
        job = None
        try:
            body = await asyncio.to_thread(self._spill.take, frame.spill, size)
            job = await self._handle(await run_if_long(size, _decode, body))
        finally:
            if job is None:
                requests.give(size)
            else:
                job.add_done_callback(lambda job: requests.give(size))

    async def _handle(self, frame: _Frame) -> asyncio.Task[None] | None:
        """What a frame says; the job that it began, if it is a request."""
        if frame.method is not None:
            await self._serving.acquire()
            return self._spawn(self._serve(frame.id, frame.method, frame.params))
        if frame.ready is not None:
            if not self._ready.done():
                self._ready.set_result(frame.ready)
                return None
        elif frame.id == 0:
            self.fail(frame.failed or "it sent an answer to nothing")
        elif (future := self._calls.get(frame.id)) is not None and not future.done():
            self.answers += 1
            if frame.failed is not None:
                future.set_exception(TaskFailed(frame.failed[:FAILURE_CHARACTERS_MAX]))
            else:
                future.set_result(frame.answer)
            return None
        await asyncio.sleep(0)  # no caller waits for it: in a flood, all others have their turn
        return None

    async def _serve(self, call_id: int, method: str, params: msgspec.Raw) -> None:
        try:
            reply = await self._request_service(method, params)
            await self._send({"id": call_id, **reply})
        except BadSpill as error:
            self.fail(str(error))
        finally:
            self._serving.release()

    async def _request_service(self, method: str, params: msgspec.Raw) -> dict[str, Any]:
        """The reply to a request: whatever goes wrong, the task gets it at once."""
        service = self._services.get(method)
        if service is None:
            return _error("Refused", f"{method[:80]!r} is not a service")
        try:
            return {"answer": msgspec.Raw(msgspec.json.encode(await service(params)))}
        except ServiceError as error:
            return _error(error.kind, str(error))
        except Malformed as error:
            return _error("Refused", f"{method}: {error}")
        except (RemoteError, TimeoutError) as error:
            return _error("Unavailable", f"{method}: {error}")
        except StoreFull as error:
            return _error("Refused", str(error))
        except Exception as error:  # noqa: BLE001 -- no fault of ours or of a library leaves a task waiting
            self._report_fault(method, error)
            return _error("Unavailable", f"{method}: {type(error).__name__}")

    def _report_fault(self, method: str, error: Exception) -> None:
        """Log an error that no service may raise, once for each process."""
        fault = (method, type(error).__name__)
        if fault not in self._faults:
            self._faults.add(fault)
            log.error("the service %s failed", method, exc_info=error)

    async def _send(self, message: dict[str, Any]) -> None:
        body = msgspec.json.encode(message)
        if len(body) > FRAME_BYTES_MAX:
            name = await asyncio.to_thread(self._spill.put, body)
            body = msgspec.json.encode({"spill": name})
        async with self._sending:
            self._to_child.write(len(body).to_bytes(4, "little") + body)
            try:
                await self._to_child.drain()
            except ConnectionError:
                # The reading side sees the end too, and reports the reason.
                return

    async def _explain_end(self) -> None:
        """The channel is closed: report how the process ended; kill it if it has not."""
        timer = asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._child.kill)
        ended = await self._child.wait()
        timer.cancel()
        self.fail(f"its process ended ({ended.reason})")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job


class TaskLog:
    """What a task prints, line by line: long lines are cut; more than an allowance of time is only counted.

    It outlives the processes that print: a task that ends again and again logs no more than another.
    """

    def __init__(self, log: Callable[[str], None], secrets: Blackout) -> None:
        self._log = log
        self._secrets = secrets
        self._allowance = Allowance(LOG_BYTES_PER_MINUTE)

    def write(self, text: str) -> None:
        """Log a text as one line, if the allowance has room for it."""
        notes, shown = self._allowance.take(lambda: plain(self._secrets.hide(text)))
        for line in notes if shown is None else [*notes, shown]:
            self._log(line)

    async def follow(self, source: asyncio.StreamReader) -> None:
        """Log lines until the process closes its end."""
        rest = b""
        while chunk := await source.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LOG_LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            for at, line in enumerate(lines):
                if self._allowance.is_full:
                    self._allowance.leave_out(len(lines) - at)
                    await asyncio.sleep(FLOOD_PAUSE_SECONDS)
                    break
                self._take(line)
        if rest:
            self._take(rest)

    def _take(self, line: bytes) -> None:
        self.write(read_text(line[:LOG_LINE_BYTES_MAX]))


def _decode(body: bytes) -> _Frame:
    return decode_json(body, _Frame)


def _error(kind: str, text: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "text": text}}


async def open_reader(pipe: IO[bytes]) -> asyncio.StreamReader:
    """A reader on this loop for what a process writes into a pipe."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader
