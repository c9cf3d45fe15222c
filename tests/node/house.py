"""A node's room for one task, for tests: a real task folder, a real environment, real processes."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

import pytest
from solders.keypair import Keypair

from roundwork.node.confinement.backends import has_sandlock
from roundwork.node.confinement.order import Limits
from roundwork.node.confinement.sandbox import choose_sandbox, has_bwrap
from roundwork.node.python.channel import Services
from roundwork.node.python.environments import Environment, prepare_environment
from roundwork.node.python.lane import TaskSetting
from roundwork.node.python.lanes import Lanes

SEED = "07" * 32
SECRET = b"secret of the node".ljust(32)
NODE = Keypair.from_seed(bytes(32))
TASK = str(Keypair.from_seed(bytes([1]) * 32).pubkey())
HEADER = "import os, sys\nfrom roundwork import *\ntask = Task('test')\n"

Result = TypeVar("Result")


class House:
    """A node's directory with one task in it. `lines` is what the task and its lanes logged."""

    def __init__(self, directory: Path, environment: Environment, sandbox: str) -> None:
        self.directory = directory
        self.environment = environment
        self.sandbox = sandbox
        self.lines: list[str] = []
        self.home = directory / "home"

    def write(self, source: str) -> Path:
        """The task's folder, with `source` under the usual imports."""
        folder = self.directory / "task"
        folder.mkdir(exist_ok=True)
        program = folder / "task.py"
        program.write_text(HEADER + dedent(source))
        return program

    def run(
        self,
        source: str,
        use: Callable[[Lanes], Awaitable[Result]],
        services: Services | None = None,
        limits: Limits | None = None,
        params: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> Result:
        """Open the task's lanes, do something with them, close them."""
        setting = TaskSetting(
            task=TASK,
            node=str(NODE.pubkey()),
            program=self.write(source),
            home=self.home,
            environment=self.environment,
            limits=limits or Limits(),
            params=dict(params or {}),
            secrets=dict(secrets or {}),
        )

        async def run() -> Result:
            lanes = Lanes(setting, choose_sandbox(self.sandbox), services or {}, SECRET, self.lines.append)
            try:
                return await use(lanes)
            finally:
                await lanes.close()

        return asyncio.run(run())

    def submit(self, source: str, seconds: float = 20, **options: Any) -> str | None:
        """The value that the task's submission function gives."""
        return self.run(source, lambda lanes: lanes.submit(0, SEED, seconds), **options)


def make_environment(directory: Path) -> Environment:
    """The bare environment that tests share."""
    return asyncio.run(prepare_environment(directory))


def require_sandbox(name: str) -> str:
    """Skip where a backend cannot run, but never in CI, which installs them all."""
    is_usable = has_sandlock() if name == "sandlock" else has_bwrap()
    if not is_usable and not os.environ.get("CI"):
        pytest.skip(f"{name} cannot be used on this machine")
    return name
