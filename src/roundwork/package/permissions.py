"""What a task requires of its node, in words, and whether that is more than every task has."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .folder import Package
from .requirements import ANY_HOST, Requirement, compute_limits

GIB = 2**30
MODEST_LIMITS = {"memory_bytes": 512 * 2**20, "disk_bytes": GIB, "processes": 1, "open_files": 256}
"""What every task may use, as node.sandbox.Limits has it."""


def describe_permissions(package: Package, hosts: Sequence[str] | None = None) -> list[str]:
    """One line for each permission or requirement of a task. `hosts` are those of the package, resolved."""
    limits = {**MODEST_LIMITS, **package.limits}
    lines = [
        _describe_hosts(package.hosts if hosts is None else hosts, package.kind),
        f"up to {_size(limits['memory_bytes'])} of memory, {_size(limits['disk_bytes'])} of disk,"
        f" {_count(limits['processes'], 'process', 'processes')} at a time",
    ]
    if package.lock is not None:
        lines.append(f"Python packages: {_count_pins(package.lock)} pinned in its requirements.lock")
    variables = {each.value: each for each in package.requirements if each.type.endswith("_VARIABLE")}
    lines += [
        _describe_variable(variables.get(name, Requirement("TASK_VARIABLE", name)))
        for name in package.secrets
    ]
    return lines + describe_wishes(package.requirements)


def describe_requirements(requirements: Sequence[Requirement]) -> list[str]:
    """The same from metadata.json, which has the tags only."""
    limits = [f"{each.type} {each.value}" for each in requirements if each.type in ("RAM", "STORAGE", "CPU")]
    variables = [_describe_variable(each) for each in requirements if each.type.endswith("_VARIABLE")]
    return [*limits, *variables, *describe_wishes(requirements)]


def describe_wishes(requirements: Sequence[Requirement]) -> list[str]:
    """What a task requires of machine, network and add-ons, and what this machine lacks of it."""
    lines = []
    for each in requirements:
        about = f" ({each.description})" if each.description else ""
        if each.type in ("ARCHITECTURE", "OS", "NETWORK", "ADDON"):
            lines.append(f"{each.type} {each.value}{about}")
        cores = os.cpu_count() or 1
        if compute_limits([each]).get("processes", 0) > cores:
            lines.append(f"CPU {each.value}{about}: more than this machine has, {cores}")
    return lines


def is_modest(package: Package) -> bool:
    """Whether a task requires nothing that an operator has to agree to."""
    asks_for_more = any(package.limits.get(name, 0) > limit for name, limit in MODEST_LIMITS.items())
    return not (package.hosts or package.secrets or package.lock or asks_for_more)


def _describe_hosts(hosts: Sequence[str], kind: str) -> str:
    names = (f"that of the param {host[1:]}" if host.startswith("$") else host for host in hosts)
    shown = "any public host" if ANY_HOST in hosts else ", ".join(names)
    what = "HTTP" if kind == "python" else "the ledger; connections"
    return f"{what} through the node: {shown or 'no host'}"


def _describe_variable(variable: Requirement) -> str:
    described = f": {variable.description}" if variable.description else ""
    info = f" (how to get it: {variable.retrieval_info})" if variable.retrieval_info else ""
    return f"variable {variable.value}{described}{info}"


def _count(count: int, singular: str, plural: str) -> str:
    return f"{count} {singular if count == 1 else plural}"


def _count_pins(lock: bytes) -> int:
    return sum(1 for line in lock.splitlines() if b"==" in line and not line.lstrip().startswith(b"#"))


def _size(size: int) -> str:
    return f"{size / GIB:g} GiB" if size >= GIB else f"{size / 2**20:g} MiB"
