"""A task without a node and without a ledger: its program in the sandbox, before money moves."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from solders.keypair import Keypair

from ..errors import BadTaskFile
from ..package.folder import Package, resolve_hosts
from ..protocol.params import base58_of
from .answers import ServiceError
from .confinement.order import Limits
from .confinement.sandbox import choose_sandbox
from .javascript.process import LOAD_FAILED, JavascriptSetting, JavascriptTask, find_free_port
from .peers.outgoing import Fetcher
from .peers.storage import BlobStore
from .python.channel import Services
from .python.environments import Environment, prepare_environment
from .python.lane import TaskSetting
from .python.lanes import Lanes
from .python.services import TaskServices

NO_ADDRESS = base58_of(bytes(32))
NO_LEDGER = "http://127.0.0.1:1"
"""Loading a program must not need a ledger."""


async def load_program(package: Package, sandbox: str, environments: Path) -> list[str]:
    """Load the program; the lines that it printed.

    `environments` is where the environments of tasks are kept. Raises BadTaskFile for a program that cannot
    be loaded or lacks a function, BadConfig if this machine cannot run it.
    """
    printed: list[str] = []
    with TemporaryDirectory(prefix="roundwork-") as home:
        if package.kind == "javascript":
            await _load_javascript(package, sandbox, Path(home), printed)
        else:
            await _load_python(package, sandbox, Path(home), environments, printed)
    return printed


def compose_setting(
    package: Package, node: str, home: Path, environment: Environment, params: dict[str, Any]
) -> TaskSetting:
    """The setting of a Python task that runs for `node` in the directory `home`."""
    return TaskSetting(
        task=NO_ADDRESS,
        node=node,
        program=package.program,
        home=home,
        environment=environment,
        limits=Limits(**package.limits),
        params=params,
    )


def build_services(
    package: Package, params: Mapping[str, Any], keypair: Keypair, fetcher: Fetcher, store: BlobStore
) -> Services:
    """The services of a node that has no peers and no ledger. Raises BadConfig for a host without a URL."""

    async def find_endpoint(node: str) -> str:
        return ""

    async def read_ledger(method: str, params: list[Any]) -> Any:
        raise ServiceError("Unavailable", "there is no ledger: the task is only tried")

    return TaskServices(
        task=NO_ADDRESS,
        keypair=keypair,
        hosts=resolve_hosts(package, dict(params)),
        fetcher=fetcher,
        store=store,
        get_endpoints=dict,
        find_endpoint=find_endpoint,
        read_ledger=read_ledger,
    ).list_services()


async def _load_python(
    package: Package, sandbox: str, home: Path, environments: Path, printed: list[str]
) -> None:
    environment = await prepare_environment(environments, package.lock, package.requires_python)
    setting = compose_setting(package, NO_ADDRESS, home, environment, package.params)
    lanes = Lanes(setting, choose_sandbox(sandbox), {}, bytes(32), printed.append)
    try:
        await lanes.check()
    finally:
        await lanes.close()


async def _load_javascript(package: Package, sandbox: str, home: Path, printed: list[str]) -> None:
    setting = JavascriptSetting(
        task=NO_ADDRESS,
        name=package.name,
        program=package.program,
        home=home,
        main_key=NO_ADDRESS,
        secret=secrets.token_hex(32),
        ledger_url=NO_LEDGER,
        service_url=NO_LEDGER,
        web_port=find_free_port(),
        node_port=1,
        limits=Limits(**package.limits),
    )
    program = JavascriptTask(setting, sandbox, printed.append)
    try:
        how, code = await program.load()
    finally:
        await program.close()
    if code:
        reasons = [line.partition(LOAD_FAILED)[2] for line in printed if LOAD_FAILED in line]
        reason = reasons[-1] if reasons else f"it {how} while it was loaded"
        hint = "; a main.js has all its modules in one file" if "Cannot find " in reason else ""
        raise BadTaskFile(f"{package.program} cannot be run: {reason}{hint}")
