"""`roundwork node`: run a node; stake, withdraw, claim."""

import asyncio
import json
import sys
from pathlib import Path

import click

from .options import ask, json_option, url_option

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".roundwork/node"),
    show_default=True,
    help="Where the node keeps its keys, its memory and its tasks.",
)
task_option = click.option("--task", required=True, help="The task's address.")


@click.group()
def command() -> None:
    """Run a node; stake, withdraw, claim."""


@command.command()
@url_option
@directory_option
@task_option
@click.option("--package", type=click.Path(path_type=Path), help="The task's folder; else it is fetched.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the gateway listens.")
@click.option("--port", default=0, help="The gateway's port; 0 is any free one.")
@click.option("--endpoint", help="Where others reach the gateway, if not at host and port.")
@click.option("--stake", default=0, help="Roe to have at stake whenever it is below the task's minimum.")
@click.option("--sandbox", type=click.Choice(["sandlock", "bwrap", "none"]), help="What confines the task.")
@click.option("--param", "params", multiple=True, help="K=V, a param of the task.")
@click.option("--secret", "secrets", multiple=True, help="K=V, a secret that the task asks for.")
@click.option("--liar", is_flag=True, hidden=True, help="Submit lies; for demonstrations.")
@json_option
def run(
    url: str,
    directory: Path,
    task: str,
    package: Path | None,
    host: str,
    port: int,
    endpoint: str | None,
    stake: int,
    sandbox: str | None,
    params: tuple[str, ...],
    secrets: tuple[str, ...],
    liar: bool,
    as_json: bool,
) -> None:
    """Run a node on a task until it is stopped."""
    import logging

    from ..node.server import NodeSetting
    from ..node.server import run as run_node

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    setting = NodeSetting(
        ledger_url=url,
        task=task,
        directory=directory.absolute(),
        package=package,
        host=host,
        port=port,
        endpoint=endpoint,
        stake=stake,
        sandbox=sandbox,
        params=_read_pairs(params, "--param"),
        secrets=_read_pairs(secrets, "--secret"),
        is_liar=liar,
    )

    def ready(address: str, where: str) -> None:
        if as_json:
            click.echo(json.dumps({"ready": True, "node": address, "endpoint": where}))
        else:
            click.echo(f"node {address} at {where}")

    asyncio.run(run_node(setting, ready))


@command.command()
@url_option
@directory_option
@task_option
@click.option("--amount", type=int, required=True, help="Roe to add.")
@click.option("--endpoint", default="", help="Where others reach the node.")
@json_option
def stake(url: str, directory: Path, task: str, amount: int, endpoint: str, as_json: bool) -> None:
    """Add to the node's stake in a task."""
    from ..node.keystore import read_keypair
    from ..operations import stake as stake_more

    main, staking = read_keypair(directory / "main.json"), read_keypair(directory / "staking.json")
    signature = ask(url, lambda client: stake_more(client, main, staking, task, amount, endpoint))
    _show({"signature": signature}, as_json)


@command.command()
@url_option
@directory_option
@task_option
@json_option
def withdraw(url: str, directory: Path, task: str, as_json: bool) -> None:
    """Move the node's whole stake to what it can claim."""
    from ..node.keystore import read_keypair
    from ..operations import withdraw as withdraw_all

    main, staking = read_keypair(directory / "main.json"), read_keypair(directory / "staking.json")
    _show({"signature": ask(url, lambda client: withdraw_all(client, main, staking, task))}, as_json)


@command.command()
@url_option
@directory_option
@task_option
@click.option("--to", help="Who is paid; the node's main key if nobody is named.")
@json_option
def claim(url: str, directory: Path, task: str, to: str | None, as_json: bool) -> None:
    """Pay out everything the node can claim."""
    from ..node.keystore import read_keypair
    from ..operations import claim as claim_all

    main, staking = read_keypair(directory / "main.json"), read_keypair(directory / "staking.json")
    target = to or str(main.pubkey())
    _show({"signature": ask(url, lambda client: claim_all(client, main, staking, task, target))}, as_json)


@command.command()
@url_option
@directory_option
@task_option
@json_option
def status(url: str, directory: Path, task: str, as_json: bool) -> None:
    """Show the node's stake, what it can claim and what its rounds paid."""
    from ..node.keystore import read_keypair
    from ..operations import read_standing

    main, staking = read_keypair(directory / "main.json"), read_keypair(directory / "staking.json")
    standing = ask(url, lambda client: read_standing(client, task, str(main.pubkey()), str(staking.pubkey())))
    _show(standing, as_json)


def _show(facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {value}")


def _read_pairs(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    read = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or not name:
            raise click.BadParameter(f"{pair!r} is not of the form NAME=VALUE", param_hint=option)
        read[name] = value
    return read
