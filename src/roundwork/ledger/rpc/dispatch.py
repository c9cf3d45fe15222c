"""JSON-RPC 2.0 over HTTP and websocket: the only place where errors become codes."""

import asyncio
import contextlib
import inspect
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec
from solders.keypair import Keypair

from ...errors import RoundworkError
from ...protocol.execute import Receipt
from ..chain import Chain
from ..limits import LIMITS, Limits
from . import accounts as rpc_accounts
from . import blocks as rpc_blocks
from . import constants as rpc_constants
from . import sending as rpc_sending
from . import tasks as rpc_tasks
from . import tokens as rpc_tokens
from . import transactions as rpc_transactions
from .call import Desk, Engine, Params, RpcError
from .rates import Rates
from .sending import Sending, send

METHODS: dict[str, Callable[[Desk, Params], Any]] = {
    **rpc_accounts.METHODS,
    **rpc_blocks.METHODS,
    **rpc_constants.METHODS,
    **rpc_sending.METHODS,
    **rpc_tasks.METHODS,
    **rpc_tokens.METHODS,
    **rpc_transactions.METHODS,
}

Message = MutableMapping[str, Any]


class TooManyCalls(RpcError):
    """An address asks faster than it may."""


class Request(msgspec.Struct):
    """One JSON-RPC request. Without an id it is a notification, which nobody answers."""

    method: str
    params: Any = None
    id: Any = msgspec.UNSET
    jsonrpc: str = "2.0"


_items = msgspec.json.Decoder(list[msgspec.Raw])
_request = msgspec.json.Decoder(Request)
_encoder = msgspec.json.Encoder()


class Rpc:
    """Answers JSON-RPC requests from a desk, as many as an address may make."""

    def __init__(self, desk: Desk, methods: dict[str, Callable[[Desk, Params], Any]], rates: Rates) -> None:
        self.desk = desk
        self.rates = rates
        self._methods = methods

    async def answer(self, body: bytes, address: str) -> bytes | None:
        """The answer to a body: an object, an array for a batch, None if nothing in it asks for one.

        Raises TooManyCalls.
        """
        if not body.lstrip().startswith(b"["):
            self._check_rate(address, 1)
            response = await self._answer_one(body)
            return None if response is None else _encoder.encode(response)
        try:
            items = _items.decode(body)
        except msgspec.DecodeError as error:
            return self.refuse(RpcError(-32700, f"Parse error: {error}"))
        most = self.desk.limits.batch_calls
        if not 0 < len(items) <= most:
            return self.refuse(RpcError(-32600, f"Invalid request: a batch has 1 to {most} requests"))
        self._check_rate(address, len(items))
        responses = [one for one in await self._answer_batch(items) if one is not None]
        return _encoder.encode(responses) if responses else None

    def refuse(self, error: RpcError) -> bytes:
        """The answer to a body that as a whole is refused."""
        return _encoder.encode(compose_error(None, error))

    def _check_rate(self, address: str, calls: int) -> None:
        if not self.rates.take(address, calls, time.monotonic()):
            most = self.desk.limits.calls_per_second
            raise TooManyCalls(-32005, f"too many calls from {address}: {most} a second are answered")

    async def _answer_batch(self, items: list[msgspec.Raw]) -> list[Any]:
        """Requests in order, but all transactions of the batch reach the engine together."""
        responses: list[Any] = []
        sendings: list[tuple[int, Request, Sending]] = []
        for item in items:
            request = _read(item)
            if isinstance(request, Request) and request.method == "sendTransaction":
                self._prepare(request, responses, sendings)
            else:
                responses.append(await self._answer_one(item))
        answers = await send(self.desk, [sending for _, _, sending in sendings])
        for (at, request, sending), answer in zip(sendings, answers, strict=True):
            responses[at] = _respond(request, sending, answer)
        return responses

    def _prepare(
        self, request: Request, responses: list[Any], sendings: list[tuple[int, Request, Sending]]
    ) -> None:
        try:
            sendings.append((len(responses), request, Sending(self.desk, Params(self.desk, request.params))))
            responses.append(None)
        except RpcError as error:
            responses.append(compose_error(request.id, error))

    async def _answer_one(self, raw: bytes | msgspec.Raw) -> Any:
        request = _read(raw)
        if isinstance(request, RpcError):
            return compose_error(None, request)
        try:
            result = await self.call(request)
        except RpcError as error:
            return compose_error(request.id, error)
        return compose_result(request.id, result)

    async def call(self, request: Request) -> Any:
        """What a method returns. Raises RpcError."""
        method = self._methods.get(request.method)
        if method is None:
            raise RpcError(-32601, "Method not found")
        if request.method not in rpc_sending.METHODS:
            await self.desk.settle()
        try:
            result = method(self.desk, Params(self.desk, request.params))
            return await result if inspect.isawaitable(result) else result
        except RoundworkError as error:
            data = {"roundwork": {"name": type(error).__name__}}
            raise RpcError(-32603, f"Internal error: {error}", data) from error


