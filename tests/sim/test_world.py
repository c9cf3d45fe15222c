"""A world follows from its seed, and plays by the law."""

import json
import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from roundwork import Task, Unavailable
from roundwork.participant.plays import (
    ACCUSER,
    COPYCAT,
    HONEST,
    LATE,
    LAZY,
    LIAR,
    PLAYS,
    SILENT,
    THIEF,
    Play,
)  # fmt: skip
from roundwork.sdk.task import Candidate, Context
from roundwork.sim.simulation import Result
from roundwork.sim.world import World

from .village import ROOT, STAKE, list_payments, make_setting, make_task, play


def get_address(name: str, plays: tuple[Play, ...]) -> str:
    return next(node.address for node in World(make_setting(plays), make_task()).nodes if node.name == name)


def sum_payments(result: Result, address: str) -> tuple[int, int]:
    paid = [by_node.get(address, (0, 0)) for by_node in list_payments(result).values()]
    return sum(reward for reward, _ in paid), sum(slash for _, slash in paid)


def test_two_runs_of_a_seed_have_the_same_bytes() -> None:
    setting = make_setting((HONEST, HONEST, HONEST, HONEST, LIAR))

    first, second = play(setting), play(setting)

    assert first == second
    assert first[1]


def test_a_seed_has_the_same_bytes_in_every_process() -> None:
    code = "from tests.sim.village import *; result, lines = play(make_setting()); print(result.state_hash)"

    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert hashes == {play(make_setting())[0].state_hash + "\n"}


def test_another_seed_has_other_nodes() -> None:
    first, second = play(make_setting(seed=1))[0], play(make_setting(seed=2))[0]

    assert first.state_hash != second.state_hash
    assert not {stake.node for stake in first.task.stakes} & {stake.node for stake in second.task.stakes}


@pytest.mark.parametrize("other", PLAYS.values(), ids=lambda each: each.name)
def test_a_node_that_sleeps_while_nothing_changes_owes_what_one_owes_that_looks_in_every_slot(
    other: Play,
) -> None:
    setting = make_setting((HONEST,) * 4 + (other,))

    sleeping, watching = play(setting), play(msgspec.structs.replace(setting, is_thorough=True))

    assert watching == sleeping


def test_who_is_paid_what_does_not_depend_on_whether_signatures_are_real() -> None:
    plays = (HONEST, HONEST, HONEST, LIAR, ACCUSER)

    real = play(make_setting(plays, are_signatures_real=True))[0]
    made_up = play(make_setting(plays, are_signatures_real=False))[0]

    assert list_payments(real) == list_payments(made_up)
    assert real.rounds == made_up.rounds
    assert real.state_hash != made_up.state_hash


def test_honest_nodes_share_the_bounty_of_each_round_and_no_function_fails() -> None:
    result, _ = play(make_setting(rounds=3))

    assert result.failures == []
    assert [view.status for view in result.rounds.values()][:3] == ["PayoutSuccessful"] * 3
    assert set(list_payments(result)[0].values()) == {(2_000_000_000, 0)}


@pytest.mark.parametrize(
    ("other", "is_paid", "is_slashed"),
    [
        (LIAR, False, True),
        (COPYCAT, False, True),
        (LATE, False, False),
        (SILENT, False, False),
        (LAZY, True, False),
        (ACCUSER, True, False),
        (THIEF, True, False),
    ],
    ids=lambda each: each.name if isinstance(each, Play) else "",
)
def test_a_way_to_play_is_paid_and_slashed_as_the_law_says(
    other: Play, is_paid: bool, is_slashed: bool
) -> None:
    plays = (HONEST,) * 4 + (other,)

    result, _ = play(make_setting(plays))

    reward, slash = sum_payments(result, get_address("node-5", plays))
    assert (is_paid, is_slashed) == (reward > 0, slash > 0)
    honest = sum_payments(result, get_address("node-1", plays))
    assert honest[0] >= 2 * 2_000_000_000
    assert honest[1] == 0


