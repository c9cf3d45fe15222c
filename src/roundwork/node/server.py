"""A node: its keys, its gateway, and the tasks that it joins."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from ..client.operations import check_beneficiary, patiently, read_task
from ..client.rpc import Client
from ..errors import BadConfig, PortInUse, StoreCorrupt
from ..host.files import READABLE_BY_OWNER, make_own_folder, replace_file, warn_of_other_users
from ..host.hold import hold
from ..host.keypairs import make_keypair
from ..host.serve import listen, serve
from ..package.folder import Package, find_unknown_params, merge_params, resolve_hosts
from ..package.requirements import check_machine
from ..protocol.params import ROUNDWORK_1
from ..protocol.tasks.layouts import TEXT_BYTES_MAX
from ..views import TaskView
from .keystore import find_staking_path
from .lookout import CurrentTask, Identity
from .moving import JoinedTask, settle_directory, work_and_follow
from .peers.announce import Announcer
from .peers.gateway import Served, build_gateway
from .peers.outgoing import Fetcher
from .peers.packages import get_package
from .peers.registrations import Registrations, find_fault
from .peers.storage import BlobStore
from .prepare import TaskNeeds, prepare_task
from .setting import NodeSetting

SECRET_BYTES = 32
CLAIM_SIGNATURES = 2
"""Of the main key, which pays the fee, and the staking key."""

CLAIM_FEES = 100
"""A node claims by itself when the available balance is this many times the fee of the claim."""

SHUTDOWN_SECONDS = 2
PORT_FILE = "port"
"""In the home of a node: the port of its gateway, for the next start."""

log = logging.getLogger(__name__)


Agree = Callable[[Package, Sequence[str], TaskView], None]
"""Has the operator agree to what the package of a task asks for, with the hosts that it may reach. Raises
BadConfig."""


async def run(setting: NodeSetting, ready: Callable[[str, str], None], agree: Agree) -> None:
    """Run a node until SIGTERM or SIGINT; `ready(address, endpoint)` is called when it works.

    Raises BadKeypair, BadTaskFile, BadConfig, UnknownTask, PortInUse, StoreInUse, StoreFull,
    StoreCorrupt.
    """
    make_own_folder(setting.directory)
    warn_of_other_users(setting.directory)
    setting = settle_directory(setting)
    async with AsyncExitStack() as stack:
        node = Node(setting, agree, stack)
        await node.open()
        await node.work(ready)


class Node:
    """A node: what its tasks share, and the tasks that it has joined. `stack` closes what is opened."""

    def __init__(self, setting: NodeSetting, agree: Agree, stack: AsyncExitStack) -> None:
        """Raises BadKeypair, StoreFull, StoreCorrupt."""
        self._setting = setting
        self._agree = agree
        self._stack = stack
        self._main = make_keypair(setting.directory / "main.json", setting.passphrase)
        self._secret = _make_secret(setting.directory / "secret")
        self._client = Client(setting.ledger_url, priority_fee=setting.priority_fee)
        self._registrations: dict[str, Registrations] = {}
        self._joined: list[JoinedTask] = []
        self._held: set[Path] = set()

    async def open(self) -> None:
        """Find the ledger and listen. Raises BadConfig, PortInUse, StoreFull, StoreCorrupt."""
        await self._stack.enter_async_context(self._client)
        ledger = await patiently(self._client.get_ledger)
        self._is_development = ledger.kind == "development"
        self._claim_fee = CLAIM_SIGNATURES * ledger.fee_per_signature + self._setting.priority_fee
        self._fetcher = Fetcher(
            is_development=self._is_development, requests_per_second=100.0 if self._is_development else 5.0
        )
        self._stack.push_async_callback(self._fetcher.close)
        self._store = BlobStore(self._setting.directory / "blobs")
        self._stack.callback(self._store.close)
        self._listening = _listen_where_before(self._setting)
        self._stack.callback(self._listening.close)
        self._port = self._listening.getsockname()[1]
        self._url = _choose_url(self._setting, self._port, self._is_development)
        self._shown_url = self._url or _compose_url(self._setting.host, self._port)

    async def work(self, ready: Callable[[str, str], None]) -> None:
        """Join the first task, serve the gateway, and work until a signal comes. Raises what work raises."""
        first = await self.join(self._setting)
        replace_file(self._setting.home / PORT_FILE, str(self._port).encode())
        _report_endpoint(first.current.task, first.identity)
        gateway = build_gateway(
            store=self._store if self._setting.play.is_serving else None,
            get_tasks=self._get_served,
            registrations=self._registrations,
            get_metrics=self._compute_metrics,
            get_reasons=self._get_reasons,
            routes=first.prepared.routes,
        )
        sockets = [self._listening]
        if not first.can_move:
            sockets += _listen_on_loopback(self._port, self._stack)
        work = asyncio.ensure_future(work_and_follow(self._client, first, self.join))
        try:
            await serve(
                gateway,
                sockets,
                work,
                stop=work.cancel,
                ready=lambda: ready(first.identity.node, self._shown_url),
                shutdown_seconds=SHUTDOWN_SECONDS,
                limits=self._setting.limits,
            )
        except asyncio.CancelledError:
            log.info("stopped")

    async def join(self, setting: NodeSetting) -> JoinedTask:
        """Make a task ready to run: the first one, or one that the node has moved to.

        Raises UnknownTask, BadConfig, BadTaskFile, BadKeypair, RemoteError, StoreInUse, StoreFull,
        StoreCorrupt.
        """
        self._hold(setting.home)
        task = await patiently(lambda: read_task(self._client, setting.task))
        current = CurrentTask(task)
        package = await get_package(setting, task, self._store, self._fetcher)
        if not setting.is_any_machine:
            check_machine(package.requirements)
        if unknown := find_unknown_params(package, setting.params):
            log.warning("%s", unknown)  # a successor of the task may have dropped it
        hosts = resolve_hosts(package, merge_params(package, setting.params))
        await asyncio.to_thread(self._agree, package, hosts, task)  # may ask; the node works on
        identity = self._make_identity(setting, package, task)
        if (beneficiary := setting.claim_to) is not None:
            await patiently(lambda: check_beneficiary(self._client, task, beneficiary))
        registrations = Registrations(lambda: current.task, self._is_development)
        needs = TaskNeeds(
            setting=setting,
            package=package,
            identity=identity,
            client=self._client,
            fetcher=self._fetcher,
            store=self._store,
            current=current,
            registrations=registrations,
            url=self._shown_url,
            port=self._port,
            stack=self._stack,
        )
        prepared = await prepare_task(needs)
        self._registrations[setting.task] = registrations
        self._announce(setting, identity, registrations)
        joined = JoinedTask(setting, identity, current, prepared, package.kind != "javascript")
        self._joined.append(joined)
        return joined

    def _hold(self, home: Path) -> None:
        """Be the only node that works in a directory. Raises StoreInUse."""
        home.mkdir(parents=True, exist_ok=True)
        if home not in self._held:
            refusal = f"{home}: another node works there; use another --directory"
            self._stack.enter_context(hold(home, refusal))
            self._held.add(home)

    def _make_identity(self, setting: NodeSetting, package: Package, task: TaskView) -> Identity:
        path = find_staking_path(setting.directory, setting.task, package.kind)
        # A URL that does not fit into a stake is registered only.
        fits = len(self._url.encode()) <= TEXT_BYTES_MAX["endpoint"]
        claim_least = choose_claim_least(setting, task, self._claim_fee)
        return Identity(
            payer=self._main,
            staking=make_keypair(path, setting.passphrase),
            secret=self._secret,
            stake_target=setting.stake,
            endpoint=self._url if fits else "",
            play=setting.play,
            claim_least=claim_least,
            claim_to=(setting.claim_to or str(self._main.pubkey())) if claim_least else "",
        )

    def _announce(self, setting: NodeSetting, identity: Identity, registrations: Registrations) -> None:
        announcer = Announcer(
            setting.task, identity.staking, self._url, registrations, self._fetcher, setting.peers
        )
        announcing = asyncio.create_task(announcer.run())
        self._stack.callback(announcing.cancel)

    def _get_served(self) -> dict[str, Served]:
        """The tasks that serve web requests now, by address."""
        served = {joined.setting.task: joined.prepared.get_served() for joined in self._joined}
        return {task: running for task, running in served.items() if running is not None}

    def _get_reasons(self, task: str, round_number: int) -> Mapping[str, str] | None:
        """Why this node found proofs of a round invalid, by candidate; None for a task that does not run."""
        for joined in self._joined:
            if joined.setting.task == task:
                return joined.prepared.get_reasons(round_number)
        return None

    def _compute_metrics(self) -> dict[str, float]:
        """Numbers by Prometheus name, summed over all tasks that the node has joined."""
        metrics: dict[str, float] = {}
        for joined in self._joined:
            blobs = {"roundwork_blob_bytes": float(self._store.measure(joined.setting.task))}
            for name, value in {**joined.prepared.get_metrics(), **blobs}.items():
                metrics[name] = metrics.get(name, 0.0) + value
        return metrics


def choose_claim_least(setting: NodeSetting, task: TaskView, fee: int) -> int:
    """The least available balance that a node claims by itself; 0 if it never claims.

    `fee` is what a claim costs, in roe. The worth of a token is not known here: all of it is claimed.
    """
    if task.rules != ROUNDWORK_1.name:
        return 0
    if setting.claim_least is not None:
        return setting.claim_least
    return CLAIM_FEES * fee if task.mint is None else 1


def _make_secret(path: Path) -> bytes:
    """32 bytes that only this node knows, made when they are first needed. Raises StoreCorrupt."""
    if not path.exists():
        replace_file(path, os.urandom(SECRET_BYTES), READABLE_BY_OWNER)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise StoreCorrupt(
            f"{path} has {len(secret)} bytes, not {SECRET_BYTES}: samples could be predicted; delete it, "
            "and a new one is made"
        )
    return secret


def _listen_where_before(setting: NodeSetting) -> socket.socket:
    """Listen; if no port was chosen, at the port of the last start, so that peers find the node again.

    Raises PortInUse.
    """
    path, stalled_seconds = setting.home / PORT_FILE, setting.limits.stalled_seconds
    if not setting.port and path.exists():
        with contextlib.suppress(PortInUse, ValueError, OverflowError):
            return listen(setting.host, int(path.read_text("ascii", "replace")), stalled_seconds)
    return listen(setting.host, setting.port, stalled_seconds)


def _report_endpoint(task: TaskView, identity: Identity) -> None:
    """Log that the ledger names another endpoint of the node than the one where it is now."""
    known = next((stake.endpoint for stake in task.stakes if stake.node == identity.node), "")
    if known and identity.endpoint and known != identity.endpoint:
        log.info(
            "the ledger names %s as the endpoint of this node; peers get %s, signed. `node stake --amount 1"
            " --endpoint %s` puts it on the ledger",
            known,
            identity.endpoint,
            identity.endpoint,
        )


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
        log.warning("other nodes cannot reach this one: %s %s; give --endpoint", url, fault)
    return "" if fault else url


def _compose_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen_on_loopback(port: int, stack: AsyncExitStack) -> list[socket.socket]:
    """Listen on the rest of "localhost": a main.js connects to it, and Node.js may try ::1 first."""
    listening = []
    for address in ("127.0.0.1", "::1"):
        try:
            other = listen(address, port)
        except PortInUse:  # this node has it already, because the host covers it; or IPv6 is missing
            continue
        stack.callback(other.close)
        listening.append(other)
    return listening
