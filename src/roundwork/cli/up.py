"""`roundwork up`: a ledger and several nodes on this machine, and a task on them."""

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import COIN_DECIMALS, read_pairs, sandbox_option, secret_option
from .output import say, say_either, say_json

if TYPE_CHECKING:
    from rich.console import Console

    from ..localnet.network import Localnet, Plan, Show
    from ..localnet.watch import Watch

DIRECTORY = Path(".roundwork/up")


def _read_plays(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    """How many nodes play in which way. Honest are those that are left."""
    plays: dict[str, int] = {}
    for name, count in read_pairs(given, "--play").items():
        if not (count.isascii() and count.isdecimal()):
            raise click.BadParameter(f"{name}={count}: the count is digits, such as {name}=2")
        if name == "honest":
            raise click.BadParameter("honest: all nodes play so that no --play names")
        plays[name] = int(count)
    return plays


def _read_stakes(ctx: click.Context, param: click.Parameter, given: str | None) -> tuple[int, ...]:
    """Stakes in roe."""
    from ..wire import read_amount

    try:
        return tuple(read_amount(part, COIN_DECIMALS) for part in given.split(",")) if given else ()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("task", type=click.Path(path_type=Path), required=False)
@click.option("--nodes", type=click.IntRange(1, 200), default=5, show_default=True, help="How many nodes.")
@click.option(
    "--liars",
    type=click.IntRange(0),
    help="How many of them lie: 1, or 0 where --play says how nodes play.",
)
@click.option(
    "--play",
    "plays",
    multiple=True,
    metavar="NAME=COUNT",
    callback=_read_plays,
    help="How many play otherwise: liar, copycat, late, silent, lazy, accuser, thief; may be given again.",
)
@click.option(
    "--stakes",
    metavar="KOII,KOII,…",
    callback=_read_stakes,
    help="Stakes of the nodes in KOII, taken in turn; else ten times the task's minimum.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 10_000),
    default=5,
    show_default=True,
    help="Stop when so many rounds are over, paid or not; Ctrl-C stops earlier, with the same summary.",
)
@click.option(
    "--rules", default="koii-1", show_default=True, type=click.Choice(["koii-1"]), help="The rule set."
)
@click.option("--token", is_flag=True, help="Pay in a token that is made for it.")
@click.option("--round-slots", type=int, help="Slots of a round, in place of the task's own.")
@click.option(
    "--slot-ms",
    type=click.IntRange(20, 60_000),
    default=100,
    show_default=True,
    help="Milliseconds of a slot.",
)
@click.option("--param", "params", multiple=True, help="K=V, a param of the task.")
@secret_option
@sandbox_option
@click.option(
    "--engine",
    type=click.Choice(["embedded", "comet"]),
    default="embedded",
    show_default=True,
    help="What makes blocks.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=DIRECTORY,
    show_default=True,
    help="Where ledger, nodes and logs are kept, until the next `up` there.",
)
@click.option("--restart", metavar="NAME", help="Start a killed process of a running `up` again.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def command(
    task: Path | None,
    nodes: int,
    liars: int | None,
    plays: dict[str, int],
    stakes: tuple[int, ...],
    rounds: int,
    rules: str,
    token: bool,
    round_slots: int | None,
    slot_ms: int,
    params: tuple[str, ...],
    secrets: dict[str, str],
    sandbox: str | None,
    engine: str,
    directory: Path,
    restart: str | None,
    as_json: bool,
) -> None:
    """Run TASK, a folder, on a ledger and several nodes of its own on this machine.

    The last line says whether the run was as it should be: rounds paid, honest nodes paid and not slashed,
    cheats not paid, no audit failed. If it was not, the exit code is 1.
    """
    if restart is not None:
        _restart(directory.absolute(), restart, as_json)
        return
    if task is None:
        raise click.UsageError("TASK is missing: a task's folder, such as examples/hello")
    if liars is not None and "liar" in plays:
        raise click.UsageError("--liars and --play liar=… say the same: give one of them")
    from ..localnet.judgement import judge
    from ..localnet.network import Plan
    from ..localnet.summary import summarise

    plan = Plan(
        task=task.absolute(),
        directory=directory.absolute(),
        nodes=nodes,
        liars=liars if liars is not None else int(not plays),
        plays=plays,
        stakes=stakes,
        rounds=rounds,
        rules=rules,
        token=token,
        round_slots=round_slots,
        slot_ms=slot_ms,
        engine="comet" if engine == "comet" else "embedded",
        sandbox=sandbox,
        params=read_pairs(params, "--param"),
        secrets=secrets,
    )
    watch = asyncio.run(_run(plan, as_json))
    if watch is None:
        conclusion = "not as it should be: it was stopped while it started"
        if as_json:
            say_json({"ok": False, "conclusion": conclusion})
        say(conclusion, err=True)
        sys.exit(1)
    judgement = judge(watch)
    if as_json:
        say_json(summarise(watch))
    say(judgement.conclusion, err=as_json)
    sys.exit(0 if judgement.is_good else 1)


def _restart(directory: Path, name: str, as_json: bool) -> None:
    from ..localnet.network import restart

    pid = restart(directory, name)
    say_either({"name": name, "pid": pid}, f"{name} pid {pid}", as_json)


async def _run(plan: "Plan", as_json: bool) -> "Watch | None":
    from ..localnet.network import prepare
    from .up_view import Lines, Picture, make_console, print_summary, say_on

    console = make_console(as_json)
    network = prepare(plan, lambda warning: say_on(console, warning))
    for warning in network.package.warnings:
        say_on(console, warning)
    where = _shorten(plan.directory)
    say_on(
        console,
        f"starting a ledger and {plan.nodes} nodes ({_describe_plays(plan)}); keys and logs are in {where}",
    )
    show = Picture if console.is_terminal and not as_json else Lines
    with show(console, _compose_restart(plan.directory)) as view:
        watch = await _until_signal(network, view.show)
    if watch is not None and not as_json:
        print_summary(console, watch)
        _print_hints(console, plan)
    return watch


def _describe_plays(plan: "Plan") -> str:
    from ..localnet.network import list_plays

    plays = list_plays(plan)
    return ", ".join(f"{plays.count(play)} {play}" for play in dict.fromkeys(plays))


def _compose_restart(directory: Path) -> str:
    """The command that starts a process again, but for its name."""
    where = "" if directory == DIRECTORY.absolute() else f"--directory {_shorten(directory)} "
    return f"{_find_program()} up {where}--restart"


def _print_hints(console: "Console", plan: "Plan") -> None:
    from .up_view import say_on

    verify = f"{_find_program()} ledger verify --directory {_shorten(plan.directory / 'ledger')}"
    say_on(console, f"replay and verify it all: {verify}", soft_wrap=True)


def _find_program() -> str:
    """The command that calls this program from here, for a person to paste."""
    program = Path(sys.executable).with_name("roundwork")
    found = shutil.which("roundwork")
    return "roundwork" if found and Path(found) == program else _shorten(program)


def _shorten(path: Path) -> str:
    """A path from here, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


async def _until_signal(network: "Localnet", show: "Show") -> "Watch | None":
    """Run the network until a signal; its last state, None if it was still starting.

    SIGTERM and SIGINT end it in order, so that no process is left behind.
    """
    task = asyncio.create_task(network.run(show))
    loop = asyncio.get_running_loop()

    def end() -> None:
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, lambda: None)
        if not network.finish():
            task.cancel()

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, end)
    try:
        return await task
    except asyncio.CancelledError:
        return None
