"""`roundwork verify-receipt`: check a receipt of a round from leaf, path and head, without a ledger."""

import re
from pathlib import Path

import click

from ..wire import JSON_BYTES_MAX
from .options import json_option
from .output import say, say_json


def _read_head(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    if given is not None and not re.fullmatch("[0-9a-f]{64}", given):
        raise click.BadParameter(f"{given!r:.80} is not a head: 64 digits of lower-case hex")
    return given


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--head", callback=_read_head, help="The head of the round that you trust, in hex.")
@json_option
def command(path: Path, head: str | None, as_json: bool) -> None:
    """Check the receipt in FILE, without a ledger.

    Checks that the receipt leads to its head. Give the round's head as you know it from a ledger that you
    trust, or compare the head that is printed: an author of a false file can make a head for it.
    """
    from ..client.receipts import check_receipt, read_receipt

    with path.open("rb") as file:
        receipt = read_receipt(file.read(JSON_BYTES_MAX + 1))
    check_receipt(receipt, head)
    if as_json:
        names = ("task", "round", "node", "value", "verdict", "votes", "net", "head")
        say_json({**{name: getattr(receipt, name) for name in names}, "is_head_trusted": head is not None})
        return
    say(f"{receipt.node} in round {receipt.round} of {receipt.task}:")
    unit = "roe, or the smallest unit of the task's token"
    say(f"  {receipt.verdict}, votes {receipt.votes:+d}, net {receipt.net:+,d} ({unit})")
    say(f"  value {receipt.value}" if receipt.value else "  it submitted nothing")
    if head:
        say("it leads to the head that you gave")
    else:
        say(f"it leads to this head: {receipt.head}")
        say(
            f"compare it with that of round {receipt.round} on a ledger that you trust: only the head says of"
        )
        say("which task and ledger the round is")
