"""Servers on loopback that answer with bytes of a test's choice, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


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
