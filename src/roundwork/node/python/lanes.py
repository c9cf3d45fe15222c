"""All processes of one task, and which process runs which of the author's functions."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ...errors import BadTaskFile, TaskFailed
from ...participant.seeds import compute_node_seed, compute_random_seed
from ...protocol.params import MONEY_MAX
from ...protocol.tasks.instructions import VALUE_BYTES_MAX
from ...views import SubmissionView
from ..answers import WEB_SECONDS, WebAnswer
from .channel import Services
from .lane import Kind, Lane, TaskSetting

Roe = Annotated[int, msgspec.Meta(ge=-MONEY_MAX - 1, le=MONEY_MAX)]
NEEDED_FUNCTIONS = ("work", "submission", "audit")
START_SECONDS = 30.0
WEB_BODY_BYTES_MAX = 8 * 1024 * 1024
FORGET_SECONDS = 10.0

_PLACE = re.compile(r'\s*File "([^"]*)", line (\d{1,9})')
"""The line of a traceback that names a place. Strangers write such lines: each is read from its start."""

log = logging.getLogger(__name__)


class Opinion(msgspec.Struct, frozen=True):
    """What an audit function returned: "valid", "invalid" or "unavailable" (no opinion), and why."""

    kind: Literal["valid", "invalid", "unavailable"]
    reason: str = ""


class Lanes:
    """The processes of one task: work, review (submission, audit, distribution) and web.

    Rounds are stacked, so these run side by side. `secret` is the node's own (32 bytes, never handed to a
    task): it seeds `ctx.random`. `round` is always that of the work, `seed` the round's (RoundView.seed,
    TaskView.seed, hex), from which each node's `ctx.seed` is derived here. All steps raise TaskFailed.
    """

    web_body_bytes_max = WEB_BODY_BYTES_MAX

    def __init__(
        self,
        setting: TaskSetting,
        sandbox: str,
        services: Services,
        secret: bytes,
        log: Callable[[str], None],
    ) -> None:
        self.setting = setting
        self._secret = secret
        self._newest = {"round": 0, "seed": "", "random_seed": ""}
        kinds: tuple[Kind, ...] = ("work", "review", "web")
        self._lanes = {kind: Lane(kind, setting, sandbox, services, log) for kind in kinds}

    async def check(self) -> None:
        """Start the review lane, so that a file that cannot run is reported at once and not in every round.

        Raises BadTaskFile.
        """
        program = self.setting.program
        try:
            functions = await self._lanes["review"].start(START_SECONDS)
        except TaskFailed as error:
            log.error("%s", error)
            *before, last = str(error).splitlines()
            places = [found for line in before if (found := _PLACE.match(line))]
            place = f" ({Path(places[-1][1]).name}, line {places[-1][2]})" if places else ""
            raise BadTaskFile(f"{program} cannot be run: {last}{place}") from None
        missing = [f"@task.{name}" for name in NEEDED_FUNCTIONS if name not in functions]
        if missing:
            raise BadTaskFile(
                f"{program} has no {', no '.join(missing)}; a task has {', '.join(NEEDED_FUNCTIONS)}"
            )

    async def start_work(self) -> None:
        """Start the process of the work, so that the time of its first call is the author's alone."""
        await self._lanes["work"].start(START_SECONDS)

    async def work(self, round: int, seed: str, deadline_seconds: float) -> None:
        """Run `@task.work` for a round."""
        step = self._newest = self._prepare("work", round, seed)
        await self._lanes["work"].call("work", step, deadline_seconds, type(None))

    async def submit(self, round: int, seed: str, deadline_seconds: float) -> str | None:
        """Run `@task.submission`: the value to submit, trimmed, 1-512 bytes; None for nothing."""
        return await self._submit("submission", round, seed, deadline_seconds)

    async def lie(self, round: int, seed: str, deadline_seconds: float) -> str | None:
        """Run `@task.lie` (default: the honest value with one character changed)."""
        return await self._submit("lie", round, seed, deadline_seconds)

    async def audit(
        self, round: int, seed: str, node: str, value: str, stake: int, deadline_seconds: float
    ) -> Opinion:
        """Run `@task.audit` on the submission of `node`. Raises TaskFailed: there is no opinion yet."""
        step = self._prepare("audit", round, seed, node)
        candidate_seed = compute_node_seed(seed, node).hex()
        step["candidate"] = {"node": node, "value": value, "seed": candidate_seed, "stake": stake}
        kind, reason = await self._lanes["review"].call(
            "audit", step, deadline_seconds, tuple[Literal["valid", "invalid", "unavailable"], str]
        )
        return Opinion(kind, reason)

    async def distribute(
        self, round: int, bounty: int, submissions: Sequence[SubmissionView], deadline_seconds: float
    ) -> dict[str, int]:
        """Run `@task.distribution`; submitter to roe, positive rewards, negative slashes, 0 left out.

        `submissions` are RoundView.submissions once AUDIT has ended, `bounty` is bounty_per_round.
        """
        submitters = [
            {
                "public_key": each.node,
                "value": each.value,
                "votes": each.votes,
                "verdict": each.verdict,
                "stake": each.stake,
                "audits_assigned": each.audits_assigned,
                "audits_done": each.audits_done,
            }
            for each in submissions
        ]
        step = {"round": round, "bounty": bounty, "submitters": submitters}
        review = self._lanes["review"]
        amounts: dict[str, int] = await review.call("distribution", step, deadline_seconds, dict[str, Roe])
        strangers = amounts.keys() - {each.node for each in submissions}
        if strangers:
            raise TaskFailed(f"distribution pays {min(strangers)[:64]!r}, who submitted nothing")
        return {node: amount for node, amount in sorted(amounts.items()) if amount}

    async def serve(
        self, method: str, path: str, query: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> WebAnswer:
        """Give a web request to `@task.routes`; its answer."""
        request = {
            **self._newest,
            "method": method,
            "path": path,
            "query": query,
            "headers": list(headers),
            "body": body,
        }
        answer: WebAnswer = await self._lanes["web"].call("routes", request, WEB_SECONDS, WebAnswer)
        return answer

    async def forget(self, before_round: int) -> None:
        """Drop `ctx.state` of every round below `before_round`: those rounds are closed."""
        step = {"before_round": before_round}
        await self._lanes["review"].call("forget", step, FORGET_SECONDS, type(None))

    async def close(self) -> None:
        """Kill all processes of the task."""
        for lane in self._lanes.values():
            await lane.kill()

    def count_starts(self) -> dict[str, int]:
        """How often each lane was started, for the metrics; each start after the first follows a failure."""
        return {kind: lane.starts for kind, lane in self._lanes.items()}

    async def _submit(self, step: str, round: int, seed: str, deadline_seconds: float) -> str | None:
        request = self._prepare(step, round, seed)
        review = self._lanes["review"]
        value: str | None = await review.call(step, request, deadline_seconds, str | None)
        size = 0 if value is None else len(value.encode("utf-8", "replace"))
        if size > VALUE_BYTES_MAX:
            raise TaskFailed(f"{step} returned {size} bytes; a submission has at most {VALUE_BYTES_MAX}")
        return value or None

    def _prepare(self, step: str, round: int, seed: str, candidate: str = "") -> dict[str, Any]:
        random_seed = compute_random_seed(self._secret, self.setting.task, round, step, candidate)
        own_seed = compute_node_seed(seed, self.setting.node)
        return {"round": round, "seed": own_seed.hex(), "random_seed": random_seed.hex()}
