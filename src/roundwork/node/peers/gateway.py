"""What a node answers over HTTP: its blobs, its tasks' web routes, the nodes it knows, health and metrics."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ...errors import RoundworkError, TaskFailed
from ...host.resources import answer_resource
from ...package.content import is_content_id
from ..answers import WebAnswer
from .registrations import REGISTRATION_BYTES_MAX, BadRegistration, Registrations
from .storage import BlobStore

log = logging.getLogger(__name__)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length")
)
"""Headers that belong to a single connection and are not passed on."""


_ROUND = re.compile(r"[0-9]{1,18}")
"""A round, which is below 2**63 with so many digits."""

_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Served(Protocol):
    """A running task that has web routes."""

    web_body_bytes_max: int

    async def serve(
        self, method: str, path: str, query: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> WebAnswer:
        """Answer one request. Raises TaskFailed."""


def build_gateway(
    *,
    store: BlobStore | None,
    get_tasks: Callable[[], Mapping[str, Served]],
    registrations: Mapping[str, Registrations],
    get_metrics: Callable[[], Mapping[str, float]],
    get_reasons: Callable[[str, int], Mapping[str, str] | None] = lambda task, round_number: None,
    routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """The node's app, for uvicorn.

    `store` has the blobs that are served, None for none; `get_tasks()` are the running tasks by address;
    `registrations` where the nodes of each task are; `get_metrics()` values by Prometheus name;
    `get_reasons(task, round)` why the node found proofs invalid, by candidate; `routes` are added. Strangers
    write a task's code, so browsers get its answers as sandboxed data.
    """
    pages = _Pages(store, get_tasks, registrations, get_metrics, get_reasons)
    return Starlette(routes=[*pages.list_routes(), *routes])


class _Pages:
    def __init__(
        self,
        store: BlobStore | None,
        get_tasks: Callable[[], Mapping[str, Served]],
        registrations: Mapping[str, Registrations],
        get_metrics: Callable[[], Mapping[str, float]],
        get_reasons: Callable[[str, int], Mapping[str, str] | None],
    ) -> None:
        self._store = store
        self._get_tasks = get_tasks
        self._registrations = registrations
        self._get_metrics = get_metrics
        self._get_reasons = get_reasons

    def list_routes(self) -> list[Route]:
        return [
            Route("/", self._show_status),
            Route("/health", self._show_health),
            Route("/metrics", self._show_metrics),
            Route("/nodes/{task}", self._show_nodes),
            Route("/register-node/{task}", self._register_node, methods=["POST"]),
            Route("/reasons/{task}/{round}", self._show_reasons),
            Route("/ipfs/{content_id}", self._show_blob),
            Route("/task/{task}", self._serve_task, methods=METHODS),
            Route("/task/{task}/{path:path}", self._serve_task, methods=METHODS),
        ]

    async def _show_status(self, request: Request) -> Response:
        return JSONResponse({"status": "OK", "message": "Node is running"})

    async def _show_health(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _show_metrics(self, request: Request) -> Response:
        lines = [f"{name} {value:g}\n" for name, value in sorted(self._get_metrics().items())]
        return PlainTextResponse("".join(lines), media_type="text/plain; version=0.0.4")

    async def _show_nodes(self, request: Request) -> Response:
        known = self._registrations.get(request.path_params["task"])
        if known is None:
            return _refuse(404, f"task {request.path_params['task']} does not run here")
        return JSONResponse(known.list_nodes())

    async def _show_reasons(self, request: Request) -> Response:
        task, digits = request.path_params["task"], request.path_params["round"]
        if not _ROUND.fullmatch(digits):  # Python refuses to read very many digits
            return _refuse(404, f"{digits[:100]!r} is not a round")
        try:
            reasons = self._get_reasons(task, int(digits))
        except RoundworkError as error:  # the node stops, or its disk fails
            log.warning("%s: %s", request.url.path, error)
            return _refuse(503, "the reasons cannot be read now")
        if reasons is None:
            return _refuse(404, f"task {task} does not run here")
        return JSONResponse(reasons)

    async def _register_node(self, request: Request) -> Response:
        known = self._registrations.get(request.path_params["task"])
        if known is None:
            return _refuse(404, f"task {request.path_params['task']} does not run here")
        body = await read_body(request, REGISTRATION_BYTES_MAX)
        if body is None:
            return _refuse(413, f"a registration has at most {REGISTRATION_BYTES_MAX} bytes")
        try:
            known.add(body)
        except BadRegistration as error:
            return _refuse(409, f"Registration is duplicate, outdated, or invalid: {error}")
        return JSONResponse({"status": "OK", "message": "registered"})

    async def _show_blob(self, request: Request) -> Response:
        content_id = request.path_params["content_id"]
        if not is_content_id(content_id):
            return _refuse(400, f"{content_id[:100]!r} is not a content id: CIDv1, raw, sha2-256, base32")
        data = None if self._store is None else await asyncio.to_thread(self._store.get, content_id)
        if data is None:
            return _refuse(404, f"{content_id} is not here")
        status, fields, body = answer_resource(f'"{content_id}"'.encode(), data, dict(request.headers.raw))
        response = Response(body, status, dict(_AS_DATA))
        response.raw_headers += fields
        return response

    async def _serve_task(self, request: Request) -> Response:
        task = request.path_params["task"]
        served = self._get_tasks().get(task)
        if served is None:
            return _refuse(422, f"task {task} is not running")
        path = "/" + request.path_params.get("path", "")
        if path == "/id":
            return JSONResponse({"taskId": task})
        body = await read_body(request, served.web_body_bytes_max)
        if body is None:
            return _refuse(413, f"a request to this task has at most {served.web_body_bytes_max} bytes")
        # Not `request.url`: it cannot be read with a Host header or a query that is not ASCII.
        query = request.scope["query_string"].decode("latin-1")
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
        try:
            response = await served.serve(request.method, path, query, headers, body)
        except TaskFailed as error:
            # Strangers are not shown the traceback.
            log.warning("%s %s: %s", request.method, path, error)
            return _refuse(502, f"task {task} failed to answer")
        return _pass_on(response.status, response.headers, response.body)


_AS_DATA = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox allow-scripts allow-forms",
}
"""Browsers keep a page of a task apart from every other page of this node."""


async def read_body(request: Request, bytes_max: int) -> bytes | None:
    """The body; None if it is too large, without reading more of it."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)


def _pass_on(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    try:
        raw = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers]
    except UnicodeEncodeError:
        return _refuse(502, "the task answered invalid headers")
    is_whole = all(_is_header(name, value) for name, value in raw) and 200 <= status <= 599
    if not is_whole:
        return _refuse(502, "the task answered an invalid header or status")
    # These statuses have no body; the bytes of one would stand before the next answer of the connection.
    response = Response(b"" if status in (204, 304) else body, status_code=status)
    kept = [(name, value) for name, value in raw if name.decode() not in HOP_BY_HOP]
    length = [(name, value) for name, value in response.raw_headers if name == b"content-length"]
    marks = [(name.lower().encode(), value.encode()) for name, value in _AS_DATA.items()]
    response.raw_headers = kept + length + marks
    return response


def _is_header(name: bytes, value: bytes) -> bool:
    return bool(_HEADER_NAME.fullmatch(name)) and not _CONTROL.search(value)


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status_code=status)
