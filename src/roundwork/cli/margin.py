"""By how much cheating loses in a task: computed for `advise`, and shown before a bounty is paid in."""

from typing import TYPE_CHECKING, NamedTuple

import click

from ..economics import AUDIT_COST, WORK_COST
from ..errors import BadConfig
from .options import Cost, combine, format_money
from .task_view import name_unit, report

if TYPE_CHECKING:
    from ..economics import Advice
    from ..package.folder import Package


class Costs(NamedTuple):
    """What is expected of a task's nodes; the fields are those of `cost_options`."""

    nodes: int = 20
    work_cost: float = WORK_COST
    """In rewards of an honest node for a round, as the next three."""
    audit_cost: float = AUDIT_COST
    fake_cost: float = 0.0
    gain: float = 0.0
    lazy: int = 0
    """Lazy auditors, percent."""
    slash: int | None = None
    """Percent of a stake; None: the task's own."""


class Margin(NamedTuple):
    """What the costs of a task mean for its parameters."""

    advice: "Advice"
    checks: int
    """How many submissions a node audits; under roundwork-1, how many nodes check a submission."""
    reward: float
    """Of an honest node in a round, in roe: R."""
    minimum_stake: float
    """The least minimum stake at which cheating does not pay, in roe."""
    is_drawn: bool
    """Whether the checkers are drawn, as under roundwork-1."""
    waking_stake: float
    """The least minimum stake at which jurors look, if a third of the nodes is dishonest, in roe; else 0."""


cost_options = combine(
    click.option(
        "--nodes",
        type=click.IntRange(2, 1_000_000),
        default=Costs().nodes,
        show_default=True,
        help="Expected.",
    ),
    click.option(
        "--work-cost",
        type=Cost(),
        default=Costs().work_cost,
        show_default=True,
        help="Cost of a round's work, in R.",
    ),
    click.option(
        "--audit-cost",
        type=Cost(),
        default=Costs().audit_cost,
        show_default=True,
        help="What an audit costs, in R.",
    ),
    click.option(
        "--fake-cost",
        type=Cost(),
        default=Costs().fake_cost,
        show_default=True,
        help="Cost of a fake proof, in R.",
    ),
    click.option(
        "--gain",
        type=Cost(),
        default=Costs().gain,
        show_default=True,
        help="Gain of a fake beyond its pay, in R.",
    ),
    click.option(
        "--lazy",
        type=click.IntRange(0, 100),
        default=Costs().lazy,
        show_default=True,
        help="Lazy auditors, %.",
    ),
    click.option("--slash", type=click.IntRange(0, 100), help="Percent of a stake taken: the task's."),
)

force_option = click.option(
    "--force", "is_forced", is_flag=True, help="Also if `check` fails, or cheating pays under roundwork-1."
)


def count_checks(rules: str, nodes: int) -> int:
    """How many submissions a node audits in a round; under roundwork-1, how many nodes check a submission.

    Raises BadConfig for so few nodes that no round is paid.
    """
    from ..client.sealed_standing import SUBMISSIONS_MIN
    from ..economics import CHECKERS
    from ..participant.step import AUDIT_ALL_MAX, SAMPLE

    if rules == "roundwork-1":
        if nodes < SUBMISSIONS_MIN:
            raise BadConfig(
                f"--nodes {nodes}: under roundwork-1 a round with fewer than {SUBMISSIONS_MIN} submissions is"
                " not paid; expect more nodes"
            )
        return min(CHECKERS, nodes - 1)
    return nodes - 1 if nodes - 1 <= AUDIT_ALL_MAX else SAMPLE


def compute_margin(package: "Package", costs: Costs, rules: str | None = None) -> Margin:
    """The margin of a task under its own rule set, or under another one."""
    from ..economics import Stakes, advise, advise_drawn, compute_waking_stake

    rules = rules or package.rules
    is_drawn = rules == "roundwork-1"
    checks = count_checks(rules, costs.nodes)
    percent = package.slash_percent if costs.slash is None else costs.slash
    reward = package.bounty_per_round / costs.nodes
    stake = package.minimum_stake / reward
    stakes = Stakes(0.0, stake * percent / 100, 1.0, costs.work_cost, costs.fake_cost, costs.gain)
    waking = 0.0
    if is_drawn:
        waking = compute_waking_stake(costs.nodes, 1 / 3, costs.audit_cost) * reward
        advice = advise_drawn(stakes, checks, costs.lazy / 100, costs.audit_cost, stake / 10)
    else:
        advice = advise(stakes, costs.nodes, checks, costs.lazy / 100, costs.audit_cost)
    minimum = advice.slash_needed / max(percent, 1) * 100 * reward
    return Margin(advice, checks, reward, minimum, is_drawn, waking)


def describe_margin(margin: Margin, unit: str = "KOII") -> str:
    """What cheating loses or earns, in a sentence."""
    edge = margin.advice.edge
    verb = "loses" if edge <= 0 else "earns"
    reward = format_money(round(margin.reward), unit)
    return f"cheating {verb} {abs(edge):.2f} R a round against honest work; R is {reward}"


def find_low_stake(package: "Package", margin: Margin, unit: str = "KOII") -> str | None:
    """What a minimum stake means that is too small for jurors to look; None if it is large enough."""
    if package.minimum_stake >= margin.waking_stake:
        return None
    least, needed = (format_money(round(roe), unit) for roe in (package.minimum_stake, margin.waking_stake))
    return (
        f"with a minimum stake of {least} fines are so small that voting unseen may pay a little; "
        f"from {needed} on it does not"
    )


def check_margin(package: "Package", costs: Costs, is_forced: bool, as_json: bool) -> float:
    """Show the margin before money moves: what cheating loses in a round, in R; below 0 it pays.

    Raises BadConfig if cheating pays although the rule set could prevent it, unless it is forced.
    """
    margin = compute_margin(package, costs)
    unit = name_unit(package)
    report(f"with {costs.nodes} nodes {describe_margin(margin, unit)} (roundwork advise)", as_json)
    if low_stake := find_low_stake(package, margin, unit):
        report(f"warning: {low_stake}", as_json)
    edge = margin.advice.edge
    if edge > 0 and margin.is_drawn and not is_forced:
        if margin.minimum_stake == float("inf"):
            remedy = f"no stake helps while {costs.lazy} % of the auditors are lazy"
        else:
            needed = format_money(round(margin.minimum_stake), unit)
            remedy = f"a minimum stake of {needed} or more takes the gain away"
        raise BadConfig(
            f"cheating earns {edge:.2f} R a round in this task: {remedy}; --force deploys it as it is"
        )
    return round(-edge, 6)
