"""How the program of a JavaScript task stands, kept on disk for `node status`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from ...errors import Malformed
from ...host.files import replace_file
from ...wire import decode_json

STANDING_FILE = "program.json"
"""In the directory of the task's memory."""


class Standing(msgspec.Struct, frozen=True):
    """The program of a task: whether a process runs, and how the last one ended."""

    state: Literal["runs", "waits", "stopped"]
    """"waits": it is started again after a pause. "stopped": it ended itself with exit code 1."""
    starts: int
    """Processes that this node has started."""
    end: str = ""
    """How the last process ended, and what follows; empty if none has ended."""


def write_standing(directory: Path, standing: Standing) -> None:
    """Keep the standing of the program. Raises OSError."""
    replace_file(directory / STANDING_FILE, msgspec.json.encode(standing))


def read_standing(directory: Path) -> Standing | None:
    """The standing of a program; None of a task whose program has none."""
    try:
        return decode_json((directory / STANDING_FILE).read_bytes(), Standing)
    except (OSError, Malformed):
        return None


def forget_standing(directory: Path) -> None:
    """The node ends: no program runs any more."""
    (directory / STANDING_FILE).unlink(missing_ok=True)
