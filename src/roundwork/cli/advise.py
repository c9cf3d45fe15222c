"""`roundwork advise`: by how much cheating loses in a task, and what its parameters would have to be."""

import sys
from pathlib import Path

import click

from .options import json_option
from .output import say, say_json


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
@click.option(
    "--slash", type=click.IntRange(0, 100), default=70, show_default=True, help="Percent of a stake taken."
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
    slash: int,
    strict: bool,
    as_json: bool,
) -> None:
    """Say by how much cheating loses in TASK, a folder, and where that breaks.

    R is the reward of an honest node in a round: the bounty divided by the nodes. The stake is the task's
    minimum. Costs follow from what `simulate` measures.
    """
    from ..economics import Stakes, advise
    from ..package.folder import load_package
    from ..participant.step import AUDIT_ALL_MAX, SAMPLE

    package = load_package(task)
    reward = package.bounty_per_round / nodes
    stake = package.minimum_stake / reward
    checks = nodes - 1 if nodes - 1 <= AUDIT_ALL_MAX else SAMPLE
    stakes = Stakes(0.0, stake * slash / 100, 1.0, work_cost, fake_cost, gain)
    advice = advise(stakes, nodes, checks, lazy / 100, audit_cost)
    minimum = advice.slash_needed / max(slash, 1) * 100 * reward
    facts = {**advice._asdict(), "checks": checks, "minimum_stake_needed": round(minimum)}
    if as_json:
        say_json(facts)
    else:
        from .options import format_money

        verb = "loses" if advice.edge <= 0 else "earns"
        say(f"{nodes} nodes, each audits {checks} others; a bad submission is found with {advice.caught:.2%}")
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
        say(
            "not counted: a ring that accuses in the last slot of AUDIT wins under koii-1 (docs/ECONOMICS.md)"
        )
    if strict and advice.edge > 0:
        sys.exit(1)
