"""A task as a package: its folder, config-task.yml with every rule checked, and its content id."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec


class Requirement(msgspec.Struct, frozen=True):
    """One of the published requirementsTags."""

    type: str
    value: str
    description: str = ""


class Demo(msgspec.Struct, frozen=True):
    """A program that `roundwork up` starts beside the nodes unless `--param` gives what it is for.

    `command`: "python" is this interpreter, "{port}" a free port; keep its stdin open (a pipe).
    `params`: params that point at it, with "{port}" too.
    """

    command: tuple[str, ...]
    params: dict[str, str]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A task folder that was read and found good. Money in roe, windows in slots."""

    folder: Path
    kind: Literal["python", "javascript"]
    program: Path
    """The executable: task.py or main.js."""
    name: str
    description: str
    author: str
    repository_url: str
    image_url: str
    info_url: str
    executable_network: str
    round_time: int
    audit_window: int
    submission_window: int
    minimum_stake: int
    task_type: Literal["KOII", "KPL"]
    token_type: str
    total_bounty: int
    bounty_per_round: int
    allowed_failed_distributions: int
    space_bytes: int
    requirements: tuple[Requirement, ...]
    tags: tuple[str, ...]
    environment: str
    task_id: str
    migration_description: str
    params: dict[str, Any]
    hosts: tuple[str, ...]
    """Permitted hosts of ctx.http: "example.org", "*.example.org", "127.0.0.1:8000", or "$start": the
    host of the URL in the param `start`."""
    limits: dict[str, int | float]
    secrets: tuple[str, ...]
    """Names of the task's variables; TASK_VARIABLE and GLOBAL_VARIABLE requirements are among them."""
    rules: str
    demo: Demo | None
    lock: bytes | None
    requires_python: str | None
    warnings: tuple[str, ...]


def load_package(folder: Path) -> Package:
    """Read a task folder. Raises BadConfig (config-task.yml) or BadTaskFile, naming file, field, value
    and what is allowed."""
    raise NotImplementedError


def resolve_hosts(package: Package, params: dict[str, Any]) -> tuple[str, ...]:
    """The package's permitted hosts, "$name" replaced by the host of that param's URL. Raises BadConfig."""
    raise NotImplementedError


def pack(package: Package) -> tuple[str, dict[str, bytes]]:
    """The content id of the whole package and its blobs by content id: a manifest and one for each file."""
    raise NotImplementedError
