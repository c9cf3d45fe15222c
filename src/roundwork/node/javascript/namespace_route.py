"""POST /namespace-wrapper: the requests of a main.js to its node over HTTP."""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...errors import Malformed, RoundworkError
from ...wire import decode_json
from ..peers.gateway import read_body
from .namespace import Namespace
from .task_files import BadCall

BODY_BYTES_MAX = 50 * 1024 * 1024
CALLS_MAX = 32
"""Calls of all tasks that are answered at a time."""

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def build_namespace_route(get_namespaces: Callable[[], Mapping[str, Namespace]]) -> Route:
    """POST /namespace-wrapper, for the gateway. `get_namespaces()` are the running tasks by address.

    Only processes on this machine get answers, each only for the task whose secret it shows.
    """
    calls = asyncio.Semaphore(CALLS_MAX)

    async def answer(request: Request) -> Response:
        if request.client is None or request.client.host not in LOOPBACK:
            return _refuse(401, "only processes on this machine get answers here")
        async with calls:
            raw = await read_body(request, BODY_BYTES_MAX)
            if raw is None:
                return _refuse(413, f"a call has at most {BODY_BYTES_MAX} bytes")
            return await _answer(raw, get_namespaces())

    return Route("/namespace-wrapper", answer, methods=["POST"])


async def _answer(raw: bytes, namespaces: Mapping[str, Namespace]) -> Response:
    try:
        request = decode_json(raw, dict[str, Any])
    except Malformed as error:
        return _refuse(422, f"the call must be a JSON object: {error}")
    args, task, secret = request.get("args"), request.get("taskId"), request.get("secret")
    for name, value, kind in (("args", args, list), ("taskId", task, str), ("secret", secret, str)):
        if not value or not isinstance(value, kind):
            return _refuse(422, f"No {name} provided")
    namespace = namespaces.get(str(task))
    if namespace is None:
        return _refuse(422, f"task {str(task)[:80]} is not running")
    if not hmac.compare_digest(namespace.secret.encode(), str(secret).encode("utf-8", "replace")):
        return _refuse(401, "Invalid secret provided")
    assert isinstance(args, list)
    try:
        answer = await namespace.call(args[0], args[1:])
    except (BadCall, RoundworkError) as error:
        return _refuse(422, str(error))
    return JSONResponse({} if answer is None else {"response": answer})


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status_code=status)
