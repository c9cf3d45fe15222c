"""`roundwork advise`: by how much cheating loses in a task, and what its parameters would have to be."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import json_option
from .output import say, say_json

if TYPE_CHECKING:
    from ..economics import Advice
    from ..package.folder import Package


@click.command()
@click.argument("task", type=click.Path(path_type=Path))
@click.option("--nodes", type=click.IntRange(2, 1_000_000), default=20, show_default=True, help="Expected.")
@click.option("--work-cost", type=float, default=0.3, show_default=True, help="Cost of a round's work, in R.")
@click.option("--audit-cost", type=float, default=0.02, show_default=True, help="What an audit costs, in R.")
@click.option("--fake-cost", type=float, default=0.0, show_default=True, help="Cost of a fake proof, in R.")
@click.option(
    "--gain", type=float, default=0.0, show_default=True, help="Gain of a fake beyond its pay, in R."
)
@click.option("--lazy", type=click.IntRange(0, 100), default=0, show_default=True, help="Lazy auditors, %.")
@click.option("--slash", type=click.IntRange(0, 100), help="Percent of a stake taken: the task's.")
@click.option("--rules", type=click.Choice(["koii-1", "roundwork-1"]), help="The rule set: the task's own.")
@click.option("--audit-seconds", type=click.FloatRange(0), help="An audit: what `check --json` measures.")
@click.option(
    "--fetch-seconds",
    type=click.FloatRange(0),
    default=0.5,
    show_default=True,
    help="To get a proof of another node.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if cheating pays.")
@json_option
def command(
    task: Path,
    nodes: int,
    work_cost: float,
    audit_cost: float,
    fake_cost: float,
    gain: float,
    lazy: int,
    slash: int | None,
    rules: str | None,
    audit_seconds: float | None,
    fetch_seconds: float,
    strict: bool,
    as_json: bool,
) -> None:
    """Say by how much cheating loses in TASK, a folder, and where that breaks.

    R is the reward of an honest node in a round: the bounty divided by the nodes. The stake is the task's
    minimum. Costs follow from what `simulate` measures.
    """
    from ..economics import CHECKERS, Stakes, advise, advise_drawn
    from ..package.folder import load_package
    from ..participant.step import AUDIT_ALL_MAX, SAMPLE

    package = load_package(task)
    is_drawn = (rules or package.rules) == "roundwork-1"
    percent = slash if slash is not None else package.slash_percent
    reward = package.bounty_per_round / nodes
    stake = package.minimum_stake / reward
    stakes = Stakes(0.0, stake * percent / 100, 1.0, work_cost, fake_cost, gain)
    if is_drawn:
        checks = CHECKERS
        advice = advise_drawn(stakes, lazy / 100, audit_cost, stake / 10)
    else:
        checks = nodes - 1 if nodes - 1 <= AUDIT_ALL_MAX else SAMPLE
        advice = advise(stakes, nodes, checks, lazy / 100, audit_cost)
    warnings = _find_short_windows(package, fetch_seconds, audit_seconds) if is_drawn else []
    minimum = advice.slash_needed / max(percent, 1) * 100 * reward
    if as_json:
        facts = {**advice._asdict(), "checks": checks, "minimum_stake_needed": round(minimum)}
        drawn = {"planted": _list_planted(nodes), "warnings": warnings} if is_drawn else {}
        say_json({**facts, **drawn})
    else:
        _print(advice, nodes, checks, reward, minimum, is_drawn)
        for warning in warnings:
            say(f"warning: {warning}", err=True)
    if strict and advice.edge > 0:
        sys.exit(1)


def _find_short_windows(package: "Package", fetch_seconds: float, audit_seconds: float | None) -> list[str]:
    """Windows that are too short to fetch and audit in; none if nobody says how long an audit takes."""
    from ..package.windows import Timings, find_short_windows

    if audit_seconds is None:
        return []
    return find_short_windows(package, Timings(0.0, fetch_seconds, audit_seconds))


def _list_planted(nodes: int) -> list[float]:
    """The rates of planted work with few dishonest nodes, and with a third."""
    from ..economics import FEW_DISHONEST, compute_planted_rate

    return [compute_planted_rate(nodes, share) for share in (FEW_DISHONEST, 1 / 3)]


def _print(advice: "Advice", nodes: int, checks: int, reward: float, minimum: float, is_drawn: bool) -> None:
    from .options import format_money

    verb = "loses" if advice.edge <= 0 else "earns"
    who = (
        f"{nodes} nodes, {checks} drawn ones check each submission"
        if is_drawn
        else f"{nodes} nodes, each audits {checks} others"
    )
    say(f"{who}; a bad submission is found with {advice.caught:.2%}")
    say(
        f"cheating {verb} {abs(advice.edge):.2f} R a round against honest work;"
        f" R is {format_money(round(reward))}"
    )
    say(f"the minimum stake at which cheating does not pay: {format_money(round(minimum))}")
    if advice.lazy_limit < 1:
        say(f"it breaks if {advice.lazy_limit:.0%} of the auditors are lazy".replace("%", " %"))
    else:
        say("it does not break at any share of lazy auditors below 100 %")
    say(f"planted bad work that would keep auditors looking: {advice.canaries:.1%} of the submissions")
    if is_drawn:
        few, many = _list_planted(nodes)
        say(f"plant {few:.0%} of the submissions, {many:.0%} if over a fifth of the nodes may be dishonest")
        if advice.canaries > few:
            say("that is too little here: a larger minimum stake makes slashes and lapses larger")
    else:
        say(
            "not counted: a ring that accuses in the last slot of AUDIT wins under koii-1 (docs/ECONOMICS.md)"
        )
