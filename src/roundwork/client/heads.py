"""Heads of a task as a ledger pushes them over a websocket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ..errors import Malformed
from ..views import TaskHead
from ..wire import decode_json
from .rpc import Unreachable

OPEN_SECONDS = 5.0
MESSAGE_BYTES_MAX = 2**20


class _Params(msgspec.Struct):
    result: TaskHead


class _Message(msgspec.Struct):
    params: _Params | None = None
    """None in the answer to the subscription."""
    error: Any = None


async def watch_heads(url: str, task: str, silence_seconds: float) -> AsyncIterator[TaskHead]:
    """The head of each slot, until the ledger is silent for so long or the websocket breaks.

    Raises Unreachable then.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    request = {"jsonrpc": "2.0", "id": 1, "method": "taskHeadSubscribe", "params": [task]}
    address = f"ws{url.removeprefix('http')}"
    try:
        async with connect(
            address,
            compression=None,
            max_size=MESSAGE_BYTES_MAX,
            open_timeout=OPEN_SECONDS,
            close_timeout=0.1,
            proxy=None,
        ) as websocket:
            await websocket.send(msgspec.json.encode(request).decode())
            while True:
                async with asyncio.timeout(silence_seconds):
                    text = await websocket.recv()
                message = decode_json(text, _Message)
                if message.error is not None:
                    raise Unreachable(f"{address} takes no subscription: {message.error!r:.200}")
                if message.params is not None:
                    yield message.params.result
    except (OSError, TimeoutError, WebSocketException, Malformed) as error:
        raise Unreachable(f"{address} pushes no heads: {type(error).__name__} {error}") from error
