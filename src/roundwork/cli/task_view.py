"""What `roundwork task` prints: about a folder before its bounty is paid, about a task as it is now."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import format_money
from .output import say

if TYPE_CHECKING:
    from ..package.folder import Package
    from ..views import TaskView

ROUNDS_FEW = 10


def find_warnings(package: "Package") -> list[str]:
    """What a creator should know before the bounty is paid in."""
    warnings = list(package.warnings)
    if package.kind == "python" and "equal_split(" in package.program.read_text("utf-8", "replace"):
        warnings.append(
            "equal_split pays every node the same: a stake split into ten nodes earns ten shares;"
            " proportional_split pays by stake"
        )
    if package.kind == "javascript" and package.hosts:
        warnings.append(f"a main.js reaches the ledger and its node only, not {', '.join(package.hosts)}")
    rounds = package.total_bounty // package.bounty_per_round
    if rounds < ROUNDS_FEW:
        warnings.append(f"the bounty lasts {rounds} rounds, then the task is out of money")
    return warnings


def choose_task_sandbox(name: str | None) -> str:
    """What confines a task of the person who runs the command; a warning where that is nothing.

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
    """The package, its content id and that of its metadata.json; prints what a creator should read."""
    from ..package.folder import METADATA, load_package, pack
    from ..package.metadata import write_metadata

    package = load_package(folder)
    content_id, _ = pack(package)
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
    unit = "KOII" if package.task_type == "KOII" else f"of {package.token_type}"
    bounty, a_round, stake = (
        format_money(roe, unit)
        for roe in (package.total_bounty, package.bounty_per_round, package.minimum_stake)
    )
    rounds = package.total_bounty // package.bounty_per_round
    return [
        f"task {package.name}, rounds of {package.round_time} slots, a stake of {stake} at least",
        f"bounty {bounty}: {rounds} rounds of {a_round}" if is_new else f"up to {a_round} a round",
        f"package {content_id}, {package.program.relative_to(package.folder)} and what is beside it",
    ]


def warn(package: "Package") -> None:
    for warning in find_warnings(package):
        say(f"warning: {warning}", err=True)


def report(line: str, as_json: bool) -> None:
    """Print progress to stderr, unless the output is JSON."""
    if not as_json:
        say(line, err=True)


def compose_task(view: "TaskView", metadata: dict[str, Any] | None) -> list[str]:
    """A task, what it requires of its nodes if a node serves its metadata, and its nodes."""
    import msgspec

    facts = msgspec.to_builtins(view)
    width = max(map(len, facts))
    lines = [f"{name.replace('_', ' '):<{width}}  {facts[name]}" for name in facts if name != "stakes"]
    lines += _compose_metadata(view, metadata)
    return lines + [
        f"  {stake.node:<44}  stake {stake.amount}  available {stake.available}  {stake.endpoint}"
        for stake in view.stakes
    ]


def _compose_metadata(view: "TaskView", metadata: dict[str, Any] | None) -> list[str]:
    from ..package.permissions import describe_requirements
    from ..package.requirements import read_requirements

    if not view.metadata:
        return []
    if metadata is None:
        return [f"none of its nodes serves its metadata, {view.metadata}"]
    wishes = describe_requirements(read_requirements(metadata.get("requirementsTags")))
    shown = (f"  {name}  {metadata[name]}" for name in ("author", "repositoryUrl") if metadata.get(name))
    return [*shown, *(f"  asks for {wish}" for wish in wishes)]
