"""Serving HTTP beside a process's own work, until a signal comes."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from ..errors import PortInUse
from .connections import Acceptor, Connection, Websocket
from .front import FRONT_LIMITS, Front, FrontLimits, fit_descriptors

FAREWELL_SECONDS = 1
"""How long requests may take to end after they were cancelled."""

BACKLOG = 1024
"""Connections that the kernel keeps until they are accepted."""


TICKS_PER_SECOND = 10
"""How often uvicorn calls `on_tick`."""


class _Server(uvicorn.Server):
    """A server that keeps to the limits of a front.

    It leaves signals alone: `serve` handles them, because they end the work, too.
    """

    def __init__(self, config: uvicorn.Config, front: Front) -> None:
        super().__init__(config)
        self._front = front

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        acceptors = [Acceptor(each, self._front, self.config, self.server_state) for each in sockets or []]
        self.servers = acceptors  # type: ignore[assignment] # they close as asyncio's servers do
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_SECOND == 0:
            self._front.check_clocks(asyncio.get_running_loop().time())
        return await super().on_tick(counter)


async def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    work: Awaitable[None],
    *,
    stop: Callable[[], object],
    ready: Callable[[], None],
    shutdown_seconds: int,
    limits: FrontLimits = FRONT_LIMITS,
    websocket_bytes_max: int | None = None,
) -> None:
    """Serve beside the work until SIGTERM, SIGINT or the end of the work.

    Then `stop` is called, which ends the work, and requests that came before have `shutdown_seconds` to get
    their response. There are websockets if the size of their messages is given. Raises what the work raises.
    """
    front = Front(fit_descriptors(limits))
    config = uvicorn.Config(
        app,
        loop="none",
        lifespan="off",
        log_level="error",  # what it warns of is what clients do
        access_log=False,
        log_config=None,  # its lines go where all of this process go
        timeout_graceful_shutdown=shutdown_seconds + FAREWELL_SECONDS,
        http=Connection,
        ws="none" if websocket_bytes_max is None else Websocket,
        ws_max_size=websocket_bytes_max or 0,
        ws_per_message_deflate=False,  # it costs each subscriber's notification memory and time of its own
    )
    server = _Server(config, front)
    serving = asyncio.create_task(server.serve(list(sockets)))
    working = asyncio.ensure_future(work)
    signalled = asyncio.create_task(_watch_signals().wait())
    ready()

    await asyncio.wait({serving, working, signalled}, return_when=asyncio.FIRST_COMPLETED)
    stop()
    server.should_exit = True
    signalled.cancel()
    await asyncio.wait({serving}, timeout=shutdown_seconds)
    for request in server.server_state.tasks:
        request.cancel()  # its client is answered so
    await serving
    await working


def _watch_signals() -> asyncio.Event:
    """An event that is set when SIGTERM or SIGINT comes."""
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, came.set)
    return came


def listen(host: str, port: int, stalled_seconds: int = FRONT_LIMITS.stalled_seconds) -> socket.socket:
    """A listening socket. Raises PortInUse.

    A connection whose other end takes nothing in for `stalled_seconds` is cut, where the system can do so.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_seconds * 1000)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise PortInUse(
            f"port {port} on {host}: {error.strerror}; choose another with --port or --host"
        ) from None
    return listening
