"""The parent's side of a task's sandboxed processes: calls with deadlines, services for what they ask, restarts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from .environments import Environment
from .sandbox import Limits, Sandbox

Service = Callable[[dict[str, Any]], Awaitable[Any]]
"""Answers one method that a task may ask the node for: params in, a JSON value out.

Raises `ServiceError` for what the task is to be told.
"""

Services = Mapping[str, Service]

Kind = Literal["work", "review", "web"]


class ServiceError(Exception):
    """What a service tells the task: `kind` is "Unavailable" (nobody has it now) or "Refused" (not allowed)."""

    def __init__(self, kind: Literal["Unavailable", "Refused"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


class TaskSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One task on one node: everything its processes are told when they start."""

    task: str
    """Address of the task, base58."""
    node: str
    """Public key that the node stakes with, base58."""
    folder: Path
    """The unpacked package: task.py and what lies beside it; read-only to the task."""
    home: Path
    """The task's own directory: state, files, sockets; the only place it may write."""
    environment: Environment
    limits: Limits
    params: dict[str, Any]
    secrets: dict[str, str]
    is_development: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What an audit function said: "valid", "invalid" or "unavailable" (no vote), and why."""

    kind: Literal["valid", "invalid", "unavailable"]
    reason: str = ""


class Lane:
    """One sandboxed process of one task: started when first called, killed past a deadline, started anew.

    Calls to one lane run one after another, except on the web lane.
    """

    def __init__(
        self,
        kind: Kind,
        setting: TaskSetting,
        sandbox: Sandbox,
        services: Services,
        log: Callable[[str], None],
    ) -> None: ...

    async def call(self, function: str, request: dict[str, Any], deadline_seconds: float) -> Any:
        """Run one of the author's functions; its checked answer.

        Raises TaskFailed with the traceback if it raised, answered nonsense, broke the channel or was
        still running after `deadline_seconds`; then, but for a mere exception, the process is killed and
        the next call starts a new one.
        """

    async def close(self) -> None:
        """Kill the process, if there is one, and wait until it is gone."""


class Lanes:
    """The processes of one task, and which function runs in which. What the node's runtime holds.

    `secret` is the node's own (32 bytes, never handed to a task): it seeds `ctx.random`.
    Every step takes `round` (of the work), `seed` (RoundView.seed / TaskView.seed, hex; the node's own
    and each candidate's `ctx.seed` are derived from it here) and `deadline_seconds`.
    """

    def __init__(
        self,
        setting: TaskSetting,
        sandbox: Sandbox,
        services: Services,
        secret: bytes,
        log: Callable[[str], None],
    ) -> None: ...

    async def work(self, round: int, seed: str, deadline_seconds: float) -> None:
        """Run `@task.work` for a round. Raises TaskFailed."""

    async def submit(self, round: int, seed: str, deadline_seconds: float) -> str | None:
        """Run `@task.submission`: the value to submit, trimmed, 1-512 bytes; None for nothing."""

    async def lie(self, round: int, seed: str, deadline_seconds: float) -> str | None:
        """Run `@task.lie` (default: the honest value with one character changed)."""

    async def audit(
        self, round: int, seed: str, node: str, value: str, stake: int, deadline_seconds: float
    ) -> Verdict:
        """Run `@task.audit` on the submission of `node`. Raises TaskFailed, which is never a vote."""

    async def distribute(
        self, round: int, bounty: int, submitters: list[dict[str, Any]], deadline_seconds: float
    ) -> dict[str, int]:
        """Run `@task.distribution`; a dict of submitter to roe, positive rewards, negative slashes.

        `submitters`: dicts of public_key, value, votes, verdict, stake, audits_assigned, audits_done
        (SubmissionView has the first five as node, value, votes, verdict, stake), by address.
        """

    async def serve(
        self, method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Hand one web request to `@task.routes`; status, headers and body of its answer."""

    async def forget(self, before_round: int) -> None:
        """Drop `ctx.state` of every round below `before_round`: those rounds are closed."""

    async def close(self) -> None:
        """Kill all processes of the task."""
