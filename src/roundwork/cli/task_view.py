"""What `roundwork task` prints: about a folder before its bounty is paid, about a task as it is now."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import format_count, format_money
from .output import say

if TYPE_CHECKING:
    from ..package.folder import Package
    from ..views import TaskView
    from .receipts import Unit

ROUNDS_FEW = 10
NAME_CHARACTERS = 17


def find_warnings(package: "Package") -> list[str]:
    """What a creator should know before the bounty is paid in."""
    warnings = list(package.warnings)
    if package.kind == "python" and "equal_split(" in package.program.read_text("utf-8", "replace"):
        warnings.append(
            "equal_split pays every node the same: a stake split into ten nodes earns ten shares;"
            " by_stake pays by stake"
        )
    if package.kind == "javascript":
        warnings += _warn_of_fractions(package)
    rounds = package.total_bounty // package.bounty_per_round
    if rounds < ROUNDS_FEW:
        warnings.append(f"the bounty lasts {format_count(rounds, 'round')}, then the task is out of money")
    return warnings


def _warn_of_fractions(package: "Package") -> list[str]:
    from ..package.slashes import find_fractional_slashes

    found = find_fractional_slashes(package.program.read_text("utf-8", "replace"))
    if not found:
        return []
    shown = "; ".join(f"for `{each.product}` write `{each.advice}`" for each in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return [
        f"{package.program.name} takes a fraction of a stake, which is not an integer for most stakes; nodes"
        " that round it in another way refuse the list, so a liar can choose a stake that leaves all nodes"
        f" unpaid; {shown}{more}"
    ]


def choose_task_sandbox(name: str | None) -> str:
    """What confines a task of the person who runs the command; warns if nothing does.

    Raises BadConfig.
    """
    from ..node.confinement.sandbox import choose_sandbox_or_none

    def warn_of_none(reason: str) -> None:
        say(f"warning: {reason}", err=True)

    return choose_sandbox_or_none(name, warn_of_none)


def load(package: "Package", sandbox: str | None) -> None:
    """Load the program in the sandbox, so that one that cannot run costs nothing.

    Raises BadTaskFile, BadConfig.
    """
    import asyncio

    from ..node.python.environments import find_environments
    from ..node.trial import load_program

    for line in asyncio.run(load_program(package, choose_task_sandbox(sandbox), find_environments())):
        say(line, err=True)


def prepare(
    folder: Path, sandbox: str | None, as_json: bool, is_new: bool = True
) -> "tuple[Package, str, str]":
    """The package, its content id and that of its metadata.json; prints what a creator should read.

    A main.js is loaded; `check_functions` does that with a task.py. Raises BadTaskFile, BadConfig.
    """
    from ..package.folder import METADATA, load_package, pack
    from ..package.metadata import write_metadata

    package = load_package(folder)
    content_id, _ = pack(package)
    if package.kind == "javascript":
        load(package, sandbox)
    metadata = write_metadata(package, time.time_ns() // 1_000_000)
    for line in compose_summary(package, content_id, is_new):
        report(line, as_json)
    report(f"metadata {metadata}, in {package.program.parent / METADATA}", as_json)
    if not as_json:
        warn(package)
    return package, content_id, metadata


def compose_summary(package: "Package", content_id: str, is_new: bool = True) -> list[str]:
    """A folder as a task. A successor brings no bounty: it takes over that of the old task."""
    unit = name_unit(package)
    bounty, a_round, stake = (
        format_money(roe, unit)
        for roe in (package.total_bounty, package.bounty_per_round, package.minimum_stake)
    )
    rounds = package.total_bounty // package.bounty_per_round
    return [
        f"task {package.name}, rounds of {package.round_time} slots, a stake of {stake} at least",
        *_compose_rules(package),
        f"bounty {bounty}: {rounds} rounds of {a_round}" if is_new else f"up to {a_round} a round",
        f"package {content_id}, {package.program.relative_to(package.folder)} and what is beside it",
    ]


def name_unit(package: "Package") -> str:
    """What a task pays in, behind an amount."""
    return "KOII" if package.task_type == "KOII" else f"of {package.token_type}"


def _compose_rules(package: "Package") -> list[str]:
    """The rule set; under roundwork-1, what the ledger does with the money of the task."""
    from ..protocol.params import KOII_1, ROUNDWORK_1

    if package.rules == KOII_1.name:
        if package.kind == "javascript":
            return [f"rules {package.rules}: the only ones of a main.js"]
        hardened = ROUNDWORK_1.name
        return [f"rules {package.rules}; `rules: {hardened}` in config-task.yml chooses the hardened ones"]
    split = "by stake" if package.is_split_by_stake else "in equal parts"
    slash = f"a convicted node loses {package.slash_percent} % of its stake"
    return [f"rules {package.rules}: {slash}; without a list the ledger splits the bounty {split}"]


def warn(package: "Package") -> None:
    for warning in find_warnings(package):
        say(f"warning: {warning}", err=True)


def report(line: str, as_json: bool) -> None:
    """Print progress to stderr, unless the output is JSON."""
    if not as_json:
        say(line, err=True)


def compose_task(
    view: "TaskView", metadata: dict[str, Any] | None, unit: "Unit", slot_ms: int
) -> Iterator[str]:
    """A task, what it requires of its nodes if a node serves its metadata, and its nodes."""
    yield f"{view.name}  {view.address}"
    if view.description:
        yield f"  {view.description}"
    for heading, facts in _group_facts(view, unit, slot_ms).items():
        yield heading
        yield from (f"  {name:<{NAME_CHARACTERS}}  {value}" for name, value in facts.items())
    yield from _compose_metadata(view, metadata)
    able = sum(stake.amount >= view.minimum_stake for stake in view.stakes)
    yield f"nodes: {len(view.stakes)}, {able} with enough stake"
    for stake in view.stakes:
        money = f"stake {unit.show(stake.amount)}, can claim {unit.show(stake.available)}"
        yield f"  {stake.node:<44}  {money}  {stake.endpoint}"


def _group_facts(view: "TaskView", unit: "Unit", slot_ms: int) -> dict[str, dict[str, str]]:
    """The facts of a task by heading and name."""

    def show_slots(slots: int) -> str:
        return f"{format_count(slots, 'slot')}, {slots * slot_ms / 1000:,g} s"

    rounds_left = max(0, view.bounty // view.bounty_per_round - len(view.open_rounds))
    retries = view.allowed_failed_distributions
    return {
        "money": {
            **({"token (mint)": view.mint} if view.mint else {}),
            "bounty": f"{unit.show(view.bounty)}, pays {format_count(rounds_left, 'more round')}",
            "bounty per round": f"{unit.show(view.bounty_per_round)} at most",
            "minimum stake": unit.show(view.minimum_stake),
        },
        "rounds": {
            "round time": show_slots(view.round_time),
            "submission window": show_slots(view.submission_window),
            "audit window": show_slots(view.audit_window),
            "failed lists": f"tried again {format_count(retries, 'time')}",
            "open rounds": ", ".join(map(str, view.open_rounds)) or "none",
            "slot": f"{view.slot:,}; round 0 began in slot {view.starting_slot:,}",
            "rule set": view.rules,
        },
        "state": {
            "active": _say_yes(view.is_active),
            "allow-listed": _say_yes(view.is_allowlisted),
            "closed": _say_yes(view.is_closed),
            **({"migrated to": view.migrated_to} if view.migrated_to else {}),
            **({"migrated from": view.migrated_from} if view.migrated_from else {}),
        },
        "addresses": {
            "manager": view.manager,
            "program": view.program,
            "pot": view.pot,
            "audit program": f"{view.audit_program} ({view.executable_network})",
            "metadata": view.metadata or "none",
        },
    }


def _say_yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _compose_metadata(view: "TaskView", metadata: dict[str, Any] | None) -> list[str]:
    from ..package.permissions import describe_requirements
    from ..package.requirements import read_requirements

    if not view.metadata:
        return []
    if metadata is None:
        return [f"none of its nodes serves its metadata, {view.metadata}"]
    wishes = describe_requirements(read_requirements(metadata.get("requirementsTags")))
    shown = (f"  {name}  {metadata[name]}" for name in ("author", "repositoryUrl") if metadata.get(name))
    lines = [*shown, *(f"  asks for {wish}" for wish in wishes)]
    return ["said by its creator", *lines] if lines else []
