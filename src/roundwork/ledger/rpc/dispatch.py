"""JSON-RPC 2.0: bodies in, answers out, over HTTP or websocket."""

import inspect
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ...errors import Malformed, RoundworkError, WrongShape
from ...wire import decode_json, split_json
from . import accounts as rpc_accounts
from . import blocks as rpc_blocks
from . import constants as rpc_constants
from . import sending as rpc_sending
from . import tasks as rpc_tasks
from . import tokens as rpc_tokens
from . import transactions as rpc_transactions
from .budget import Budget
from .commitments import Commitment
from .errors import (
    InternalError,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    RpcError,
    TooManyCalls,
    describe_cause,
)
from .ledger import Ledger, LongRead
from .pace import SLICE_SECONDS
from .params import Params, find_commitment
from .rates import Rates
from .sending import Sending, prepare_sending

Method = Callable[[Ledger, Params], Any] | LongRead
"""What answers a request, at once or as an awaitable. Raises RpcError, RoundworkError."""

METHODS: dict[str, Method] = {
    **rpc_accounts.METHODS,
    **rpc_blocks.METHODS,
    **rpc_constants.METHODS,
    **rpc_sending.METHODS,
    **rpc_tasks.METHODS,
    **rpc_tasks.OWN_METHODS,
    **rpc_tokens.METHODS,
    **rpc_transactions.METHODS,
}

OF_NEWEST = {*rpc_tasks.OWN_METHODS, "getSignatureStatuses"}
"""Without a commitment, these methods read the state of the last block.

All others read the finalized state.
"""


