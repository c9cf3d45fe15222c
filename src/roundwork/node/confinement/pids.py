"""A bound on the threads and processes of a task, kept by the kernel.

Threads that a program makes with bare system calls need no memory that another limit would count. A control
group with a pids limit bounds them where this process may make one. Elsewhere RLIMIT_NPROC does, which counts
everything of the node's user; it does not bind root, and `is_bounded` says so.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import resource
import time
from pathlib import Path

THREADS_MAX = 64
"""Threads for each process that a task may have."""

USER_THREADS_SPARE = 512
"""Where the user is what is bounded: threads that its other programs may start after the task."""

ORPHAN_SECONDS = 60
"""Age from which an empty group of a process that is gone is removed, in seconds."""

_V1 = Path("/sys/fs/cgroup/pids")
_V2 = Path("/sys/fs/cgroup")
_serial = itertools.count()
_left: set[Path] = set()
"""Groups to remove. Threads that let go of processes sweep it at once."""
atexit.register(lambda: _sweep())


class PidsGroup:
    """A bound for one process of a task and all that it starts: a control group, or a limit of its user's."""

    def __init__(self, processes: int) -> None:
        """`processes`: as many as the task may have, each with THREADS_MAX threads."""
        self.path = _make_group(processes * THREADS_MAX)
        self._user_max = compute_user_max(processes * THREADS_MAX)

    def add(self, pid: int) -> None:
        """Bound a process that was just started, before it starts others. Raises OSError."""
        if self.path is not None:
            (self.path / "cgroup.procs").write_text(str(pid))
        elif os.getuid() != 0:
            resource.prlimit(pid, resource.RLIMIT_NPROC, (self._user_max, self._user_max))

    def wrap(self, command: list[str]) -> list[str]:
        """A command that bounds itself and then becomes the given one."""
        if self.path is not None:
            join = 'echo $$ > "$0" && exec "$@"'
            return ["/bin/sh", "-c", join, str(self.path / "cgroup.procs"), *command]
        if os.getuid() != 0:
            return ["prlimit", f"--nproc={self._user_max}", "--", *command]
        return command

    def close(self) -> None:
        """Let go of the group, whose processes have ended."""
        if self.path is not None:
            _left.add(self.path)
            _sweep()


def _sweep() -> None:
    """Remove the groups that nobody is in any more; a process that is still ending keeps its group."""
    for path in list(_left):
        try:
            path.rmdir()
        except FileNotFoundError:
            _left.discard(path)  # another thread was quicker
        except OSError:
            continue
        else:
            _left.discard(path)


def remove_orphans() -> None:
    """Remove the groups of processes that ended without a sweep.

    Only empty groups can be removed. A young one may belong to a process in another pid namespace that has
    not joined it yet.
    """
    for parent in (_V1, _V2):
        for path in parent.glob("roundwork-*-*"):
            pid = path.name.split("-")[1]
            with contextlib.suppress(OSError):
                if not Path("/proc", pid).exists() and time.time() - path.stat().st_mtime > ORPHAN_SECONDS:
                    path.rmdir()


def has_groups() -> bool:
    """Whether this process may make control groups that bound threads."""
    group = PidsGroup(1)
    group.close()
    return group.path is not None


def is_bounded() -> bool:
    """Whether anything bounds the threads of a task on this machine."""
    return os.getuid() != 0 or has_groups()


def compute_user_max(most: int) -> int:
    """The RLIMIT_NPROC that leaves a new process of this user `most` threads, and not many more."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    bound = _count_threads(os.getuid()) + most + USER_THREADS_SPARE
    return bound if hard == resource.RLIM_INFINITY else min(bound, hard)


def _count_threads(user: int) -> int:
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == user:
                count += len(os.listdir(folder / "task"))
    return count


def _make_group(most: int) -> Path | None:
    _sweep()
    serial = next(_serial)
    if not serial:
        remove_orphans()
    name = f"roundwork-{os.getpid()}-{serial}"
    for parent in (_V1, _V2):
        path = parent / name
        try:
            if parent == _V2:
                (parent / "cgroup.subtree_control").write_text("+pids")
            path.mkdir()
            (path / "pids.max").write_text(str(most))
        except OSError:
            with contextlib.suppress(OSError):
                path.rmdir()
            continue
        return path
    return None
