"""`roundwork simulate`: a task on a network in this process, on a virtual clock."""

import gc
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from .options import OutputFile, combine, json_option, param_option, secret_option
from .output import STOPPED, say, say_json
from .up_options import read_plays

if TYPE_CHECKING:
    from ..package.folder import Package
    from ..sim.scenario import Scenario
    from ..sim.simulation import Result, Trace
    from ..sim.worlds import AnyWorld


GC_THRESHOLD = 50_000
"""Allocations between two runs of the garbage collector: a round makes many objects that stay in use."""

FAILURES_SHOWN = 5

network_options = combine(
    click.option("--nodes", type=click.IntRange(1, 1_000_000), help="How many nodes: 20."),
    click.option("--rounds", type=click.IntRange(1, 10_000), help="How many rounds: 10."),
    click.option("--liars", type=click.IntRange(0), help="How many of the nodes lie: none."),
    click.option(
        "--play",
        "plays",
        multiple=True,
        metavar="NAME=COUNT",
        callback=read_plays,
        help=(
            "How many play otherwise: liar, copycat, late, silent, lazy, accuser, thief, mute, "
            "slanderer, withholder, reluctant, hider; may be given again."
        ),
    ),
    click.option("--stakes", metavar="KOII,KOII,…", help="Stakes of the nodes in KOII, taken in turn."),
    click.option("--seed", type=int, help="What all chance follows from: 0."),
    click.option(
        "--rules", type=click.Choice(["koii-1", "roundwork-1"]), help="The rule set: the task's own."
    ),
    click.option(
        "--round-slots",
        type=click.IntRange(20, 1_000_000),
        help="Slots of a round, if not the task's own; under roundwork-1 at least 60.",
    ),
    click.option(
        "--signatures/--no-signatures",
        default=None,
        help="Whether nodes sign for real: in worlds of at most 100 nodes.",
    ),
    param_option,
    click.option(
        "--fault",
        "faults",
        multiple=True,
        metavar="KIND=VALUES",
        help="A fault, such as crash=node-2:70:30 or restart=90:5:torn; may be given again.",
    ),
)
"""Options with the names of the fields of a `Scenario`; None where they are not given.

Faults are added to those of the scenario.
"""


file_options = combine(
    click.option(
        "--answers", type=click.Path(path_type=Path), help="A file of recorded answers to ctx.http."
    ),
    click.option("--record", is_flag=True, help="Ask the network for what --answers lacks, and add it."),
    click.option("--trace", "trace_path", type=OutputFile(), help="Write each slot to this file."),
    click.option("--html", "html_path", type=OutputFile(), help="Write a report to this file."),
)
"""What is read and written beside the scenario."""


