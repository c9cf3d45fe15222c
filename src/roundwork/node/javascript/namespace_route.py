"""POST /namespace-wrapper: the requests of a main.js to its node over HTTP."""

import asyncio
import hmac
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ...errors import Malformed, RoundworkError
from ...wire import decode_json
from ..decoding import run_if_long
from ..peers.gateway import read_body
from .namespace import Namespace
from .reading import Reading, read_data
from .task_files import BadCall

BODY_BYTES_MAX = 50 * 1024 * 1024
ARGUMENTS_BYTES_MAX = 2 * 1024 * 1024
"""Of all arguments but what a file is written with; a distribution list is the longest of them."""

WRITES = ("writeFile", "appendFile")
ARGUMENTS_MAX = 16
"""Further arguments of a call are not read; no method takes so many."""

CALLS_MAX = 16
"""Calls of a task that are answered at a time. Its further calls wait, and those of other tasks do not."""

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")

log = logging.getLogger(__name__)


class _Call(msgspec.Struct):
    args: msgspec.Raw = msgspec.Raw(b"null")
    task: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="taskId")
    secret: msgspec.Raw = msgspec.Raw(b"null")


_Arguments = msgspec.defstruct(
    "_Arguments",
    [(f"argument_{at}", msgspec.Raw, msgspec.Raw()) for at in range(ARGUMENTS_MAX)],
    array_like=True,
)
"""An array of which no more elements are read: fifty megabytes of numbers would take gigabytes of memory."""


def build_namespace_route(get_namespaces: Callable[[], Mapping[str, Namespace]]) -> Route:
    """POST /namespace-wrapper, for the gateway. `get_namespaces()` are the running tasks by address.

    Only processes on this machine get answers, each only for the task whose secret it shows.
    """
    return Route("/namespace-wrapper", _Endpoint(get_namespaces), methods=["POST"])


class _Endpoint:
    """An ASGI application: a file that is read is closed when its last piece is sent."""

    def __init__(self, get_namespaces: Callable[[], Mapping[str, Namespace]]) -> None:
        self._get_namespaces = get_namespaces
        self._calls: WeakKeyDictionary[Namespace, asyncio.Semaphore] = WeakKeyDictionary()
        self._faults: set[tuple[str, str]] = set()
        """Methods and errors that are in the log already."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.client is None or request.client.host not in LOOPBACK:
            return await _refuse(401, "only processes on this machine get answers here")(scope, receive, send)
        # A body that does not come holds no place: its sender has not shown the secret yet.
        raw = await read_body(request, BODY_BYTES_MAX)
        if raw is None:
            refusal = _refuse(413, f"a call has at most {BODY_BYTES_MAX} bytes")
            return await refusal(scope, receive, send)
        if len(raw) > ARGUMENTS_BYTES_MAX and not self._has_secret(raw):
            return await _refuse(401, "Invalid secret provided")(scope, receive, send)
        read = await run_if_long(len(raw), self._read_call, raw)
        if isinstance(read, Response):
            return await read(scope, receive, send)
        namespace, args = read
        async with self._calls.setdefault(namespace, asyncio.Semaphore(CALLS_MAX)):
            answer = await self._call(namespace, args)
            if not isinstance(answer, Reading):
                return await answer(scope, receive, send)
            try:
                response = StreamingResponse(_list_pieces(answer), media_type="application/json")
                await response(scope, receive, send)
            finally:
                answer.close()

    def _has_secret(self, raw: bytes) -> bool:
        """Whether the secret of a running task stands somewhere in a body: the others are not decoded."""
        return any(namespace.secret.encode() in raw for namespace in self._get_namespaces().values())

    def _read_call(self, raw: bytes) -> tuple[Namespace, list[msgspec.Raw]] | Response:
        """The task that calls, and the method with its arguments; or what refuses the call."""
        try:
            call = decode_json(raw, _Call)
        except Malformed as error:
            return _refuse(422, f"the call must be a JSON object: {error}")
        args, task, secret = (
            read_arguments(call.args),
            _read(call.task, str),
            _read(call.secret, str),
        )
        for name, value in (("args", args), ("taskId", task), ("secret", secret)):
            if not value:
                return _refuse(422, f"No {name} provided")
        namespace = self._get_namespaces().get(task)
        if namespace is None:
            return _refuse(422, f"task {task[:80]} is not running")
        if not hmac.compare_digest(namespace.secret.encode(), secret.encode()):
            return _refuse(401, "Invalid secret provided")
        return namespace, args

    async def _call(self, namespace: Namespace, args: list[msgspec.Raw]) -> Response | Reading:
        """Every error becomes the answer."""
        try:
            method, *arguments = await run_if_long(sum(map(len, args)), _decode_arguments, args)
            answer = await namespace.call(method, arguments)
            if isinstance(answer, Reading):
                return answer
            body = {} if answer is None else {"response": answer}
            return Response(await asyncio.to_thread(msgspec.json.encode, body), media_type="application/json")
        except (BadCall, RoundworkError) as error:
            return _refuse(422, str(error))
        except Exception as error:  # noqa: BLE001 -- no fault of ours or of a library leaves a task without answer
            self._report_fault(bytes(args[0])[:80].decode("utf-8", "replace"), error)
            return _refuse(422, f"the node failed: {type(error).__name__}")

    def _report_fault(self, method: str, error: Exception) -> None:
        """Log an error that no method may raise, each kind once."""
        fault = (method, type(error).__name__)
        if fault not in self._faults:
            self._faults.add(fault)
            log.error("the method %s failed", method, exc_info=error)


def _read(raw: msgspec.Raw, kind: Any) -> Any:
    """A field of a call; None if it is of another kind."""
    try:
        return decode_json(raw, kind)
    except Malformed:
        return None


def read_arguments(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The method and its arguments, undecoded; empty if they are not an array."""
    read = _read(raw, _Arguments)
    return [] if read is None else [each for each in msgspec.structs.astuple(read) if each]


def _decode_arguments(args: list[msgspec.Raw]) -> list[Any]:
    """The arguments of a call; what a file is written with is read in pieces. Raises BadCall, Malformed."""
    is_write = len(args) > 3 and len(args[1]) < 80 and decode_json(args[1]) in WRITES
    rest = sum(len(each) for at, each in enumerate(args) if not (is_write and at == 3))
    if rest > ARGUMENTS_BYTES_MAX:
        raise BadCall(f"arguments of {rest} bytes are too large; {ARGUMENTS_BYTES_MAX} are allowed")
    return [
        read_data(bytes(each)) if is_write and at == 3 else decode_json(each) for at, each in enumerate(args)
    ]


def _list_pieces(reading: Reading) -> Iterator[bytes]:
    yield b'{"response":'
    yield from reading.list_pieces()
    yield b"}"


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status_code=status)
