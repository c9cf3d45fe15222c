"""`roundwork replay`: recorded rounds under changed code."""

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import (
    ADDRESS,
    format_count,
    format_money,
    json_option,
    param_option,
    read_pairs,
    sandbox_option,
    secret_option,
)
from .output import say, say_json
from .task_view import choose_task_sandbox

if TYPE_CHECKING:
    from ..sim.replay import Difference, Recorded, Replayed


def _read_rules(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    for text in given:
        if "=" not in text:
            raise click.BadParameter(
                f"{text!r} is not of the form NAME=VALUE: slash=30%, split=stake or bounty=2.5koii."
                " The rule set itself stays that of the rounds"
            )
    return read_pairs(given, "--rules")


def _read_rounds(ctx: click.Context, param: click.Parameter, given: str | None) -> tuple[int, int]:
    from ..sim.replay import ROUND_MAX

    if given is None:
        return 0, ROUND_MAX
    match = re.fullmatch(r"(\d{1,18})(:(\d{0,18}))?", given)
    if match is None:
        raise click.BadParameter(f"{given!r} is not of the form 3, 3:9 or 3: for all from 3 on")
    first = int(match[1])
    last = first if match[2] is None else int(match[3]) if match[3] else ROUND_MAX
    if last < first:
        raise click.BadParameter(f"{given!r} has no rounds: {last} comes before {first}")
    return first, last


@click.command()
@click.argument("ledger", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--rounds", callback=_read_rounds, help="A:B, the rounds from A to B; else all.")
@click.option("--address", type=ADDRESS, help="The task's, if the ledger has several.")
@click.option(
    "--blobs",
    type=click.Path(path_type=Path),
    multiple=True,
    help="The directory of a node that has proofs; may be repeated.",
)
@click.option(
    "--rules",
    multiple=True,
    callback=_read_rules,
    help="NAME=VALUE, what the task may choose: slash=30%, split=stake, bounty=2.5koii; may be repeated.",
)
@param_option
@secret_option
@sandbox_option
@json_option
def command(
    ledger: Path,
    folder: Path,
    rounds: tuple[int, int],
    address: str | None,
    blobs: tuple[Path, ...],
    rules: dict[str, str],
    params: dict[str, str],
    secrets: dict[str, str],
    sandbox: str | None,
    as_json: bool,
) -> None:
    """Say what the task in FOLDER would have decided in the closed rounds of the LEDGER's directory.

    Its distribution runs on the data of each round, its audit on each submission whose blob is there. The
    folder's slash and split count, and what --rules changes. The exit code is 1 if any result differs.
    """
    from ..package.folder import load_package
    from ..sim.replay import choose_rules, find_stores

    package = load_package(folder)
    if package.kind == "javascript":
        raise click.BadParameter("a main.js has no functions to call: replay is for Python tasks")
    stores = find_stores(blobs)
    recorded = _read_recorded(ledger, address, rounds, as_json)
    rounds_and_rules = [(each, choose_rules(each.rules, package, rules)) for each in recorded]
    replayed: list[Replayed] = []

    async def run() -> None:
        from ..node.python.environments import find_environments
        from ..sim.replay import replay_round, running_task

        chosen = choose_task_sandbox(sandbox)
        async with running_task(package, params, secrets, chosen, find_environments(), stores, _log) as lanes:
            for each, under in rounds_and_rules:
                replayed.append(await replay_round(lanes, each, under))
                if not as_json:
                    _print_round(replayed[-1], each)

    asyncio.run(run())
    differ = any(each.differences or each.failure for each in replayed)
    if as_json:
        import msgspec

        say_json({"rounds": msgspec.to_builtins(replayed), "differs": differ})
    else:
        say(_summarize(replayed))
    sys.exit(differ)


def _read_recorded(
    ledger: Path, address: str | None, rounds: tuple[int, int], as_json: bool
) -> "list[Recorded]":
    """The rounds of the journal, with a progress bar."""
    from ..sim.replay import read_rounds

    hidden = as_json or not sys.stderr.isatty()
    with click.progressbar(length=1, label="replaying", hidden=hidden, file=sys.stderr) as bar:

        def show_progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        return read_rounds(ledger, address, *rounds, show_progress)


def _log(line: str) -> None:
    say(line, err=True)


def _print_round(replayed: "Replayed", recorded: "Recorded") -> None:
    say(
        f"round {replayed.round}  {format_count(replayed.submissions, 'submission')},"
        f" {replayed.audited} audited again,"
        f" {format_count(len(replayed.differences), 'difference')}"
    )
    for difference in replayed.differences:
        say(f"  {difference.node}  {_describe(difference)}")
    if replayed.failure:
        say(f"  no list: {replayed.failure}")


_WORDS = {
    "amount": "its amount in the list was",
    "split": "its share of the ledger's split was",
    "slash": "its slash was",
}


def _describe(difference: "Difference") -> str:
    if isinstance(difference.recorded, int) and isinstance(difference.replayed, int):
        was, now = (format_money(roe) for roe in (difference.recorded, difference.replayed))
        return f"{_WORDS[difference.what]} {was}, it would be {now}"
    return f"was {difference.recorded}, would be {difference.replayed}"


def _summarize(replayed: "list[Replayed]") -> str:
    different = [each for each in replayed if each.differences or each.failure]
    rounds = format_count(len(replayed), "round")
    return f"{len(different)} of {rounds} would have come out differently"
