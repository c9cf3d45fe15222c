"""The application's process: the application that CometBFT drives, and our RPC."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvloop

from ...host.files import warn_of_other_users
from ..chain import Chain
from ..limits import LIMITS, Limits
from ..rpc.http import build_app
from ..server import bind, lock, read_faucet, serve_engine, tune_interpreter
from .engine import CometEngine
from .home import Home
from .seam import Seam, open_seam

POLL_SECONDS = 0.02


def run(
    home: Home,
    listening: socket.socket,
    host: str,
    port: int,
    ready: Callable[[Chain], None],
    limits: Limits = LIMITS,
) -> None:
    """Run an application until its CometBFT goes or a signal comes. `ready` is called when it answers.

    Raises BadGenesis, StoreCorrupt, StoreFull, StoreInUse, PortInUse, EngineFailed.
    """
    with lock(home.directory):
        warn_of_other_users(home.directory)
        tune_interpreter()
        uvloop.run(_run(home, listening, bind(host, port, limits.stalled_seconds), ready, limits))


async def _run(
    home: Home,
    listening: socket.socket,
    sockets: list[socket.socket],
    ready: Callable[[Chain], None],
    limits: Limits,
) -> None:
    async with open_seam(home, listening) as seam:
        await _catch_up(seam)
        if seam.server.ended.done():
            return await seam.server.ended
        engine = CometEngine(seam.application, home.rpc_address)
        app = build_app(seam.chain, engine, read_faucet(seam.chain), limits)
        try:
            await serve_engine(
                app, sockets, seam.server.ended, seam.server.end, lambda: ready(seam.chain), limits
            )
        finally:
            await engine.close()


async def _catch_up(seam: Seam) -> None:
    """Wait for the blocks that CometBFT delivers again, and for the first slot in which transactions can run.

    So readers never see a state older than what was acknowledged.
    """
    caught_up = asyncio.create_task(_wait_for_slots(seam))
    awaited: set[asyncio.Future[Any]] = {caught_up, seam.server.ended}
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    caught_up.cancel()


async def _wait_for_slots(seam: Seam) -> None:
    await seam.application.caught_up.wait()
    while seam.chain.state.head.slot < 1:  # noqa: ASYNC110 # CometBFT makes the blocks
        await asyncio.sleep(POLL_SECONDS)
