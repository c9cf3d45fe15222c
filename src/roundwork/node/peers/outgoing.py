"""HTTP requests that a node makes for its tasks, within permitted hosts, addresses, sizes and rates."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from urllib.parse import urljoin

import httpcore2
import httpx2
import msgspec

from ...package.requirements import ANY_HOST
from ..answers import ServiceError

USER_AGENT = b"roundwork"
REDIRECTS_MAX = 5
HOSTS_REMEMBERED = 1024
ANSWER_BYTES_MAX = 8 * 1024 * 1024
REQUEST_SECONDS = 30.0
NODE_SETS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade", "user-agent")
)
"""Headers that a task does not choose."""

_MAPPED = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"))
)
"""IPv6 ranges that stand for IPv4 addresses."""


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, its body within the limit, header names in lower case."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes


class Fetcher:
    """HTTP for strangers' code. One per node, shared by its tasks; close it at the end.

    Private, loopback and link-local addresses are refused outside development networks, on the address
    that is connected to, so that no name can be made to point inside. Requests to one host keep
    1 / `requests_per_second` apart.
    """

    def __init__(self, *, is_development: bool, requests_per_second: float = 5.0) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),
            max_connections=64,
            keepalive_expiry=10.0,
            network_backend=_Guarded(is_development),
        )
        self._pause_seconds = 1 / requests_per_second
        self._next_at: dict[str, float] = {}
        self._is_development = is_development

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
        """One request, redirects of GET and HEAD followed within `hosts`: "*" is any, and so is None, which
        is for peers' endpoints.

        Raises ServiceError: Refused for a host, scheme, address or size that is not allowed, Unavailable
        for one that does not answer in time.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                for _ in range(REDIRECTS_MAX + 1):
                    answer = await self._fetch_once(method, url, hosts, headers, body, body_bytes_max)
                    target = answer.headers.get("location")
                    if not (300 < answer.status < 400 and target and method in ("GET", "HEAD")):
                        return answer
                    url = urljoin(url, target)
        except TimeoutError as error:
            raise ServiceError("Unavailable", f"{url} did not answer within {timeout_seconds:g} s") from error
        except (httpcore2.LocalProtocolError, UnicodeEncodeError) as error:
            raise ServiceError(
                "Refused", f"{method} {url} is not a request that can be sent: {error}"
            ) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            raise ServiceError("Unavailable", f"{url} does not answer: {error!r}") from error
        raise ServiceError("Unavailable", f"{url} redirects more than {REDIRECTS_MAX} times")

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _fetch_once(
        self,
        method: str,
        url: str,
        hosts: Sequence[str] | None,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        body_bytes_max: int,
    ) -> Answer:
        parsed = _parse(url)
        port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
        if hosts is not None and ANY_HOST not in hosts and not is_permitted(parsed.host, port, hosts):
            raise ServiceError(
                "Refused", f"{parsed.host}:{port} is not among the permitted hosts {list(hosts)}"
            )
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
                    raise ServiceError("Refused", f"{url} answers more than {body_bytes_max} bytes")
            answered = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
            return Answer(url, response.status, answered, bytes(chunks))

    async def _wait_for_turn(self, host: str) -> None:
        """Keep a pause between requests to the same host; development hosts are our own and need none."""
        if self._is_development:
            return
        now = asyncio.get_running_loop().time()
        if len(self._next_at) > HOSTS_REMEMBERED:
            self._next_at = {host: at for host, at in self._next_at.items() if at > now}
        turn = max(now, self._next_at.get(host, now))
        self._next_at[host] = turn + self._pause_seconds
        await asyncio.sleep(turn - now)


def is_permitted(host: str, port: int, hosts: Sequence[str]) -> bool:
    """Whether "name" (ports 80 and 443), "name:port" or "*.name" among `hosts` covers the host."""
    for pattern in hosts:
        name, _, named_port = (
            pattern.lower().rpartition(":") if _has_port(pattern) else (pattern.lower(), "", "")
        )
        ports = (int(named_port),) if named_port else (80, 443)
        is_named = host.endswith(name[1:]) if name.startswith("*.") else host == name.strip("[]")
        if is_named and port in ports:
            return True
    return False


def is_public(address: str) -> bool:
    """Whether an IP address is public, also when an IPv6 address stands for an IPv4 address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return is_public(str(parsed.ipv4_mapped))
        if any(parsed in network for network in _MAPPED):
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


class _Guarded(httpcore2.AsyncNetworkBackend):
    """Looks names up itself, and connects only to addresses that it has checked."""

    def __init__(self, is_development: bool) -> None:
        self._inner = httpcore2.AnyIOBackend()
        self._is_development = is_development

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await _look_up(host, port)
        if not self._is_development and not all(map(is_public, addresses)):
            raise ServiceError(
                "Refused", f"{host} is at a private address, {addresses}: only public ones are allowed"
            )
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError:
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


async def _look_up(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"{host} is not known: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def _parse(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ServiceError("Refused", f"{url[:200]!r} is not a URL: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise ServiceError(
            "Refused", f"{url[:200]!r} is not allowed: http:// or https://, a host, no password"
        )
    return parsed


def _has_port(pattern: str) -> bool:
    head, colon, tail = pattern.rpartition(":")
    return bool(colon) and tail.isdecimal() and (":" not in head or head.endswith("]"))
