"""Which sandbox a node uses: sandlock, bubblewrap or none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from ...errors import BadConfig
from .backends import has_sandlock


def choose_sandbox(name: str | None = None) -> str:
    """The backend called `name` ("sandlock", "bwrap", "none"), or the best this machine has if None.

    None never chooses "none": a machine without either raises BadConfig with the remedy.
    """
    match name:
        case "sandlock":
            _check_usable("sandlock", has_sandlock(), "a Linux kernel of 6.12 or newer")
        case "bwrap":
            _check_usable("bwrap", has_bwrap(), "bubblewrap (package `bubblewrap`) and user namespaces")
        case "none":
            pass
        case None:
            if has_sandlock():
                return "sandlock"
            _check_usable(
                "no sandbox", has_bwrap(), "Linux 6.12 or bubblewrap; `--sandbox none` trusts the task"
            )
            return "bwrap"
        case _:
            raise BadConfig(f"--sandbox {name}: it is one of sandlock, bwrap, none")
    return name


def choose_sandbox_or_none(name: str | None, warn: Callable[[str], None]) -> str:
    """For a task of the person who runs it: "none" after a warning, where this machine has no sandbox.

    Raises BadConfig if the sandbox that is named cannot be used.
    """
    try:
        return choose_sandbox(name)
    except BadConfig as error:
        if name is not None:
            raise
        warn(f"the task runs unconfined: {error}")
        return "none"


def has_bwrap() -> bool:
    """Whether bubblewrap is installed and may make its namespaces."""
    program = shutil.which("bwrap")
    if program is None:
        return False
    trial = [program, "--unshare-all", "--ro-bind", "/", "/", "true"]
    return subprocess.run(trial, capture_output=True, timeout=10).returncode == 0


def _check_usable(name: str, is_usable: bool, needs: str) -> None:
    if not is_usable:
        raise BadConfig(f"{name} cannot be used on this machine: it needs {needs}")
