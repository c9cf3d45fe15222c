"""Websockets: a message that is written at once is the one that `send` would send, and keeps its place."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from roundwork.host.connections import WRITE_TEXT
from roundwork.host.front import Message
from roundwork.host.serve import listen, serve

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 200_000)
HIGH_WATER_BYTES = 2**16


def play(app: Any, client: Callable[[ClientConnection], Any]) -> Any:
    """What a client returns that talks to an app over a websocket."""

    async def run() -> Any:
        ended = asyncio.Event()

        async def talk() -> Any:
            try:
                host, port = listening.getsockname()
                async with connect(
                    f"ws://{host}:{port}", compression=None, max_size=None, proxy=None
                ) as websocket:
                    return await client(websocket)
            finally:
                ended.set()

        async def work() -> None:
            await ended.wait()

        with listen("127.0.0.1", 0) as listening:
            talking = asyncio.create_task(talk())
            await serve(
                app, [listening], work(), stop=ended.set, ready=lambda: None, shutdown_seconds=5,
                websocket_bytes_max=100,
            )  # fmt: skip
        return await talking

    return asyncio.run(run())


@pytest.mark.timeout(60)
def test_a_text_of_any_size_that_is_written_at_once_arrives_whole_and_in_order() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        write = scope["extensions"][WRITE_TEXT]["write"]
        assert not write((b"before the handshake",))
        await receive()
        await send({"type": "websocket.accept"})
        for size in SIZES:
            text = b"x" * size
            if not write((text[:9], text[9:])):  # more waits for the client than may: `send` waits
                await send({"type": "websocket.send", "text": text.decode()})
        await send({"type": "websocket.send", "text": "last"})
        await receive()

    async def read(websocket: ClientConnection) -> list[str | bytes]:
        return [await websocket.recv() for _ in range(len(SIZES) + 1)]

    assert ["x" * size for size in SIZES] + ["last"] == play(app, read)


@pytest.mark.timeout(60)
def test_nothing_is_written_at_once_to_a_client_that_does_not_read_or_has_gone() -> None:
    seen: list[bool] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        write = scope["extensions"][WRITE_TEXT]["write"]
        await receive()
        await send({"type": "websocket.accept"})
        count = 0
        while write((b"x" * HIGH_WATER_BYTES,)):
            count += 1
            await asyncio.sleep(0)
            assert count < 10_000, "the system takes no end of bytes"
        seen.append(write((b"more",)))
        await send({"type": "websocket.send", "text": "read on"})
        await send({"type": "websocket.close", "code": 1000, "reason": "over"})
        seen.append(write((b"closed",)))

    async def read(websocket: ClientConnection) -> set[str | bytes]:
        while not seen:  # noqa: ASYNC110 -- the app says when it has written enough
            await asyncio.sleep(0.01)
        messages: set[str | bytes] = set()
        try:
            while True:
                messages.add(await websocket.recv())
        except ConnectionClosed:
            return messages

    messages = play(app, read)
    assert [False, False] == seen
    assert {"x" * HIGH_WATER_BYTES, "read on"} == messages
