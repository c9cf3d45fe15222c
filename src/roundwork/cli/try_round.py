"""`roundwork try`: one node's round of a task in this process, again after each change of its files."""

import os
import pdb
import signal
import sys
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import RoundworkError, TaskFailed
from .options import format_money, json_option, param_option, secret_option
from .output import STOPPED, report_error, say, say_json
from .task_view import name_unit

if TYPE_CHECKING:
    from ..testing import Played

SHOWN = 100
FAILED = "failed: "
"""How the opinion of an audit begins that failed."""
WATCH_SECONDS = 0.3
GRACE_SECONDS = 1.0
"""How long the author's code may take to end after Ctrl-C."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--round", "round_number", type=click.IntRange(0), default=0, help="The round's number.")
@click.option("--seed", type=int, default=0, help="Another seed is another `ctx.seed` and `ctx.random`.")
@param_option
@secret_option
@click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of recorded answers to ctx.http, in the place of the network.",
)
@click.option(
    "--record", "is_recording", is_flag=True, help="Ask the network for what --answers lacks, and add it."
)
@click.option("--pdb", "is_debugging", is_flag=True, help="Stop in the debugger where a function fails.")
@click.option("--watch", is_flag=True, help="Do it again whenever a file of the folder is saved.")
@json_option
def command(folder: Path, watch: bool, as_json: bool, is_debugging: bool, **options: Any) -> None:
    """Run work, submission, audit and distribution of the task in FOLDER once, and show what they gave.

    The code runs in this process with your rights, not in the sandbox: try only what you wrote. The exit code
    is 1 if a function fails, also on a changed submission, or if the audit does not find the submission
    valid.
    """
    if options["is_recording"] and options["answers"] is None:
        raise click.UsageError("--record needs --answers: the file to add answers to")
    if is_debugging and as_json:
        raise click.UsageError("--pdb is a debugger for people; leave out --json")
    if not is_debugging:
        signal.signal(signal.SIGINT, _stop)
    is_good = _try(folder, as_json, is_debugging, **options)
    while watch:
        before = _list_times(folder)
        say("waiting for a change; Ctrl-C ends", err=True)
        while _list_times(folder) == before:
            try:
                time.sleep(WATCH_SECONDS)
            except KeyboardInterrupt:
                sys.exit(not is_good)
        is_good = _try(folder, as_json, is_debugging, **options)
    sys.exit(not is_good)


def _stop(*_: object) -> None:
    """End with Ctrl-C, also if the author's code catches every exception or waits for a thread of its own.

    A demo of the task ends with this process.
    """

    def end() -> None:
        os.write(sys.stderr.fileno(), b"Aborted!\n")
        os._exit(STOPPED)

    timer = threading.Timer(GRACE_SECONDS, end)
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def _list_times(folder: Path) -> dict[Path, int]:
    """When each file of the folder was changed; one that vanishes meanwhile is left out."""
    times = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if "__pycache__" not in path.parts and path.is_file():
                times[path] = path.stat().st_mtime_ns
    return times


def _try(
    folder: Path,
    as_json: bool,
    is_debugging: bool,
    round_number: int,
    seed: int,
    params: dict[str, str],
    secrets: dict[str, str],
    answers: Path | None,
    is_recording: bool,
) -> bool:
    """Whether all functions ended and the submission is valid."""
    import httpx2

    from ..localnet.demo import point_at_record, running_demo_beside
    from ..package.folder import check_params, load_package, merge_params, take_secrets
    from ..protocol.params import ROUNDWORK_1
    from ..sim.failures import cut_traceback
    from ..testing import open_network, run_round

    try:
        package = load_package(folder)
        check_params(package, params)
        secrets = take_secrets(package, secrets)
        is_answered = answers is not None and not is_recording
        demo = nullcontext(point_at_record(package, params)) if is_answered else None
        with (
            demo or running_demo_beside(package, params, is_recording) as given,
            open_network(answers, is_recording) as network,
        ):
            played = run_round(
                folder,
                round=round_number,
                seed=seed,
                params=merge_params(package, given),
                secrets=secrets,
                network=httpx2.HTTPTransport() if answers is None else network,
            )
            opinions = _audit_mutations(played, is_debugging)
            amounts = played.distribute(bounty=package.bounty_per_round)
            _check_bounty(amounts, package.bounty_per_round, unit := name_unit(package))
    except RoundworkError as error:
        cause = error.__cause__
        if is_debugging and cause is not None and (trace := cut_traceback(cause)) is not None:
            pdb.post_mortem(trace)
        report_error(error, as_json)
        return False
    facts = _compose_facts(played, opinions, amounts)
    if as_json:
        say_json(facts)
    else:
        _print(facts, unit)
        if package.rules == ROUNDWORK_1.name:
            slash = f"{package.slash_percent} % of a convicted node's stake"
            say(f"  under {package.rules} a list takes nothing; the ledger takes {slash}")
    has_failed = any(opinion.startswith(FAILED) for _, opinion in opinions)
    return played.opinion == "valid" and not has_failed


def _check_bounty(amounts: list[int], bounty: int, unit: str) -> None:
    """Raises TaskFailed for a list that pays more than there is."""
    paid = sum(max(amount, 0) for amount in amounts)
    if paid > bounty:
        raise TaskFailed(
            f"distribution pays {format_money(paid, unit)} of a bounty of {format_money(bounty, unit)}:"
            " no ledger takes this list"
        )


def _compose_facts(played: "Played", opinions: list[tuple[str, str]], amounts: list[int]) -> dict[str, Any]:
    """What is printed of a round."""
    return {
        "node": played.node,
        "value": played.value,
        "opinion": played.opinion,
        "reason": played.reason,
        "state": played.state,
        "mutations": [{"value": value, "opinion": opinion} for value, opinion in opinions],
        "amounts": amounts,
        "requests": [{"method": method, "url": url} for method, url in played.requests],
        "seconds": played.seconds,
    }


def _audit_mutations(played: "Played", is_debugging: bool) -> list[tuple[str, str]]:
    """What another node says of changed submissions; "failed: …" where its audit fails.

    Raises TaskFailed in place of that if `is_debugging`.
    """
    opinions = []
    for value in played.mutations:
        try:
            opinion = played.audit(value).opinion
        except TaskFailed as error:
            if is_debugging:
                raise
            opinion = f"{FAILED}{error}"
        opinions.append((value, opinion))
    return opinions


def _print(facts: dict[str, Any], unit: str) -> None:
    seconds = {name: f"{value * 1000:9.1f} ms" for name, value in facts["seconds"].items()}
    say(f"work        {seconds['work']}")
    for name, value in facts["state"].items():
        say(f"  ctx.state[{name!r}] = {_cut(repr(value))}")
    size = f"{len(facts['value'].encode())} bytes" if facts["value"] else "nothing to submit"
    say(f"submission  {seconds['submission']}  {_cut(repr(facts['value']))}, {size}")
    because = f": {facts['reason']}" if facts["reason"] else ""
    say(f"audit       {seconds.get('audit', 12 * ' ')}  {facts['opinion']}{because}")
    for each in facts["mutations"]:
        say(f"  {_cut(repr(each['value']))} is {each['opinion']}")
    paid, other, convicted = (format_money(amount, unit) for amount in facts["amounts"])
    say(f"list        {12 * ' '}  {paid} to this node, {other} to another, {convicted} to a convicted one")
    for each in facts["requests"]:
        say(f"  requested {each['method']} {each['url']}")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
