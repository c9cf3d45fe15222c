"""Processes beside a benchmark: websockets that get all heads, and a client that sends transfers."""

import asyncio
import base64
import contextlib
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Coroutine, Iterator
from multiprocessing.connection import Connection as Pipe
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from connections import Connection
from law import give
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

PROBE_SECONDS = 0.05
READER_PROCESSES = 2
READERS_NICE = 5
"""Readers give way to the ledger and its client, but a busy machine does not starve them."""

TEXT, PING = 1, 9
"""Opcodes of websockets."""

MESSAGES_BEFORE = 3
"""Messages that a reader has had before anything is measured: its id, two heads."""


class PushReader(asyncio.Protocol):
    """A websocket that subscribes to the heads of a task and counts what comes."""

    def __init__(self, netloc: str, task: str) -> None:
        self.bytes = 0
        self.messages = 0
        self.ready = asyncio.Event()
        self.is_lost = False
        self._netloc = netloc
        self._task = task
        self._transport: asyncio.Transport | None = None
        self._is_open = False
        self._waiting = bytearray()
        """What came of a frame that is not whole yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET / HTTP/1.1\r\nHost: {self._netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        transport.write(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self.bytes += len(data)
        self._waiting += data
        if not self._is_open:
            _, end, rest = self._waiting.partition(b"\r\n\r\n")
            if not end:
                return
            self._is_open, self._waiting = True, rest
            request = {"jsonrpc": "2.0", "id": 1, "method": "taskHeadSubscribe", "params": [self._task]}
            text = msgspec.json.encode(request)
            self._transport.write(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
        while (frame := self._take_frame()) is not None:
            opcode, payload = frame
            if opcode == PING:  # a pong without the bytes of the ping does not count
                self._transport.write(b"\x8a" + bytes([0x80 | len(payload), 0, 0, 0, 0]) + payload)
            elif opcode == TEXT:
                self.messages += 1
                if self.messages == MESSAGES_BEFORE:
                    self.ready.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self.ready.set()

    def _take_frame(self) -> tuple[int, bytes] | None:
        """The opcode and the payload of the next frame, which is taken; None if it is not whole yet."""
        frame = self._waiting
        if len(frame) < 2:
            return None
        size, head = frame[1] & 127, 2
        if size >= 126:
            head = 4 if size == 126 else 10
            size = int.from_bytes(frame[2:head], "big")
        if len(frame) < head + size:
            return None
        opcode, payload = frame[0] & 15, bytes(frame[head : head + size])
        del frame[: head + size]
        return opcode, payload


class Readers:
    """The websockets of all nodes, in processes of their own with low priority."""

    def __init__(self, url: str, task: str, count: int) -> None:
        """Returns when every websocket has had two heads."""
        shares = [
            count // READER_PROCESSES + (at < count % READER_PROCESSES) for at in range(READER_PROCESSES)
        ]
        self.count = count
        self.lost = 0
        """Websockets that the ledger has closed."""
        started = [_start(_keep_reading, url, task, share) for share in shares if share]
        self._pipes = [pipe for pipe, _ in started]
        self._processes = [process for _, process in started]
        for pipe in self._pipes:
            pipe.recv()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let the readers take no processor. What the ledger sends them meanwhile waits in the system."""
        for process in self._processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in self._processes:
                os.kill(process, signal.SIGCONT)

    def count_bytes(self) -> int:
        """The bytes that came so far."""
        for pipe in self._pipes:
            pipe.send(None)
        shares = [pipe.recv() for pipe in self._pipes]
        self.lost = sum(lost for _, lost in shares)
        return sum(size for size, _ in shares)


class Probed(NamedTuple):
    """What a probe has measured, in seconds."""

    latencies: list[float]
    """How long each transfer took to be durable."""
    late: list[float]
    """How late the process woke from each sleep."""


class Probe:
    """A process that sends a transfer every 50 ms. It measures how long each took to be durable."""

    def __init__(self, url: str, pair: Keypair) -> None:
        self._pipe, _ = _start(_keep_probing, url, bytes(pair))

    def take(self) -> Probed:
        """What was measured since the last call."""
        self._pipe.send(None)
        return Probed(*self._pipe.recv())


def raise_file_limit() -> int:
    """Let this process open as many files as the system allows; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _start(run: Any, *arguments: Any) -> tuple[Pipe, int]:
    """A process that ends with this one; the pipe to it, and its id."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(run, there, *arguments), daemon=True)
    process.start()
    assert process.pid is not None
    return here, process.pid


def _run(run: Any, pipe: Pipe, *arguments: Any) -> None:
    raise_file_limit()
    main: Coroutine[Any, Any, None] = run(pipe, *arguments)
    with contextlib.suppress(EOFError):  # the process that started it has ended
        asyncio.run(main)


async def _wait_for_request(pipe: Pipe) -> None:
    loop, has_come = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe.fileno(), has_come.set)
    await has_come.wait()
    loop.remove_reader(pipe.fileno())
    pipe.recv()


async def _keep_reading(pipe: Pipe, url: str, task: str, count: int) -> None:
    os.nice(READERS_NICE)
    netloc = urlsplit(url).netloc
    host, _, port = netloc.rpartition(":")
    loop, readers = asyncio.get_running_loop(), []
    for at in range(count):
        _, reader = await loop.create_connection(lambda: PushReader(netloc, task), host, int(port))
        readers.append(reader)
        if at % 50 == 49:
            await asyncio.sleep(0.05)
    await asyncio.gather(*(reader.ready.wait() for reader in readers))
    pipe.send(None)
    while True:
        await _wait_for_request(pipe)
        lost = sum(reader.is_lost for reader in readers)
        pipe.send((sum(reader.bytes for reader in readers), lost))


async def _keep_probing(pipe: Pipe, url: str, secret: bytes) -> None:
    connection, pair, target = await Connection.open(url), Keypair.from_bytes(secret), Keypair().pubkey()
    latencies: list[float] = []
    late: list[float] = []

    async def probe() -> None:
        count = 0
        while True:
            latest = await connection.call("getLatestBlockhash")
            tick = Hash.from_string(latest["value"]["blockhash"])
            count += 1
            transfers = [give(target, pair.pubkey())] * (1 + count % 7)
            message = Message.new_with_blockhash(transfers, pair.pubkey(), tick)
            wire = base64.b64encode(bytes(Transaction([pair], message, tick))).decode()
            began = time.perf_counter()
            body = {"method": "sendTransaction", "params": [wire, {"encoding": "base64"}], "id": 1}
            await connection.post(msgspec.json.encode({"jsonrpc": "2.0", **body}))
            latencies.append(time.perf_counter() - began)
            due = time.perf_counter() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            late.append(max(time.perf_counter() - due, 0.0))

    probing = asyncio.create_task(probe())
    while not probing.done():
        await _wait_for_request(pipe)
        pipe.send((latencies[:], late[:]))
        latencies.clear()
        late.clear()
