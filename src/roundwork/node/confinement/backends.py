"""The ways to confine a program: sandlock, bubblewrap, or none. Python tasks and main.js take the same."""

from __future__ import annotations

import asyncio
import base64
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import IO

import msgspec

from ...host.process import die_with_parent
from . import relay
from .interpreter import find_interpreter
from .order import KILLED, MIB, Limits, Network, Order
from .seccomp import build_filter

SYSTEM_READABLE = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
"""Shared libraries; nothing in them is a secret."""

NODE_READABLE = ("/etc/ssl/openssl.cnf",)
"""What Node.js will not start without, where it exists."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

LAUNCHER = (os.path.realpath(sys.executable), relay.__file__, *map(str, find_interpreter()))
"""This interpreter, and what it needs to run relay.py before a main.js; found before a cell hides the way."""

DATA_BYTES_SPARE = 128 * MIB
"""For a main.js above the memory limit: stacks of threads and other writable memory that is never touched."""

Wait = Callable[[], int]
"""Blocks until a program has ended; its exit code, above 128 for a signal, as shells say it."""


def start(order: Order, has_memory_group: bool) -> tuple[int, Wait]:
    """Start a program confined, on this process's standard streams; its process id, and how to wait for it.

    Raises OSError.
    """
    match order.sandbox:
        case "sandlock":
            return _start_sandlock(order, has_memory_group)
        case "bwrap":
            return _start_bwrap(order) if order.network is None else _start_boxed(order, order.network)
        case _:
            return _start_bare(order.command, order, order.environment, order.home)


def list_paths(order: Order) -> list[str]:
    """All that a program and its backend read outside the system's folders, as far as it exists."""
    paths = [*order.readable, order.command[0]]
    if order.network is not None:
        paths += LAUNCHER
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


def has_sandlock() -> bool:
    """Whether this kernel enforces all that sandlock needs."""
    try:
        import sandlock
    except (ImportError, OSError):
        return False
    return bool(sandlock.landlock_abi_version() >= sandlock.min_landlock_abi())


def limit_self(limits: Limits, has_sockets: bool, threads_max: int | None) -> None:
    """Limits that the program inherits. Of a main.js only memory that is writable counts: V8 reserves address
    space by the gigabyte and touches little of it. Raises OSError.
    """
    bounds = {resource.RLIMIT_FSIZE: limits.disk_bytes, resource.RLIMIT_CORE: 0}
    if has_sockets:
        bounds[resource.RLIMIT_NOFILE] = limits.open_files
        bounds[resource.RLIMIT_DATA] = limits.memory_bytes + DATA_BYTES_SPARE
    if threads_max is not None:
        bounds[resource.RLIMIT_NPROC] = threads_max
    _bound(0, bounds)


def _bound(pid: int, bounds: Mapping[int, int]) -> None:
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.prlimit(pid, kind, (value, value))


def _compute_late_bounds(order: Order) -> dict[int, int]:
    """Limits that a Python task can have only once its backend has started it."""
    if order.network is not None:
        return {}
    return {resource.RLIMIT_AS: order.limits.memory_bytes, resource.RLIMIT_NOFILE: order.limits.open_files}


def _start_sandlock(order: Order, has_memory_group: bool) -> tuple[int, Wait]:
    """Landlock and seccomp, without root or containers; no signal leaves it, and no socket but those allowed.

    Its supervisor is a thread of this process. It cannot hide that a path exists, and how large a file is.
    """
    import sandlock

    limits, network = order.limits, order.network
    is_single = limits.processes == 1 or network is not None
    command, paths = list(order.command), [*SYSTEM_READABLE, *DEVICES, *order.readable]
    if network is not None:
        rules = base64.b64encode(build_filter(limits.processes > 1, allow_sockets=True)).decode()
        command = [LAUNCHER[0], "-I", "-S", relay.__file__, "become", rules, *command]
        paths += [*NODE_READABLE, *LAUNCHER]
    box = sandlock.Sandbox(
        fs_readable=_list_existing(paths),
        fs_writable=[order.home],
        clean_env=True,
        env=order.environment,
        cwd=order.home,
        net_allow=[f"tcp://{endpoint}" for endpoint in network.endpoints] if network else [],
        net_allow_bind=[network.listen] if network else [],
        # It counts reservations of all processes together and kills without a word: only where nothing else
        # bounds them at once. A single process has the kernel's own limit, set below, which is a MemoryError.
        max_memory=None if has_memory_group or is_single else 2 * limits.memory_bytes,
        max_processes=limits.processes,
        max_cpu=limits.cpu_percent if limits.cpu_percent < 100 else None,
        no_coredump=True,
        name=f"task-{secrets.token_hex(8)}",  # sandlock names by process id, which is 1 in each namespace
    )
    ours = sandlock.StdioMode.INHERIT
    try:
        process = box.popen(command, ours, ours, ours)
    except RuntimeError as error:
        raise OSError(f"sandlock could not start {command[0]}: {error}") from error
    # It can run nothing of the author's before its first frame, which comes later.
    _bound(process.pid, _compute_late_bounds(order))

    def wait() -> int:
        result = process.wait()
        if result.signal > 0:
            return 128 + int(result.signal)
        return int(result.exit_code) if result.exit_code >= 0 else KILLED

    return process.pid, wait


