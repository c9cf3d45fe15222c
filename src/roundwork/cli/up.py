"""`roundwork up`: a ledger and several nodes on this machine, and a task on them."""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..localnet import Member, Plan, Watch

from .node import _read_pairs

DIRECTORY = Path(".roundwork/up")


@click.command()
@click.argument("task", type=click.Path(path_type=Path), required=False)
@click.option("--nodes", default=5, show_default=True, help="How many nodes.")
@click.option("--liars", default=1, show_default=True, help="How many of them lie.")
@click.option("--rounds", default=5, show_default=True, help="Stop when so many rounds are settled.")
@click.option(
    "--rules", default="koii-1", show_default=True, type=click.Choice(["koii-1"]), help="The rule set."
)
@click.option("--round-slots", default=60, show_default=True, help="Slots of a round.")
@click.option("--slot-ms", default=100, show_default=True, help="Milliseconds of a slot.")
@click.option("--param", "params", multiple=True, help="K=V, a param of the task.")
@click.option("--sandbox", type=click.Choice(["sandlock", "bwrap", "none"]), help="What confines the task.")
@click.option("--engine", type=click.Choice(["embedded", "comet"]), default="embedded", show_default=True)
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), default=DIRECTORY, show_default=True
)
@click.option("--restart", metavar="NAME", help="Start a killed process of a running `up` again.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def command(
    task: Path | None,
    nodes: int,
    liars: int,
    rounds: int,
    rules: str,
    round_slots: int,
    slot_ms: int,
    params: tuple[str, ...],
    sandbox: str | None,
    engine: str,
    directory: Path,
    restart: str | None,
    as_json: bool,
) -> None:
    """Run TASK, a folder, on a ledger and several nodes of its own on this machine."""
    from ..localnet import Plan, ask_restart

    if restart is not None:
        ask_restart(directory, restart)
        return
    if task is None:
        raise click.UsageError("TASK is missing: a task's folder, such as examples/hello")
    plan = Plan(
        task=task.absolute(),
        directory=directory.absolute(),
        nodes=nodes,
        liars=liars,
        rounds=rounds,
        round_slots=round_slots,
        slot_ms=slot_ms,
        engine="comet" if engine == "comet" else "embedded",
        sandbox=sandbox,
        params=_read_pairs(params, "--param"),
    )
    summary = asyncio.run(_run(plan, as_json))
    if as_json:
        click.echo(json.dumps(summary))


async def _run(plan: "Plan", as_json: bool) -> dict[str, object]:
    from rich.console import Console

    from ..localnet import prepare, summarise

    network = prepare(plan)
    console = Console(stderr=as_json)
    console.print(
        f"starting a ledger and {plan.nodes} nodes ({plan.liars} of them lying) in {plan.directory}"
    )
    supplies: list[int] = []
    announced: set[int] = set()
    with _live(console, as_json) as show:

        def look(watch: "Watch") -> None:
            supplies.append(watch.ledger.supply)
            for member in watch.members:
                if member.pid not in announced:
                    announced.add(member.pid)
                    console.print(f"  {member.name:<8} pid {member.pid:<7} {member.role:<8} {member.address}")
            show(watch)

        watch = await _until_signal(network.run(look))
    summary = summarise(watch, supplies[0])
    if not as_json:
        _print_summary(console, watch, summary)
    return summary


async def _until_signal(running: "Coroutine[Any, Any, Watch]") -> "Watch":
    """Run it; SIGTERM cancels it, so that no process is left behind."""
    task = asyncio.ensure_future(running)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        sys.exit(1)


def _live(console: "Console", as_json: bool) -> Any:
    """What shows the rounds while they run: a picture on a terminal, a line a round elsewhere."""
    return _Picture(console) if console.is_terminal and not as_json else _Lines(console)


class _Picture:
    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        self._live = Live(console=console, refresh_per_second=8)

    def __enter__(self) -> Any:
        self._live.__enter__()
        return lambda watch: self._live.update(_draw(watch))

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)


class _Lines:
    def __init__(self, console: "Console") -> None:
        self._console = console
        self._told: set[int] = set()

    def __enter__(self) -> Any:
        return self._show

    def __exit__(self, *error: Any) -> None:
        pass

    def _show(self, watch: "Watch") -> None:
        for number, view in sorted(watch.rounds.items()):
            if number not in self._told and view.status in ("PayoutSuccessful", "ClosedUnpaid"):
                self._told.add(number)
                self._console.print(f"slot {view.slot}: {_describe_round(watch, number)}", highlight=False)


def _draw(watch: "Watch") -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from ..participant import compute_timetable
    from ..picture import draw_position, draw_rounds

    table, slot = compute_timetable(watch.task), watch.task.slot
    lines = [f"slot {slot}  ledger round {table.compute_round(slot)}  {draw_position(table, slot)}"]
    lines += draw_rounds(table, slot)
    lines += [
        _describe_round(watch, number)
        for number, view in sorted(watch.rounds.items())[-6:]
        if view.status in ("PayoutSuccessful", "ClosedUnpaid")
    ]
    return Group(*map(Text, lines))


def _describe_round(watch: "Watch", number: int) -> str:
    view = watch.rounds[number]
    names = {member.address: member.name for member in watch.members}
    if view.status == "ClosedUnpaid":
        return f"round {number}: closed unpaid after {view.attempt + 1} attempts"
    paid = [f"{names.get(one.node, one.node)} +{one.reward}" for one in view.payments if one.reward]
    slashed = [f"{names.get(one.node, one.node)} -{one.slash}" for one in view.payments if one.slash]
    return f"round {number}: paid {', '.join(paid) or 'nobody'}; slashed {', '.join(slashed) or 'nobody'}"


def _print_summary(console: "Console", watch: "Watch", summary: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"{summary['rounds_settled']} rounds settled, {summary['rounds_unpaid']} unpaid")
    for name in ("node", "role", "submitted", "earned", "slashed", "stake", "available", "why"):
        table.add_column(name, justify="left" if name in ("node", "role", "why") else "right")
    by_name = {member.name: member for member in watch.members}
    for node in summary["nodes"]:
        numbers = [f"{node[name]:,}" for name in ("submitted", "earned", "slashed", "stake", "available")]
        table.add_row(node["name"], node["role"], *numbers, _explain(watch, by_name[node["name"]]))
    console.print(table)
    supply = "constant" if summary["supply_constant"] else "NOT CONSTANT"
    console.print(f"money in roe; supply {supply}; state hash {summary['state_hash']}")


def _explain(watch: "Watch", member: "Member") -> str:
    """Why a node was paid or slashed: the verdicts on what it submitted."""
    counts: dict[str, int] = {}
    for view in watch.rounds.values():
        for each in view.submissions:
            if each.node == member.address and view.status == "PayoutSuccessful":
                counts[each.verdict] = counts.get(each.verdict, 0) + 1
    told = {"untried": "nobody objected", "acquitted": "acquitted", "convicted": "voted invalid"}
    return ", ".join(f"{told.get(verdict, verdict)} ×{count}" for verdict, count in sorted(counts.items()))
