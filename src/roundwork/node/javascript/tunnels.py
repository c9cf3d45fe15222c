"""How a main.js reaches other hosts: tunnels through its node, which permits hosts by name and connects."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence

from ...shown import plain
from ..answers import ServiceError
from ..peers.outgoing import Fetcher, parse_url

TUNNELS_MAX = 64
"""Tunnels of one task at a time, and connections that have not shown its secret yet."""

TUNNEL_BYTES_MAX = 64 * 1024 * 1024
"""The most bytes that a tunnel carries in one direction."""

HEAD_BYTES_MAX = 4096
HEAD_SECONDS = 10.0
IDLE_SECONDS = 60.0
PIECE_BYTES = 64 * 1024
REASON_CHARACTERS = 300
REFUSALS_REMEMBERED = 100

_HEAD = re.compile(
    rb"CONNECT (?:\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,253})):(?P<port>\d{1,5})"
    rb" HTTP/1\.1\r\n"
    rb"Proxy-Authorization: Bearer (?P<secret>[^\r\n]{1,200})\r\n\r\n"
)
"""The only request that is answered: network.cjs sends it."""


class Tunnels:
    """Listens on loopback for one task, from `open` to `close`.

    `hosts` are the permitted hosts of the task, `get_endpoints()` the URLs of the task's nodes; the task
    shows `secret`. `log` gets a line for each host that was refused.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        hosts: Sequence[str],
        get_endpoints: Callable[[], Mapping[str, str]],
        secret: str,
        log: Callable[[str], None],
    ) -> None:
        self._fetcher = fetcher
        self._hosts = hosts
        self._get_endpoints = get_endpoints
        self._secret = secret
        self._log = log
        self._refused: set[str] = set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._strangers: dict[asyncio.Task[None], None] = {}
        """Those that have not shown the secret yet, oldest first. Any process of this machine can be among
        them, so they take no place of a tunnel, and the oldest gives way to a new one."""

    async def open(self) -> int:
        """Listen; the port. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Close all tunnels."""
        if self._server is not None:
            self._server.close()
        for tunnel in self._open:
            tunnel.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = asyncio.current_task()
        assert tunnel is not None
        if len(self._strangers) >= TUNNELS_MAX:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.cancel()
        self._open.add(tunnel)
        self._strangers[tunnel] = None
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await self._answer(reader, writer, tunnel)
        finally:
            self._strangers.pop(tunnel, None)
            self._open.discard(tunnel)
            writer.transport.abort() if writer.is_closing() else writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tunnel: asyncio.Task[None]
    ) -> None:
        """One request, and the tunnel that it opens. Raises OSError, TimeoutError, IncompleteReadError."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                request = _HEAD.fullmatch(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.LimitOverrunError:
            request = None
        if request is None or not 0 < int(request["port"]) < 2**16:
            return await _refuse(writer, 400, "only CONNECT host:port is answered here")
        if not hmac.compare_digest(request["secret"], self._secret.encode()):
            return await _refuse(writer, 407, "this is not the secret of the task")
        self._strangers.pop(tunnel, None)
        if len(self._open) - len(self._strangers) > TUNNELS_MAX:
            return await _refuse(writer, 503, f"{TUNNELS_MAX} connections are open already")
        host = (request["ipv6"] or request["name"]).decode("ascii", "replace").lower()
        try:
            far = await self._fetcher.connect(host, int(request["port"]), self._list_hosts())
        except ServiceError as error:
            self._report(f"{host}:{int(request['port'])}", error)
            return await _refuse(writer, 403 if error.kind == "Refused" else 502, str(error))
        far_reader, far_writer = far
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            async with asyncio.timeout(IDLE_SECONDS) as idle:
                await asyncio.gather(_pump(reader, far_writer, idle), _pump(far_reader, writer, idle))
        finally:
            far_writer.transport.abort()

    def _list_hosts(self) -> list[str]:
        """The permitted hosts, and those of the task's nodes as they are known now."""
        return [*self._hosts, *filter(None, map(_find_place, self._get_endpoints().values()))]

    def _report(self, place: str, error: ServiceError) -> None:
        """Log that a host was not reached, each once."""
        if place not in self._refused and len(self._refused) < REFUSALS_REMEMBERED:
            self._refused.add(place)
            self._log(f"no connection to {place}: {error}")


def _find_place(url: str) -> str | None:
    """The "host:port" of a node's URL; None for a URL that cannot be fetched."""
    try:
        parsed = parse_url(url)
    except ServiceError:
        return None
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{host}:{parsed.port or {'http': 80, 'https': 443}[parsed.scheme]}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle: asyncio.Timeout) -> None:
    """Pass on bytes in one direction until their end.

    Each piece restarts the timeout `idle`. Raises OSError.
    """
    left = TUNNEL_BYTES_MAX
    while left > 0 and (data := await reader.read(min(PIECE_BYTES, left))):
        left -= len(data)
        writer.write(data)
        await writer.drain()
        idle.reschedule(asyncio.get_running_loop().time() + IDLE_SECONDS)
    if writer.can_write_eof():
        writer.write_eof()


async def _refuse(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    """Answer why there is no tunnel."""
    line = plain(reason)[:REASON_CHARACTERS].encode("latin-1", "replace")
    writer.write(b"HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, line))
    await writer.drain()
