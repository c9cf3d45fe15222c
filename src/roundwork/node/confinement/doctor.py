"""What this machine enforces of a task's bounds under each backend, found by starting a program there."""

from __future__ import annotations

import os
import sys
from tempfile import TemporaryDirectory

import msgspec

from ...errors import BadConfig
from .interpreter import find_interpreter
from .namespaces import FIRST_USER, USERS
from .order import Bounds, Limits, Order
from .sandbox import choose_sandbox
from .starter import starter

BACKENDS = ("sandlock", "bwrap")
PYTHON = os.path.realpath(sys.executable)


class Finding(msgspec.Struct, frozen=True):
    """One bound: whether the kernel enforces it, and what does, or what stands in its place."""

    is_enforced: bool
    by: str


async def examine(sandbox: str) -> dict[str, Finding]:
    """The findings under one backend, by what is bounded. Raises BadConfig if it cannot be used here."""
    choose_sandbox(sandbox)
    with TemporaryDirectory(prefix="roundwork-") as home:
        order = Order(
            sandbox=sandbox,
            command=(PYTHON, "-I", "-S", "-c", ""),
            environment={},
            readable=(PYTHON, *map(str, find_interpreter())),
            home=home,
            limits=Limits(),
        )
        try:
            child = await starter.start(order)
        except OSError as error:
            raise BadConfig(f"{sandbox} cannot be used on this machine: {error}") from error
        try:
            await child.wait()
        finally:
            child.abandon()
    return describe(sandbox, child.bounds)


async def examine_all() -> dict[str, dict[str, Finding] | str]:
    """The findings by backend; the reason for one that cannot be used."""
    found: dict[str, dict[str, Finding] | str] = {}
    for sandbox in BACKENDS:
        try:
            found[sandbox] = await examine(sandbox)
        except BadConfig as error:
            found[sandbox] = str(error)
    return found


def describe(sandbox: str, bounds: Bounds) -> dict[str, Finding]:
    """What bounds mean, in words."""
    is_landlock = sandbox == "sandlock"
    has_own_user = FIRST_USER <= bounds.user < FIRST_USER + USERS
    measured = "address space of each process; all of it is measured, and the task ended"
    return {
        "files": Finding(True, "Landlock" if is_landlock else "mount namespace"),
        "system calls": Finding(True, "seccomp, an allow-list"),
        "network": Finding(True, "seccomp, Landlock" if is_landlock else "seccomp, network namespace"),
        "listening": Finding(
            not is_landlock,
            "measured for a main.js, and the task ended" if is_landlock else "network namespace",
        ),
        "threads": Finding(
            bounds.threads != "", bounds.threads or "nothing: run the node as another user than root"
        ),
        "memory": Finding(bounds.memory != "", bounds.memory or measured),
        "life": Finding(
            bounds.has_namespace,
            "pid namespace"
            if bounds.has_namespace
            else "guard: what a task starts outlives a guard that is killed",
        ),
        "user": Finding(has_own_user or bounds.user != 0, _describe_user(bounds.user, has_own_user)),
        "disk": Finding(False, "measured, and the task ended; no quota of a file system is used"),
    }


def summarize(sandbox: str, findings: dict[str, Finding]) -> str:
    """The findings in a line, for a log: what is not enforced stands last."""
    enforced = [f"{name} ({finding.by})" for name, finding in findings.items() if finding.is_enforced]
    others = [f"{name} ({finding.by})" for name, finding in findings.items() if not finding.is_enforced]
    return f"{sandbox} enforces {', '.join(enforced)}; not enforced by the kernel: {', '.join(others)}"


def _describe_user(user: int, is_own: bool) -> str:
    if is_own:
        return "one for each task"
    return (
        "the node's"
        if user
        else "root, without its privileges: this machine lets the node make no other user"
    )
