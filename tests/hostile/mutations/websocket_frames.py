"""Websocket frames: subscriptions and requests of docs/RPC.md in frames whose bytes are mutated."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from ...ledger.process import running
from .bend import bend_bytes, bend_json, write
from .room import (
    DOCUMENTED,
    Honest,
    InProcess,
    Names,
    OverHttp,
    Poster,
    check_answer,
    fill,
    make_names,
    open_ledger,
    renew_names,
)
from .surface import Wrong

SUBSCRIPTIONS = [request for request in DOCUMENTED if request["method"].endswith("Subscribe")]
ENDINGS = [
    {**request, "method": request["method"].replace("Subscribe", "Unsubscribe"), "params": [1]}
    for request in SUBSCRIPTIONS
]
MESSAGES = [*SUBSCRIPTIONS * 3, *ENDINGS * 2, *DOCUMENTED]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
OPCODES = (CONTINUATION, TEXT, TEXT, TEXT, BINARY, 0x3, 0x7, CLOSE, PING, PONG, 0xB, 0xF)
CODES = {1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009}
"""What a websocket may be closed with. 1011 says that the server failed."""

GONE = 0
"""Closed without a word, as a server may do with a connection that its client has ended within a frame."""

INPUTS_PER_CONNECTION = 200


class Frame(NamedTuple):
    """One frame before its names are filled in."""

    head: int
    """The first byte: whether it is the last of a message, three reserved bits, the opcode."""
    payload: bytes
    is_masked: bool = True
    claims: int | None = None
    """Bytes that it says it has, if that is not what it has."""
    length_bytes: int = 0
    """The form of the length: 2 or 8 bytes where fewer would do."""

    def encode(self, names: Names) -> bytes:
        payload = fill(self.payload, names)
        size = len(payload) if self.claims is None else self.claims
        mask = b"\1\2\3\4" if self.is_masked else b""
        masked = bytes(byte ^ (at % 4 + 1) for at, byte in enumerate(payload)) if self.is_masked else payload
        flag = 0x80 if self.is_masked else 0
        if size < 126 and not self.length_bytes:
            length = bytes([flag | size])
        elif size < 2**16 and self.length_bytes != 8:
            length = bytes([flag | 126]) + size.to_bytes(2, "big")
        else:
            length = bytes([flag | 127]) + size.to_bytes(8, "big")
        return bytes([self.head]) + length + mask + masked


class Frames(NamedTuple):
    """Frames that are sent together; `bend` seeds what happens to their bytes after that."""

    frames: list[Frame]
    bend: int | None = None

    def encode(self, names: Names) -> bytes:
        raw = b"".join(frame.encode(names) for frame in self.frames)
        return raw if self.bend is None else bend_bytes(Random(self.bend), raw, [raw])

    def list_codes(self) -> set[int]:
        """The codes that frames among them close the connection with."""
        closing = [frame.payload for frame in self.frames if frame.head & 0x0F == CLOSE]
        return {int.from_bytes(payload[:2], "big") for payload in closing}


def make_frames(random: Random) -> Frames:
    """A message, whole or in parts, in frames that are bent or not."""
    message = bend_json(random, random.choice(MESSAGES), MESSAGES)
    if random.random() < 0.3:
        message = write(random, random.choice(MESSAGES))
    kind = random.random()
    if kind < 0.5:
        return Frames([Frame(0x80 | TEXT, message)])
    if kind < 0.65:  # in parts, perhaps with a control frame between them, perhaps without an end
        parts = [message[at : at + 40] for at in range(0, len(message), 40)][:6] or [b""]
        frames = [Frame(TEXT if not at else CONTINUATION, part) for at, part in enumerate(parts)]
        if random.random() < 0.8:
            frames[-1] = frames[-1]._replace(head=frames[-1].head | 0x80)
        if random.random() < 0.5:
            frames.insert(random.randrange(len(frames) + 1), _make_control(random))
        return Frames(frames)
    if kind < 0.75:
        return Frames([_make_control(random), Frame(0x80 | TEXT, message)])
    odd = Frame(
        random.choice((0x80, 0x80, 0x80, 0, 0xC0, 0x90)) | random.choice(OPCODES),
        message,
        random.random() < 0.8,
        random.choice(
            (None, None, 0, 1, len(message) + 1, 125, 65_535, 2**22 + 1, 2**32, 2**63 - 1, 2**64 - 1)
        ),
        random.choice((0, 0, 2, 8)),
    )
    return Frames([odd], random.randrange(2**32) if random.random() < 0.5 else None)


def _make_control(random: Random) -> Frame:
    opcode = random.choice((PING, PING, PONG, CLOSE))
    code = random.choice((1000, 1001, 1002, 1004, 1005, 1006, 1011, 1015, 999, 3000, 4999, 5000, 65535))
    payload = code.to_bytes(2, "big") if opcode == CLOSE else b""
    payload += random.choice((b"", b"why", b"\xff\xfe", b"x" * 123, b"x" * 126))
    return Frame(random.choice((0x80, 0x80, 0x80, 0)) | opcode, payload)


def is_whole(raw: bytes) -> bool:
    """Whether bytes end where a frame ends, as far as their lengths say."""
    at = 0
    while at < len(raw):
        if len(raw) < at + 2:
            return False
        size, is_masked = raw[at + 1] & 0x7F, raw[at + 1] & 0x80
        extra = {126: 2, 127: 8}.get(size, 0)
        if len(raw) < at + 2 + extra:
            return False
        if extra:
            size = int.from_bytes(raw[at + 2 : at + 2 + extra], "big")
        at += 2 + extra + (4 if is_masked else 0) + size
    return at == len(raw)


class Socket:
    """A websocket whose client side sends whatever it is given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.code: int | None = None
        """What it was closed with."""

    @classmethod
    async def open(cls, url: str) -> "Socket":
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**25)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET / HTTP/1.1",
            "Host: here",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise Wrong(f"no websocket: {head!r:.300}")
        return cls(reader, writer)

    def send(self, raw: bytes, ends: bool = False) -> None:
        """Send bytes; `ends` also says that nothing more will come."""
        self._writer.write(raw)
        if ends:
            with suppress(OSError):  # the other side was faster
                self._writer.write_eof()

    async def receive(self) -> bytes | None:
        """The next text; None when the other side has closed, and `code` says how."""
        while True:
            try:
                head = await self._reader.readexactly(2)
                size = head[1] & 0x7F
                extra = {126: 2, 127: 8}.get(size, 0)
                if extra:
                    size = int.from_bytes(await self._reader.readexactly(extra), "big")
                payload = await self._reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.code = GONE
                return None
            match head[0] & 0x0F:
                case 0x8:
                    self.code = int.from_bytes(payload[:2], "big") if payload else 1005
                    return None
                case 0x1:
                    return payload
                case 0x2:
                    raise Wrong("a binary frame came")
                case _:
                    continue

    async def close(self) -> None:
        """Let go of the connection."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


class WebsocketFrames:
    """Frames against one ledger."""

    def __init__(
        self, url: str, poster: Poster, names: Names, confirm: Callable[[], Awaitable[None]]
    ) -> None:
        self._url = url
        self._poster = poster
        self._names = names
        self._confirm = confirm
        self._socket: Socket | None = None
        self._since = 0

    def make(self, random: Random) -> Frames:
        return make_frames(random)

    async def attack(self, made: Frames) -> None:
        if self._socket is None:
            self._socket, self._since = await Socket.open(self._url), 0
        self._since += 1
        is_good = False
        try:
            is_good = await self._send(self._socket, made.encode(self._names), made.list_codes())
        finally:
            if not is_good or self._since == INPUTS_PER_CONNECTION:
                await self.close()

    async def _send(self, socket: Socket, raw: bytes, codes: set[int]) -> bool:
        """Send bytes and, where a frame may follow, an honest request; whether that was answered.

        `codes`: what the bytes themselves close with, which is sent back. Raises Wrong if the connection was
        closed in no good order.
        """
        ends = not is_whole(raw)
        honest = {"jsonrpc": "2.0", "id": f"honest {self._since}", "method": "getGenesisHash"}
        frame = Frame(0x80 | TEXT, json.dumps(honest).encode())
        socket.send(raw if ends else raw + frame.encode({}), ends)
        while (text := await socket.receive()) is not None:
            message = json.loads(text)
            if isinstance(message, dict) and message.get("id") == honest["id"] and "result" in message:
                return True
            check_message(message)
        if socket.code not in CODES | codes and not (ends and socket.code == GONE):
            raise Wrong(f"closed with {socket.code}")
        return False

    async def confirm(self) -> None:
        await self._confirm()
        self._names |= await renew_names(self._poster)

    async def close(self) -> None:
        """Let go of the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()


