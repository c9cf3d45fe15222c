"""Where a task's Python code runs: one locked virtual environment per set of pinned requirements."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Environment(msgspec.Struct, frozen=True):
    """An interpreter for tasks: its command, and the folders that it must be able to read."""

    command: tuple[str, ...]
    readable: tuple[Path, ...]


async def prepare_environment(directory: Path, lock: bytes | None, requires_python: str | None) -> Environment:
    """The environment for a requirements.lock, made under `directory` if it is not there yet.

    No lock: the bare standard library. Wheels only, every line pinned and hashed, so nothing of the
    packages runs at installation. Several nodes may share `directory`. Raises BadTaskFile.
    """
    raise NotImplementedError