def _start_bwrap(order: Order) -> tuple[int, Wait]:
    """Namespaces of its own for files, processes, network and users."""
    command = [*_compose_bwrap(order.readable, order.home), "--clearenv"]
    for name, value in order.environment.items():
        command += ["--setenv", name, value]
    return _start_bare([*command, "--", *order.command], order, {"PATH": os.defpath})


def _start_boxed(order: Order, network: Network) -> tuple[int, Wait]:
    """The same for a main.js, whose network leads to the ledger, the node and back."""
    control, theirs = socket.socketpair()
    way_in = socket.create_server(("127.0.0.1", network.listen))
    with control, theirs, way_in, _open_hosts() as hosts:
        readable = [*order.readable, *NODE_READABLE, *LAUNCHER]
        command = _compose_bwrap(readable, order.home, {"/etc/hosts": hosts.fileno()})
        command += ["--clearenv", "--", LAUNCHER[0], "-I", "-S", relay.__file__]
        command += [str(theirs.fileno()), str(way_in.fileno())]
        kept = (hosts.fileno(), theirs.fileno(), way_in.fileno())
        pid, wait = _start_bare(command, order, {"PATH": os.defpath}, descriptors=kept)
        theirs.close()
        control.sendall(_compose_relay_order(order, network))
        gates = _receive_gates(control)
    threading.Thread(target=asyncio.run, args=(_open_gates(gates),), daemon=True).start()
    return pid, wait


def _start_bare(
    command: Sequence[str],
    order: Order,
    environment: Mapping[str, str],
    cwd: str | None = None,
    descriptors: tuple[int, ...] = (),
) -> tuple[int, Wait]:
    def prepare() -> None:
        die_with_parent(signal.SIGKILL)
        _bound(0, _compute_late_bounds(order))

    process = subprocess.Popen(
        command,
        env=environment,
        cwd=cwd,
        pass_fds=descriptors,
        preexec_fn=prepare,
    )

    def wait() -> int:
        code = process.wait()
        return code if code >= 0 else 128 - code

    return process.pid, wait


def _compose_bwrap(readable: Sequence[str], home: str, files: Mapping[str, int] | None = None) -> list[str]:
    """The command up to the environment: namespaces of its own, folders to read, one directory to write.

    `files`: further files by path, each the number of a descriptor to take its content from.
    """
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for path in _list_existing([*SYSTEM_READABLE, *DEVICES, *readable]):
        command += ["--dev-bind" if path in DEVICES else "--ro-bind", path, path]
    for name, descriptor in (files or {}).items():
        command += ["--ro-bind-data", str(descriptor), name]
    return [*command, "--bind", home, home, "--remount-ro", "/", "--chdir", home]


def _list_existing(paths: Sequence[str]) -> list[str]:
    """The paths that exist; Landlock refuses a rule about any other path."""
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


def _open_hosts() -> IO[bytes]:
    """All the names that there are in the sandbox, in a file without a name."""
    file = os.fdopen(os.memfd_create("hosts"), "w+b")
    file.write(b"127.0.0.1 localhost\n::1 localhost\n")
    file.seek(0)
    return file


def _compose_relay_order(order: Order, network: Network) -> bytes:
    content = {
        "command": order.command,
        "environment": order.environment,
        "ports": sorted({int(endpoint.rpartition(":")[2]) for endpoint in network.endpoints}),
        "web_port": network.listen,
        "filter": base64.b64encode(build_filter(allow_processes=False, allow_sockets=True)).decode(),
    }
    return msgspec.json.encode(content) + b"\n"


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
