"""Serving HTTP beside a process's own work, until a signal comes."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ..errors import PortInUse

FAREWELL_SECONDS = 1
"""How long requests may take to end after they were cancelled."""

BACKLOG = 1024
"""Connections that the kernel keeps until they are accepted."""


class _Server(uvicorn.Server):
    """A server that leaves signals alone: `serve` handles them, because they end the work, too."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    work: Awaitable[None],
    *,
    stop: Callable[[], object],
    ready: Callable[[], None],
    shutdown_seconds: int,
    **options: Any,
) -> None:
    """Serve beside the work until SIGTERM, SIGINT or the end of the work.

    Then `stop` is called, which ends the work, and requests that came before have `shutdown_seconds` to get
    their response. `options` are further ones of uvicorn.Config. Raises what the work raises.
    """
    config = uvicorn.Config(
        app,
        loop="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=shutdown_seconds + FAREWELL_SECONDS,
        **options,
    )
    server = _Server(config)
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


def listen(host: str, port: int, stalled_seconds: int | None = None) -> socket.socket:
    """A listening socket. Raises PortInUse.

    A connection whose other end takes nothing in for `stalled_seconds` is cut, where the system can do so.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if stalled_seconds is not None and hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
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
