"""The options of `roundwork node run` that are fields of a node's setting."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from .options import (
    ADDRESS,
    CLAIM_LEAST,
    ROE_OR_NONE,
    any_machine_option,
    combine,
    param_option,
    read_pairs,
    sandbox_option,
    secret_option,
)

if TYPE_CHECKING:
    from ..host.front import FrontLimits
    from ..participant.sealed_step import Bounds


class SettingOptions(TypedDict):
    """The fields of a `NodeSetting` that options give as they are."""

    package: Path | None
    program: str | None
    host: str
    port: int
    endpoint: str | None
    peers: tuple[str, ...]
    stake: int
    claim_least: int | None
    claim_to: str | None
    sandbox: str | None
    params: dict[str, str]
    secrets: dict[str, str]
    is_any_machine: bool
    limits: "FrontLimits"
    bounds: "Bounds"


def read_front_limits(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> "FrontLimits":
    """The limits of a gateway. Raises BadConfig."""
    from ..host.front import FrontLimits, read_limits

    return read_limits(given, FrontLimits)


def read_bounds(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> "Bounds":
    """How often a node pays by itself in a round. Raises click.BadParameter."""
    from ..participant.sealed_step import Bounds

    counts = read_pairs(given, "--spend")
    for name, count in counts.items():
        if name not in SPENDING or not (count.isascii() and count.isdecimal()):
            raise click.BadParameter(f"{name}={count}: it is {' or '.join(SPENDING)}, = and digits")
    return Bounds(**{SPENDING[name]: int(count) for name, count in counts.items()})


SPENDING = {"challenges": "challenges_max", "accusations": "accusations_max"}
"""What a node pays for by itself, and the field that bounds it."""

setting_options = combine(
    click.option("--package", type=click.Path(path_type=Path), help="The task's folder; else it is fetched."),
    click.option(
        "--program", help="Another program of the package, such as main.js beside task.py or in the root."
    ),
    click.option("--host", default="127.0.0.1", show_default=True, help="Where the gateway listens."),
    click.option("--port", type=click.IntRange(0, 65535), default=0, help="Its port; 0 is any free one."),
    click.option("--endpoint", help="Where others reach the gateway, if not at host and port."),
    click.option(
        "--peer", "peers", multiple=True, help="URL of one more node to call, beside those on the ledger."
    ),
    click.option(
        "--stake",
        type=ROE_OR_NONE,
        default=0,
        help="Roe (or 2koii) to have at stake whenever it is below the task's minimum.",
    ),
    click.option(
        "--claim",
        "claim_least",
        type=CLAIM_LEAST,
        metavar="never|ROE",
        help="Under roundwork-1: claim by itself from this available balance on; `never`: only `node claim`"
        " claims. Without it: from 100 times the fee of a claim on.",
    ),
    click.option(
        "--claim-to",
        type=ADDRESS,
        help="The address that such a claim pays; without it, the node's main key.",
    ),
    sandbox_option,
    param_option,
    secret_option,
    any_machine_option,
    click.option(
        "--spend",
        "bounds",
        multiple=True,
        metavar="NAME=NUMBER",
        callback=read_bounds,
        help="How many challenges, or accusations, the node pays for in a round: 10 of each.",
    ),
    click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=NUMBER",
        callback=read_front_limits,
        help="Set a limit of the gateway, as docs/RPC.md lists them; may be given again.",
    ),
)
"""The options of `SettingOptions`."""
