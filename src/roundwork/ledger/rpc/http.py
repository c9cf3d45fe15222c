"""The ledger over HTTP: JSON-RPC in bodies, websockets, the parts of rounds, and /health."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from solders.keypair import Keypair

from ...host.front import Message, get_address
from ..chain import Chain
from ..engine import Engine
from ..limits import LIMITS, Limits
from .blobs import PATH, answer_blob
from .dispatch import METHODS, Rpc
from .errors import TooManyCalls
from .ledger import Ledger
from .rates import REFUSAL_SECONDS, Rates
from .subscriptions import Subscriptions

_ALLOWED = b"access-control-allow-headers"
_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-max-age", b"86400"),
]
_HEADERS = b"content-type, solana-client"
"""The headers that a page may send if its preflight names none."""
_JSON = [(b"content-type", b"application/json"), *_CORS]
_TEXT = [(b"content-type", b"text/plain"), *_CORS]

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def build_app(
    chain: Chain, engine: Engine, faucet: Keypair | None = None, limits: Limits = LIMITS
) -> Callable[..., Any]:
    """The ASGI application of a ledger: JSON-RPC on every path, websockets on every path, parts, /health."""
    rpc = Rpc(Ledger(chain, engine, faucet, limits), METHODS, Rates(limits))
    subscriptions = Subscriptions(rpc)

    async def app(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the ledger stops, and websockets are closed
            if scope["type"] == "websocket":
                await subscriptions.serve(scope, receive, send)
            elif scope["type"] == "http":
                await _send_http(send, *await _answer_http(rpc, scope, receive))

    return app


async def _send_http(
    send: Callable[[Message], Any], status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _answer_http(rpc: Rpc, scope: Message, receive: Callable[[], Any]) -> Answer:
    if scope["method"] == "OPTIONS":
        named = dict(scope["headers"]).get(b"access-control-request-headers", _HEADERS)
        return 200, [*_CORS, (_ALLOWED, named)], b""
    if scope["method"] == "GET":
        return await _answer_get(rpc, scope)
    if scope["method"] != "POST":
        return 405, _TEXT, b"JSON-RPC takes POST\n"
    try:
        return await _answer_post(rpc, scope, receive)
    except asyncio.CancelledError:  # the ledger stops
        return 503, _TEXT, b"the ledger stops; what was sent may still have been taken\n"


async def _answer_get(rpc: Rpc, scope: Message) -> Answer:
    path = scope["path"]
    if path == "/health":
        return 200, _TEXT, b"ok"
    _, found, content_id = path.rpartition(PATH)
    if not found:
        return 404, _TEXT, b"JSON-RPC takes POST\n"
    if not rpc.rates.take(get_address(scope), 1, time.monotonic()):
        await asyncio.sleep(REFUSAL_SECONDS)
        return 429, [*_TEXT, (b"retry-after", b"1")], b"too many calls\n"
    blob = rpc.ledger.reads.find_blob(content_id)
    if blob is None:
        return 404, _TEXT, b"this ledger does not serve a part of this name\n"
    status, headers, body = answer_blob(content_id, blob, dict(scope["headers"]))
    return status, [*headers, *_CORS], body


async def _answer_post(rpc: Rpc, scope: Message, receive: Callable[[], Any]) -> Answer:
    parts, size, more = [], 0, True
    most = rpc.ledger.limits.body_bytes
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return 400, _TEXT, b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return 413, _TEXT, f"a body has at most {most} bytes\n".encode()
        more = message.get("more_body", False)
    try:
        return 200, _JSON, await rpc.answer(b"".join(parts), get_address(scope)) or b""
    except TooManyCalls as error:  # clients wait and try again after this status
        await asyncio.sleep(REFUSAL_SECONDS)
        return 429, [*_JSON, (b"retry-after", b"1")], rpc.refuse(error)
