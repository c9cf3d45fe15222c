"""Servers on loopback that answer with bytes of a test's choice, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

HEAD = b"HTTP/1.1 200 OK\r\n"
HOSTILE_ANSWERS: dict[str, bytes] = {
    "/nothing": b"",
    "/garbage": b"\xff\xfe\x00 what is this\r\n\r\n",
    "/status": b"HTTP/1.1 abc OK\r\n\r\n",
    "/length": HEAD + b"content-length: -5\r\n\r\n",
    "/lengths": HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "/short": HEAD + b"content-length: 500\r\n\r\nhello",
    "/chunk": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "/header": HEAD + b"bad header\r\n\r\n",
    "/headers": HEAD + b"".join(b"x%d: %s\r\n" % (n, b"y" * 1000) for n in range(1000)) + b"\r\n",
    "/upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n\x00\x01",
    "/continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "/redirect-host": b"HTTP/1.1 302 x\r\nlocation: http://[::1\r\ncontent-length: 0\r\n\r\n",
    "/redirect-port": b"HTTP/1.1 302 x\r\nlocation: http://127.0.0.1:99999/\r\ncontent-length: 0\r\n\r\n",
    "/redirect-bytes": b"HTTP/1.1 302 x\r\nlocation: http://\xff\xfe/\r\ncontent-length: 0\r\n\r\n",
    "/redirect-name": b"HTTP/1.1 302 x\r\nlocation: http://\xe2\x84\x80.com/\r\ncontent-length: 0\r\n\r\n",
    "/redirect-file": b"HTTP/1.1 302 x\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n",
    "/redirect-space": b"HTTP/1.1 302 x\r\nlocation: http://a b/\r\ncontent-length: 0\r\n\r\n",
    "/redirect-empty": b"HTTP/1.1 302 x\r\nlocation: //\r\ncontent-length: 0\r\n\r\n",
}
"""What a hostile site answers, by path."""


@asynccontextmanager
async def serve_bytes(answers: Mapping[str, bytes | None]) -> AsyncIterator[str]:
    """Answers each path with its bytes and closes; a path with None is never answered. Yields the URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            raw = answers.get(head.split(b" ")[1].decode("latin-1"), b"HTTP/1.1 404 x\r\n\r\n")
            if raw is None:
                await reader.read()  # until the client gives up
            else:
                writer.write(raw)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
