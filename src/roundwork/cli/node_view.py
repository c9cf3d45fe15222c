"""What the operator of a node sees and agrees to before a stranger's program runs."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BadConfig, Malformed
from ..wire import decode_json
from .options import format_money
from .output import say

if TYPE_CHECKING:
    from ..package.folder import Package
    from ..views import TaskView

AGREED = "agreed.json"
"""In the node's directory: what was agreed to, by task. Other requirements need a new agreement."""


class Agreement:
    """Shows what a task requires. Continues if every task may have it, or if the operator agrees to it.

    `--yes` is for the task that the operator named, and its successor may have the same. If a successor
    requires more, the operator agrees at the terminal or by naming the successor.
    """

    def __init__(self, directory: Path, task: str, is_agreed: bool) -> None:
        self._path = directory / AGREED
        self._task = task
        self._is_agreed = is_agreed

    def __call__(self, package: "Package", hosts: Sequence[str], task: "TaskView") -> None:
        """Raises BadConfig if the operator does not agree."""
        from ..host.files import replace_file
        from ..package.permissions import describe_permissions, is_modest

        lines = describe_permissions(package, hosts)
        agreed = self._read()
        before = agreed.get(task.address, agreed.get(task.migrated_from or ""))
        if before != lines or task.address == self._task:
            say(f"task {package.name} by {package.author or 'an unnamed author'} asks for", err=True)
            for line in lines:
                say(f"  {line}", err=True)
        if not is_modest(package) and before != lines:
            self._ask(package.name, task.address)
        replace_file(self._path, json.dumps({**agreed, task.address: lines}).encode())

    def _ask(self, name: str, task: str) -> None:
        is_named = task == self._task
        if is_named and self._is_agreed:
            return
        if not sys.stdin.isatty():
            more = "" if is_named else ", and other things than its predecessor"
            how = "--yes" if is_named else f"`node run --task {task} --yes`"
            raise BadConfig(f"task {name} asks for more than every task has{more}; agree to it with {how}")
        if not click.confirm("Run it?", err=True):
            raise BadConfig(f"task {name} is not run: the operator did not agree to what it asks for")

    def _read(self) -> dict[str, list[str]]:
        try:
            agreed: dict[str, list[str]] = decode_json(self._path.read_bytes(), dict[str, list[str]])
        except (OSError, Malformed):
            return {}
        return agreed


def compose_standing(standing: Mapping[str, Any]) -> dict[str, str]:
    """The standing of a node in a task, for people."""
    token = standing.get("token")

    def format_amount(amount: int) -> str:
        return format_money(amount, "tokens", standing["decimals"]) if token else format_money(amount)

    fees = format_money(standing["balance_of_main_key"])
    facts = {
        "node": standing["node"],
        "endpoint": standing["endpoint"] or "not on the ledger",
        **({"token": token} if token else {}),
        **_describe_end(standing),
        "stake": format_amount(standing["stake"]),
        "can claim": format_amount(standing["available"]),
        "main key": f"{standing['main_key']}, holds {fees}",
    }
    if token:
        facts["main key"] += f" and {format_amount(standing['tokens_of_main_key'])}"
    if "program" in standing:
        facts["main.js"] = _describe_program(standing["program"])
    paid, slashed = format_amount(standing["paid"]), format_amount(standing["slashed"])
    since = f" since round {standing['first_round']:,}" if standing["first_round"] else ""
    facts["in all"] = f"{standing['submitted']:,} proofs{since}, paid {paid}, slashed {slashed}"
    for round_number, paid in standing["rounds"].items():
        taken = f", slashed {format_amount(paid['slash'])}" if paid["slash"] else ""
        facts[f"round {round_number}"] = f"paid {format_amount(paid['reward'])}{taken}"
    return facts


def _describe_program(program: Mapping[str, Any]) -> str:
    """The state of a JavaScript task's program: {state, starts, end}."""
    state = {"runs": "runs", "waits": "waits for its restart", "stopped": "stopped"}[program["state"]]
    times = "once" if program["starts"] == 1 else f"{program['starts']} times"
    return f"{state}, started {times}" + (f"; the last one {program['end']}" if program["end"] else "")


def _describe_end(standing: Mapping[str, Any]) -> dict[str, str]:
    """What to do about a program that is not started again; empty for any other."""
    advice = "take the stake out: `node withdraw`, then `node claim`"
    if standing["migrated_to"]:
        return {"task": f"updated; {standing['migrated_to']} goes on with it"}
    if standing["is_closed"]:
        has_money = standing["stake"] or standing["available"]
        return {"task": f"closed; {advice}" if has_money else "closed"}
    return {}
