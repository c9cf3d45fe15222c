"""The options of `roundwork up` that say which network it runs."""

from typing import Literal, TypedDict

import click

from .options import (
    any_machine_option,
    combine,
    param_option,
    read_pairs,
    sandbox_option,
    secret_option,
)


class PlanOptions(TypedDict):
    """The fields of a `Plan` that options give as they are."""

    nodes: int
    plays: dict[str, int]
    stakes: tuple[int, ...]
    rounds: int
    rules: str | None
    token: bool
    round_slots: int | None
    slot_ms: int
    params: dict[str, str]
    secrets: dict[str, str]
    sandbox: str | None
    is_any_machine: bool
    engine: Literal["embedded", "comet"]


def read_plays(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    """How many nodes play in which way. The remaining nodes are honest."""
    plays: dict[str, int] = {}
    for name, count in read_pairs(given, "--play").items():
        if not (count.isascii() and count.isdecimal()):
            raise click.BadParameter(f"{name}={count}: the count is digits, such as {name}=2")
        if name == "honest":
            raise click.BadParameter("honest: all nodes play so that no --play names")
        plays[name] = int(count)
    return plays


def _read_stakes(ctx: click.Context, param: click.Parameter, given: str | None) -> tuple[int, ...]:
    """Stakes in roe."""
    from ..wire import COIN_DECIMALS, read_amount

    try:
        return tuple(read_amount(part, COIN_DECIMALS) for part in given.split(",")) if given else ()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


plan_options = combine(
    click.option(
        "--nodes", type=click.IntRange(1, 200), default=5, show_default=True, help="How many nodes."
    ),
    click.option(
        "--liars",
        type=click.IntRange(0),
        help="How many of them lie: 1, or 0 where --play says how nodes play.",
    ),
    click.option(
        "--play",
        "plays",
        multiple=True,
        metavar="NAME=COUNT",
        callback=read_plays,
        help=(
            "How many play otherwise: liar, copycat, late, silent, lazy, accuser, thief, mute, "
            "slanderer, withholder, reluctant, hider; may be given again."
        ),
    ),
    click.option(
        "--stakes",
        metavar="KOII,KOII,…",
        callback=_read_stakes,
        help="Stakes of the nodes in KOII, taken in turn; else ten times the task's minimum.",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(1, 10_000),
        default=5,
        show_default=True,
        help="Stop when so many rounds are over, paid or not; Ctrl-C stops earlier, with the same summary.",
    ),
    click.option(
        "--rules", type=click.Choice(["koii-1", "roundwork-1"]), help="The rule set: the task's own."
    ),
    click.option("--token", is_flag=True, help="Pay in a token that is made for it."),
    click.option("--round-slots", type=int, help="Slots of a round, in place of the task's own."),
    click.option(
        "--slot-ms",
        type=click.IntRange(20, 60_000),
        default=100,
        show_default=True,
        help="Milliseconds of a slot.",
    ),
    param_option,
    secret_option,
    sandbox_option,
    any_machine_option,
    click.option(
        "--engine",
        type=click.Choice(["embedded", "comet"]),
        default="embedded",
        show_default=True,
        help="What makes blocks.",
    ),
)
"""The options of `PlanOptions`, and --liars, whose default depends on --play."""
