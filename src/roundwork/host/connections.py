"""Connections of clients, HTTP and websocket, held to the limits of a front, and what accepts them."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import State

from .front import Front, compute_name

PIPELINE_MAX = 16
"""Requests of one connection that wait until the one before them is answered."""

CHUNKS_MAX = 4_096
"""Pieces that one request's body may be sent in, where the client sends it in chunks."""

SLICE_BYTES = 2**12
"""A websocket's messages are read out of pieces of this size, so that few are read ahead."""

FRAGMENT_BYTES = 64
"""The bytes that a piece of a websocket's message counts in addition to its data."""

HANDSHAKE_LINE_BYTES_MAX = 8_000
"""The websockets library reads lines of the handshake up to 8192 bytes."""

WRITE_TEXT = "roundwork.write_text"
"""The extension of a websocket's scope with which an application writes a message without waiting: a message
of the application's own `send` costs twice the time."""

ACCEPTED_AT_ONCE = 64
"""Connections accepted in one turn of the event loop."""

REFUSALS_AT_ONCE = 64
"""Refused connections that are kept for a moment, so that the client can read why."""

REFUSAL_SECONDS = 1.0
"""How long that moment is."""

RETRY_SECONDS = 0.1
"""How long accepting pauses when the system has no more descriptors or memory."""

LOG_SECONDS = 60.0

log = logging.getLogger(__name__)


class BrokenLimit(Exception):
    """A request exceeds a limit. It is answered with a status of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Connection(HttpToolsProtocol):
    """An HTTP connection that keeps to the limits of its front."""

    def __init__(self, front: Front, address: str, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self.address = address
        self._front = front
        self.ws_protocol_class = partial(Websocket, front, address) if config.ws != "none" else None  # type: ignore[assignment]
        self._broken: BrokenLimit | None = None
        self._is_reading = False
        """Whether a request has begun that is not complete."""
        self._is_in_head = True
        self._ends = 0
        """How often a head or a request was complete."""
        self._head_bytes = 0
        self._head_fields = 0
        self._chunks = 0
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._front.start_waiting(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._front.leave(self)

    # What comes in

    def data_received(self, data: bytes) -> None:
        ends = self._ends
        super().data_received(data)
        if not self._is_in_head or self._broken is not None:
            return
        # A field that does not end is not reported by the parser, but it grows.
        self._head_bytes = self._head_bytes + len(data) if ends == self._ends else 0
        if self._head_bytes > self._front.limits.head_bytes:
            self._break(431, f"a request's head has at most {self._front.limits.head_bytes} bytes")
            self.send_400_response("")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINE_MAX:
            raise self._break(503, f"at most {PIPELINE_MAX} requests wait for the one before them")
        super().on_message_begin()
        self._is_reading = self._is_in_head = True
        self._head_fields = self._chunks = 0
        self._front.start_waiting(self, self.loop.time())

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_fields += 1
        if self._head_fields > self._front.limits.head_fields:
            raise self._break(431, f"a request has at most {self._front.limits.head_fields} header fields")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._ends += 1
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._front.limits.head_bytes:
            raise self._break(431, f"a request's head has at most {self._front.limits.head_bytes} bytes")
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._chunks += 1
        if self._chunks > CHUNKS_MAX:
            raise self._break(413, f"a body has at most {CHUNKS_MAX} chunks")

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if not self.cycle.response_complete:  # else the rest of the body is not kept
            self._body_bytes += len(body)
            self._count_held()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_reading = False
        self._is_in_head = True
        self._ends += 1
        self._front.stop_waiting(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._body_bytes = 0
        self._count_held()
        if not self._is_reading and not self.pipeline and not self.transport.is_closing():
            self._front.start_waiting(self, self.loop.time())

    def handle_websocket_upgrade(self) -> None:
        lines = [self.url, *(name + value for name, value in self.headers)]
        refusal = self._front.find_websocket_refusal()
        if refusal is None and max(map(len, lines)) <= HANDSHAKE_LINE_BYTES_MAX:
            self._front.leave(self)
            super().handle_websocket_upgrade()
        else:
            self.refuse(503 if refusal else 431, refusal or "a line of the handshake is too long")

    # What goes out

    def pause_writing(self) -> None:
        super().pause_writing()
        self._front.start_sending(self, self.loop.time())
        self._count_held()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._front.stop_sending(self)
        self._count_held()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be read, or that exceeds a limit: then with the status of that."""
        status, reason = (400, msg) if self._broken is None else (self._broken.status, self._broken.reason)
        self.refuse(status, reason)

    def refuse(self, status: int, reason: str) -> None:
        """Answer with this error if no answer has begun, and close."""
        cycle: RequestResponseCycle | None = self.cycle
        has_begun = cycle is not None and cycle.response_started and not cycle.response_complete
        if not has_begun and (self._is_reading or status != 408):  # an idle connection is just closed
            self.transport.write(compose_refusal(status, reason))
        self.transport.close()

    def cut(self) -> None:
        """Close at once, without what is still to be sent."""
        self.transport.abort()

    def get_unsent_bytes(self) -> int:
        """Bytes of responses that the client has not taken in."""
        return self.transport.get_write_buffer_size()

    def _break(self, status: int, reason: str) -> BrokenLimit:
        self._broken = BrokenLimit(status, reason)
        return self._broken

    def _count_held(self) -> None:
        unsent = self.get_unsent_bytes() if self.flow.write_paused else 0
        self._front.hold(self, self._body_bytes + unsent)


