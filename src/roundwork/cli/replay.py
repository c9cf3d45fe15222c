"""`roundwork replay`: recorded rounds under changed code."""

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import ADDRESS, format_money, json_option, param_option, sandbox_option, secret_option
from .output import say, say_json
from .task_view import choose_task_sandbox

if TYPE_CHECKING:
    from ..sim.replay import Difference, Recorded, Replayed

ROUND_MAX = 2**63 - 1


def _read_rounds(ctx: click.Context, param: click.Parameter, given: str | None) -> tuple[int, int]:
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
    params: dict[str, str],
    secrets: dict[str, str],
    sandbox: str | None,
    as_json: bool,
) -> None:
    """Say what the task in FOLDER would have decided in the closed rounds of the LEDGER's directory.

    Its distribution runs on the data of each round, its audit on each submission whose blob is there. The
    exit code is 1 if any result differs.
    """
    from ..package.folder import load_package
    from ..sim.replay import read_rounds

    package = load_package(folder)
    if package.kind == "javascript":
        raise click.BadParameter("a main.js has no functions to call: replay is for Python tasks")
    hidden = as_json or not sys.stderr.isatty()
    with click.progressbar(length=1, label="replaying", hidden=hidden, file=sys.stderr) as bar:

        def show_progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        recorded = read_rounds(ledger, address, *rounds, show_progress)
    stores = [each / "blobs" if (each / "blobs").is_dir() else each for each in blobs]
    replayed: list[Replayed] = []

    async def run() -> None:
        from ..node.python.environments import find_environments
        from ..sim.replay import replay_round, running_task

        chosen = choose_task_sandbox(sandbox)
        async with running_task(package, params, secrets, chosen, find_environments(), stores, _log) as lanes:
            for each in recorded:
                replayed.append(await replay_round(lanes, each))
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


def _log(line: str) -> None:
    say(line, err=True)


def _print_round(replayed: "Replayed", recorded: "Recorded") -> None:
    say(
        f"round {replayed.round}  {replayed.submissions} submissions, {replayed.audited} audited again,"
        f" {len(replayed.differences) or 'no'} differences"
    )
    for difference in replayed.differences:
        say(f"  {difference.node}  {_describe(difference)}")
    if replayed.failure:
        say(f"  no list: {replayed.failure}")


def _describe(difference: "Difference") -> str:
    if isinstance(difference.recorded, int) and isinstance(difference.replayed, int):
        was, now = (format_money(roe) for roe in (difference.recorded, difference.replayed))
        return f"the list said {was}, it would say {now}"
    return f"was {difference.recorded}, would be {difference.replayed}"


def _summarize(replayed: "list[Replayed]") -> str:
    different = [each for each in replayed if each.differences or each.failure]
    if not replayed:
        return "no closed rounds"
    return f"{len(different)} of {len(replayed)} rounds would have come out differently"
