"""Trying an author's functions: a good task has every property, and each fault is found by its name."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roundwork.node import properties
from roundwork.node.properties import (
    OF_LISTS,
    PROPERTIES,
    QUICK,
    Outcome,
    measure_timings,
    try_properties,
    try_quickly,
)
from roundwork.package.folder import load_package
from roundwork.package.windows import Timings

from ..package.test_folder import write_task
from .house import require_sandbox

GOOD = """
import datetime, os, random, socket, time
from roundwork import *

def make_files(ctx):
    folder = ctx.files / "some"
    folder.mkdir(exist_ok=True)
    for name in "bca":
        (folder / name).touch()
    return folder

task = Task("test")

@task.work
def work(ctx):
    ctx.state["value"] = ctx.seed.hex()

@task.submission
def submission(ctx):
    return ctx.state["value"]

@task.audit
def audit(ctx, candidate):
    return candidate.value == candidate.seed.hex()
"""

BY_STAKE = (
    "{each.public_key: round.bounty * each.stake // total for each in round.submitters if each.votes > 0}"
)

FAULTS = {
    # What is added to the good task: the property that fails, and a part of the reason.
    "task.submission(lambda ctx: 'x' * 600)": ("submission", "600 bytes"),
    "task.work(lambda ctx: 1 / 0)": ("submission", "ZeroDivisionError"),
    "task.audit(lambda ctx, candidate: False)": ("honest", "audit refused '"),
    "task.audit(lambda ctx, candidate: bool(candidate.value))": ("lies", "audit accepted '"),
    "task.audit(lambda ctx, candidate: candidate.value == candidate.seed.hex() or 1)": ("lies", "returned 1"),
    "task.audit(lambda ctx, candidate: candidate.json() == 5 or candidate.value == candidate.seed.hex())": (
        "honest",
        "is not JSON",
    ),
    "task.work(lambda ctx: ctx.state.update(value=str(hash('x'))))": ("same-work", "ctx.state['value'] was"),
    "task.work(lambda ctx: ctx.state.update(value=os.getcwd()))": ("same-work", "ctx.state['value'] was"),
    "task.work(lambda ctx: ctx.state.update(value=str(datetime.date.today())))": ("same-work", "then '"),
    "task.work(lambda ctx: ctx.state.update(value=time.strftime('%H', time.gmtime(0))+time.tzname[0]))": (
        "same-work",
        "was '00UTC'",
    ),
    "task.work(lambda ctx: ctx.state.update(value=str(os.cpu_count())))": ("same-work", "then '7'"),
    **{
        f"task.work(lambda ctx: ctx.state.update(value=str({value})))": (
            "same-work",
            "ctx.state['value'] was",
        )
        for value in (
            "len(os.sched_getaffinity(0))",
            "[*{b'1', b'2'}]",
            "os.environ.get('USER')",
            "os.environ['PATH']",
            "os.getpid()",
            "socket.gethostname()",
            "os.uname().nodename",
            "time.strftime('%Y-%m-%d')",
            "time.localtime().tm_yday",
            "random.random()",
            "os.listdir(make_files(ctx))",
            "[entry.name for entry in os.scandir(make_files(ctx))]",
            "[names for _, _, names in os.walk(make_files(ctx))]",
            "__file__",
        )
    },
    "task.audit(lambda ctx, candidate: candidate.value == candidate.seed.hex() and time.time() < YEAR)": (
        "same-audit",
        "was valid, then invalid",
    ),
    "task.distribution(lambda round: {each.public_key: round.bounty for each in round.submitters})": (
        "bounty",
        "roe of",
    ),
    "task.distribution(lambda round: {round.submitters[0].public_key: 0.5})": ("bounty", "an integer of roe"),
    "task.distribution(lambda round: {each.public_key: -2 * each.stake for each in round.submitters"
    " if each.votes < 0})": ("slash", "were taken from a stake of"),
    "task.distribution(lambda round: {each.public_key: -1 for each in round.submitters})": (
        "slash",
        "from a node with votes 1",
    ),
    "task.distribution(lambda round: {round.submitters[0].public_key: round.bounty})": ("order", "roe, then"),
    "task.distribution(lambda round: {each.public_key: hash(each.value) % 9 for each in round.submitters})": (
        "same-list",
        "roe, then",
    ),
    "task.distribution(equal_split())": ("splitting", "its two halves"),
    "@task.distribution\ndef distribute(round):\n"
    "    total = sum(each.stake for each in round.submitters if each.votes > 0)\n"
    f"    return {BY_STAKE}": ("exclusion", "once another was convicted"),
}


def examine(
    tmp_path: Path, source: str, more: str = "", rules: str = "koii-1", **params: Any
) -> dict[str, Outcome]:
    folder = tmp_path / "task"
    folder.mkdir()
    write_task(folder, more, bounty_amount_per_round="10")
    (folder / "task.py").write_text(source)
    package = msgspec.structs.replace(load_package(folder), rules=rules, slash_percent=50)
    tried = asyncio.run(try_properties(package, params, {}, require_sandbox("sandlock"), tmp_path, print))
    assert list(PROPERTIES) == [each.property for each in tried.outcomes]
    return {each.property: each for each in tried.outcomes}


def test_a_good_task_has_every_property(tmp_path: Path) -> None:
    outcomes = examine(tmp_path, GOOD)

    assert {"holds"} == {each.result for each in outcomes.values()}, outcomes


@pytest.mark.parametrize(("fault", "found"), FAULTS.items())
def test_each_fault_is_found_by_its_property(tmp_path: Path, fault: str, found: tuple[str, str]) -> None:
    name, reason = found
    outcomes = examine(tmp_path, f"{GOOD}\nYEAR = {time.time() + 86400}\n{fault}")

    assert "fails" == outcomes[name].result, outcomes
    assert reason in outcomes[name].reason


def test_sorted_listings_and_what_stands_beside_the_program_are_the_same(tmp_path: Path) -> None:
    here = "os.path.dirname(os.path.abspath(__file__))"
    beside = f"sorted(each for each in os.listdir({here}) if each.endswith('.py'))"
    listed = f"sorted(os.listdir(make_files(ctx))), {beside}"
    outcomes = examine(tmp_path, f"{GOOD}\ntask.work(lambda ctx: ctx.state.update(value=str(({listed}))))")

    assert "holds" == outcomes["same-work"].result, outcomes["same-work"]


REMARK = (
    "under roundwork-1 an amount below 0 counts as 0; a convicted node loses 50 % of its stake (rules.slash)"
)


@pytest.mark.parametrize("taken", ["-2 * each.stake", "-1", "0"])
def test_under_roundwork_1_an_amount_below_0_counts_as_0_and_the_check_says_so(
    tmp_path: Path, taken: str
) -> None:
    pays = f"lambda round: {{each.public_key: {taken} for each in round.submitters}}"
    outcomes = examine(tmp_path, f"{GOOD}\ntask.distribution({pays})", rules="roundwork-1")

    assert ("holds", REMARK) == (outcomes["slash"].result, outcomes["slash"].reason)
    assert "`split: stake`" in outcomes["splitting"].reason, "the ledger's own split pays by head"
    assert {"holds"} == {each.result for each in outcomes.values()}, outcomes


def test_a_distribution_sees_verdicts_and_audits_of_roundwork_1(tmp_path: Path) -> None:
    source = """