class Websocket(WebSocketsSansIOProtocol):
    """A websocket that keeps to the limits of its front."""

    def __init__(self, front: Front, address: str, **options: Any) -> None:
        super().__init__(**options)
        self.address = address
        self._front = front
        self._unread = bytearray()
        """What has come in behind a message that is not taken yet."""
        self._fragments_bytes = 0
        """Bytes of the frames whose message is not complete."""
        self._is_watched = False
        self._is_text = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._front.enter(self, is_websocket=True)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._front.leave(self)

    # What comes in

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._read_on()

    def _read_on(self) -> None:
        while self._unread and not self.read_paused and not self.transport.is_closing():
            part = bytes(self._unread[:SLICE_BYTES])
            del self._unread[:SLICE_BYTES]
            super().data_received(part)
        self._watch()

    async def receive(self) -> Any:
        message = await super().receive()
        self._read_on()
        return message

    def handle_text(self, event: Frame) -> None:
        self._is_text = True
        self._begin_message(event)

    def handle_bytes(self, event: Frame) -> None:
        self._is_text = False
        self._begin_message(event)

    def handle_cont(self, event: Frame) -> None:
        self._fragments_bytes += FRAGMENT_BYTES + len(event.data)
        super().handle_cont(event)

    def _begin_message(self, event: Frame) -> None:
        self._fragments_bytes = FRAGMENT_BYTES + len(event.data)
        super().handle_bytes(event)  # texts are passed on as bytes, too: their reader decodes them

    def send_receive_event_to_app(self) -> None:
        """Pass a message on, unless it is a text that is not UTF-8: then close, as RFC 6455 says."""
        self._fragments_bytes = 0
        if self._is_text and not is_utf8(self.frames):
            if self.conn.close_sent is None:  # else the client has closed right behind the text
                self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is None:  # it was in the handshake
            self.transport.abort()
        else:
            super().handle_parser_exception()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        self.scope["extensions"][WRITE_TEXT] = {"write": self.write_text}  # the application has not begun yet

    # What goes out

    def write_text(self, parts: Sequence[bytes | msgspec.Raw]) -> bool:
        """Write one message of text at once; False, without writing it, if the application has to wait."""
        if not self.writable.is_set() or self.conn.state is not State.OPEN or self.transport.is_closing():
            return False
        size = sum([memoryview(part).nbytes for part in parts])
        self.transport.write(b"".join((compose_frame_head(size), *parts)))
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._front.start_sending(self, self.loop.time())
        self._count_held()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._front.stop_sending(self)
        self._count_held()

    def refuse(self, status: int, reason: str) -> None:
        """Close with this reason; a websocket has no status of HTTP."""
        if self.handshake_complete and not self.close_sent:
            self.conn.fail(CloseCode.POLICY_VIOLATION, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.transport.close()

    def cut(self) -> None:
        """Close at once, without what is still to be sent."""
        self.transport.abort()

    def get_unsent_bytes(self) -> int:
        """Bytes of messages that the client has not taken in."""
        return self.transport.get_write_buffer_size()

    def _watch(self) -> None:
        """Have a message watched from its first byte to its last."""
        if self._count_unfinished() == 0:
            self._front.stop_waiting(self)
            self._is_watched = False
        elif not self._is_watched:
            self._front.start_waiting(self, self.loop.time())
            self._is_watched = True
        self._count_held()

    def _count_unfinished(self) -> int:
        return len(self.conn.reader.buffer) + self._fragments_bytes

    def _count_held(self) -> None:
        unsent = 0 if self.writable.is_set() else self.get_unsent_bytes()
        self._front.hold(self, len(self._unread) + self._count_unfinished() + unsent)


class Refusal(asyncio.Protocol):
    """A connection that gets a refusal and is closed when the client has read it, or after a moment."""

    def __init__(self, reason: str, ended: Callable[[], None]) -> None:
        self._reason = reason
        self._ended = ended

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.write(compose_refusal(503, self._reason))
        transport.write_eof()
        asyncio.get_running_loop().call_later(REFUSAL_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()


class Acceptor:
    """Accepts the connections of one listening socket, as long as there are places and descriptors."""

    def __init__(self, listening: socket.socket, front: Front, config: Config, state: ServerState) -> None:
        self._listening = listening
        self._front = front
        self._config = config
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[Any]] = set()
        self._refusals = 0
        self._retry: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._logged_at = -LOG_SECONDS
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more."""
        self._is_closed = True
        self._loop.remove_reader(self._listening)
        if self._retry is not None:
            self._retry.cancel()

    async def wait_closed(self) -> None:
        """Connections that are accepted outlast the acceptor."""

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # the client has gone already
                continue
            except OSError as error:
                self._pause(error)
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._admit(connection, compute_name(str(peer[0])))

    def _admit(self, connection: socket.socket, address: str) -> None:
        reason = self._front.find_refusal(address, self._loop.time())
        if reason is None:
            guest = Connection(self._front, address, self._config, self._state)
            self._front.enter(guest)
            self._open(connection, guest, partial(self._front.leave, guest))
        elif self._refusals < REFUSALS_AT_ONCE:
            self._refusals += 1
            self._open(connection, Refusal(reason, self._end_refusal), self._end_refusal)
        else:
            with suppress(OSError):  # there is room for it in a new connection, unless that has failed
                connection.send(compose_refusal(503, reason))
            connection.close()

    def _open(self, connection: socket.socket, protocol: asyncio.Protocol, fail: Callable[[], None]) -> None:
        async def open_it() -> None:
            try:
                await self._loop.connect_accepted_socket(lambda: protocol, connection)
            except OSError:
                connection.close()
                fail()

        opening = self._loop.create_task(open_it())
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _end_refusal(self) -> None:
        self._refusals -= 1

    def _pause(self, error: OSError) -> None:
        """Leave connections to the system's queue for a moment."""
        now = self._loop.time()
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            log.warning("connections wait, because none can be accepted: %s", error.strerror)
        self._loop.remove_reader(self._listening)
        self._retry = self._loop.call_later(RETRY_SECONDS, self._resume)

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._accept)


def compose_frame_head(size: int) -> bytes:
    """What a frame with a whole message of text begins with. Source: RFC 6455, 5.2."""
    if size < 126:
        return bytes((0x81, size))
    if size < 2**16:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


def is_utf8(parts: list[bytes]) -> bool:
    """Whether the parts of a text are UTF-8 together."""
    try:
        str(parts[0] if len(parts) == 1 else b"".join(parts), "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def compose_refusal(status: int, reason: str) -> bytes:
    """A whole response that refuses a request, for a connection that is then closed."""
    body = f"{reason}\n".encode()
    phrase = HTTPStatus(status).phrase
    return (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 1\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    ).encode() + body
