"""`roundwork check`: a task folder before its bounty is paid, with its functions tried in the sandbox."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BadConfig
from .options import json_option, param_option, sandbox_option, secret_option
from .output import say, say_json
from .task_view import choose_task_sandbox, compose_summary, find_warnings, report

if TYPE_CHECKING:
    from ..node.properties import Outcome, Tried
    from ..package.folder import Package
    from ..package.windows import Timings


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@param_option
@secret_option
@sandbox_option
@json_option
def command(
    folder: Path, params: dict[str, str], secrets: dict[str, str], sandbox: str | None, as_json: bool
) -> None:
    """Check the task in FOLDER before it is deployed.

    Says what it costs and what it asks of its nodes, and tries its functions in the sandbox. The exit code
    is 1 if a property does not hold that `roundwork.excused` in config-task.yml does not excuse.
    """
    from ..package.folder import load_package, pack
    from ..package.permissions import describe_permissions

    package = load_package(folder)
    content_id, blobs = pack(package)
    outcomes, timings = asyncio.run(_try(package, params, secrets, sandbox))
    facts = {
        "name": package.name,
        "package": content_id,
        "rules": package.rules,
        "bytes": sum(map(len, blobs.values())),
        "bounty": package.total_bounty,
        "bounty_per_round": package.bounty_per_round,
        "rounds": package.total_bounty // package.bounty_per_round,
        "permissions": describe_permissions(package),
        "properties": [
            {"property": each.property, "result": each.result, "reason": each.reason} for each in outcomes
        ],
        "seconds": timings._asdict() if timings else None,
        "warnings": [*find_warnings(package), *_find_short_windows(package, timings)],
    }
    if as_json:
        say_json(facts)
    else:
        _print(package, content_id, facts, outcomes)
    sys.exit(any(each.result == "fails" for each in outcomes))


async def _try(
    package: "Package", params: dict[str, str], secrets: dict[str, str], sandbox: str | None
) -> "Tried":
    """Load the program and try its functions; the functions of a main.js are not tried."""
    from ..localnet.demo import running_demo
    from ..node.properties import Tried, try_properties
    from ..node.python.environments import find_environments
    from ..node.trial import load_program

    chosen, environments = choose_task_sandbox(sandbox), find_environments()
    if package.kind == "javascript":
        for line in await load_program(package, chosen, environments):
            say(line, err=True)
        return Tried([], None)

    def log(line: str) -> None:
        say(line, err=True)

    async with running_demo(package, params) as all_params:
        return await try_properties(package, all_params, secrets, chosen, environments, log)


def check_functions(folder: Path, sandbox: str | None, is_forced: bool, as_json: bool) -> None:
    """Try the functions of a Python task before money moves, without the properties that take long.

    Warns of windows that are too short for the measured times. Raises BadConfig for a property that does not
    hold, unless it is forced; BadTaskFile for a program that cannot be loaded.
    """
    from ..package.folder import load_package

    package = load_package(folder)
    if package.kind == "javascript":
        return
    outcomes, timings = asyncio.run(_try_quickly(package, sandbox))
    for line in _find_short_windows(package, timings):
        report(f"warning: {line}", as_json)
    for each in outcomes:
        if each.result == "not tried":
            report(f"warning: {each.property} was not tried: {each.reason}", as_json)
    if package.secrets:
        report("warning: work and audit were not tried: `roundwork check --secret …` tries them", as_json)
    failed = [f"{each.property} ({each.reason})" for each in outcomes if each.result == "fails"]
    if failed and not is_forced:
        raise BadConfig(
            f"{folder} does not pass `roundwork check`: {'; '.join(failed)}; roundwork.excused in"
            " config-task.yml excuses a property, and --force goes on with the task as it is"
        )
    for line in failed:
        report(f"warning: it does not pass `roundwork check`: {line}", as_json)


async def _try_quickly(package: "Package", sandbox: str | None) -> "Tried":
    from ..localnet.demo import running_demo
    from ..node.properties import try_quickly
    from ..node.python.environments import find_environments

    chosen, environments = choose_task_sandbox(sandbox), find_environments()

    async with running_demo(package, {}) as params:
        return await try_quickly(package, params, chosen, environments, lambda line: say(line, err=True))


def _find_short_windows(package: "Package", timings: "Timings | None") -> list[str]:
    """Windows that are too short for the measured times; only roundwork-1 divides them into eighths."""
    from ..package.windows import find_short_windows
    from ..protocol.params import ROUNDWORK_1

    if timings is None or package.rules != ROUNDWORK_1.name:
        return []
    return find_short_windows(package, timings)


def _print(package: "Package", content_id: str, facts: dict[str, Any], outcomes: "list[Outcome]") -> None:
    from ..node.properties import PROPERTIES

    for line in (*compose_summary(package, content_id), "it asks its nodes for:"):
        say(line)
    for line in facts["permissions"]:
        say(f"  {line}")
    say("its functions:" if outcomes else "its functions are not tried: that is for Python tasks")
    width = max((len(each.property) for each in outcomes), default=0)
    for each in outcomes:
        say(f"  {each.result:<9}  {each.property:<{width}} {PROPERTIES[each.property]}")
        if each.reason:
            say(f"  {'':<9}  {'':<{width}} {each.reason}")
    for warning in facts["warnings"]:
        say(f"warning: {warning}", err=True)