@task.distribution
def distribute(round):
    verdicts = {each.verdict for each in round.submitters}
    assert {each.audits_assigned for each in round.submitters} == {3}
    assert all(0 <= each.audits_done <= 3 for each in round.submitters)
    assert all(each.votes in (-1, 0, 1) for each in round.submitters)
    assert "missing" not in verdicts, "seen"
    return {}
"""
    outcomes = examine(tmp_path, f"{GOOD}\n{source}", rules="roundwork-1")

    assert "AssertionError: seen" in outcomes["bounty"].reason


def measure(tmp_path: Path, source: str) -> Timings | None:
    (tmp_path / "task").mkdir()
    folder = write_task(tmp_path / "task")
    (folder / "task.py").write_text(source)
    return asyncio.run(
        measure_timings(load_package(folder), {}, {}, require_sandbox("sandlock"), tmp_path, print)
    )


def test_submission_and_audit_are_timed(tmp_path: Path) -> None:
    slow = """
@task.audit
def audit(ctx, candidate):
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    return candidate.value == candidate.seed.hex()
"""
    timings = measure(tmp_path, f"{GOOD}\n{slow}")

    assert timings is not None
    assert timings.audit >= 0.3
    assert timings.submission > 0


@pytest.mark.parametrize(
    "fault", ["task.work(lambda ctx: 1 / 0)", "task.audit(lambda ctx, candidate: False)"]
)
def test_what_fails_is_not_timed(tmp_path: Path, fault: str) -> None:
    assert measure(tmp_path, f"{GOOD}\n{fault}") is None


def test_a_task_is_excused_by_name_and_only_from_what_it_names(tmp_path: Path) -> None:
    more = "roundwork: {excused: {splitting: everybody has one node}}"
    outcomes = examine(tmp_path, f"{GOOD}\ntask.distribution(equal_split())", more)

    assert ("excused", "everybody has one node") == (
        outcomes["splitting"].result,
        outcomes["splitting"].reason,
    )
    assert "fails" == outcomes["exclusion"].result


def test_what_cannot_be_tried_is_said(tmp_path: Path) -> None:
    outcomes = examine(tmp_path, f"{GOOD}\ntask.submission(lambda ctx: None)")

    for name in ("submission", "honest", "lies", "same-work", "same-audit"):
        assert "not tried" == outcomes[name].result
        assert outcomes[name].reason
    assert "holds" == outcomes["bounty"].result


def try_these_quickly(folder: Path, more: str, addition: str) -> dict[str, Outcome]:
    write_task(folder, more)
    (folder / "task.py").write_text(f"{GOOD}\n{addition}\n")
    tried = asyncio.run(
        try_quickly(load_package(folder), {}, require_sandbox("sandlock"), folder / "environments", print)
    )
    return {each.property: each for each in tried.outcomes}


def test_the_quick_properties_are_all_that_need_no_second_machine(tmp_path: Path) -> None:
    outcomes = try_these_quickly(tmp_path, "", "task.audit(lambda ctx, candidate: bool(candidate.value))")

    assert tuple(outcomes) == QUICK
    assert {"same-work", "same-audit", "same-list"} == PROPERTIES.keys() - outcomes.keys()
    assert ["lies"] == [name for name, each in outcomes.items() if each.result == "fails"]


def test_of_a_task_with_secrets_the_list_alone_is_tried_quickly(tmp_path: Path) -> None:
    outcomes = try_these_quickly(
        tmp_path, "roundwork: {secrets: [TOKEN]}", "task.work(lambda ctx: ctx.secrets['TOKEN'])"
    )

    assert tuple(outcomes) == OF_LISTS
    assert {"holds"} == {each.result for each in outcomes.values()}


def test_what_takes_long_is_not_tried_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "QUICK_SECONDS", 1.0)
    endless = "def work(ctx):\n    while True: pass\ntask.work(work)"

    outcomes = try_these_quickly(tmp_path, "", endless)

    assert "not tried" == outcomes["submission"].result
    assert "work was still running after 1 s" in outcomes["submission"].reason
    assert "fails" not in {each.result for each in outcomes.values()}