def compose_result(id: Any, result: Any) -> Any:
    """A response; None to a notification."""
    return None if id is msgspec.UNSET else {"jsonrpc": "2.0", "result": result, "id": id}


def compose_error(id: Any, error: RpcError) -> Any:
    """An error response; None to a notification."""
    if id is msgspec.UNSET:
        return None
    shown = {"code": error.code, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return {"jsonrpc": "2.0", "error": shown, "id": id}


def _respond(request: Request, sending: Sending, answer: Receipt | RoundworkError | None) -> Any:
    try:
        return compose_result(request.id, sending.compose_answer(answer))
    except RpcError as error:
        return compose_error(request.id, error)


def _read(raw: bytes | msgspec.Raw) -> Request | RpcError:
    try:
        request = _request.decode(raw)
    except msgspec.ValidationError as error:
        return RpcError(-32600, f"Invalid request: {error}")
    except msgspec.DecodeError as error:
        return RpcError(-32700, f"Parse error: {error}")
    if request.jsonrpc != "2.0":
        return RpcError(-32600, f"Invalid request: jsonrpc is {request.jsonrpc!r}; 2.0 is expected")
    return request


# HTTP

_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, solana-client"),
    (b"access-control-max-age", b"86400"),
]
_JSON = [(b"content-type", b"application/json"), *_CORS]
_TEXT = [(b"content-type", b"text/plain"), *_CORS]

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def build_app(
    chain: Chain, engine: Engine, faucet: Keypair | None = None, limits: Limits = LIMITS
) -> Callable[..., Any]:
    """The ASGI application of a ledger: JSON-RPC on every path, websockets on every path, /health."""
    from .subscriptions import Subscriptions

    rpc = Rpc(Desk(chain, engine, faucet, limits), METHODS, Rates(limits))
    subscriptions = Subscriptions(rpc)

    async def app(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the ledger stops: websockets have been told
            if scope["type"] == "websocket":
                await subscriptions.serve(scope, receive, send)
            elif scope["type"] == "http":
                await _send_http(send, *await _answer_http(rpc, scope, receive))

    return app


def get_address(scope: Message) -> str:
    """Where a connection comes from; behind a proxy on this machine, where the proxy says it does."""
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _send_http(
    send: Callable[[Message], Any], status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _answer_http(rpc: Rpc, scope: Message, receive: Callable[[], Any]) -> Answer:
    if scope["method"] == "OPTIONS":
        return 200, _CORS, b""
    if scope["method"] == "GET":
        return (200, _TEXT, b"ok") if scope["path"] == "/health" else (404, _TEXT, b"JSON-RPC takes POST\n")
    if scope["method"] != "POST":
        return 405, _TEXT, b"JSON-RPC takes POST\n"
    try:
        return await _answer_post(rpc, scope, receive)
    except asyncio.CancelledError:  # the ledger stops and waits no longer
        return 503, _TEXT, b"the ledger stops; what was sent may still have been taken\n"


async def _answer_post(rpc: Rpc, scope: Message, receive: Callable[[], Any]) -> Answer:
    parts, size, more = [], 0, True
    most = rpc.desk.limits.body_bytes
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
        return 429, [*_JSON, (b"retry-after", b"1")], rpc.refuse(error)
