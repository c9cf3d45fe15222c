"""`roundwork advise`: by how much cheating loses in a task, and what its parameters would have to be."""

import asyncio
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..economics import derive_costs
from ..errors import BadConfig, TaskFailed
from .margin import (
    Costs,
    Margin,
    compute_margin,
    cost_options,
    count_checks,
    describe_margin,
    find_low_stake,
)
from .options import combine, format_money, json_option, param_option, sandbox_option, secret_option
from .output import say, say_json
from .task_view import choose_task_sandbox

if TYPE_CHECKING:
    from ..package.folder import Package
    from ..package.windows import Timings


time_options = combine(
    click.option(
        "--work-seconds",
        type=click.FloatRange(0, min_open=True),
        help="A round's work: what `check --json` measures. With --audit-seconds the costs follow from both.",
    ),
    click.option("--audit-seconds", type=click.FloatRange(0), help="An audit: what `check --json` measures."),
    click.option(
        "--fetch-seconds",
        type=click.FloatRange(0),
        default=0.5,
        show_default=True,
        help="To get a proof of another node.",
    ),
    click.option(
        "--measure",
        "is_measured",
        is_flag=True,
        help="Run the task's work, submission and audit, and take their times where none is named.",
    ),
    param_option,
    secret_option,
    sandbox_option,
)
"""The times of a task, named or measured."""


@click.command()
@click.argument("task", type=click.Path(path_type=Path))
@cost_options
@click.option("--rules", type=click.Choice(["koii-1", "roundwork-1"]), help="The rule set: the task's own.")
@time_options
@click.option("--strict", is_flag=True, help="Exit with 1 if cheating pays.")
@json_option
def command(
    task: Path,
    rules: str | None,
    work_seconds: float | None,
    audit_seconds: float | None,
    fetch_seconds: float,
    is_measured: bool,
    params: dict[str, str],
    secrets: dict[str, str],
    sandbox: str | None,
    strict: bool,
    as_json: bool,
    **costs: Any,
) -> None:
    """Say by how much cheating loses in TASK, a folder, and where that breaks.

    R is the reward of an honest node in a round: the bounty divided by the nodes. The stake is the task's
    minimum. Costs follow from the times of a round's work and of an audit, if both are given. Windows that
    are too short for an audit are named, if its time is given or measured.
    """
    from ..package.folder import load_package
    from ..package.windows import Timings, find_short_windows

    package = load_package(task)
    submission_seconds = 0.0
    if is_measured:
        timings = asyncio.run(_measure(package, params, secrets, sandbox))
        submission_seconds = timings.submission
        audit_seconds = timings.audit if audit_seconds is None else audit_seconds
        work_seconds = timings.work if work_seconds is None else work_seconds
    if work_seconds is not None:
        _take_times(costs, work_seconds, audit_seconds, rules or package.rules)
    expected = Costs(**costs)
    margin = compute_margin(package, expected, rules)
    warnings = []
    if margin.is_drawn and audit_seconds is not None:
        warnings = find_short_windows(package, Timings(submission_seconds, fetch_seconds, audit_seconds))
    if low_stake := find_low_stake(package, margin):
        warnings.append(low_stake)
    if as_json:
        seconds = {"work_seconds": work_seconds, "audit_seconds": audit_seconds}
        say_json({**_compose_facts(margin, expected, warnings), **seconds})
    else:
        _print(margin, expected)
        if work_seconds is not None:
            say(f"reckoned with {work_seconds:.2g} s for a round's work, {audit_seconds:.2g} s for an audit")
        if margin.is_drawn and audit_seconds is None:
            say("windows are not judged: --measure times an audit, or name its time with --audit-seconds")
        for warning in warnings:
            say(f"warning: {warning}", err=True)
    if strict and margin.advice.edge > 0:
        sys.exit(1)


