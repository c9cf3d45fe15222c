"""What the operator of a node sees and agrees to before a stranger's program runs."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BadConfig, Malformed
from ..wire import decode_json, format_count
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
        **({"held back": format_amount(standing["held_back"])} if "held_back" in standing else {}),
        "main key": f"{standing['main_key']}, holds {fees}",
    }
    if token:
        facts["main key"] += f" and {format_amount(standing['tokens_of_main_key'])}"
    if "claims" in standing:
        facts["claims"] = _describe_claims(standing["claims"], format_amount)
    if standing.get("failures"):
        facts["fails now"] = "; ".join(
            f"{subject}: {reason}" for subject, reason in standing["failures"].items()
        )
    if "program" in standing:
        facts["main.js"] = _describe_program(standing["program"])
    paid, slashed = format_amount(standing["paid"]), format_amount(standing["slashed"])
    since = f" since round {standing['first_round']:,}" if standing["first_round"] else ""
    facts["in all"] = f"{standing['submitted']:,} proofs{since}, paid {paid}, slashed {slashed}"
    parts: Mapping[int, Mapping[str, Any]] = standing.get("parts", {})
    if "owed" in standing:
        facts |= _describe_owed(standing, format_amount)
    for round_number in sorted({*standing["rounds"], *parts}):
        paid = standing["rounds"].get(round_number)
        part = parts.get(round_number)
        words = [_describe_payment(paid, format_amount)] if paid or part is None or part["is_over"] else []
        words += _describe_part(part, paid, format_amount) if part else []
        facts[f"round {round_number}"] = "; ".join(words)
    return facts


def _describe_claims(claims: Mapping[str, Any], format_amount: Callable[[int], str]) -> str:
    """What a running node claims by itself: {least, to}."""
    if not claims["least"]:
        return "nothing by itself: `node claim` pays out"
    return f"by itself, from {format_amount(claims['least'])} on, for {claims['to']}"


def _describe_payment(paid: Mapping[str, int] | None, format_amount: Callable[[int], str]) -> str:
    taken = f", slashed {format_amount(paid['slash'])}" if paid and paid["slash"] else ""
    return f"paid {format_amount(paid['reward'] if paid else 0)}{taken}"


def _describe_owed(standing: Mapping[str, Any], format_amount: Callable[[int], str]) -> dict[str, str]:
    """What a node owes now under roundwork-1, and what it has at stake beside its stake."""
    owed = [
        f"{each['duty']} of round {each['round']}, until slot {each['until_slot']:,}"
        for each in standing["owed"]
    ]
    stakes = standing["at_stake"]
    kinds = {
        "in bonds of accusations": format_amount(stakes["bonds"]) if stakes["bonds"] else "",
        "in fees of challenges": format_money(stakes["challenge_fees"]) if stakes["challenge_fees"] else "",
    }
    held = [f"{amount} {kind}" for kind, amount in kinds.items() if amount]
    return {"owes now": "; ".join(owed) or "nothing", **({"at stake": ", ".join(held)} if held else {})}


def _describe_part(
    part: Mapping[str, Any], paid: Mapping[str, int] | None, format_amount: Callable[[int], str]
) -> list[str]:
    """What a node did in a round under roundwork-1, and why the round gave or took something."""
    words = [] if part["is_over"] else ["under way"]
    words.append(part["verdict"])
    if part["checks_assigned"]:
        words.append(f"checked {part['checks_done']} of {format_count(part['checks_assigned'], 'proof')}")
    for key, noun in (("challenges", "challenge"), ("accusations", "accusation")):
        words += [format_count(part[key], noun)] if part[key] else []
    more = part["net"] - (paid["reward"] - paid["slash"] if paid else 0)
    if more > 0:
        beyond = " more than it lost" if part["reasons"] and not (paid and paid["slash"]) else ""
        words.append(f"shares of slashes and bonds gave {format_amount(more)}{beyond}")
    if more < 0 and part["is_over"]:  # before that it is a bond that may come back
        words.append(f"lost {format_amount(-more)}{' more' if paid and paid['slash'] else ''}")
    return [*words, *part["reasons"]]


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
