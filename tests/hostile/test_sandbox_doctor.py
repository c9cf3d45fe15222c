"""`node doctor` says of each backend what this machine enforces, as whom the node runs."""

import json
import subprocess
import sys
from typing import Any

from roundwork.node.confinement.doctor import Finding, describe, summarize
from roundwork.node.confinement.namespaces import FIRST_USER
from roundwork.node.confinement.order import Bounds

from .features import require_backend, require_groups, require_root
from .users import OrdinaryUser

COMMAND = ["-m", "roundwork", "node", "doctor", "--json"]


def read_bounds(printed: str, sandbox: str) -> Any:
    found = json.loads(printed)["backends"][sandbox]
    assert found["usable"], found
    return found["bounds"]


def test_root_has_control_groups_and_a_user_for_each_task() -> None:
    require_root()
    require_groups("pids", "memory")
    done = subprocess.run([sys.executable, *COMMAND], capture_output=True, text=True, check=True)

    for sandbox in ("sandlock", "bwrap"):
        bounds = read_bounds(done.stdout, require_backend(sandbox))
        assert bounds["threads"]["by"].startswith("control group v")
        assert bounds["memory"]["enforced"]
        assert {"enforced": True, "by": "one for each task"} == bounds["user"]
        assert {"enforced": True, "by": "pid namespace"} == bounds["life"]
        assert not bounds["disk"]["enforced"]


def test_an_ordinary_user_has_namespaces_and_is_told_that_memory_is_measured(
    ordinary_user: OrdinaryUser,
) -> None:
    with ordinary_user.popen(COMMAND) as doctor:
        printed, errors = doctor.communicate(timeout=60)

    assert printed, errors
    for sandbox in ("sandlock", "bwrap"):
        bounds = read_bounds(printed, require_backend(sandbox))
        assert {"enforced": True, "by": "user namespace"} == bounds["threads"]
        assert not bounds["memory"]["enforced"]
        assert {"enforced": True, "by": "the node's"} == bounds["user"]


def test_a_machine_that_bounds_nothing_is_told_so_in_one_line() -> None:
    bare = Bounds(threads="", memory="", has_namespace=False, user=0)
    full = Bounds(threads="control group v2", memory="control group v2", has_namespace=True, user=FIRST_USER)

    missing = {name for name, finding in describe("bwrap", bare).items() if not finding.is_enforced}
    line = summarize("bwrap", {"files": Finding(True, "mounts"), "memory": Finding(False, "measured")})

    assert {"threads", "memory", "life", "user", "disk"} == missing
    assert {"disk"} == {name for name, finding in describe("bwrap", full).items() if not finding.is_enforced}
    assert "bwrap enforces files (mounts); not enforced by the kernel: memory (measured)" == line
