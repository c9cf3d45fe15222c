"""A bound on the threads and processes of a task, kept by the kernel: a control group with a pids limit.

A process limit of the kernel's (RLIMIT_NPROC) does not bind root, and threads that a program makes with bare
system calls need no memory that another limit would count. Where this process may not make control groups
there is no such bound; `is_enforced` says so.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
from pathlib import Path

THREADS_MAX = 64
"""Threads for each process that a task may have."""

_V1 = Path("/sys/fs/cgroup/pids")
_V2 = Path("/sys/fs/cgroup")
_serial = itertools.count()
_left: set[Path] = set()
"""Groups to remove. Threads that let go of processes sweep it at once."""
atexit.register(lambda: _sweep())


class PidsGroup:
    """A control group for one process of a task and all that it starts; nothing where none can be made."""

    def __init__(self, processes: int) -> None:
        """`processes`: as many as the task may have, each with THREADS_MAX threads."""
        self.path = _make_group(processes * THREADS_MAX)

    def add(self, pid: int) -> None:
        """Put a process that was just started into the group, before it starts others. Raises OSError."""
        if self.path is not None:
            (self.path / "cgroup.procs").write_text(str(pid))

    def wrap(self, command: list[str]) -> list[str]:
        """A command that joins the group and then becomes the given one."""
        if self.path is None:
            return command
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.path / "cgroup.procs"), *command]

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


def is_enforced() -> bool:
    """Whether this machine lets us bound threads and processes."""
    group = PidsGroup(1)
    group.close()
    return group.path is not None


def _make_group(most: int) -> Path | None:
    _sweep()
    name = f"roundwork-{os.getpid()}-{next(_serial)}"
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
