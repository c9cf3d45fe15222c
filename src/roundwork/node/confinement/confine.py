"""The program between a node and a main.js: starts it confined, watches its memory, ends with it.

A sandboxed process is handed no descriptors but its standard streams, so the channel of Node.js (a Unix
socket) is its descriptor 0, and who starts it must have that as its own: this process, one for each task.
It reads an Order from the pipe whose number is its only argument; when that pipe closes, whether the node
wants so or has died, the task is killed.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from . import relay
from .interpreter import find_interpreter
from .pids import PidsGroup
from .sandbox import DEVICES, MIB, SYSTEM_READABLE, Limits, compose_bwrap
from .seccomp import build_filter

NODE_READABLE = ("/etc/ssl/openssl.cnf",)
"""What Node.js will not start without, where it exists."""

DATA_BYTES_SPARE = 128 * MIB
"""Above the memory limit: stacks of threads and other memory that is writable and never touched."""

RELAYS = 1
"""Processes beside the task's own in its sandbox under bubblewrap: the relay."""

PAUSE_SECONDS = 0.25
LISTENING = "0A"
"""The state of such a socket in the kernel's tables."""

PR_SET_PDEATHSIG = 1
NOT_STARTED = 126
KILLED = 137
"""Exit codes as shells tell them; they must not be 1, by which a task says that it cannot go on."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be started, and what it may do. `endpoints` are "host:port", `listen` its own web port."""

    sandbox: str
    command: tuple[str, ...]
    environment: dict[str, str]
    readable: tuple[str, ...]
    home: str
    endpoints: tuple[str, ...]
    listen: int
    limits: Limits


def main() -> None:
    """Start what is ordered and end as it ends."""
    control = int(sys.argv[1])
    with os.fdopen(control, "rb", buffering=0) as pipe:
        order = msgspec.json.decode(_read_line(pipe), type=Order)
        try:
            program = _start(order)
        except (OSError, RuntimeError) as error:
            print(f"it cannot be started under {order.sandbox}: {error}", file=sys.stderr)
            sys.exit(NOT_STARTED)
        threading.Thread(target=_kill_at_end, args=(pipe, program), daemon=True).start()
        threading.Thread(target=_watch, args=(order, program), daemon=True).start()
        code = program.wait()
        sys.stderr.flush()
        os._exit(code)


class Program(Protocol):
    """What was started."""

    pid: int

    def kill(self) -> None:
        """End it and everything it started."""

    def wait(self) -> int:
        """Its exit code, once it has ended."""


class Confined:
    """Under sandlock, with the network it was given."""

    def __init__(self, order: Order) -> None:
        import sandlock

        limits = order.limits
        python = os.path.realpath(sys.executable)
        launcher = (python, "-I", "-S", relay.__file__, "become")
        rules = base64.b64encode(build_filter(order.limits.processes > 1, allow_sockets=True)).decode()
        paths = [*SYSTEM_READABLE, *DEVICES, *NODE_READABLE, *order.readable, python, relay.__file__]
        paths += map(str, find_interpreter())
        box = sandlock.Sandbox(
            fs_readable=[path for path in dict.fromkeys(paths) if os.path.exists(path)],
            fs_writable=[order.home],
            clean_env=True,
            env=order.environment,
            cwd=order.home,
            net_allow=[f"tcp://{endpoint}" for endpoint in order.endpoints],
            net_allow_bind=[order.listen],
            max_processes=limits.processes,
            max_cpu=limits.cpu_percent if limits.cpu_percent < 100 else None,
            no_coredump=True,
        )
        ours = sandlock.StdioMode.INHERIT
        self._process: Any = box.popen([*launcher, rules, *order.command], ours, ours, ours)
        self.pid: int = self._process.pid
        self._group = PidsGroup(limits.processes)
        self._group.add(self.pid)

    def kill(self) -> None:
        """End it and everything it started."""
        self._process.kill()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        code: int = self._process.wait().exit_code
        self._group.close()
        return code if code >= 0 else KILLED


class Unconfined:
    """An author's own task on the author's own machine."""

    def __init__(self, order: Order) -> None:
        self._process = subprocess.Popen(
            order.command, env=order.environment, cwd=order.home, preexec_fn=_die_with_parent
        )
        self.pid = self._process.pid

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        code = self._process.wait()
        return code if code >= 0 else KILLED


class Boxed:
    """Under bubblewrap, in a network of its own that leads to the ledger, the node and back."""

    def __init__(self, order: Order) -> None:
        control, theirs = socket.socketpair()
        way_in = socket.create_server(("127.0.0.1", order.listen))
        python = os.path.realpath(sys.executable)
        program = Path(relay.__file__)
        paths = [program, *find_interpreter(), *map(Path, (python, *NODE_READABLE, *order.readable))]
        with control, theirs, way_in, _open_hosts() as hosts:
            arguments = compose_bwrap(paths, order.home, {"/etc/hosts": hosts.fileno()})
            arguments += ["--", python, "-I", "-S", str(program)]
            arguments += [str(theirs.fileno()), str(way_in.fileno())]
            self._group = PidsGroup(order.limits.processes + RELAYS)
            self._process = subprocess.Popen(
                self._group.wrap(arguments),
                env={"PATH": os.defpath},
                pass_fds=(hosts.fileno(), theirs.fileno(), way_in.fileno()),
            )
            theirs.close()
            self.pid = self._process.pid
            control.sendall(_compose_relay_order(order))
            gates = _receive_gates(control)
        threading.Thread(target=asyncio.run, args=(_open_gates(gates),), daemon=True).start()

    def kill(self) -> None:
        """End it and everything it started."""
        self._process.kill()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        code = self._process.wait()
        self._group.close()
        return code if code >= 0 else KILLED


