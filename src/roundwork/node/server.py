"""A node put together: keys, package, environment, lanes, gateway, runtime."""

import asyncio
import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from ..client import Client
from ..content import is_content_id
from ..errors import BadConfig, BadTaskFile, PortInUse
from ..metadata import find_metadata
from ..operations import patiently, read_task
from ..package import PACKAGE_BYTES_MAX, Manifest, Package, load_package, pack, resolve_hosts, unpack
from ..protocol.views import TaskView
from ..requirements import check_machine
from .announce import Announcer
from .environments import prepare_environment
from .gateway import build_gateway
from .keystore import make_keypair
from .lane import TaskSetting
from .lanes import Lanes
from .lookout import Me, Seen
from .outgoing import Fetcher
from .registrations import Registrations, find_fault
from .runtime import Runtime
from .sandbox import Limits, choose_sandbox
from .services import build_services
from .storage import BlobStore, fetch_blob

SHUTDOWN_SECONDS = 2
ENDPOINT_BYTES_MAX = 64
PACKAGE_ROUND = 2**62
"""The round under which a package's blobs are kept: they are not dropped with a round's."""

log = logging.getLogger(__name__)


class NodeSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One node as its operator wants it. Money in roe."""

    ledger_url: str
    task: str
    directory: Path
    """Keys, memory, blobs and the task's files are kept here."""
    package: Path | None = None
    """The task's folder, if it is at hand; else the package is fetched from other nodes."""
    host: str = "127.0.0.1"
    port: int = 0
    endpoint: str | None = None
    """Where others reach the gateway, if not at host and port."""
    peers: tuple[str, ...] = ()
    """URLs of nodes to ask beside those that the ledger names."""
    stake: int = 0
    """What to have at stake: added whenever the stake is below the task's minimum; 0 is never."""
    sandbox: str | None = None
    params: dict[str, str] = {}
    secrets: dict[str, str] = {}
    is_any_machine: bool = False
    """Run tasks that ask for another kind of machine, too."""
    is_liar: bool = False
    passphrase: str | None = None
    """Of the keypair files, if they are encrypted."""


Agree = Callable[[Package, Sequence[str]], None]
"""Has the operator agree to what a package asks for, with the hosts that it may reach. Raises BadConfig."""


async def run(setting: NodeSetting, ready: Callable[[str, str], None], agree: Agree) -> None:
    """Run a node until SIGTERM or SIGINT; `ready(address, endpoint)` is called when it works.

    Raises BadKeypair, BadTaskFile, BadConfig, UnknownTask, PortInUse, StoreFull, StoreCorrupt.
    """
    setting.directory.mkdir(parents=True, exist_ok=True)
    main = make_keypair(setting.directory / "main.json", setting.passphrase)
    staking = make_keypair(setting.directory / "staking.json", setting.passphrase)
    secret = _make_secret(setting.directory / "secret")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(setting.ledger_url))
        ledger = await patiently(client.get_ledger)
        task = await patiently(lambda: read_task(client, setting.task))
        is_development = ledger.kind == "development"
        fetcher = Fetcher(is_development=is_development, requests_per_second=100.0 if is_development else 5.0)
        stack.push_async_callback(fetcher.close)
        store = BlobStore(setting.directory / "blobs")
        stack.callback(store.close)
        seen = Seen(task)
        registrations = Registrations(lambda: seen.task, is_development)
        package = await _get_package(setting, task, store, fetcher)
        if not setting.is_any_machine:
            check_machine(package.requirements)
        agree(package, resolve_hosts(package, {**package.params, **setting.params}))
        listening = _listen(setting.host, setting.port)
        stack.callback(listening.close)
        port = listening.getsockname()[1]
        url = _choose_url(setting, port, is_development)
        endpoint = url if len(url.encode()) <= ENDPOINT_BYTES_MAX else ""  # a longer one is registered only
        me = Me(main, staking, secret, setting.stake, endpoint, setting.is_liar)
        lanes = await _open_lanes(setting, package, me, client, fetcher, store, registrations)
        stack.push_async_callback(lanes.close)
        runtime = Runtime(client, me, lanes, store, setting.directory, seen)
        app = build_gateway(
            store=store,
            get_lanes=lambda: {setting.task: lanes},
            registrations={setting.task: registrations},
            get_metrics=lambda: _measure(lanes, store, setting.task),
        )
        announcer = Announcer(setting.task, staking, url, registrations, fetcher, setting.peers)
        announcing = asyncio.create_task(announcer.run())
        stack.callback(announcing.cancel)
        await _serve(app, listening, runtime, lambda: ready(me.node, url or _compose_url(setting.host, port)))