def test_a_function_that_raises_costs_its_node_the_round_and_is_named_with_its_line() -> None:
    task = make_task()

    @task.submission
    def submission(ctx: Context) -> str:
        raise LookupError("the disk is empty")

    result, _ = play(make_setting(), task)

    assert not result.rounds
    assert result.failures[0].doing == "DecideValue 0"
    assert result.failures[0].text.startswith("LookupError: the disk is empty (test_world.py, line ")


def test_an_audit_that_cannot_say_is_tried_again() -> None:
    task, calls = make_task(), []

    @task.audit
    def audit(ctx: Context, candidate: Candidate) -> bool:
        calls.append(candidate.node)
        if len(calls) == 1:
            raise Unavailable("not yet")
        return True

    result, _ = play(make_setting(rounds=1), task)

    assert calls.count(calls[0]) > 1
    assert [failure.doing for failure in result.failures] == ["DecideOpinion 0"]


def test_an_audit_that_reads_nothing_of_its_context_runs_once_for_each_submission() -> None:
    task, calls = make_task(), []

    @task.audit
    def audit(ctx: Context, candidate: Candidate) -> bool:
        calls.append((candidate.round, candidate.node))
        return candidate.value == candidate.seed.hex()

    plays = (HONEST,) * 4 + (LIAR,)
    alone = play(make_setting(plays), task)

    assert len(calls) == len(set(calls))
    assert alone == play(make_setting(plays))


@pytest.mark.parametrize("name", ["node", "seed", "params", "state", "random", "storage", "unknown"])
def test_an_audit_that_reads_its_context_runs_on_every_node(name: str) -> None:
    task, calls = make_task(), []

    @task.audit
    def audit(ctx: Context, candidate: Candidate) -> bool:
        calls.append((candidate.round, candidate.node))
        getattr(ctx, name, None)
        return True

    play(make_setting(rounds=1), task)

    assert {calls.count(call) for call in calls} == {4}


def test_a_task_with_setup_shares_no_audit() -> None:
    task, calls = make_task(), []
    kept: list[Context] = []
    task.setup(kept.append)

    @task.audit
    def audit(ctx: Context, candidate: Candidate) -> bool:
        calls.append((candidate.round, candidate.node))
        return kept[-1].node != ""

    play(make_setting(rounds=1), task)

    assert {calls.count(call) for call in calls} == {4}


def test_what_a_task_stores_another_node_reads_until_its_holder_is_dark() -> None:
    def run(are_dark: bool) -> Result:
        task = make_task()

        @task.submission
        def submission(ctx: Context) -> str:
            return ctx.storage.put_json({"node": ctx.node})

        @task.audit
        def audit(ctx: Context, candidate: Candidate) -> bool:
            return bool(ctx.storage.get_json(candidate.value) == {"node": candidate.node})

        world = World(make_setting(rounds=1), task)
        if are_dark:
            world.commons.dark.update(node.address for node in world.nodes)
        return world.run()

    assert run(are_dark=False).failures == []
    assert "no node serves" in run(are_dark=True).failures[0].text


def test_state_is_saved_by_assignment_and_forgotten_with_its_round() -> None:
    task, seen = Task("state"), {}

    @task.work
    def work(ctx: Context) -> None:
        ctx.state["list"] = [1]
        ctx.state["list"].append(2)
        ctx.store["count"] = ctx.store.get("count", 0) + 1

    @task.submission
    def submission(ctx: Context) -> str:
        seen[ctx.round] = dict(ctx.state)
        return json.dumps(ctx.store["count"])

    @task.audit
    def audit(ctx: Context, candidate: Candidate) -> bool:
        return True

    world = World(make_setting(rounds=3), task)
    world.run()

    assert seen[0] == {"list": [1]}
    saved: Any = world.nodes[0].functions.saved
    assert not saved.of_round(0)
    assert saved.across_rounds()["count"] > 3


def test_a_stake_is_what_the_setting_says() -> None:
    result, _ = play(make_setting())

    assert {stake.amount for stake in result.task.stakes} == {STAKE}
