"""Web requests inside the sandbox: an ASGI app, or a dict of path to function, answers one request."""

from __future__ import annotations

import inspect
import json
from urllib.parse import parse_qsl

from roundwork.sdk.task import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Answer = tuple[int, list[tuple[str, str]], bytes]


async def answer_request(routes: Any, call: dict[str, Any]) -> Answer:
    """Status, headers and body for a request of `method`, `path`, `query`, `headers`, `body`."""
    if isinstance(routes, dict):
        return await _answer_by_function(routes, call)
    return await _answer_by_app(routes, call)


async def _answer_by_function(routes: dict[str, Callable[[Request], Any]], call: dict[str, Any]) -> Answer:
    function = _find(routes, call["path"])
    if function is None:
        return 404, [("content-type", "application/json")], b'{"message":"no such route"}'
    request = Request(
        call["method"], call["path"], dict(parse_qsl(call["query"])), dict(call["headers"]), call["body"]
    )
    if inspect.iscoroutinefunction(function):
        answer = await function(request)
    else:
        import asyncio  # it takes longer to load than all other modules of a simulation's start

        answer = await asyncio.to_thread(function, request)
    return _to_answer(answer)


def _find(routes: dict[str, Any], path: str) -> Any:
    """The function of a path; a route that ends in "/" serves everything below it, the longest first."""
    if path in routes:
        return routes[path]
    below = [route for route in routes if route.endswith("/") and path.startswith(route)]
    return routes[max(below, key=len)] if below else None


def _to_answer(answer: Any) -> Answer:
    """Text, bytes, a JSON value, or a status with one of them."""
    status = 200
    if isinstance(answer, tuple):
        status, answer = answer
    if isinstance(answer, str):
        return status, [("content-type", "text/plain; charset=utf-8")], answer.encode()
    if isinstance(answer, bytes):
        return status, [("content-type", "application/octet-stream")], answer
    return status, [("content-type", "application/json")], json.dumps(answer).encode()


async def _answer_by_app(app: Any, call: dict[str, Any]) -> Answer:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in call["headers"]]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": call["method"],
        "scheme": "http",
        "path": call["path"],
        "raw_path": call["path"].encode(),
        "query_string": call["query"].encode("latin-1"),
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
    }
    unread = [{"type": "http.request", "body": call["body"], "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return unread.pop() if unread else {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    await app(scope, receive, send)
    start = sent[0]
    answered = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", [])]
    return start["status"], answered, b"".join(event.get("body", b"") for event in sent[1:])
