"""Control groups that bound the threads and the memory of one program and of all that it starts.

Version 1 has a tree of groups for each resource, version 2 one tree for all; a machine may mix them. A node
makes groups below its own, so that the limits that its operator gave it hold for its tasks too, or else at
the top. The process that holds the lock of a group's directory uses the group. A group without such a process
is left over.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from pathlib import Path

from ...errors import StoreInUse
from ...host.hold import hold

TOP = Path("/sys/fs/cgroup")
PREFIX = "roundwork-"
FILES = {"pids": ("pids.max", "pids.max"), "memory": ("memory.limit_in_bytes", "memory.max")}
"""By resource: the file of the limit in version 1 and in version 2."""

OOM_FILES = ("memory.oom_control", "memory.events")
REMOVE_SECONDS = 2.0
"""The kernel lets go of a group a moment after its last process is gone."""


class Group:
    """The bound of one resource for one program. `version` is that of the control group, 1 or 2."""

    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        self.version = version
        self._held = contextlib.ExitStack()
        self._held.enter_context(hold(path, f"{path} is held by a process that removes what was left over"))

    def add(self, pid: int) -> None:
        """Bound a process and what it starts from now on. Raises OSError."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def has_outgrown(self) -> bool:
        """Whether the kernel has killed a process here for its memory."""
        for name in OOM_FILES:
            with contextlib.suppress(OSError):
                lines = dict(
                    line.split() for line in (self.path / name).read_text(errors="replace").splitlines()
                )
                return int(lines.get("oom_kill", 0)) > 0
        return False

    def close(self) -> None:
        """Remove the group, whose processes have ended; what cannot be removed is left to the next node."""
        deadline = time.monotonic() + REMOVE_SECONDS
        while not _remove(self.path) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._held.close()


def open_groups(threads_max: int, memory_bytes: int) -> dict[str, Group]:
    """Groups for one program, by resource ("pids", "memory"), as far as this process may make them."""
    groups: dict[str, Group] = {}
    for resource, bound in (("pids", threads_max), ("memory", memory_bytes)):
        for parent, version in list_parents(resource):
            made = next((group for group in groups.values() if group.path.parent == parent), None)
            group = made or _make_group(parent, version, resource)
            if group is not None and _bound(group, resource, bound):
                groups[resource] = group
                break
            if group is not None and made is None:
                group.close()
    return groups


def list_parents(resource: str) -> list[tuple[Path, int]]:
    """Where groups that bound a resource might be made, with the version there; the best place first."""
    parents = []
    for line in Path("/proc/self/cgroup").read_text(errors="replace").splitlines():
        _, names, own = line.split(":", 2)
        if resource in names.split(","):
            parents = [(TOP / resource / own.strip("/"), 1), (TOP / resource, 1)]
            break
        if names == "":
            here = TOP / own.strip("/")
            # A service of systemd that has its processes in a subgroup may make groups beside that.
            parents = [(here, 2), (here.parent, 2), (TOP, 2)]
    inside = [(path, version) for path, version in parents if path.is_relative_to(TOP) and path.is_dir()]
    return list(dict.fromkeys(inside))


def remove_left_over() -> None:
    """Remove the groups of nodes that were killed, with what still runs in them."""
    parents = {parent for resource in FILES for parent, _ in list_parents(resource)}
    for path in (path for parent in parents for path in parent.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError, StoreInUse), hold(path, f"{path} is held by a living node"):
            for pid in (path / "cgroup.procs").read_text(errors="replace").split():
                if int(pid):  # 0 is a process of another pid namespace
                    os.kill(int(pid), signal.SIGKILL)
            _remove(path)


def _make_group(parent: Path, version: int, resource: str) -> Group | None:
    path = parent / f"{PREFIX}{secrets.token_hex(8)}"
    try:
        if version == 2:
            _enable(parent, resource)
        path.mkdir()
        return Group(path, version)
    except (OSError, StoreInUse):
        _remove(path)
        return None


def _enable(parent: Path, resource: str) -> None:
    """Let groups below `parent` bound a resource. Raises OSError where this process may not."""
    control = parent / "cgroup.subtree_control"
    if resource not in control.read_text(errors="replace").split():
        control.write_text(f"+{resource}")


def _bound(group: Group, resource: str, bound: int) -> bool:
    try:
        if group.version == 2:
            _enable(group.path.parent, resource)
        (group.path / FILES[resource][group.version - 1]).write_text(str(bound))
        if resource == "memory":
            _forbid_swap(group, bound)
    except OSError:
        return False
    return True


def _forbid_swap(group: Group, bound: int) -> None:
    """Without this a task could go on in the swap space; a kernel without swap has no such files."""
    name, value = ("memory.swap.max", 0) if group.version == 2 else ("memory.memsw.limit_in_bytes", bound)
    if (group.path / name).exists():
        (group.path / name).write_text(str(value))


def _remove(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
