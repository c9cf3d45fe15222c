"""`roundwork up`: a ledger and several nodes on this machine, and a task on them."""

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from .output import say, say_either, say_json
from .up_options import PlanOptions, plan_options

if TYPE_CHECKING:
    from rich.console import Console

    from ..localnet.network import Localnet, Plan, Show
    from ..localnet.watch import Watch

DIRECTORY = Path(".roundwork/up")


@click.command()
@click.argument("task", type=click.Path(path_type=Path), required=False)
@plan_options
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
    directory: Path,
    restart: str | None,
    as_json: bool,
    liars: int | None,
    **options: Unpack[PlanOptions],
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
    if liars is not None and "liar" in options["plays"]:
        raise click.UsageError("--liars and --play liar=… say the same: give one of them")
    from ..localnet.judgement import judge
    from ..localnet.network import Plan
    from ..localnet.summary import summarise

    plan = Plan(
        task=task.absolute(),
        directory=directory.absolute(),
        liars=liars if liars is not None else int(not options["plays"]),
        **options,
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
    """The command that starts a process again, without the name of the process."""
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
    """A path relative to the working directory, if it lies below it."""
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
