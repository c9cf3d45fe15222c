"""HTTP requests that a node makes for its tasks, within permitted hosts, addresses, sizes and rates."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urljoin

import httpcore2
import httpx2
import msgspec

from ...package.requirements import ANY_HOST
from ..answers import ServiceError
from .addresses import Resolver

USER_AGENT = b"roundwork"
REDIRECTS_MAX = 5
HOSTS_REMEMBERED = 1024
ANSWER_BYTES_MAX = 8 * 1024 * 1024
REQUEST_SECONDS = 30.0
NODE_SETS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade", "user-agent")
)
"""Headers that the node sets; a task cannot."""

HTTP_PORTS = (80, 443)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
KEPT_AT_HOME = frozenset(("authorization", "cookie", "proxy-authorization"))
"""Headers that a redirect to another host does not take along."""

SHOWN_CHARACTERS = 200
"""Of a URL, in an error."""

log = logging.getLogger(__name__)


_NAME = re.compile(rb"[A-Za-z0-9._-]{1,253}")


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, its body within the limit, header names in lower case."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes


class _Request(NamedTuple):
    method: str
    url: str
    hosts: Sequence[str] | None
    headers: list[tuple[str, str]]
    body: bytes
    body_bytes_max: int


class _Turn:
    """When the next request to a host may begin, and those that wait for it."""

    def __init__(self) -> None:
        self.queue = asyncio.Lock()
        self.next_at = 0.0

    def is_needed(self, now: float) -> bool:
        return self.queue.locked() or self.next_at > now


class Fetcher:
    """HTTP for strangers' code. One per node, shared by its tasks; close it at the end.

    Private, loopback and link-local addresses are refused outside development networks. The address of the
    connection is checked, so a name cannot be made to point inside. Requests to one host keep 1 /
    `requests_per_second` apart.
    """

    def __init__(self, *, is_development: bool, requests_per_second: float = 5.0) -> None:
        self._resolver = Resolver(is_development)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),
            max_connections=64,
            keepalive_expiry=10.0,
            network_backend=_Guarded(self._resolver),
        )
        self._pause_seconds = 1 / requests_per_second
        self._turns: dict[str, _Turn] = {}
        """By host and port."""
        self._is_development = is_development
        self._faults: set[str] = set()
        """Errors of libraries that are in the log already."""

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        hosts: Sequence[str] | None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        body_bytes_max: int = ANSWER_BYTES_MAX,
        timeout_seconds: float = REQUEST_SECONDS,
    ) -> Answer:
        """One request; redirects of GET and HEAD are followed within `hosts`.

        "*" among `hosts` is any host, and so is None, which is for peers' endpoints. Raises ServiceError and
        nothing else: Refused for a method, host, scheme, address or size that is not allowed, Unavailable
        for a host that does not answer in time or answers what is not HTTP.
        """
        shown = f"{method[:SHOWN_CHARACTERS]} {url[:SHOWN_CHARACTERS]}"
        if method not in METHODS:
            raise ServiceError("Refused", f"{shown}: the method must be one of {', '.join(sorted(METHODS))}")
        try:
            async with asyncio.timeout(timeout_seconds):
                request = _Request(method, url, hosts, [*headers], body, body_bytes_max)
                return await self._follow(request)
        except ServiceError:
            raise
        except TimeoutError as error:
            raise ServiceError(
                "Unavailable", f"{shown} did not answer within {timeout_seconds:g} s"
            ) from error
        except (httpcore2.LocalProtocolError, UnicodeEncodeError) as error:
            raise ServiceError("Refused", f"{shown} is not a request that can be sent: {error}") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            raise ServiceError("Unavailable", f"{shown} does not answer: {error!r}") from error
        except Exception as error:  # a stranger chose the URL and wrote the answer
            self._report_fault(shown, error)
            raise ServiceError("Unavailable", f"{shown} failed: {type(error).__name__}") from error

    async def connect(
        self, host: str, port: int, hosts: Sequence[str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to one of the permitted hosts, whose bytes the caller passes on.

        What is sent cannot be checked, so "*" is any host at the ports of HTTP and HTTPS only. The address
        is checked as for `fetch`. Raises ServiceError.
        """
        if not is_permitted(host, port, hosts) and not (ANY_HOST in hosts and port in HTTP_PORTS):
            raise ServiceError("Refused", describe_refusal(host, port, hosts))
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._wait_for_turn(f"{host}:{port}")
                addresses = await self._resolver.look_up(host, port)
                return await _open_connection(addresses, port)
        except (OSError, TimeoutError) as error:
            raise ServiceError("Unavailable", f"{host}:{port} does not answer: {error!r}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
        self._resolver.close()

    async def _follow(self, request: _Request) -> Answer:
        """The answer behind at most REDIRECTS_MAX redirects. Raises ServiceError and httpcore's errors."""
        for _ in range(REDIRECTS_MAX + 1):
            answer = await self._fetch_once(request)
            location = answer.headers.get("location")
            if not (300 < answer.status < 400 and location and request.method in ("GET", "HEAD")):
                return answer
            request = _redirect(request, location)
        shown = request.url[:SHOWN_CHARACTERS]
        raise ServiceError("Unavailable", f"{shown} redirects more than {REDIRECTS_MAX} times")

    async def _fetch_once(self, request: _Request) -> Answer:
        method, url, hosts, headers, body, body_bytes_max = request
        parsed = parse_url(url)
        port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
        if hosts is not None and ANY_HOST not in hosts and not is_permitted(parsed.host, port, hosts):
            raise ServiceError("Refused", describe_refusal(parsed.host, port, hosts))
        await self._wait_for_turn(f"{parsed.host}:{port}")
        lines = [(b"Host", parsed.netloc), (b"User-Agent", USER_AGENT), (b"Accept-Encoding", b"identity")]
        lines += [(k.encode("ascii"), v.encode("latin-1")) for k, v in headers if k.lower() not in NODE_SETS]
        if body or method not in ("GET", "HEAD"):
            lines.append((b"Content-Length", str(len(body)).encode()))
        target = httpcore2.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
        )
        async with self._pool.stream(method, target, headers=lines, content=body) as response:
            chunks = bytearray()
            async for chunk in response.aiter_stream():
                chunks += chunk
                if len(chunks) > body_bytes_max:
                    raise ServiceError(
                        "Refused", f"{url[:SHOWN_CHARACTERS]} answers more than {body_bytes_max} bytes"
                    )
            answered = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
            return Answer(url, response.status, answered, bytes(chunks))

    async def _wait_for_turn(self, host: str) -> None:
        """Keep a pause between requests to the same host; development hosts are our own and need none."""
        if self._is_development:
            return
        loop = asyncio.get_running_loop()
        if len(self._turns) > HOSTS_REMEMBERED:
            self._turns = {each: turn for each, turn in self._turns.items() if turn.is_needed(loop.time())}
        turn = self._turns.setdefault(host, _Turn())
        async with turn.queue:  # a request that is given up leaves the queue, and takes no time from others
            await asyncio.sleep(turn.next_at - loop.time())
            turn.next_at = loop.time() + self._pause_seconds

    def _report_fault(self, shown: str, error: Exception) -> None:
        """Log an error that no library should raise, each kind once."""
        if type(error).__name__ not in self._faults:
            self._faults.add(type(error).__name__)
            log.error("%s failed", shown, exc_info=error)


