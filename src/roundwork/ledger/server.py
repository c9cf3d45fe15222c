"""Journal, engine and RPC put together: one directory, one process, two ports."""

import asyncio
import fcntl
import gc
import json
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import uvicorn
import uvloop
from solders.keypair import Keypair
from uvicorn._types import ASGI3Application

from ..errors import BadKeypair, PortInUse, StoreInUse
from ..protocol.params import KOII, Genesis, Grant
from .chain import GENESIS_FILE, Chain
from .embedded.producer import Producer
from .limits import LIMITS, Limits
from .rpc.dispatch import build_app
from .signatures import Verifier

DEFAULT_PORT = 8899
FAUCET_BALANCE = 10**9 * KOII
FAUCET_FILE = "faucet.json"
PRODUCER_FILE = "producer.json"
LOCK_FILE = "lock"

FIRST_SLOT_MS = 60_000
"""A development ledger begins in the past, so that slot 0, in which nothing can run, is over."""

GC_THRESHOLD = 50_000
"""Allocations between two runs of the garbage collector: a block makes thousands that are no garbage yet."""

SHUTDOWN_SECONDS = 3
"""How long after a signal what was asked before it may still be answered."""

FAREWELL_SECONDS = 1
"""How long those may take in that they get no answer. Supervisors kill what has not ended after 5 s."""


def found_development(directory: Path, **settings: int) -> None:
    """Found a development ledger with a faucet and a producer of its own, if none is there yet.

    `settings` are fields of the genesis. Raises BadGenesis.
    """
    if (directory / GENESIS_FILE).exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    faucet = make_keypair(directory / FAUCET_FILE)
    producer = make_keypair(directory / PRODUCER_FILE)
    genesis = Genesis(
        time_ms=time.time_ns() // 1_000_000 - FIRST_SLOT_MS,
        producer=str(producer.pubkey()),
        faucet=str(faucet.pubkey()),
        accounts=(Grant(str(faucet.pubkey()), FAUCET_BALANCE),),
        **settings,  # type: ignore[arg-type] # only numbers are settings
    )
    Chain.create(directory, genesis)


def make_keypair(path: Path) -> Keypair:
    """A new keypair in a file that only its owner reads, or the one that is there. Raises BadKeypair."""
    if path.exists():
        return read_keypair(path)
    pair = Keypair()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        json.dump(list(bytes(pair)), file)
    return pair


def read_keypair(path: Path) -> Keypair:
    """A keypair file of Solana's form: a JSON array of 64 integers. Raises BadKeypair."""
    try:
        return Keypair.from_bytes(bytes(json.loads(path.read_text())))
    except (OSError, ValueError, TypeError) as error:
        raise BadKeypair(f"{path} holds no keypair, a JSON array of 64 integers: {error}") from error


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold a directory, so that two processes never write one journal. Raises StoreInUse."""
    with open(directory / LOCK_FILE, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUse(f"{directory}: another process runs the ledger in this directory") from None
        yield


def bind(host: str, port: int, stalled_seconds: int = LIMITS.stalled_seconds) -> list[socket.socket]:
    """Listening sockets on `port` and, for websockets, on the one above. Raises PortInUse.

    "localhost" is both 127.0.0.1 and ::1, because clients look at either.
    """
    hosts = ["127.0.0.1", "::1"] if host == "localhost" else [host]
    if "::1" in hosts and not _has_ipv6():
        hosts.remove("::1")
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(closing(_listen(one, at, stalled_seconds)))
            for one in hosts
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

    Raises BadGenesis, StoreCorrupt, StoreFull, StoreInUse, PortInUse.
    """
    with lock(directory):
        sockets = bind(host, port, limits.stalled_seconds)
        with closing(Chain(directory)) as chain:
            rest_collector()
            uvloop.run(_run(chain, sockets, ready, limits))


def rest_collector() -> None:
    """Have the garbage collector run seldom, and not look through what is loaded now, which stays."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


async def _run(
    chain: Chain, sockets: list[socket.socket], ready: Callable[[Chain], None], limits: Limits
) -> None:
    faucet = chain.directory / FAUCET_FILE
    async with Verifier() as verifier:
        producer = Producer(chain, verifier, limits.pool_transactions)
        app = build_app(chain, producer, read_keypair(faucet) if faucet.exists() else None, limits)
        await serve(app, sockets, producer.run(), producer.stop, lambda: ready(chain), limits)


async def serve(
    app: ASGI3Application,
    sockets: list[socket.socket],
    engine: Awaitable[None],
    stop: Callable[[], None],
    ready: Callable[[], None],
    limits: Limits = LIMITS,
) -> None:
    """Serve beside an engine until a signal comes, then stop both. Raises what the engine raises."""
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="websockets-sansio",
        log_level="warning",
        lifespan="off",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS + FAREWELL_SECONDS,
        limit_concurrency=limits.connections,
        ws_max_size=limits.body_bytes,
    )
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign] # ours stop the engine too
    serving = asyncio.create_task(server.serve(sockets))
    making = asyncio.ensure_future(engine)
    is_asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, is_asked.set)
    asked = asyncio.create_task(is_asked.wait())
    ready()

    await asyncio.wait({serving, making, asked}, return_when=asyncio.FIRST_COMPLETED)
    stop()
    server.should_exit = True
    asked.cancel()
    await asyncio.wait({serving}, timeout=SHUTDOWN_SECONDS)
    for request in server.server_state.tasks:
        request.cancel()  # it says so to whoever waits for its answer
    await serving
    await making


@contextmanager
def _no_signals() -> Iterator[None]:
    yield


def _listen(host: str, port: int, stalled_seconds: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: cuts a connection whose other end takes nothing in
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_seconds * 1000)
    try:
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise PortInUse(f"port {port} on {host}: {error.strerror}; choose another with --port") from None
    return listening


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
