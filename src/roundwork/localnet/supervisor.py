"""Processes of ours on this machine: started, waited for, started again on request, stopped."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from ..errors import BadConfig, RemoteError
from ..host.files import make_own_folder, replace_file
from ..host.hold import hold, is_held
from ..host.process import describe_end, die_with_parent
from ..participant.plays import PLAYS
from ..wire import decode_json

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
END_SECONDS = 2.0
"""How long a process that is about to end may take for it."""

PIPE_SECONDS = 1.0
POLL_SECONDS = 0.1
LOG_CHARACTERS = 2_000
PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to connections, so that a process that was killed finds its port free."""

ROUNDWORK = (sys.executable, "-m", "roundwork")


class Member(msgspec.Struct):
    """A process, and how to start it again. It writes a line of JSON to stdout when it is ready.

    `port`: it is ready when it listens there, instead.
    """

    name: str
    role: str
    """ "ledger", "program", or the way that a node plays."""
    command: list[str]
    port: int | None = None
    pid: int = 0
    address: str = ""
    """The address of a node on the ledger; the URL of any other process."""


class Supervisor:
    """The processes of one directory. A process that ends stays ended until a restart is requested."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """`environment`: variables beyond those of this process; `secrets`: those for nodes alone."""
        own = {name: value for name, value in os.environ.items() if name not in (secrets or {})}
        self._environment = {**own, **(environment or {})}
        self._secrets = dict(secrets or {})
        self.members: list[Member] = []
        self._directory = directory
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, member: Member) -> None:
        """Start a process and wait until it is ready. Raises RemoteError, which quotes its log."""
        log = self._directory / f"{member.name}.log"
        with log.open("ab") as file:  # opening a log does not wait for anything
            process = await asyncio.create_subprocess_exec(
                *member.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                env=self._compose_environment(member.role),
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self._processes[member.name] = process
        member.pid = process.pid
        try:
            async with asyncio.timeout(READY_SECONDS):
                is_ready = await self._wait(member, process)
        except TimeoutError:
            is_ready = False
        if not is_ready:
            await _let_end(process)  # it has ended, or is about to: its log gets its last line
            await self.stop([member.name])
            tail = log.read_text(errors="replace").strip()[-LOG_CHARACTERS:]
            raise RemoteError(f"{member.name} did not start; its log {log} ends:\n{tail}")

    def _compose_environment(self, role: str) -> dict[str, str]:
        return {**self._environment, **(self._secrets if role in PLAYS else {})}

    async def _wait(self, member: Member, process: asyncio.subprocess.Process) -> bool:
        if member.port is not None:
            member.address = f"127.0.0.1:{member.port}"
            return await _wait_for_port(member.port, process)
        assert process.stdout is not None
        line = await process.stdout.readline()
        if line:
            ready = decode_json(line)
            member.address = ready.get("node") or ready.get("url", "")
            return "error" not in ready
        return False

    def find_ended(self) -> dict[str, str]:
        """The processes that have ended, and how."""
        ended = ((name, process.returncode) for name, process in self._processes.items())
        return {name: describe_end(code) for name, code in ended if code is not None}

    async def answer_restarts(self) -> list[str]:
        """Start again the processes that `ask_restart` has named since the last time; returns their names."""
        due = [member for member in self.members if _get_order(self._directory, member.name).exists()]
        for member in due:
            _get_order(self._directory, member.name).unlink()
            try:
                await self._start_again(member)
            except (BadConfig, RemoteError) as error:
                answer: dict[str, Any] = {"error": str(error)}
            else:
                answer = {"pid": member.pid}
            replace_file(_get_answer(self._directory, member.name), msgspec.json.encode(answer))
        return [member.name for member in due]

    async def _start_again(self, member: Member) -> None:
        if not await _let_end(self._processes[member.name]):
            raise BadConfig(f"{member.name} runs, as process {member.pid}; kill that first")
        await _let_go(self._processes[member.name])
        await self.start(member)

    async def stop(self, names: list[str]) -> None:
        """End processes: with SIGTERM, and those that do not follow with SIGKILL."""
        known = [self._processes[name] for name in names if name in self._processes]
        running = [process for process in known if process.returncode is None]
        for process in running:
            process.terminate()
        if running:
            waits = [asyncio.create_task(process.wait()) for process in running]
            await asyncio.wait(waits, timeout=STOP_SECONDS)
        for process in running:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        await asyncio.gather(*map(_let_go, known))


def ask_restart(directory: Path, name: str) -> int:
    """Make the supervisor of a directory start an ended process again; its new pid. Raises RemoteError."""
    answer_path = _get_answer(directory, name)
    answer_path.unlink(missing_ok=True)
    _get_order(directory, name).touch()
    deadline = time.monotonic() + END_SECONDS + READY_SECONDS
    while not answer_path.exists():
        if time.monotonic() > deadline or not is_held(directory):
            raise RemoteError(f"{name} was not started again: the network stopped, or is stuck")
        time.sleep(POLL_SECONDS)
    answer = decode_json(answer_path.read_bytes())
    if "error" in answer:
        raise RemoteError(answer["error"])
    return int(answer["pid"])


def supervise(directory: Path) -> AbstractContextManager[None]:
    """Be the only supervisor of a directory, which is made if it does not exist. Raises StoreInUse."""
    make_own_folder(directory)
    return hold(directory, f"{directory}: another `up` runs here; use another --directory")


def find_port(taken: set[int], span: int = 1) -> int:
    """A port that is free, with `span` - 1 free ones behind it; all of them become `taken`."""
    while True:
        first = secrets.choice(PORTS)
        ports = range(first, first + span)
        if taken.isdisjoint(ports) and all(map(_is_free, ports)):
            taken.update(ports)
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _wait_for_port(port: int, process: asyncio.subprocess.Process) -> bool:
    while process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(POLL_SECONDS)
            continue
        writer.close()
        return True
    return False


async def _let_end(process: asyncio.subprocess.Process) -> bool:
    """Whether a process that is about to end has done so."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    return process.returncode is not None


async def _let_go(process: asyncio.subprocess.Process) -> None:
    """Close the pipes of a process that has ended; processes that it started may hold the other ends."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PIPE_SECONDS):
            await process.communicate()


def _end_with_parent() -> None:
    """Runs in the child before its program: its parent may be killed, and must leave no process behind."""
    die_with_parent(signal.SIGTERM)


def _get_order(directory: Path, name: str) -> Path:
    return directory / f"{name}.restart"


def _get_answer(directory: Path, name: str) -> Path:
    return directory / f"{name}.restarted"