SHARED = frozenset(
    (
        "getProgramAccounts",
        "getRound",
        "getRoundRows",
        "getTask",
        "getTaskAccountInfo",
        "getTaskDistributionInfo",
        "getTaskStakes",
        "getTaskSubmissionInfo",
    )
)
"""The methods whose answers about large tasks many clients request in the same slot.

`Answers` keeps them, and bounds what it keeps.
"""


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
        budget = Budget(address, self.ledger.limits)
        if not body.lstrip().startswith(b"["):
            self._check_rate(address, 1)
            response = await self._answer_single(body, budget)
            self._charge(budget)
            return response
        try:
            items = split_json(body)
        except Malformed as error:
            return self.refuse(ParseError(f"Parse error: {error}"))
        calls_max = self.ledger.limits.batch_calls
        if not 0 < len(items) <= calls_max:
            return self.refuse(InvalidRequest(f"Invalid request: a batch has 1 to {calls_max} requests"))
        self._check_rate(address, len(items))
        responses = [response for response in await self._answer_batch(items, budget) if response is not None]
        return b"[" + b",".join(responses) + b"]" if responses else None

    def refuse(self, error: RpcError) -> bytes:
        """The answer to a body that is refused as a whole."""
        response = _encode_error(None, error)
        assert response is not None
        return response

    def _check_rate(self, address: str, calls: int) -> None:
        if not self.rates.take(address, calls, time.monotonic()):
            raise TooManyCalls(address, self.ledger.limits.calls_per_second)

    def _charge(self, budget: Budget) -> bool:
        """Charge the finished work to the address; returns whether it may continue."""
        cost, budget.cost = budget.cost, 0.0
        return cost < 1.0 or self.rates.charge(budget.address, cost, time.monotonic())

    async def _answer_batch(self, items: list[msgspec.Raw], budget: Budget) -> list[bytes | None]:
        """Requests in order, but all transactions of the batch reach the engine together."""
        responses: list[bytes | None] = []
        sendings: list[tuple[int, Request, Sending]] = []
        refusal: RpcError | None = None
        ends_at = time.perf_counter() + SLICE_SECONDS
        for item in items:
            request = _read(item)
            if isinstance(request, Request) and refusal is not None:
                responses.append(_encode_error(request.id, refusal))
            elif isinstance(request, Request) and request.method == "sendTransaction":
                await self._prepare(request, budget, responses, sendings)
            else:
                responses.append(await self._answer_single(item, budget))
            if not self._charge(budget):
                refusal = TooManyCalls(budget.address, self.ledger.limits.calls_per_second)
            if time.perf_counter() > ends_at:
                ends_at = await self.ledger.pace.wait()
        answers = await self.ledger.engine.submit([sending.item for _, _, sending in sendings])
        for (at, request, sending), answer in zip(sendings, answers, strict=True):
            try:
                responses[at] = _encode_result(request.id, sending.compose_answer(answer), budget)
            except RpcError as error:
                responses[at] = _encode_error(request.id, error)
        return responses

    async def _prepare(
        self,
        request: Request,
        budget: Budget,
        responses: list[bytes | None],
        sendings: list[tuple[int, Request, Sending]],
    ) -> None:
        try:
            params = Params(request.params, self.ledger.slot, budget)
            sendings.append((len(responses), request, await prepare_sending(self.ledger, params)))
            responses.append(None)
        except RpcError as error:
            responses.append(_encode_error(request.id, error))

    async def _answer_single(self, raw: bytes | msgspec.Raw, budget: Budget) -> bytes | None:
        request = _read(raw)
        if isinstance(request, RpcError):
            return _encode_error(None, request)
        try:
            return _encode_result(request.id, await self.call(request, budget), budget)
        except RpcError as error:
            return _encode_error(request.id, error)

    async def call(self, request: Request, budget: Budget) -> Any:
        """What a method returns, of the ledger as it stands at the commitment. Raises RpcError."""
        method = self._methods.get(request.method)
        if method is None:
            raise MethodNotFound()
        if request.method not in rpc_sending.METHODS:
            await self.ledger.wait_for_disk()
        budget.check_left()
        ledger = self._choose_ledger(request)
        if request.method not in SHARED:
            return await self._read(method, ledger, request.params, budget)

        async def make() -> msgspec.Raw:
            result = await self._read(method, ledger, request.params, budget)
            return result if isinstance(result, msgspec.Raw) else budget.encode(result)

        of = f"{request.method} {ledger.commitment}", _encoder.encode(request.params)
        return await ledger.answers.share(of, make)

    async def _read(self, method: Method, ledger: Ledger, values: Any, budget: Budget) -> Any:
        params = Params(values, ledger.slot, budget)
        try:
            began = time.perf_counter()
            try:
                is_long = isinstance(method, LongRead) and not method.is_short(ledger, params)
                read = method.answer if isinstance(method, LongRead) else method
                result = None if is_long else read(ledger, params)
            finally:
                budget.spend(time.perf_counter() - began)
            if is_long:
                return await ledger.read_state(budget, read, params)
            return await result if inspect.isawaitable(result) else result
        except RoundworkError as error:
            raise InternalError(f"Internal error: {error}", describe_cause(error)) from error

    def _choose_ledger(self, request: Request) -> Ledger:
        """The ledger at the commitment of a request. Sending always uses the last block."""
        if request.method in rpc_sending.METHODS:
            return self.ledger
        default = Commitment.PROCESSED if request.method in OF_NEWEST else Commitment.FINALIZED
        return self.ledger.at(find_commitment(request.params, default))


def _encode_result(id: Any, result: Any, budget: Budget) -> bytes | None:
    """A response; None to a notification. Raises AnswerTooLarge."""
    if id is msgspec.UNSET:
        return None
    if isinstance(result, msgspec.Raw):
        response = b"".join((b'{"jsonrpc":"2.0","result":', result, b',"id":', _encoder.encode(id), b"}"))
    else:
        response = _encoder.encode({"jsonrpc": "2.0", "result": result, "id": id})
    budget.take_bytes(len(response))
    return response


def _encode_error(id: Any, error: RpcError) -> bytes | None:
    """An error response; None to a notification."""
    if id is msgspec.UNSET:
        return None
    shown = {"code": error.code, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return _encoder.encode({"jsonrpc": "2.0", "error": shown, "id": id})


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
