"""`roundwork node`: run a node; stake, withdraw, claim."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

from .keys import get_passphrase, passphrase_option, read_node_keys
from .node_options import SettingOptions, setting_options
from .node_view import Agreement, compose_standing
from .options import (
    ADDRESS,
    ROE,
    call_ledger,
    get_priority_fee,
    json_option,
    priority_option,
    show,
    url_option,
)
from .output import report_once, say, say_json
from .receipts import read_unit, show_receipt

if TYPE_CHECKING:
    from ..client.rpc import Client
    from ..node.confinement.doctor import Finding

ROUNDS_SHOWN = 1_000

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".roundwork/node"),
    show_default=True,
    help="Where the node keeps its keys, its memory and its tasks.",
)
task_option = click.option("--task", type=ADDRESS, required=True, help="The task's address.")


@click.group()
def command() -> None:
    """Run a node; stake, withdraw, claim."""


@command.command()
@url_option
@priority_option
@directory_option
@task_option
@setting_options
@click.option("--yes", is_flag=True, help="Agree to what the task asks for.")
@click.option("--play", "play", default="honest", hidden=True, help="A way to play; for demonstrations.")
@click.option("--liar", "play", flag_value="liar", hidden=True, help="Short for --play liar.")
@passphrase_option
@json_option
def run(
    url: str,
    directory: Path,
    task: str,
    yes: bool,
    play: str,
    passphrase_path: Path | None,
    as_json: bool,
    **options: Unpack[SettingOptions],
) -> None:
    """Run a node on a task until it is stopped."""
    from ..host.logs import start_log
    from ..node.server import run as run_node
    from ..node.setting import NodeSetting
    from ..participant.plays import find_play

    start_log(is_node=True)
    setting = NodeSetting(
        priority_fee=get_priority_fee(),
        ledger_url=url,
        task=task,
        directory=directory.absolute(),
        passphrase=_get_passphrase(directory, task, passphrase_path),
        play=find_play(play),
        **options,
    )

    def ready(address: str, where: str) -> None:
        if as_json:
            say_json({"ready": True, "node": address, "endpoint": where})
        else:
            say(f"node {address} at {where}")

    asyncio.run(run_node(setting, ready, Agreement(directory, task, yes)))


@command.command()
@url_option
@priority_option
@directory_option
@task_option
@click.option("--amount", type=ROE, required=True, help="Roe to add, or 2koii.")
@click.option("--endpoint", default="", help="Where others reach the node.")
@passphrase_option
@json_option
def stake(
    url: str,
    directory: Path,
    task: str,
    amount: int,
    endpoint: str,
    passphrase_path: Path | None,
    as_json: bool,
) -> None:
    """Add to the node's stake in a task."""
    from ..client.operations import read_stake
    from ..client.operations import stake as stake_more

    main, staking = read_node_keys(directory, task, passphrase_path)

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        signature = await stake_more(client, main, staking, task, amount, endpoint)
        mint, at_stake, available = await read_stake(client, task, str(staking.pubkey()))
        unit = await read_unit(client, mint)
        facts = {"signature": signature, "amount": amount, "stake": at_stake, "available": available}
        return facts, f"staked {unit.show(amount)}; the stake is {unit.show(at_stake)} now"

    show_receipt(*call_ledger(url, run), as_json)


@command.command()
@url_option
@priority_option
@directory_option
@task_option
@click.option("--wait", is_flag=True, help="Wait until the rounds that hold it are closed.")
@passphrase_option
@json_option
def withdraw(
    url: str, directory: Path, task: str, wait: bool, passphrase_path: Path | None, as_json: bool
) -> None:
    """Move the node's whole stake to its available balance. Stop the node first."""
    from ..client.operations import read_stake, withdraw_when_free
    from ..client.operations import withdraw as withdraw_all

    main, staking = read_node_keys(directory, task, passphrase_path)

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        if wait:
            signature = await withdraw_when_free(client, main, staking, task, report_once())
        else:
            signature = await withdraw_all(client, main, staking, task)
        mint, at_stake, available = await read_stake(client, task, str(staking.pubkey()))
        unit = await read_unit(client, mint)
        facts = {"signature": signature, "stake": at_stake, "available": available}
        return facts, f"withdrew the stake; {unit.show(available)} can be claimed now"

    show_receipt(*call_ledger(url, run), as_json)


