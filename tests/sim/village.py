"""Small worlds for tests: the terms of the examples, and tasks written in place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roundwork import Task, equal_split
from roundwork.package.folder import load_package
from roundwork.participant.plays import HONEST, Play
from roundwork.sdk.task import Candidate, Context
from roundwork.sim.simulation import Result, WorldSetting
from roundwork.sim.world import World, fit_bounty, make_nodes

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello"
PACKAGE = load_package(HELLO)
STAKE = 10 * PACKAGE.minimum_stake


def make_task() -> Task:
    """A task whose proof is the node's own seed."""
    task = Task("seeds")
    task.distribution(equal_split(slash="70%"))

    @task.work
    def work(ctx: Context) -> None:
        ctx.state["value"] = ctx.seed.hex()

    @task.submission
    def submission(ctx: Context) -> str:
        return str(ctx.state["value"])

    @task.audit
    def audit(ctx: Context, candidate: Candidate) -> bool:
        return candidate.value == candidate.seed.hex()

    return task


def make_setting(plays: Sequence[Play] = (HONEST,) * 5, rounds: int = 2, **changes: Any) -> WorldSetting:
    """A world of the terms of the example hello."""
    fields: dict[str, Any] = {
        "terms": fit_bounty(PACKAGE, rounds),
        "nodes": make_nodes(plays, [STAKE]),
        "rounds": rounds,
        "seed": 1,
    }
    return WorldSetting(**{**fields, **changes})


def play(setting: WorldSetting, task: Task | None = None) -> tuple[Result, list[str]]:
    """Run a world; its result and its trace."""
    lines: list[str] = []
    world = World(setting, task or make_task(), trace=lambda slot: lines.append(json.dumps(slot)))
    return world.run(), lines


def list_payments(result: Result) -> dict[int, dict[str, tuple[int, int]]]:
    """What each round paid to and took from each node."""
    return {
        round_number: {payment.node: (payment.reward, payment.slash) for payment in view.payments}
        for round_number, view in result.rounds.items()
    }
