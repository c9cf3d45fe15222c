"""A node put together: keys, package, task, gateway."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

from ..client.operations import patiently, read_task
from ..client.rpc import Client
from ..errors import BadConfig, PortInUse
from ..host.files import READABLE_BY_OWNER, replace_file
from ..host.hold import hold
from ..host.keypairs import make_keypair
from ..host.serve import listen, serve
from ..package.folder import Package, resolve_hosts
from ..package.requirements import check_machine
from ..protocol.tasks.layouts import TEXT_BYTES_MAX
from ..views import TaskView
from .keystore import find_staking_path
from .lookout import Me, Seen
from .moving import Resident, find_room, live
from .peers.announce import Announcer
from .peers.gateway import build_gateway
from .peers.outgoing import Fetcher
from .peers.packages import get_package
from .peers.registrations import Registrations, find_fault
from .peers.storage import BlobStore
from .setting import NodeSetting
from .tenants import House, open_tenant

SHUTDOWN_SECONDS = 2
log = logging.getLogger(__name__)


Agree = Callable[[Package, Sequence[str], TaskView], None]
"""Has the operator agree to what the package of a task asks for, with the hosts that it may reach. Raises
BadConfig."""


async def run(setting: NodeSetting, ready: Callable[[str, str], None], agree: Agree) -> None:
    """Run a node until SIGTERM or SIGINT; `ready(address, endpoint)` is called when it works.

    Raises BadKeypair, BadTaskFile, BadConfig, UnknownTask, PortInUse, StoreInUse, StoreFull,
    StoreCorrupt.
    """
    setting.directory.mkdir(parents=True, exist_ok=True)
    setting = find_room(setting)
    main = make_keypair(setting.directory / "main.json", setting.passphrase)
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
        listening = listen(setting.host, setting.port)
        stack.callback(listening.close)
        port = listening.getsockname()[1]
        url = _choose_url(setting, port, is_development)
        # A URL that does not fit into a stake is registered only.
        endpoint = url if len(url.encode()) <= TEXT_BYTES_MAX["endpoint"] else ""
        shown_url = url or _compose_url(setting.host, port)
        registrations: dict[str, Registrations] = {}
        residents: list[Resident] = []
        held: set[Path] = set()

        async def settle(setting: NodeSetting, task: TaskView | None = None) -> Resident:
            """Make a task ready to run: the first one, or one that the node has moved to."""
            setting.home.mkdir(parents=True, exist_ok=True)
            if setting.home not in held:
                stack.enter_context(_hold(setting.home))
                held.add(setting.home)
            if task is None:
                task = await patiently(lambda: read_task(client, setting.task))
            seen = Seen(task)
            package = await get_package(setting, seen.task, store, fetcher)
            if not setting.is_any_machine:
                check_machine(package.requirements)
            hosts = resolve_hosts(package, {**package.params, **setting.params})
            await asyncio.to_thread(agree, package, hosts, task)  # may ask; the node works on
            staking_path = find_staking_path(setting.directory, setting.task, package.kind)
            staking = make_keypair(staking_path, setting.passphrase)
            me = Me(main, staking, secret, setting.stake, endpoint, setting.is_liar)
            known = Registrations(lambda: seen.task, is_development)
            house = House(setting, package, me, client, fetcher, store, seen, known, shown_url, port, stack)
            tenant = await open_tenant(house)
            registrations[setting.task] = known
            announcer = Announcer(setting.task, staking, url, known, fetcher, setting.peers)
            announcing = asyncio.create_task(announcer.run())
            stack.callback(announcing.cancel)
            residents.append(Resident(setting, me, seen, tenant, package.kind != "javascript"))
            return residents[-1]

        first = await settle(setting, task)
        app = build_gateway(
            store=store,
            get_tasks=lambda: {
                one.setting.task: served for one in residents if (served := one.tenant.get_served())
            },
            registrations=registrations,
            get_metrics=lambda: compute_metrics(residents, store),
            routes=first.tenant.routes,
        )
        sockets = [listening]
        if not first.can_move:
            sockets += _listen_on_loopback(port, stack)
        work = asyncio.ensure_future(live(client, first, settle))
        try:
            await serve(
                app,
                sockets,
                work,
                stop=work.cancel,
                ready=lambda: ready(first.me.node, shown_url),
                shutdown_seconds=SHUTDOWN_SECONDS,
            )
        except asyncio.CancelledError:
            log.info("stopped")


def compute_metrics(residents: Sequence[Resident], store: BlobStore) -> dict[str, float]:
    """Numbers by Prometheus name, over all tasks that the node has settled in."""
    metrics: dict[str, float] = {}
    for one in residents:
        blobs = {"roundwork_blob_bytes": float(store.measure(one.setting.task))}
        for name, number in {**one.tenant.get_metrics(), **blobs}.items():
            metrics[name] = metrics.get(name, 0.0) + number
    return metrics


def _hold(directory: Path) -> AbstractContextManager[None]:
    """Be the only node that works in a directory. Raises StoreInUse."""
    return hold(directory, f"{directory}: another node works there; use another --directory")


def _make_secret(path: Path) -> bytes:
    """32 bytes that only this node knows, made when they are first needed."""
    if not path.exists():
        replace_file(path, os.urandom(32), READABLE_BY_OWNER)
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


def _listen_on_loopback(port: int, stack: AsyncExitStack) -> list[socket.socket]:
    """The rest of "localhost": a main.js asks there, and Node.js may look for it at ::1 first."""
    listening = []
    for address in ("127.0.0.1", "::1"):
        try:
            one = listen(address, port)
        except PortInUse:  # by ourselves, if the host covers it; else IPv6 is missing
            continue
        stack.callback(one.close)
        listening.append(one)
    return listening
