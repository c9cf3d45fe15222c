"""One sandboxed process of a task, from outside: calls with deadlines, a new process after every failure."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from ...errors import Malformed, StillRunning, TaskFailed
from ...shown import Blackout
from ...wire import decode_json
from ..confinement.disk import DiskExceeded, check_disk
from ..confinement.order import Limits, Order
from ..confinement.seccomp import build_filter
from ..confinement.starter import Child, starter
from ..decoding import run_if_long
from .channel import Services, TaskLog, WorkerProcess
from .environments import Environment
from .hints import find_hint
from .spill import BadSpill, SpillFolder, clear

Kind = Literal["work", "review", "web"]

ANSWER_BYTES_MAX = 8 * 1024 * 1024
WEB_CALLS_MAX = 64


class TaskSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One task on one node: everything that its processes receive when they start."""

    task: str
    """Address of the task, base58."""
    node: str
    """Public key that the node stakes with, base58."""
    program: Path
    """The author's task.py; its folder is what the task can read."""
    home: Path
    """The task's own directory, for state and files; the task writes nowhere else. Made if missing."""
    environment: Environment
    limits: Limits = Limits()
    params: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    variables: dict[str, str] = {}
    """Variables of its environment that differ from those of every node."""


class Lane:
    """One process of one task: started when first called, killed after any failure, then started anew.

    Calls to one lane run one after another, except on the web lane. `log` gets the lines that the task
    prints, secrets blacked out.
    """

    def __init__(
        self,
        kind: Kind,
        setting: TaskSetting,
        sandbox: str,
        services: Services,
        log: Callable[[str], None],
    ) -> None:
        self.starts = 0
        """How often a process was started."""
        self._kind = kind
        self._setting = setting
        self._sandbox = sandbox
        self._services = services
        self._secrets = Blackout(setting.secrets)
        self._log = TaskLog(lambda line: log(f"{kind}: {line}"), self._secrets)
        self._busy = asyncio.Semaphore(WEB_CALLS_MAX if kind == "web" else 1)
        self._starting = asyncio.Lock()
        self._process: WorkerProcess | None = None
        self._functions: list[str] = []

    async def call(self, function: str, request: dict[str, Any], deadline_seconds: float, answer: Any) -> Any:
        """Run one of the author's functions; its answer, decoded as the type `answer`.

        Raises TaskFailed, with the traceback, if the function raises, answers another type, breaks the
        channel, exceeds its disk or has not ended after `deadline_seconds`.
        """
        async with self._named_failures(function, deadline_seconds) as timer:
            raw = await self._call(function, request, timer)
            if len(raw) > ANSWER_BYTES_MAX:
                raise TaskFailed(f"its answer has {len(raw)} bytes; {ANSWER_BYTES_MAX} are allowed")
            return await run_if_long(len(raw), decode_json, raw, answer)

    async def start(self, deadline_seconds: float) -> list[str]:
        """Start the process if none runs; the author's functions by name. Raises TaskFailed."""
        async with self._named_failures("the import of its file", deadline_seconds):
            await self._get_process()
        return self._functions

    async def kill(self) -> None:
        """Kill the process, if one runs, and wait until it has ended."""
        process, self._process = self._process, None
        if process is not None:
            await process.end()

    @asynccontextmanager
    async def _named_failures(self, what: str, deadline_seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """Turn every failure within into TaskFailed, named `what`, and end the process.

        Out of time it is StillRunning.
        """
        try:
            async with asyncio.timeout(deadline_seconds) as timer, self._busy, self._ended_by_failure():
                yield timer
                return
        except TimeoutError:
            raise StillRunning(f"{what} was still running after {deadline_seconds:g} s") from None
        except (TaskFailed, DiskExceeded, BadSpill, OSError) as error:
            failure = f"failed: {error}"
        except Malformed as error:
            failure = f"answered nonsense: {error}"
        raise TaskFailed(self._secrets.hide(f"{what} {failure}{find_hint(failure)}"))

    @asynccontextmanager
    async def _ended_by_failure(self) -> AsyncIterator[None]:
        """After a failure the next call gets a new process.

        One slow web request does not end the other requests of its process.
        """
        answers = self._process.answers if self._process else 0
        is_good = False
        try:
            yield
            is_good = True
        finally:
            is_alive = self._process is not None and self._process.answers > answers
            if not is_good and not (self._kind == "web" and is_alive):
                await self.kill()

    async def _call(self, function: str, request: dict[str, Any], timer: asyncio.Timeout) -> msgspec.Raw:
        home, disk_bytes = self._setting.home, self._setting.limits.disk_bytes
        process = await self._get_process()
        await check_disk(home, disk_bytes)
        seconds = (timer.when() or 0.0) - asyncio.get_running_loop().time()
        raw = await process.call({**request, "call": function, "seconds": seconds})
        await check_disk(home, disk_bytes)
        return raw

    async def _get_process(self) -> WorkerProcess:
        async with self._starting:
            if self._process is not None and self._process.failure is not None:
                await self.kill()
            if self._process is None:
                self._setting.home.mkdir(parents=True, exist_ok=True)
                place = self._setting.home / f"spill-{self._kind}"
                await asyncio.to_thread(clear, place)  # it may be much
                spill = SpillFolder(place)
                try:
                    child = await self._start_child()
                except BaseException:
                    spill.close()
                    raise
                self._process = WorkerProcess(child, spill, self._services, self._log)
                self._functions = await self._process.start(self._introduce())
            return self._process

    async def _start_child(self) -> Child:
        setting = self._setting
        readable = (*setting.environment.readable, setting.program.parent)
        order = Order(
            sandbox=self._sandbox,
            command=setting.environment.command,
            environment={**_build_environment(setting.home), **setting.variables},
            readable=tuple(map(str, readable)),
            home=str(setting.home),
            limits=setting.limits,
        )
        self.starts += 1
        return await starter.start(order)

    def _introduce(self) -> dict[str, Any]:
        setting = self._setting
        rules = b"" if self._sandbox == "none" else build_filter(setting.limits.processes > 1)
        return {
            "lane": self._kind,
            "filter": base64.b64encode(rules).decode(),
            "task": setting.task,
            "node": setting.node,
            "program": str(setting.program),
            "home": str(setting.home),
            "spill_folder": str(setting.home / f"spill-{self._kind}"),
            "params": setting.params,
            "secrets": setting.secrets,
        }


def _build_environment(home: Path) -> dict[str, str]:
    return {
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.defpath,
        # Each further arena would reserve 64 MiB of the address space that the worker is limited to.
        "MALLOC_ARENA_MAX": "2",
    }