async def _open_connection(
    addresses: Sequence[str], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the first address that answers. Raises OSError."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(address, port)
    return await asyncio.open_connection(addresses[-1], port)


def is_permitted(host: str, port: int, hosts: Sequence[str]) -> bool:
    """Whether "name" (ports 80 and 443), "name:port" or "*.name" among `hosts` covers the host."""
    for pattern in hosts:
        name, _, named_port = (
            pattern.lower().rpartition(":") if _has_port(pattern) else (pattern.lower(), "", "")
        )
        ports = (int(named_port),) if named_port else HTTP_PORTS
        is_named = host.endswith(name[1:]) if name.startswith("*.") else host == name.strip("[]")
        if is_named and port in ports:
            return True
    return False


def describe_refusal(host: str, port: int, hosts: Sequence[str]) -> str:
    """Why a host that `is_permitted` does not cover is refused; a hint if only its port is at fault."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    is_named = any(
        is_permitted(host, named, [pattern])
        for pattern in hosts
        for named in ((int(pattern.rpartition(":")[2]),) if _has_port(pattern) else HTTP_PORTS)
    )
    hint = f"; the port is not permitted: write {place} (a name alone permits ports 80 and 443)"
    return f"{place} is not among the permitted hosts {list(hosts)}{hint if is_named else ''}"


class _Guarded(httpcore2.AsyncNetworkBackend):
    """Looks names up itself, and connects only to addresses that it has checked."""

    def __init__(self, resolver: Resolver) -> None:
        self._inner = httpcore2.AnyIOBackend()
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._resolver.look_up(host, port)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError:
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


def parse_url(url: str) -> httpx2.URL:
    """A URL that can be fetched. Raises ServiceError (Refused)."""
    shown = repr(url[:SHOWN_CHARACTERS])
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:  # ValueError: half of a surrogate pair
        raise ServiceError("Refused", f"{shown} is not a URL: {error}") from error
    is_host = _NAME.fullmatch(parsed.raw_host) or ":" in parsed.host
    if parsed.scheme not in ("http", "https") or not is_host or parsed.userinfo:
        raise ServiceError("Refused", f"{shown} is not allowed: http:// or https://, a host, no password")
    if parsed.port is not None and not 0 < parsed.port < 2**16:
        raise ServiceError("Refused", f"{shown} is not allowed: a port is from 1 to {2**16 - 1}")
    return parsed


def _redirect(request: _Request, location: str) -> _Request:
    """The request that a redirect asks for. Raises ServiceError (Unavailable)."""
    try:
        target = urljoin(request.url, location)
        is_same_host = parse_url(target).netloc == parse_url(request.url).netloc
    except (ValueError, ServiceError) as error:
        shown = f"{request.url[:SHOWN_CHARACTERS]} redirects to {location[:SHOWN_CHARACTERS]!r}"
        raise ServiceError("Unavailable", f"{shown}: {error}") from error
    headers = [(k, v) for k, v in request.headers if is_same_host or k.lower() not in KEPT_AT_HOME]
    return request._replace(url=target, headers=headers)


def _has_port(pattern: str) -> bool:
    head, colon, tail = pattern.rpartition(":")
    return bool(colon) and tail.isdecimal() and (":" not in head or head.endswith("]"))
