"""The ledger's side of CometBFT's socket: a chain, the application that moves it, and the server."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import NamedTuple

from ...errors import BadGenesis
from ..chain import Chain
from ..signatures import Verifier
from .application import Application
from .home import Home
from .proposal import Known
from .server import Server


class Seam(NamedTuple):
    """A chain that CometBFT drives through a socket."""

    chain: Chain
    application: Application
    server: Server


@asynccontextmanager
async def open_seam(home: Home, listening: socket.socket) -> AsyncIterator[Seam]:
    """Open the chain at its checkpoint, because CometBFT delivers the rest again, and serve the socket."""
    with closing(Chain(home.directory, replay=False)) as chain:
        if chain.state.genesis_hash != home.genesis_hash:
            raise BadGenesis(
                f"{home.directory}/genesis.json and {home.path}/config/genesis.json found two ledgers"
            )
        async with Verifier() as verifier:
            application = Application(chain, home.genesis.chain_id, home.producers, Known(verifier.verify))
            server = Server(application.answer)
            await server.listen(listening)
            try:
                yield Seam(chain, application, server)
            finally:
                await server.close()