def _open_hosts() -> IO[bytes]:
    """All the names that there are in the sandbox, in a file without a name."""
    file = os.fdopen(os.memfd_create("hosts"), "w+b")
    file.write(b"127.0.0.1 localhost\n::1 localhost\n")
    file.seek(0)
    return file


def _compose_relay_order(order: Order) -> bytes:
    told = {
        "command": order.command,
        "environment": order.environment,
        "ports": sorted({int(endpoint.rpartition(":")[2]) for endpoint in order.endpoints}),
        "web_port": order.listen,
        "filter": base64.b64encode(build_filter(allow_processes=False, allow_sockets=True)).decode(),
    }
    return msgspec.json.encode(told) + b"\n"


def _receive_gates(control: socket.socket) -> list[tuple[int, socket.socket]]:
    """Sockets that listen inside the sandbox, with their ports; the other end closes when it has sent all."""
    gates: list[tuple[int, socket.socket]] = []
    while True:
        line, descriptors, _, _ = socket.recv_fds(control, 16, len(relay.HOSTS))
        if not line:
            return gates
        gates += [(int(line), socket.socket(fileno=descriptor)) for descriptor in descriptors]


async def _open_gates(gates: list[tuple[int, socket.socket]]) -> None:
    for port, listening in gates:
        await relay.forward(listening, partial(asyncio.open_connection, "localhost", port))
    await asyncio.Event().wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _start(order: Order) -> Program:
    _limit_self(order.limits)
    kinds: dict[str, type[Confined | Boxed | Unconfined]] = {
        "sandlock": Confined,
        "bwrap": Boxed,
        "none": Unconfined,
    }
    return kinds[order.sandbox](order)


def _limit_self(limits: Limits) -> None:
    """Limits that the child inherits. Of memory only what is writable counts: V8 reserves address space by
    the gigabyte and touches little of it."""
    for kind, bound in (
        (resource.RLIMIT_DATA, limits.memory_bytes + DATA_BYTES_SPARE),
        (resource.RLIMIT_FSIZE, limits.disk_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (value, value))


def _kill_at_end(pipe: Any, program: Program) -> None:
    while pipe.read(1):
        pass
    program.kill()


def _watch(order: Order, program: Program) -> None:
    """Keep to what no limit of the kernel's bounds; a program that cannot be watched is ended."""
    try:
        reason = find_breach(order, program.pid)
    except Exception as error:  # noqa: BLE001 -- whatever it was, the program must not run on unwatched
        reason = f"the node can no longer watch it: {error!r}"
    _kill(program, reason)


def find_breach(order: Order, pid: int) -> str:
    """What a process does that it may not, once it does: too much memory resident, or listening elsewhere.

    Its children count too.

    Neither Landlock nor sandlock knows `listen` without `bind`, by which the kernel chooses a port.
    Under bubblewrap such a port leads nowhere.
    """
    while True:
        resident = measure_resident(pid)
        if resident > order.limits.memory_bytes:
            return f"it uses {resident} bytes of memory; {order.limits.memory_bytes} are allowed"
        if order.sandbox == "sandlock":
            try:
                others = find_ports(pid) - {order.listen}
            except PermissionError as error:
                return f"it hides from the node: {error}"
            if others:
                return f"it listens at port {min(others)}; {order.listen} is its own"
        time.sleep(PAUSE_SECONDS)


def _kill(program: Program, reason: str) -> None:
    print(reason, file=sys.stderr)
    program.kill()


def find_ports(pid: int) -> set[int]:
    """TCP ports at which a process or anything it started listens; none if it is gone.

    Raises PermissionError if it has made itself invisible.
    """
    folder = Path(f"/proc/{pid}")
    # A thread may have open files of its own.
    threads = _list_gone(folder / "task")
    sockets = {_read_gone(os.readlink, path) for thread in threads for path in _list_gone(thread / "fd")}
    tables = [_read_gone(Path.read_text, folder / "net" / name) for name in ("tcp", "tcp6")]
    listening = {
        int(fields[1].rpartition(":")[2], 16)
        for table in tables
        for fields in map(str.split, table.splitlines())
        if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets
    }
    return listening.union(*map(find_ports, _find_children(pid)))


def _find_children(pid: int) -> list[int]:
    threads = _list_gone(Path(f"/proc/{pid}/task"))
    lists = [_read_gone(Path.read_text, thread / "children") for thread in threads]
    return [int(child) for child in " ".join(lists).split()]


def _list_gone(folder: Path) -> list[Path]:
    """What is in a folder of the kernel's; nothing if what it is about has ended."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _read_gone(read: Callable[[Path], str], path: Path) -> str:
    """What `read` makes of a file of the kernel's; "" if what the file is about has ended."""
    try:
        return read(path)
    except (FileNotFoundError, ProcessLookupError):
        return ""


def measure_resident(pid: int) -> int:
    """Bytes of memory that a process and everything it started have resident; 0 if it is gone."""
    sizes = _read_gone(Path.read_text, Path(f"/proc/{pid}/statm")).split()
    own = int(sizes[1]) * resource.getpagesize() if sizes else 0
    return own + sum(map(measure_resident, _find_children(pid)))


def _read_line(pipe: Any) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = pipe.read(1)
        if not byte:
            sys.exit("the node closed its order before it was whole")
        line += byte
    return bytes(line)


if __name__ == "__main__":
    main()
