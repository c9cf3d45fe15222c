"""Starting a program so that it can touch only what it was given: sandlock, bubblewrap, or nothing at all."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from ...errors import BadConfig
from ...host.process import describe_end
from . import seccomp
from .pids import PidsGroup, is_bounded

log = logging.getLogger(__name__)

MIB = 1024 * 1024
SYSTEM_READABLE = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
"""Shared libraries; nothing in them is a secret."""
BY_SIGNAL = 128
"""Above it are the exit codes by which bubblewrap tells of a signal."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one process of a task may use. Memory is address space, disk is the task's directory."""

    memory_bytes: int = 512 * MIB
    disk_bytes: int = 1024 * MIB
    processes: int = 1
    open_files: int = 256
    cpu_percent: int = 100


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What a program is given: folders to read, one directory to write (and start) in, limits."""

    readable: tuple[Path, ...]
    writable: Path
    limits: Limits


class Child(Protocol):
    """A started program. The three pipes belong to the caller, who closes them."""

    pid: int
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def kill(self) -> None:
        """End the program and everything it started. May be called twice."""

    def wait(self) -> str:
        """Block until it has ended, once; how, in words ("exit 1", "killed by SIGKILL")."""


class Sandbox(Protocol):
    """One way to confine."""

    name: str

    def start(self, command: tuple[str, ...], confinement: Confinement) -> Child:
        """Start `command` confined, with a clean environment. Blocks some 30 ms: call it on a thread.

        Raises OSError.
        """

    def build_filter(self, limits: Limits) -> bytes:
        """The system calls that the program itself must give up before it does anything else, as BPF."""


def choose_sandbox(name: str | None = None) -> Sandbox:
    """The backend called `name` ("sandlock", "bwrap", "none"), or the best this machine has if None.

    None never chooses "none": a machine without either raises BadConfig with the remedy. A machine on which
    nothing bounds the threads of a task is logged.
    """
    if name != "none" and not is_bounded():
        log.warning(
            "a task can take every thread of this machine: run the node as another user than root, "
            "or let it make control groups under /sys/fs/cgroup"
        )
    match name:
        case "sandlock":
            _check_usable("sandlock", has_sandlock(), "a Linux kernel of 6.12 or newer")
            return Sandlock()
        case "bwrap":
            _check_usable("bwrap", has_bwrap(), "bubblewrap (package `bubblewrap`) and user namespaces")
            return Bubblewrap()
        case "none":
            return Unconfined()
        case None:
            if has_sandlock():
                return Sandlock()
            _check_usable(
                "no sandbox", has_bwrap(), "Linux 6.12 or bubblewrap; `--sandbox none` trusts the task"
            )
            return Bubblewrap()
        case _:
            raise BadConfig(f"--sandbox {name}: it is one of sandlock, bwrap, none")


def choose_sandbox_or_none(name: str | None, warn: Callable[[str], None]) -> str:
    """For a task of the person who runs it: "none" after a warning, where this machine has no sandbox.

    Raises BadConfig if the sandbox that is named cannot be used.
    """
    try:
        return choose_sandbox(name).name
    except BadConfig as error:
        if name is not None:
            raise
        warn(f"the task runs unconfined: {error}")
        return "none"


def _check_usable(name: str, is_usable: bool, needs: str) -> None:
    if not is_usable:
        raise BadConfig(f"{name} cannot be used on this machine: it needs {needs}")


def has_sandlock() -> bool:
    """Whether this kernel enforces all that sandlock needs."""
    try:
        import sandlock
    except (ImportError, OSError):
        return False
    return bool(sandlock.landlock_abi_version() >= sandlock.min_landlock_abi())


def has_bwrap() -> bool:
    """Whether bubblewrap is installed and may make its namespaces."""
    program = shutil.which("bwrap")
    if program is None:
        return False
    trial = [program, "--unshare-all", "--ro-bind", "/", "/", "true"]
    return subprocess.run(trial, capture_output=True, timeout=10).returncode == 0


class Sandlock:
    """Landlock and seccomp, without root or containers; no socket leaves it, no signal either.

    Its supervisor is a thread of this process: if this process dies, the program dies with it. What it
    cannot hide is that a path exists, and how large it is.
    """

    name = "sandlock"

    def start(self, command: tuple[str, ...], confinement: Confinement) -> Child:
        """Raises OSError."""
        import sandlock

        limits = confinement.limits
        box = sandlock.Sandbox(
            fs_readable=_existing(confinement.readable),
            fs_writable=[str(confinement.writable)],
            clean_env=True,
            env=_build_environment(confinement.writable),
            cwd=str(confinement.writable),
            # It counts reservations of all processes together and kills without a word. One process has
            # the kernel's own limit, set below, which is a MemoryError that the author can read.
            max_memory=2 * limits.memory_bytes if limits.processes > 1 else None,
            max_processes=limits.processes,
            max_cpu=limits.cpu_percent if limits.cpu_percent < 100 else None,
            no_coredump=True,
        )
        pipe = sandlock.StdioMode.PIPED
        try:
            process = box.popen(list(command), pipe, pipe, pipe)
        except RuntimeError as error:
            raise OSError(f"sandlock could not start {command[0]}: {error}") from error
        _limit(process.pid, limits)
        group = PidsGroup(limits.processes)
        group.add(process.pid)
        return _Locked(process, group)

    def build_filter(self, limits: Limits) -> bytes:
        """On top of what sandlock refuses."""
        return seccomp.build_filter(allow_processes=limits.processes > 1)


class _Locked:
    def __init__(self, process: Any, group: PidsGroup) -> None:
        self._process = process
        self._group = group
        self.pid: int = process.pid
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self.stderr: IO[bytes] = process.stderr

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> str:
        result = self._process.wait()
        self._group.close()
        if result.signal > 0:
            return explain_end(-result.signal)
        if result.exit_code >= 0:
            return explain_end(result.exit_code)
        return f"killed ({result.reason.name.lower()})"


class Bubblewrap:
    """Namespaces of its own for files, processes, network and users."""

    name = "bwrap"

    def start(self, command: tuple[str, ...], confinement: Confinement) -> Child:
        """Raises OSError."""
        home = str(confinement.writable)
        # The limits are for what bwrap starts, which is not the process that we know the number of.
        arguments = ["prlimit", *(f"--{name}={bound}" for name, bound in _bounds(confinement.limits).items())]
        arguments += ["--", *compose_bwrap(confinement.readable, home)]
        for name, value in _build_environment(confinement.writable).items():
            arguments += ["--setenv", name, value]
        life, held = os.pipe()
        with os.fdopen(held, "wb"):
            group = PidsGroup(confinement.limits.processes)
            whole = group.wrap([*arguments, "--sync-fd", str(held), "--", *command])
            return _Spawned(whole, {"PATH": os.defpath}, (held,), life=life, group=group)

    def build_filter(self, limits: Limits) -> bytes:
        """All that there is: bubblewrap refuses no system call."""
        return seccomp.build_filter(allow_processes=limits.processes > 1)


def compose_bwrap(readable: Sequence[Path], home: str, files: Mapping[str, int] | None = None) -> list[str]:
    """The command up to the environment: namespaces of its own, folders to read, one directory to write.

    `files`: further files by path, each the number of a descriptor to take its content from.
    """
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for path in _existing(readable):
        command += ["--dev-bind" if path in DEVICES else "--ro-bind", path, path]
    for name, number in (files or {}).items():
        command += ["--ro-bind-data", str(number), name]
    return [*command, "--bind", home, home, "--remount-ro", "/", "--chdir", home, "--clearenv"]


class Unconfined:
    """No confinement at all: for an author's own task on the author's own machine."""

    name = "none"

    def start(self, command: tuple[str, ...], confinement: Confinement) -> Child:
        """Raises OSError."""
        environment = _build_environment(confinement.writable)
        child = _Spawned(list(command), environment, cwd=confinement.writable)
        _limit(child.pid, confinement.limits)
        return child

    def build_filter(self, limits: Limits) -> bytes:
        """Nothing: the task is trusted."""
        return b""


class _Spawned:
    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        descriptors: tuple[int, ...] = (),
        cwd: Path | None = None,
        life: int | None = None,
        group: PidsGroup | None = None,
    ) -> None:
        """`life`: the end of a pipe whose other end closes when the last process of the sandbox is gone."""
        self._life = life
        self._group = group
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            pass_fds=descriptors,
            cwd=cwd,
            bufsize=0,
            start_new_session=True,
        )
        self.pid = self._process.pid
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self.stdin, self.stdout, self.stderr = (pipe for pipe in pipes if pipe is not None)

    def kill(self) -> None:
        if self._process.returncode is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def wait(self) -> str:
        code = self._process.wait()
        if self._life is not None:
            os.read(self._life, 1)
            os.close(self._life)
            self._life = None
        if self._group is not None:
            self._group.close()
        if code > BY_SIGNAL:
            return explain_end(BY_SIGNAL - code)
        return explain_end(code)


def explain_end(code: int) -> str:
    """How a task's process ended, in words for its author; `code` is negative for a signal."""
    end = describe_end(code)
    return f"{end}: it made a system call that tasks have no use for" if code == -signal.SIGSYS else end


def _bounds(limits: Limits) -> dict[str, int]:
    """Limits that the kernel enforces on each process by itself, as `prlimit` and `resource` call them."""
    return {
        "as": limits.memory_bytes,
        "fsize": limits.disk_bytes,
        "nofile": limits.open_files,
        "core": 0,
    }


def _limit(pid: int, limits: Limits) -> None:
    """Bound a program that has just been started. It can run nothing of the author's before its first
    frame, which comes later."""
    for name, bound in _bounds(limits).items():
        resource.prlimit(pid, getattr(resource, f"RLIMIT_{name.upper()}"), (bound, bound))


def _existing(readable: Sequence[Path]) -> list[str]:
    """The folders that are there; Landlock refuses to be told of others."""
    paths = [*SYSTEM_READABLE, *DEVICES, *map(str, readable)]
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


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
