"""What a hostile test needs of the machine. A test without it is skipped by name; CI counts these names."""

import os
import platform
import tomllib
from pathlib import Path

import pytest

from roundwork.node.confinement.backends import has_sandlock
from roundwork.node.confinement.groups import open_groups
from roundwork.node.confinement.sandbox import has_bwrap

LIST = Path(__file__).with_name("missing.toml")
PREFIX = "missing: "


def require(feature: str, is_there: bool) -> None:
    """Skip the test where a feature is missing. In CI `missing.toml` says which features may be."""
    if not is_there:
        pytest.skip(f"{PREFIX}{feature}")


def require_backend(name: str) -> str:
    """The name of a backend that works here."""
    require(name, has_sandlock() if name == "sandlock" else has_bwrap())
    return name


def require_root() -> None:
    require("root", os.geteuid() == 0)


def require_groups(*resources: str) -> None:
    """Control groups that bound these resources ("pids", "memory")."""
    groups = open_groups(64, 1 << 26)
    for group in set(groups.values()):
        group.close()
    require(f"control groups of {' and '.join(resources)}", groups.keys() >= set(resources))


def require_x86_64() -> None:
    """For attacks in machine code and by the number of a system call."""
    require("x86_64", platform.machine() == "x86_64")


def find_fault(reason: str) -> str:
    """What CI says about a skipped test: "" if its feature may be missing."""
    allowed = tomllib.loads(LIST.read_text())["allowed"]
    feature = reason.partition(PREFIX)[2]
    if feature in allowed:
        return ""
    return f"CI must not skip this test ({reason}); what may be missing stands in {LIST.name}"