def check_message(message: Any) -> None:
    """Raises Wrong unless it is a notification, a response, or a batch of them."""
    for each in message if isinstance(message, list) else [message]:
        if isinstance(each, dict) and str(each.get("method", "")).endswith("Notification"):
            params = each["params"]
            if not isinstance(params["subscription"], int) or "result" not in params:
                raise Wrong(f"an odd notification: {each!r:.300}")
        else:
            check_answer(each)


@asynccontextmanager
async def open_sockets(directory: Path) -> AsyncIterator[WebsocketFrames]:
    async with open_ledger(directory) as ledger:
        poster = InProcess(ledger.app)
        honest = Honest(poster)
        await honest.begin()

        async def confirm() -> None:
            await honest.use()
            ledger.check_books()

        frames = WebsocketFrames(ledger.url, poster, ledger.names, confirm)
        yield frames
        await frames.close()


@asynccontextmanager
async def open_sockets_process(directory: Path) -> AsyncIterator[WebsocketFrames]:
    with running(directory / "ledger") as ledger:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
            poster = OverHttp(http, ledger.url)
            names = await make_names(ledger.url) | await renew_names(poster)
            honest = Honest(poster)
            await honest.begin()
            frames = WebsocketFrames(ledger.url, poster, names, honest.use)
            yield frames
            await frames.close()
        if ledger.process.poll() is not None:
            raise Wrong(f"the ledger ended with {ledger.process.returncode}")
