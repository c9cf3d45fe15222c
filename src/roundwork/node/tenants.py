"""What one task needs to run on a node, by the kind of its program."""

import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from starlette.routing import Route

from ..client.rpc import Client
from ..errors import BadTaskFile
from ..package.folder import Package, resolve_hosts
from ..protocol.params import key_of
from .confinement.sandbox import Limits, choose_sandbox
from .javascript.namespace import Namespace
from .javascript.namespace_route import build_namespace_route
from .javascript.process import JavascriptSetting, JavascriptTask, find_free_port
from .javascript.runtime import JavascriptRuntime
from .javascript.task_files import TaskFiles
from .javascript.task_wallet import TaskWallet
from .lookout import Me, Seen
from .peers.gateway import Served
from .peers.outgoing import Fetcher
from .peers.registrations import Registrations
from .peers.storage import BlobStore
from .python.environments import prepare_environment
from .python.lane import TaskSetting
from .python.lanes import Lanes
from .python.runtime import Runtime
from .python.services import build_services
from .setting import NodeSetting


class House(NamedTuple):
    """What a node has for its task, whatever kind that is. `stack` closes what is opened."""

    setting: NodeSetting
    package: Package
    me: Me
    client: Client
    fetcher: Fetcher
    store: BlobStore
    seen: Seen
    registrations: Registrations
    url: str
    """Where the gateway is, for strangers if they can reach it."""
    port: int
    """Where the gateway listens on this machine."""
    stack: AsyncExitStack


class Tenant(NamedTuple):
    """A task that is ready to run. `work()` runs until it is cancelled, `get_served()` while it serves."""

    work: Callable[[], Awaitable[None]]
    get_served: Callable[[], Served | None]
    get_metrics: Callable[[], Mapping[str, float]]
    routes: tuple[Route, ...] = ()


async def open_tenant(house: House) -> Tenant:
    """Raises BadConfig, BadTaskFile, StoreFull, StoreCorrupt."""
    if house.package.kind == "javascript":
        return _open_javascript(house)
    return await _open_python(house)


async def _open_python(house: House) -> Tenant:
    setting, package, me, seen = house.setting, house.package, house.me, house.seen
    environments = (
        Path(os.environ.get("ROUNDWORK_CACHE", Path.home() / ".cache" / "roundwork")) / "environments"
    )
    params = {**package.params, **setting.params}
    task_setting = TaskSetting(
        task=setting.task,
        node=me.node,
        program=package.program,
        home=setting.home / "task",
        environment=await prepare_environment(environments, package.lock, package.requires_python),
        limits=Limits(**package.limits),
        params=params,
        secrets=_choose_secrets(package, setting.secrets),
    )
    services = build_services(
        task=setting.task,
        keypair=me.staking,
        hosts=resolve_hosts(package, params),
        fetcher=house.fetcher,
        store=house.store,
        get_endpoints=house.registrations.get_endpoints,
        read_ledger=lambda method, asked: house.client.call(method, *asked),
    )
    lanes = Lanes(task_setting, choose_sandbox(setting.sandbox), services, me.secret, log_task)
    house.stack.push_async_callback(lanes.close)
    await lanes.check()
    runtime = Runtime(house.client, me, lanes, house.store, setting.home, seen)
    return Tenant(
        work=runtime.run,
        get_served=lambda: lanes,
        get_metrics=lambda: {
            f'roundwork_lane_starts{{lane="{kind}"}}': float(n) for kind, n in lanes.count_starts().items()
        },
    )


def _open_javascript(house: House) -> Tenant:
    setting, package, me = house.setting, house.package, house.me
    home = setting.home / "task"
    home.mkdir(parents=True, exist_ok=True)
    limits = Limits(**package.limits)
    javascript = JavascriptSetting(
        task=setting.task,
        name=package.name,
        program=package.program,
        home=home,
        main_key=str(me.payer.pubkey()),
        secret=secrets.token_hex(32),
        ledger_url=setting.ledger_url,
        service_url=house.url,
        web_port=find_free_port(),
        node_port=house.port,
        variables=_choose_secrets(package, setting.secrets),
        limits=limits,
    )
    program = JavascriptTask(javascript, choose_sandbox(setting.sandbox).name, log_task)
    house.stack.push_async_callback(program.close)
    namespace = Namespace(
        setting=javascript,
        wallet=TaskWallet(house.client, me.payer, me.staking, key_of(house.seen.task.program)),
        files=TaskFiles(home, limits.disk_bytes),
        read_ledger=lambda method, asked: house.client.call(method, *asked),
        list_nodes=house.registrations.list_nodes,
        log=log_task,
        is_liar=me.is_liar,
    )
    runtime = JavascriptRuntime(house.client, me, program, setting.home, house.seen)
    return Tenant(
        work=runtime.run,
        get_served=lambda: program if program.is_running else None,
        get_metrics=lambda: {
            "roundwork_javascript_running": float(program.is_running),
            "roundwork_javascript_starts": float(program.starts),
        },
        routes=(build_namespace_route(lambda: {setting.task: namespace} if program.is_running else {}),),
    )


def log_task(line: str) -> None:
    """A line that the task printed."""
    logging.getLogger("task").info("%s", line)


def _choose_secrets(package: Package, given: dict[str, str]) -> dict[str, str]:
    """The secrets that the package asks for. Raises BadTaskFile if one is not given."""
    missing = [name for name in package.secrets if name not in given]
    if missing:
        raise BadTaskFile(
            f"the task asks for {', '.join(missing)}; give each with --secret NAME=VALUE, or --secret NAME"
            " to take it from the environment"
        )
    return {name: given[name] for name in package.secrets}
