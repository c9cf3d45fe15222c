"""What the operator of a node is shown and asked before a stranger's program runs."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BadConfig
from .options import format_money

if TYPE_CHECKING:
    from ..package import Package

AGREED = "agreed.json"
"""What was agreed to, in the node's directory: it is asked again when a task asks for something else."""


def agree(directory: Path, package: "Package", hosts: Sequence[str], is_agreed: bool) -> None:
    """Show what a task asks for; go on if that is nothing special, agreed before, or agreed to now.

    Raises BadConfig if nobody agrees.
    """
    from ..permissions import describe_permissions, is_modest

    lines = describe_permissions(package, hosts)
    click.echo(f"task {package.name} by {package.author or 'somebody'} asks for", err=True)
    for line in lines:
        click.echo(f"  {line}", err=True)
    if is_modest(package) or _read(directory) == lines:
        return
    if not is_agreed and not sys.stdin.isatty():
        raise BadConfig(f"task {package.name} asks for more than every task has; agree to it with --yes")
    if not is_agreed and not click.confirm("Run it?", err=True):
        raise BadConfig(f"task {package.name} is not run: nobody agreed to what it asks for")
    (directory / AGREED).write_text(json.dumps(lines))


def say_once() -> Callable[[Exception], None]:
    """Says on stderr what is waited for, each thing once."""
    said: set[str] = set()

    def say(error: Exception) -> None:
        if str(error) not in said:
            said.add(str(error))
            click.echo(f"waiting: {error}", err=True)

    return say


def compose_standing(standing: Mapping[str, Any]) -> dict[str, str]:
    """Where a node stands, for people."""
    token = standing.get("token")

    def tell(amount: int) -> str:
        return format_money(amount, "tokens", standing["decimals"]) if token else format_money(amount)

    fees = format_money(standing["balance_of_main_key"])
    facts = {
        "node": standing["node"],
        "endpoint": standing["endpoint"] or "not on the ledger",
        **({"token": token} if token else {}),
        "stake": tell(standing["stake"]),
        "can claim": tell(standing["available"]),
        "main key": f"{standing['main_key']}, holds {fees}",
    }
    if token:
        facts["main key"] += f" and {tell(standing['tokens_of_main_key'])}"
    for number, paid in standing["rounds"].items():
        taken = f", slashed {tell(paid['slash'])}" if paid["slash"] else ""
        facts[f"round {number}"] = f"paid {tell(paid['reward'])}{taken}"
    return facts


def _read(directory: Path) -> object:
    try:
        return json.loads((directory / AGREED).read_text())
    except (OSError, ValueError):
        return None