@click.command()
@click.argument("task", type=click.Path(path_type=Path))
@network_options
@secret_option
@click.option(
    "--scenario",
    "scenario_path",
    type=click.Path(path_type=Path),
    help="A YAML file with these fields and with a network and faults; options come before it.",
)
@file_options
@json_option
def command(
    task: Path,
    secrets: dict[str, str],
    scenario_path: Path | None,
    answers: Path | None,
    record: bool,
    trace_path: Path | None,
    html_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Simulate TASK, a folder, on a network in this process: the real law and the task's own functions.

    The clock is virtual. The same seed gives the same trace and the same state hash. The task's code runs
    without a sandbox, so simulate only code that you trust.
    """
    import msgspec

    from ..package.folder import load_package, take_secrets
    from ..package.terms import describe_longer_windows
    from ..sim.answers import open_network
    from ..sim.loading import load_task
    from ..sim.report import find_breakdown, render_page, summarise
    from ..sim.scenario import compose_setting
    from ..sim.worlds import make_world

    if record and answers is None:
        raise click.UsageError("--record needs --answers: the file to add answers to")
    scenario = _compose_scenario(scenario_path, options)
    package = load_package(task)
    secrets = take_secrets(package, secrets)
    program = load_task(package)
    with (
        TemporaryDirectory(prefix="roundwork-") as files,
        _open_demo(package, scenario.params, answers, record) as params,
        open_network(answers, record) as network,
        _open_trace(trace_path) as trace,
    ):
        scenario = msgspec.structs.replace(scenario, params=params)
        setting = compose_setting(scenario, package, secrets, files)
        if scenario.round_slots is None and (longer := describe_longer_windows(package, setting.terms)):
            say(longer, err=True)
        world = make_world(setting, program, network, trace)
        result, is_stopped = _run(world, as_json)
    if html_path is not None:
        html_path.write_text(render_page(world, result, package.name), encoding="utf-8")
    if as_json:
        say_json(summarise(world, result))
    else:
        _print(world, result)
    if is_stopped:
        sys.exit(STOPPED)
    if breakdown := find_breakdown(world, result):
        for reason in breakdown:
            say(f"the task does not work: {reason}", err=True)
        sys.exit(1)


def _compose_scenario(path: Path | None, options: dict[str, Any]) -> "Scenario":
    """The scenario of a file, with the options that were given in place of its fields."""
    import msgspec

    from ..sim.fault_words import add_fault
    from ..sim.scenario import Scenario, read_scenario

    scenario = Scenario() if path is None else read_scenario(path)
    for text in options.pop("faults"):
        network, faults = add_fault(scenario.network, scenario.faults, text)
        scenario = msgspec.structs.replace(scenario, network=network, faults=faults)
    stakes = options.pop("stakes")
    if stakes:
        options["stakes"] = tuple(stakes.split(","))
    if options["params"]:
        options["params"] = {**scenario.params, **options["params"]}
    given = {name: value for name, value in options.items() if value not in (None, {}, ())}
    return msgspec.structs.replace(scenario, **given)


@contextmanager
def _open_trace(path: Path | None) -> "Iterator[Trace | None]":
    """What writes each slot as a line of JSON."""
    if path is None:
        yield None
        return
    with path.open("w", encoding="utf-8") as file:

        def write(slot: dict[str, Any]) -> None:
            file.write(f"{json.dumps(slot)}\n")

        yield write


def _open_demo(
    package: "Package", params: dict[str, Any], answers: Path | None, is_recording: bool
) -> AbstractContextManager[dict[str, Any]]:
    """All params to run the task with. Its demo runs if answers are recorded; else their record counts."""
    if answers is None:
        return nullcontext(params)
    from ..localnet.demo import point_at_record, running_demo_beside

    if is_recording:
        return running_demo_beside(package, params, is_recording)
    return nullcontext(point_at_record(package, params))


def _run(world: "AnyWorld", as_json: bool) -> "tuple[Result, bool]":
    """Run the world with a progress bar on a terminal.

    Ctrl-C ends it, and what is there is reported; the second is whether that happened.
    """
    gc.set_threshold(GC_THRESHOLD)  # for this process, which ends with the command
    with _open_bar(world, as_json) as show:
        try:
            return world.run(show), False
        except KeyboardInterrupt:
            say(f"stopped in slot {world.slot}; the rounds until there:", err=True)
            return world.conclude(), True


@contextmanager
def _open_bar(world: "AnyWorld", as_json: bool) -> "Iterator[Callable[[AnyWorld], None] | None]":
    if as_json or not sys.stderr.isatty():
        yield None
        return
    slots = world.timetable.compute_start(world.setting.rounds + 2)
    with click.progressbar(length=slots, label="slots", file=sys.stderr) as bar:
        yield lambda now: bar.update(now.slot - bar.pos)


def _print(world: "AnyWorld", result: "Result") -> None:
    from ..sim.report import describe_timing, describe_unpaid, list_timings, summarise
    from .simulate_view import compose_tables

    facts = summarise(world, result)
    for line in compose_tables(facts):
        say(line)
    for timing in list_timings(world):
        say(describe_timing(timing))
    if unpaid := describe_unpaid(world, result):
        say(unpaid, err=True)
    failed = world.timings.list_failed()
    texts = {each.text for each in failed}
    for each in failed:
        if not each.is_broken:
            say(str(each), err=True)
    others = {f"{each.node} {each.doing}: {each.text}" for each in result.failures if each.text not in texts}
    for text in sorted(others)[:FAILURES_SHOWN]:
        say(text, err=True)
    if len(others) > FAILURES_SHOWN:
        say(f"and {len(others) - FAILURES_SHOWN} more failures; --json has them all", err=True)
    say(f"state hash {result.state_hash}")
