"""The program of a task, loaded in the sandbox as a node loads it: before money moves, and without a node."""

import secrets
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import BadTaskFile
from ..package.folder import Package
from ..protocol.params import base58_of
from .confinement.order import Limits
from .confinement.sandbox import choose_sandbox
from .javascript.process import LOAD_FAILED, JavascriptSetting, JavascriptTask, find_free_port
from .python.environments import prepare_environment
from .python.lane import TaskSetting
from .python.lanes import Lanes

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


async def _load_python(
    package: Package, sandbox: str, home: Path, environments: Path, printed: list[str]
) -> None:
    setting = TaskSetting(
        task=NO_ADDRESS,
        node=NO_ADDRESS,
        program=package.program,
        home=home,
        environment=await prepare_environment(environments, package.lock, package.requires_python),
        limits=Limits(**package.limits),
        params=package.params,
    )
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
