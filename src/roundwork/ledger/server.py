"""Journal, engine and RPC put together: one directory, one process, two ports."""

import gc
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import uvloop
from solders.keypair import Keypair
from starlette.types import ASGIApp

from ..errors import BadKeypair
from ..host.files import make_own_folder, warn_of_other_users
from ..host.hold import hold
from ..host.keypairs import make_keypair, read_keypair
from ..host.serve import listen, serve
from ..protocol.params import KOII, Genesis, Grant
from .chain import Chain
from .embedded.producer import Producer
from .limits import LIMITS, Limits
from .rpc.http import build_app
from .signatures import Verifier
from .store.agreement import GENESIS_FILE, check_founded_once

DEFAULT_PORT = 8899
FAUCET_BALANCE = 10**9 * KOII
FAUCET_FILE = "faucet.json"
PRODUCER_FILE = "producer.json"
LOCK_FILE = "lock"

FIRST_SLOT_MS = 60_000
"""A development ledger begins this long in the past, so that slot 0, in which no transaction can run, is
over."""

GC_THRESHOLD = 50_000
"""Allocations between two runs of the garbage collector: a block makes thousands of objects that stay in
use."""

SWITCH_SECONDS = 0.000_5
"""After so long the event loop lets another thread run. A block is written by another thread, which waits so
long several times while heads are pushed; Python's own value is 5 ms."""

SHUTDOWN_SECONDS = 3
"""How long earlier requests may still get their response after a signal. Supervisors kill a process 5 s after
the request to end."""


def found_development(directory: Path, grants: Sequence[Grant] = (), **settings: int) -> None:
    """Create a development ledger with a faucet and a producer of its own, if the directory has no ledger.

    `grants` are accounts beside the faucet; `settings` are fields of the genesis. Raises BadGenesis.
    """
    if (directory / GENESIS_FILE).exists():
        return
    check_founded_once(directory)
    make_own_folder(directory)
    faucet = make_keypair(directory / FAUCET_FILE)
    producer = make_keypair(directory / PRODUCER_FILE)
    genesis = Genesis(
        time_ms=time.time_ns() // 1_000_000 - FIRST_SLOT_MS,
        producer=str(producer.pubkey()),
        faucet=str(faucet.pubkey()),
        accounts=(Grant(str(faucet.pubkey()), FAUCET_BALANCE), *grants),
        **settings,  # type: ignore[arg-type] # only numbers are settings
    )
    Chain.create(directory, genesis)


def lock(directory: Path) -> AbstractContextManager[None]:
    """Hold a directory, so that two processes never write one journal. Raises StoreInUse."""
    return hold(directory / LOCK_FILE, f"{directory}: another process runs the ledger in this directory")


def bind(host: str, port: int, stalled_seconds: int = LIMITS.stalled_seconds) -> list[socket.socket]:
    """Listening sockets on `port` and, for websockets, on the one above. Raises PortInUse.

    "localhost" is both 127.0.0.1 and ::1, because clients look at either.
    """
    hosts = ["127.0.0.1", "::1"] if host == "localhost" else [host]
    if "::1" in hosts and not _has_ipv6():
        hosts.remove("::1")
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(closing(listen(address, at, stalled_seconds)))
            for address in hosts
            for at in (port, port + 1)
        ]
        stack.pop_all()
    return sockets


def run(
    directory: Path,
    host: str = "localhost",
    port: int = DEFAULT_PORT,
    ready: Callable[[Chain], None] = lambda chain: None,
    limits: Limits = LIMITS,
) -> None:
    """Run an embedded ledger until SIGTERM or SIGINT. `ready` is called when it answers.

    Raises BadGenesis, BadKeypair, OldLaw, StoreCorrupt, StoreFull, StoreInUse, PortInUse.
    """
    with lock(directory):
        warn_of_other_users(directory)
        sockets = bind(host, port, limits.stalled_seconds)
        with closing(Chain(directory)) as chain:
            tune_interpreter()
            uvloop.run(_run(chain, sockets, ready, limits))


def read_faucet(chain: Chain) -> Keypair | None:
    """The key that gives money on a development ledger; None without a faucet. Raises BadKeypair."""
    path = chain.directory / FAUCET_FILE
    if not path.exists():
        return None
    pair = read_keypair(path)
    if chain.genesis.faucet is not None and str(pair.pubkey()) != chain.genesis.faucet:
        raise BadKeypair(
            f"{path} is the key of {pair.pubkey()}; the faucet of this ledger is {chain.genesis.faucet}. Put "
            "that key back, or delete the file to go on without a faucet"
        )
    return pair


def tune_interpreter() -> None:
    """Run the garbage collector seldom, and let other threads run soon.

    The collector skips all that is loaded now, because that stays.
    """
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_SECONDS)


async def _run(
    chain: Chain, sockets: list[socket.socket], ready: Callable[[Chain], None], limits: Limits
) -> None:
    faucet = read_faucet(chain)
    async with Verifier() as verifier:
        producer = Producer(chain, verifier, limits.pool_transactions)
        app = build_app(chain, producer, faucet, limits)
        await serve_engine(app, sockets, producer.run(), producer.stop, lambda: ready(chain), limits)


async def serve_engine(
    app: ASGIApp,
    sockets: list[socket.socket],
    engine: Awaitable[None],
    stop: Callable[[], None],
    ready: Callable[[], None],
    limits: Limits = LIMITS,
) -> None:
    """Serve beside an engine until a signal comes, then stop both. Raises what the engine raises."""
    await serve(
        app,
        sockets,
        engine,
        stop=stop,
        ready=ready,
        shutdown_seconds=SHUTDOWN_SECONDS,
        limits=limits,
        websocket_bytes_max=limits.body_bytes,
    )


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
