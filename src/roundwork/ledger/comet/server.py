"""The socket that CometBFT dials: frames in, answers out in the order of the requests.

A frame is the length of a message as a uvarint, then the message. CometBFT opens four connections; all are
served on the event loop that owns the state, so nothing here needs a lock, and a block that is being made
durable on another thread does not delay a check. Source: docs/decisions/0041.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from ...errors import EngineFailed
from .schema import Request, Response

FRAME_BYTES_MAX = 128 * 2**20
"""More than CometBFT's largest block, which has 100 MiB."""

FRAME_SECONDS_MAX = 60.0
"""The most seconds from the first byte of a frame to its last. Then the connection is closed."""

_READ_BYTES = 2**18
_LENGTH_BYTES_MAX = 10

log = logging.getLogger(__name__)

Answer = Callable[[list[Any]], Awaitable[list[Any]]]
"""From requests that came in together, all of known kinds, to one response each."""


class Server:
    """Serves one CometBFT. `ended` is done when a connection has ended; then both must be started again."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self._connections: set[asyncio.Task[None]] = set()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def listen(self, listening: socket.socket) -> None:
        """Serve on a unix socket that listens already."""
        self._server = await asyncio.start_unix_server(self._accept, sock=listening)

    def end(self) -> None:
        """Set `ended`, without waiting for CometBFT to close its connections."""
        if not self.ended.done():
            self.ended.set_result(None)

    async def close(self) -> None:
        """Stop listening and drop the connections."""
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._see_end)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames()
        try:
            while chunk := await _read(reader, frames):
                await self._answer_all(frames.feed(chunk), writer)
            frames.check_end()
        except EngineFailed as error:
            await _say_exception(writer, error)
            raise
        finally:
            writer.close()

    async def _answer_all(self, frames: Iterator[bytes], writer: asyncio.StreamWriter) -> None:
        """Answer the requests that came in. Those before a bad frame are answered before it is refused."""
        requests, failure = [], None
        try:
            for frame in frames:
                requests.append(decode_request(frame))
        except EngineFailed as error:
            failure = error
        if requests:
            responses = await self.answer(requests)
            writer.write(b"".join([encode_frame(response) for response in responses]))
            await writer.drain()
        if failure is not None:
            raise failure

    def _see_end(self, connection: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        if connection.cancelled() or self.ended.done():
            return
        error = connection.exception()
        if error is None or isinstance(error, ConnectionError):
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._missing = 0
        """Bytes that are known to be missing of the frame at the front of the buffer."""

    @property
    def is_inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The frames that are complete with these bytes. Raises EngineFailed after those before a bad one."""
        buffer = self._buffer
        buffer += chunk
        self._missing -= len(chunk)
        if self._missing > 0:
            return
        at = 0
        while at < len(buffer):
            length, start = _read_length(buffer, at)
            if start < 0:
                break
            if start + length > len(buffer):
                self._missing = start + length - len(buffer)
                break
            yield bytes(buffer[start : start + length])
            at = start + length
        del buffer[:at]

    def check_end(self) -> None:
        """Raises EngineFailed if the stream ends inside a frame."""
        if self._buffer:
            raise EngineFailed(f"a frame is cut short after {len(self._buffer)} bytes")


def decode_request(frame: bytes) -> Any:
    """A request from the bytes of its frame. Raises EngineFailed for other bytes, and for an unknown kind."""
    try:
        request = Request.FromString(frame)
    except DecodeError:
        raise EngineFailed(f"a frame of {len(frame)} bytes is not an ABCI request") from None
    if request.WhichOneof("value") is None:
        unknown = UnknownFieldSet(request)
        kind = f"field {unknown[0].field_number}" if len(unknown) else "none"
        raise EngineFailed(f"unknown method: an ABCI request of {kind}")
    return request


def encode_frame(message: Any) -> bytes:
    """A message as it goes over the socket."""
    raw: bytes = message.SerializeToString()
    length, head = len(raw), bytearray()
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + raw


def _read_length(buffer: bytearray, at: int) -> tuple[int, int]:
    """The length of the frame at `at`, and where its message starts; -1 if the length is not all there."""
    length = 0
    for index in range(_LENGTH_BYTES_MAX):
        if at + index == len(buffer):
            return 0, -1
        byte = buffer[at + index]
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if length > FRAME_BYTES_MAX:
                raise EngineFailed(f"a frame of {length} bytes; {FRAME_BYTES_MAX} are allowed")
            return length, at + index + 1
    raise EngineFailed(f"the length of a frame has more than {_LENGTH_BYTES_MAX} bytes")


async def _read(reader: asyncio.StreamReader, frames: Frames) -> bytes:
    if not frames.is_inside:
        return await reader.read(_READ_BYTES)
    try:
        return await asyncio.wait_for(reader.read(_READ_BYTES), FRAME_SECONDS_MAX)
    except TimeoutError:
        raise EngineFailed(f"a frame was not completed within {FRAME_SECONDS_MAX:.0f} s") from None


async def _say_exception(writer: asyncio.StreamWriter, error: EngineFailed) -> None:
    """Send CometBFT the reason before the connection closes. CometBFT stops itself on this answer."""
    response = Response()
    response.exception.error = str(error)
    writer.write(encode_frame(response))
    try:
        await writer.drain()
    except ConnectionError:
        log.info("CometBFT has closed the connection and does not read why")
