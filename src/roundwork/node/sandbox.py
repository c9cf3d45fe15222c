"""Starting a program so that it can touch only what it was given: sandlock, bubblewrap, or nothing at all."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

MIB = 1024 * 1024


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
    """A started program. The three descriptors belong to the caller, who closes them."""

    pid: int
    stdin: int
    stdout: int
    stderr: int

    def kill(self) -> None:
        """End the program and everything it started. May be called twice."""

    def wait(self) -> str:
        """Block until it has ended; the reason in words ("exit 1", "signal 9")."""


class Sandbox(Protocol):
    """One way to confine."""

    name: str

    def start(self, command: list[str], confinement: Confinement) -> Child:
        """Start `command` confined, with a clean environment. Blocks some 30 ms: call it on a thread."""


def choose_sandbox(name: str | None = None) -> Sandbox:
    """The backend called `name` ("sandlock", "bwrap", "none"), or the best this machine has if None.

    None never chooses "none": a machine without either raises BadConfig with the remedy.
    """
    raise NotImplementedError