def _take_times(costs: dict[str, Any], work_seconds: float, audit_seconds: float | None, rules: str) -> None:
    """Derive the costs that were not given from the times. Raises UsageError without the second time."""
    if audit_seconds is None:
        raise click.UsageError("--work-seconds needs --audit-seconds: costs follow from both")
    context = click.get_current_context()
    derived = derive_costs(work_seconds, audit_seconds, count_checks(rules, costs["nodes"]))
    for name, cost in zip(("work_cost", "audit_cost"), derived, strict=True):
        if context.get_parameter_source(name) is ParameterSource.DEFAULT:
            costs[name] = cost


def _compose_facts(margin: Margin, costs: Costs, warnings: list[str]) -> dict[str, Any]:
    """The advice for programs."""
    needed = {
        "work_cost": costs.work_cost,
        "audit_cost": costs.audit_cost,
        "checks": margin.checks,
        "minimum_stake_needed": _round_or_none(margin.minimum_stake),
    }
    drawn: dict[str, Any] = {}
    if margin.is_drawn:
        drawn = {
            "planted": _list_planted(costs.nodes),
            "minimum_stake_waking": round(margin.waking_stake),
            "warnings": warnings,
        }
    return {**margin.advice._asdict(), **needed, **drawn}


async def _measure(
    package: "Package", params: dict[str, str], secrets: dict[str, str], sandbox: str | None
) -> "Timings":
    """The times of a Python task's functions on this machine. Raises BadTaskFile, BadConfig, TaskFailed."""
    from ..localnet.demo import running_demo
    from ..node.properties import measure_timings
    from ..node.python.environments import find_environments

    def log(line: str) -> None:
        say(line, err=True)

    if package.kind == "javascript":
        raise BadConfig("--measure is for Python tasks: name the time of an audit with --audit-seconds")
    chosen, environments = choose_task_sandbox(sandbox), find_environments()
    async with running_demo(package, params) as all_params:
        timings = await measure_timings(package, all_params, secrets, chosen, environments, log)
    if timings is None:
        raise TaskFailed("submission or audit does not work: `roundwork check` says why")
    return timings


def _list_planted(nodes: int) -> list[float]:
    """The rates of planted work with few dishonest nodes, and with a third."""
    from ..economics import FEW_DISHONEST, compute_planted_rate

    return [compute_planted_rate(nodes, share) for share in (FEW_DISHONEST, 1 / 3)]


def _round_or_none(amount: float) -> int | None:
    """In JSON an amount that nothing reaches is null."""
    return None if math.isinf(amount) else round(amount)


def _print(margin: Margin, costs: Costs) -> None:
    advice, checks, nodes = margin.advice, margin.checks, costs.nodes
    who = (
        f"{nodes} nodes, {checks} drawn ones check each submission"
        if margin.is_drawn
        else f"{nodes} nodes, each audits {checks} others"
    )
    say(f"{who}; a bad submission is found with {advice.caught:.2%}")
    say(f"a round's work costs {costs.work_cost:g} R, an audit {costs.audit_cost:g} R")
    say(describe_margin(margin))
    if math.isinf(margin.minimum_stake):
        say("no minimum stake makes cheating lose: no audit finds it")
    else:
        needed = format_money(round(margin.minimum_stake))
        free = "; honest work is better even without a slash" if not round(margin.minimum_stake) else ""
        say(f"the minimum stake at which cheating does not pay: {needed}{free}")
    if advice.lazy_limit < 1:
        say(f"it breaks if {advice.lazy_limit:.0%} of the auditors are lazy".replace("%", " %"))
    else:
        say("it does not break at any share of lazy auditors below 100 %")
    say(f"planted bad work that would keep auditors looking: {advice.canaries:.1%} of the submissions")
    if margin.is_drawn:
        few, many = _list_planted(nodes)
        say(f"plant {few:.0%} of the submissions, {many:.0%} if over a fifth of the nodes may be dishonest")
        if advice.canaries > few:
            say("that is too little here: a larger minimum stake makes slashes and lapses larger")
    else:
        say(
            "not counted: a ring that accuses in the last slot of AUDIT wins under koii-1 (docs/ECONOMICS.md)"
        )
