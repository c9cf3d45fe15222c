"""One main.js on a node, for tests: real Node.js, in its sandbox."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from roundwork.node.confinement.order import Limits
from roundwork.node.javascript.process import JavascriptSetting, JavascriptTask, find_free_port
from roundwork.node.javascript.standing import Standing

TASK = "So11111111111111111111111111111111111111112"
SECRET = "the secret of this task"


def require_node() -> None:
    """Skip where there is no Node.js, but never in CI."""
    if shutil.which("node") is None and not os.environ.get("CI"):
        pytest.skip("Node.js is not installed: `node` is not on the PATH")


class MainJs:
    """A running main.js, what it printed, and what was reported of it."""

    def __init__(
        self,
        program: JavascriptTask,
        lines: list[str],
        running: asyncio.Task[None],
        standings: list[Standing] | None = None,
    ) -> None:
        self.program = program
        self.lines = lines
        self.running = running
        self.standings = [] if standings is None else standings

    async def wait_for(self, is_there: Callable[[str], bool], count: int = 1, seconds: float = 30) -> str:
        """The line of the log that something is true of, once there are `count` of them."""
        async with asyncio.timeout(seconds):
            while True:
                found = [line for line in self.lines if is_there(line)]
                if len(found) >= count:
                    return found[count - 1]
                await asyncio.sleep(0.02)

    async def read(self, name: str, count: int = 1) -> Any:
        """What it printed as `name {json}`."""
        line = await self.wait_for(lambda line: line.startswith(f"javascript: {name} "), count)
        return json.loads(line.removeprefix(f"javascript: {name} "))


def open_program(
    directory: Path, source: str, sandbox: str, **changes: Any
) -> tuple[JavascriptTask, list[str]]:
    """`source` as a main.js that does not run yet, and its log; `changes` are fields of its setting."""
    folder = directory / "package"
    folder.mkdir(exist_ok=True)
    (folder / "main.js").write_text(source)
    fields: dict[str, Any] = {
        "task": TASK, "name": "a name", "program": folder / "main.js", "home": directory / "home",
        "main_key": "Main", "secret": SECRET, "ledger_url": f"http://127.0.0.1:{find_free_port()}",
        "service_url": "http://service", "web_port": find_free_port(), "node_port": find_free_port(),
        "limits": Limits(),
    }  # fmt: skip
    lines: list[str] = []
    return JavascriptTask(JavascriptSetting(**{**fields, **changes}), sandbox, lines.append), lines


@asynccontextmanager
async def run_main(
    directory: Path, source: str, sandbox: str = "sandlock", **changes: Any
) -> AsyncIterator[MainJs]:
    """The same, running with a stake of 7 roe."""
    program, lines = open_program(directory, source, sandbox, **changes)
    standings: list[Standing] = []
    main = MainJs(program, lines, asyncio.create_task(program.run(7, standings.append)), standings)
    try:
        yield main
    finally:
        main.running.cancel()
        await asyncio.gather(main.running, return_exceptions=True)
        await program.close()
