"""Making one task ready to run on a node, by the kind of its program."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

from starlette.routing import Route

from ..client.rpc import Client
from ..errors import BadConfig
from ..package.folder import Package, choose_secrets, merge_params, resolve_hosts
from ..participant.plays import LIAR
from ..protocol.params import KOII_1, key_of
from .confinement.doctor import examine, summarize
from .confinement.order import Limits
from .confinement.sandbox import choose_sandbox
from .javascript.namespace import Namespace
from .javascript.namespace_route import build_namespace_route
from .javascript.process import JavascriptSetting, JavascriptTask, find_free_port
from .javascript.runtime import JavascriptRuntime, check_javascript_play
from .javascript.task_files import TaskFiles
from .javascript.task_wallet import TaskWallet
from .javascript.tunnels import Tunnels
from .lookout import CurrentTask, Identity
from .peers.endpoints import read_endpoint
from .peers.gateway import Served
from .peers.outgoing import Fetcher
from .peers.parts import PartBook
from .peers.proofs import Proofs
from .peers.reasons import GetReasons, SlashNotices
from .peers.registrations import Registrations
from .peers.storage import BlobStore, TaskBlobs
from .python.environments import find_environments, prepare_environment
from .python.lane import TaskSetting
from .python.lanes import Lanes
from .python.runtime import Runtime
from .python.services import TaskServices
from .setting import NodeSetting

log = logging.getLogger(__name__)


class TaskNeeds(NamedTuple):
    """What a node has for its task, whatever kind that is. `stack` closes what is opened."""

    setting: NodeSetting
    package: Package
    identity: Identity
    client: Client
    fetcher: Fetcher
    store: BlobStore
    current: CurrentTask
    registrations: Registrations
    url: str
    """Where the gateway is, for strangers if they can reach it."""
    port: int
    """Where the gateway listens on this machine."""
    stack: AsyncExitStack


class PreparedTask(NamedTuple):
    """A task that is ready to run. `work()` runs until it is cancelled, `get_served()` while it serves."""

    work: Callable[[], Awaitable[None]]
    get_served: Callable[[], Served | None]
    get_metrics: Callable[[], Mapping[str, float]]
    get_reasons: GetReasons = lambda round_number: {}
    routes: tuple[Route, ...] = ()


async def prepare_task(needs: TaskNeeds) -> PreparedTask:
    """Make a task ready to run. Raises BadConfig, BadTaskFile, StoreFull, StoreCorrupt."""
    sandbox = choose_sandbox(needs.setting.sandbox)
    if sandbox == "none":
        log.warning("the task runs unconfined: it can do all that this node can")
    else:
        log.info("%s", summarize(sandbox, await examine(sandbox)))
    if needs.package.kind == "javascript":
        return await _prepare_javascript(needs)
    return await _prepare_python(needs)


async def _prepare_python(needs: TaskNeeds) -> PreparedTask:
    setting, package, identity, current = needs.setting, needs.package, needs.identity, needs.current
    params = merge_params(package, setting.params)
    task_setting = TaskSetting(
        task=setting.task,
        node=identity.node,
        program=package.program,
        home=setting.home / "task",
        environment=await prepare_environment(find_environments(), package.lock, package.requires_python),
        limits=Limits(**package.limits),
        params=params,
        secrets=choose_secrets(package, setting.secrets),
    )
    services = TaskServices(
        task=setting.task,
        keypair=identity.staking,
        hosts=resolve_hosts(package, params),
        fetcher=needs.fetcher,
        store=needs.store,
        get_endpoints=needs.registrations.get_endpoints,
        find_endpoint=partial(read_endpoint, needs.client, setting.task),
        read_ledger=lambda method, params: needs.client.call(method, *params),
    )
    lanes = Lanes(
        task_setting, choose_sandbox(setting.sandbox), services.list_services(), identity.secret, log_task
    )
    needs.stack.push_async_callback(lanes.close)
    await lanes.check()
    parts = _make_parts(needs)
    proofs = Proofs(
        needs.client,
        setting.task,
        identity.node,
        needs.store,
        needs.fetcher,
        needs.registrations.get_endpoints,
    )
    runtime = Runtime(
        needs.client,
        identity,
        lanes,
        needs.store,
        setting.home,
        current,
        _make_notices(needs),
        parts,
        proofs,
        setting.bounds,
    )
    return PreparedTask(
        work=runtime.run,
        get_served=lambda: lanes,
        get_metrics=lambda: {
            **{
                f'roundwork_lane_starts{{lane="{kind}"}}': float(n)
                for kind, n in lanes.count_starts().items()
            },
            **parts.get_metrics(),
        },
        get_reasons=runtime.get_reasons,
    )


async def _prepare_javascript(needs: TaskNeeds) -> PreparedTask:
    setting, package, identity = needs.setting, needs.package, needs.identity
    check_javascript_play(identity.play)
    rules = needs.current.task.rules
    if rules != KOII_1.name:
        raise BadConfig(f"the task has the rule set {rules}: a main.js is played under {KOII_1.name} only")
    home = setting.home / "task"
    home.mkdir(parents=True, exist_ok=True)
    limits = Limits(**package.limits)
    secret = secrets.token_hex(32)
    hosts = resolve_hosts(package, merge_params(package, setting.params))
    tunnels = Tunnels(needs.fetcher, hosts, needs.registrations.get_endpoints, secret, log_task)
    needs.stack.push_async_callback(tunnels.close)
    javascript = JavascriptSetting(
        task=setting.task,
        name=package.name,
        program=package.program,
        home=home,
        main_key=str(identity.payer.pubkey()),
        secret=secret,
        ledger_url=setting.ledger_url,
        service_url=needs.url,
        web_port=find_free_port(),
        node_port=needs.port,
        tunnel_port=await tunnels.open(),
        variables=choose_secrets(package, setting.secrets),
        limits=limits,
    )
    program = JavascriptTask(javascript, choose_sandbox(setting.sandbox), log_task)
    needs.stack.push_async_callback(program.close)
    parts = _make_parts(needs)
    files = TaskFiles(home, limits.disk_bytes)
    needs.stack.callback(files.close)
    namespace = Namespace(
        setting=javascript,
        wallet=TaskWallet(needs.client, identity.payer, identity.staking, key_of(needs.current.task.program)),
        files=files,
        read_ledger=lambda method, params: needs.client.call(method, *params),
        parts=parts,
        current=needs.current,
        list_nodes=needs.registrations.list_nodes,
        blobs=TaskBlobs(
            setting.task,
            identity.node,
            needs.store,
            needs.fetcher,
            needs.registrations.get_endpoints,
            partial(read_endpoint, needs.client, setting.task),
        ),
        log=program.write_log,
        is_liar=identity.play is LIAR,
    )
    runtime = JavascriptRuntime(
        needs.client, identity, program, setting.home, needs.current, _make_notices(needs), parts
    )
    return PreparedTask(
        work=runtime.run,
        get_served=lambda: program if program.is_running else None,
        get_metrics=lambda: {
            "roundwork_javascript_running": float(program.is_running),
            "roundwork_javascript_starts": float(program.starts),
            **parts.get_metrics(),
        },
        routes=(build_namespace_route(lambda: {setting.task: namespace} if program.is_running else {}),),
    )


def _make_parts(needs: TaskNeeds) -> PartBook:
    return PartBook(
        needs.client,
        needs.fetcher,
        needs.store,
        needs.identity.node,
        needs.registrations.get_endpoints,
    )


def _make_notices(needs: TaskNeeds) -> SlashNotices:
    return SlashNotices(
        needs.fetcher,
        needs.identity.node,
        needs.registrations.get_endpoints,
        needs.client.get_round,
        mint=needs.current.task.mint,
    )


def log_task(line: str) -> None:
    """A line that the task printed."""
    logging.getLogger("task").info("%s", line)