async def _serve(app: Any, listening: socket.socket, runtime: Runtime, ready: Callable[[], None]) -> None:
    """Gateway and runtime side by side until a signal comes or the runtime raises."""
    config = uvicorn.Config(
        app,
        loop="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign] # ours stop the runtime too
    is_asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, is_asked.set)
    serving = asyncio.create_task(server.serve([listening]))
    working = asyncio.create_task(runtime.run())
    asked = asyncio.create_task(is_asked.wait())
    ready()
    await asyncio.wait({working, asked, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    asked.cancel()
    working.cancel()
    await serving
    try:
        await working
    except asyncio.CancelledError:
        log.info("stopped")


@contextmanager
def _no_signals() -> Iterator[None]:
    yield


async def _open_lanes(
    setting: NodeSetting,
    package: Package,
    me: Me,
    client: Client,
    fetcher: Fetcher,
    store: BlobStore,
    registrations: Registrations,
) -> Lanes:
    environments = (
        Path(os.environ.get("ROUNDWORK_CACHE", Path.home() / ".cache" / "roundwork")) / "environments"
    )
    params = {**package.params, **setting.params}
    home = setting.directory / "task"
    task_setting = TaskSetting(
        task=setting.task,
        node=me.node,
        program=package.program,
        home=home,
        environment=await prepare_environment(environments, package.lock, package.requires_python),
        limits=Limits(**package.limits),
        params=params,
        secrets=_choose_secrets(package, setting.secrets),
    )
    services = build_services(
        task=setting.task,
        keypair=me.staking,
        hosts=resolve_hosts(package, params),
        fetcher=fetcher,
        store=store,
        get_endpoints=registrations.get_endpoints,
        read_ledger=lambda method, asked: client.call(method, *asked),
    )
    return Lanes(task_setting, choose_sandbox(setting.sandbox), services, me.secret, log_task)


def log_task(line: str) -> None:
    """A line that the task printed."""
    logging.getLogger("task").info("%s", line)


async def _get_package(setting: NodeSetting, task: TaskView, store: BlobStore, fetcher: Fetcher) -> Package:
    """The task's package, checked against the content id in the task, and served to others from here.

    Raises BadTaskFile.
    """
    folder = setting.package
    if folder is None:
        folder = setting.directory / "package"
        if not folder.exists():
            await _fetch_package(task, fetcher, folder, setting.peers)
    package = load_package(folder)
    content_id, blobs = pack(package)
    if content_id != task.audit_program:
        raise BadTaskFile(
            f"{folder} is package {content_id}; task {task.address} runs {task.audit_program or 'none'}"
        )
    for blob in blobs.values():
        store.put(blob, task.address, PACKAGE_ROUND)
    await _keep_metadata(package, task, store, fetcher, setting.peers)
    return package


async def _keep_metadata(
    package: Package, task: TaskView, store: BlobStore, fetcher: Fetcher, peers: Sequence[str]
) -> None:
    """Serve what clients show of the task, if it can be had."""
    if not is_content_id(task.metadata) or store.get(task.metadata) is not None:
        return
    endpoints = [*peers, *(one.endpoint for one in task.stakes if one.endpoint)]
    metadata = find_metadata(package, task.metadata) or await fetch_blob(task.metadata, fetcher, endpoints)
    if metadata is not None:
        store.put(metadata, task.address, PACKAGE_ROUND)


async def _fetch_package(task: TaskView, fetcher: Fetcher, folder: Path, peers: Sequence[str]) -> None:
    """Write the task's package into a folder, from nodes that serve it. Raises BadTaskFile."""
    endpoints = [*peers, *(one.endpoint for one in task.stakes if one.endpoint)]
    blobs: dict[str, bytes] = {}

    async def fetch(content_id: str) -> bytes:
        blob = await fetch_blob(content_id, fetcher, endpoints)
        if blob is None:
            raise BadTaskFile(
                f"no node of task {task.address} serves {content_id or 'a package'}, which it runs; give its "
                "folder with --package"
            )
        blobs[content_id] = blob
        if sum(map(len, blobs.values())) > PACKAGE_BYTES_MAX:
            raise BadTaskFile(f"package {task.audit_program} has more than {PACKAGE_BYTES_MAX} bytes")
        return blob

    try:
        manifest = msgspec.json.decode(await fetch(task.audit_program), type=Manifest)
    except msgspec.DecodeError as error:
        raise BadTaskFile(f"{task.audit_program}, which task {task.address} runs, is no package") from error
    for content_id in manifest.files.values():
        await fetch(content_id)
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    unpack(task.audit_program, blobs.get, part)
    part.rename(folder)


def _choose_secrets(package: Package, given: dict[str, str]) -> dict[str, str]:
    """The secrets that the package asks for. Raises BadTaskFile if one is not given."""
    missing = [name for name in package.secrets if name not in given]
    if missing:
        raise BadTaskFile(
            f"the task asks for {', '.join(missing)}; give each with --secret NAME=VALUE, or --secret NAME"
            " to take it from the environment"
        )
    return {name: given[name] for name in package.secrets}


def _measure(lanes: Lanes, store: BlobStore, task: str) -> dict[str, float]:
    starts = {f'roundwork_lane_starts{{lane="{kind}"}}': float(n) for kind, n in lanes.count_starts().items()}
    return {**starts, "roundwork_blob_bytes": float(store.measure(task))}


def _make_secret(path: Path) -> bytes:
    """32 bytes that only this node knows, made when they are first needed."""
    if not path.exists():
        part = path.with_suffix(".part")
        part.touch(0o600)
        part.write_bytes(os.urandom(32))
        part.rename(path)
    return path.read_bytes()


def _choose_url(setting: NodeSetting, port: int, is_development: bool) -> str:
    """Where strangers reach the gateway, "" for nowhere. Raises BadConfig."""
    if setting.endpoint is not None:
        fault = find_fault(setting.endpoint, is_development)
        if fault:
            raise BadConfig(f"--endpoint {setting.endpoint} {fault}")
        return setting.endpoint
    url = _compose_url(setting.host, port)
    fault = find_fault(url, is_development)
    if fault:
        log.warning("other nodes cannot ask this one: %s %s; give --endpoint", url, fault)
    return "" if fault else url


def _compose_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise PortInUse(f"port {port} on {host}: {error.strerror}; choose another with --port") from None
    return listening
