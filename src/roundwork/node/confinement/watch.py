"""Breaches that no limit of the kernel stops, found in /proc."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

from .order import Order

LISTENING = "0A"
"""The state of such a socket in the kernel's tables."""


def find_breach(order: Order, processes: list[int], has_memory_group: bool) -> str:
    """The breach of bounds by the processes of a program, in words; "" if there is none.

    Neither Landlock nor sandlock knows `listen` without `bind`, by which the kernel chooses a port. Under
    bubblewrap such a port leads nowhere. Raises PermissionError for a process that hides.
    """
    if not has_memory_group and order.sandbox != "none":
        bytes_max = order.limits.memory_bytes
        # The first sum counts what processes share once for each of them, but costs little.
        if sum(map(measure_resident, processes)) > bytes_max < sum(map(measure_share, processes)):
            return explain_memory(bytes_max)
    if order.network is not None and order.sandbox == "sandlock":
        others = set().union(*map(find_ports, processes)) - {order.network.listen}
        if others:
            return f"it listens at port {min(others)}; {order.network.listen} is its own"
    return ""


def explain_memory(memory_bytes: int) -> str:
    """Why a program that outgrew its memory was ended."""
    return f"it used more than {memory_bytes} bytes of memory"


def list_descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    threads = _list_gone(Path(f"/proc/{pid}/task"))
    lists = [_read_gone(Path.read_text, thread / "children") for thread in threads]
    children = [int(child) for child in " ".join(lists).split()]
    return [*children, *(each for child in children for each in list_descendants(child))]


def list_threads(pid: int) -> list[Path]:
    """The folders in /proc of a process's living threads.

    Its first thread may have ended before the others: then /proc shows nothing of it, except to root.
    """
    return [thread for thread in _list_gone(Path(f"/proc/{pid}/task")) if _is_alive(thread)]


def measure_resident(pid: int) -> int:
    """Bytes of memory that a process has resident; 0 if it is gone."""
    sizes = next((_read_gone(Path.read_text, thread / "statm").split() for thread in list_threads(pid)), [])
    return int(sizes[1]) * resource.getpagesize() if sizes else 0


def measure_share(pid: int) -> int:
    """Bytes of memory that a process has resident, its part of what it shares; 0 if it is gone."""
    try:
        lines = [
            line
            for thread in list_threads(pid)[:1]
            for line in _read_gone(Path.read_text, thread / "smaps_rollup").splitlines()
        ]
    except PermissionError:
        return measure_resident(pid)
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def find_ports(pid: int) -> set[int]:
    """TCP ports at which a process listens; none if it is gone.

    Raises PermissionError if it has made itself invisible.
    """
    folder = Path(f"/proc/{pid}")
    # A thread may have open files of its own.
    sockets = {
        _read_gone(os.readlink, path) for each in list_threads(pid) for path in _list_gone(each / "fd")
    }
    tables = [_read_gone(Path.read_text, folder / "net" / name) for name in ("tcp", "tcp6")]
    return {
        int(fields[1].rpartition(":")[2], 16)
        for table in tables
        for fields in map(str.split, table.splitlines())
        if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets
    }


def count_threads(user: int) -> int:
    """Threads of all processes that a user has on this machine."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == user:
                count += len(os.listdir(folder / "task"))
    return count


def _is_alive(thread: Path) -> bool:
    state = _read_gone(Path.read_text, thread / "stat").rpartition(")")[2].split()
    return bool(state) and state[0] not in "ZX"


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
