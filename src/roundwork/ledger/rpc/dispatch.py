"""JSON-RPC 2.0: bodies in, answers out, over HTTP or websocket."""

import inspect
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ...errors import Malformed, RoundworkError, WrongShape
from ...wire import decode_json
from . import accounts as rpc_accounts
from . import blocks as rpc_blocks
from . import constants as rpc_constants
from . import sending as rpc_sending
from . import tasks as rpc_tasks
from . import tokens as rpc_tokens
from . import transactions as rpc_transactions
from .errors import (
    InternalError,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    RpcError,
    TooManyCalls,
    describe_cause,
)
from .ledger import Ledger
from .params import Params
from .rates import Rates
from .sending import Sending

Method = Callable[[Ledger, Params], Any]
"""What answers a request, at once or as an awaitable. Raises RpcError, RoundworkError."""

METHODS: dict[str, Method] = {
    **rpc_accounts.METHODS,
    **rpc_blocks.METHODS,
    **rpc_constants.METHODS,
    **rpc_sending.METHODS,
    **rpc_tasks.METHODS,
    **rpc_tokens.METHODS,
    **rpc_transactions.METHODS,
}


class Request(msgspec.Struct):
    """One JSON-RPC request. Without an id it is a notification, which gets no answer."""

    method: str
    params: Any = None
    id: Any = msgspec.UNSET
    jsonrpc: str = "2.0"


_encoder = msgspec.json.Encoder()


class Rpc:
    """Answers JSON-RPC requests, as many as an address may make."""

    def __init__(self, ledger: Ledger, methods: dict[str, Method], rates: Rates) -> None:
        self.ledger = ledger
        self.rates = rates
        self._methods = methods

    async def answer(self, body: bytes, address: str) -> bytes | None:
        """The answer to a body: an object, an array for a batch, None if the body has only notifications.

        Raises TooManyCalls.
        """
        if not body.lstrip().startswith(b"["):
            self._check_rate(address, 1)
            response = await self._answer_single(body)
            return None if response is None else _encoder.encode(response)
        try:
            items = decode_json(body, list[msgspec.Raw])
        except Malformed as error:
            return self.refuse(ParseError(f"Parse error: {error}"))
        calls_max = self.ledger.limits.batch_calls
        if not 0 < len(items) <= calls_max:
            return self.refuse(InvalidRequest(f"Invalid request: a batch has 1 to {calls_max} requests"))
        self._check_rate(address, len(items))
        responses = [response for response in await self._answer_batch(items) if response is not None]
        return _encoder.encode(responses) if responses else None

    def refuse(self, error: RpcError) -> bytes:
        """The answer to a body that is refused as a whole."""
        return _encoder.encode(compose_error(None, error))

    def _check_rate(self, address: str, calls: int) -> None:
        if not self.rates.take(address, calls, time.monotonic()):
            raise TooManyCalls(address, self.ledger.limits.calls_per_second)

    async def _answer_batch(self, items: list[msgspec.Raw]) -> list[Any]:
        """Requests in order, but all transactions of the batch reach the engine together."""
        responses: list[Any] = []
        sendings: list[tuple[int, Request, Sending]] = []
        for item in items:
            request = _read(item)
            if isinstance(request, Request) and request.method == "sendTransaction":
                self._prepare(request, responses, sendings)
            else:
                responses.append(await self._answer_single(item))
        answers = await self.ledger.engine.submit([sending.item for _, _, sending in sendings])
        for (at, request, sending), answer in zip(sendings, answers, strict=True):
            try:
                responses[at] = compose_result(request.id, sending.compose_answer(answer))
            except RpcError as error:
                responses[at] = compose_error(request.id, error)
        return responses

    def _prepare(
        self, request: Request, responses: list[Any], sendings: list[tuple[int, Request, Sending]]
    ) -> None:
        try:
            sendings.append((len(responses), request, Sending(self.ledger, self._read_params(request))))
            responses.append(None)
        except RpcError as error:
            responses.append(compose_error(request.id, error))

    async def _answer_single(self, raw: bytes | msgspec.Raw) -> Any:
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
            raise MethodNotFound()
        if request.method not in rpc_sending.METHODS:
            await self.ledger.settle()
        try:
            result = method(self.ledger, self._read_params(request))
            return await result if inspect.isawaitable(result) else result
        except RoundworkError as error:
            raise InternalError(f"Internal error: {error}", describe_cause(error)) from error

    def _read_params(self, request: Request) -> Params:
        return Params(request.params, self.ledger.slot)


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


def _read(raw: bytes | msgspec.Raw) -> Request | RpcError:
    try:
        request = decode_json(raw, Request)
    except WrongShape as error:
        return InvalidRequest(f"Invalid request: {error}")
    except Malformed as error:
        return ParseError(f"Parse error: {error}")
    if request.jsonrpc != "2.0":
        return InvalidRequest(f"Invalid request: jsonrpc is {request.jsonrpc!r}; 2.0 is expected")
    return request