@command.command()
@url_option
@priority_option
@directory_option
@task_option
@click.option("--to", type=ADDRESS, help="The address that is paid; without it, the node's main key.")
@passphrase_option
@json_option
def claim(
    url: str, directory: Path, task: str, to: str | None, passphrase_path: Path | None, as_json: bool
) -> None:
    """Pay out the node's whole available balance."""
    from ..client.operations import claim as claim_all
    from ..client.operations import read_holding, read_stake

    main, staking = read_node_keys(directory, task, passphrase_path)
    target = to or str(main.pubkey())

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        mint, _, _ = await read_stake(client, task, str(staking.pubkey()))
        before = await read_holding(client, mint, target)
        signature = await claim_all(client, main, staking, task, target)
        balance, unit = await read_holding(client, mint, target), await read_unit(client, mint)
        claimed = balance - before if mint else await client.get_received(signature, target)
        facts = {"signature": signature, "to": target, "amount": claimed, "balance": balance}
        return facts, f"claimed {unit.show(claimed)} for {target}, which holds {unit.show(balance)} now"

    show_receipt(*call_ledger(url, run), as_json)


@command.command()
@url_option
@directory_option
@task_option
@click.option(
    "--last",
    type=click.IntRange(1),
    default=ROUNDS_SHOWN,
    show_default=True,
    help="How many rounds, counted back from the newest.",
)
@json_option
def status(url: str, directory: Path, task: str, last: int, as_json: bool) -> None:
    """Show the node's money, what its rounds paid, what it claims by itself and what fails now."""
    from ..client.operations import read_standing as read_money
    from ..host.hold import is_held
    from ..host.keypairs import read_address
    from ..node.javascript.standing import read_standing as read_program
    from ..node.keystore import find_staking_path
    from ..node.setting import find_home
    from ..node.standing import read_standing

    main = read_address(directory / "main.json")
    staking = read_address(find_staking_path(directory, task))
    standing = call_ledger(url, lambda client: read_money(client, task, main, staking, last))
    home = find_home(directory, task)
    is_running = is_held(home)
    program = read_program(home) if is_running else None
    if program is not None:
        standing["program"] = {"state": program.state, "starts": program.starts, "end": program.end}
    running = read_standing(home) if is_running else None
    if running is not None:
        standing["claims"] = {"least": running.claim_least, "to": running.claim_to}
        standing["failures"] = running.failures
    show(standing if as_json else compose_standing(standing), as_json)


@command.command()
@json_option
def doctor(as_json: bool) -> None:
    """Show which bounds of a task this machine enforces, and which it does not."""
    from ..node.confinement.doctor import examine_all

    found = asyncio.run(examine_all())
    if as_json:
        say_json({"backends": {name: _show_findings(each) for name, each in found.items()}})
        return
    for name, findings in found.items():
        say(name)
        if isinstance(findings, str):
            say(f"  {findings}")
            continue
        for bound, finding in findings.items():
            say(f"  {'yes' if finding.is_enforced else 'no ':<3}  {bound:<12}  {finding.by}")


def _show_findings(findings: "dict[str, Finding] | str") -> dict[str, Any]:
    if isinstance(findings, str):
        return {"usable": False, "reason": findings}
    bounds = {name: {"enforced": each.is_enforced, "by": each.by} for name, each in findings.items()}
    return {"usable": True, "bounds": bounds}


def _get_passphrase(directory: Path, task: str, passphrase_path: Path | None) -> str | None:
    """The passphrase of the node's keys, old or new; read from the terminal if a key is encrypted."""
    from ..host.keypairs import is_encrypted
    from ..node.keystore import find_staking_path

    paths = (directory / "main.json", directory / "staking.json", find_staking_path(directory, task))
    locked = [path for path in paths if is_encrypted(path)]
    return get_passphrase(passphrase_path, f"Passphrase of {locked[0]}" if locked else None)
