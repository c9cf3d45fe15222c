"""`roundwork task`: deploy, fund and look after tasks."""

import json
from pathlib import Path

import click

from .keys import key_option, passphrase_option, read_key
from .options import ADDRESS, ROE, ask, json_option, url_option

manager_option = key_option(
    "--key", "key_path", "The manager's keypair file; else the one that Solana's configuration names."
)


@click.group()
def command() -> None:
    """Deploy, fund and look after tasks."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@manager_option
@passphrase_option
@url_option
@click.option("--inactive", is_flag=True, help="Do not open it for submissions yet.")
@json_option
def deploy(
    folder: Path, key_path: Path, passphrase_path: Path | None, url: str, inactive: bool, as_json: bool
) -> None:
    """Create the task of FOLDER, pay its bounty in and open it."""
    from ..client import Client
    from ..operations import deploy as deploy_package
    from ..operations import set_active
    from ..package import load_package, pack

    manager, package = read_key(key_path, passphrase_path), load_package(folder)
    content_id, _ = pack(package)

    async def run(client: Client) -> str:
        address = await deploy_package(client, manager, package, content_id)
        if not inactive:
            await set_active(client, manager, address, True)
        return address

    address = ask(url, run)
    facts = {"task": address, "package": content_id}
    click.echo(json.dumps(facts) if as_json else f"task {address}\npackage {content_id}")
    for warning in package.warnings:
        click.echo(warning, err=True)


@command.command()
@click.argument("address", type=ADDRESS)
@click.argument("folder", type=click.Path(path_type=Path))
@manager_option
@passphrase_option
@url_option
@json_option
def update(
    address: str, folder: Path, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Found a task's successor from FOLDER: it takes the bounty over, open rounds settle at the old one."""
    from ..operations import update as update_task
    from ..package import load_package, pack

    manager, package = read_key(key_path, passphrase_path), load_package(folder)
    content_id, _ = pack(package)
    successor = ask(url, lambda client: update_task(client, manager, address, package, content_id))
    facts = {"task": successor, "migrated_from": address, "package": content_id}
    click.echo(json.dumps(facts) if as_json else f"task {successor}\npackage {content_id}")


@command.command()
@click.argument("address", type=ADDRESS)
@url_option
@json_option
def show(address: str, url: str, as_json: bool) -> None:
    """Show a task: its configuration, its money, its nodes."""
    import msgspec

    from ..operations import read_task

    view = msgspec.to_builtins(ask(url, lambda client: read_task(client, address)))
    if as_json:
        click.echo(json.dumps(view))
        return
    width = max(map(len, view))
    for name, value in view.items():
        if name != "stakes":
            click.echo(f"{name.replace('_', ' '):<{width}}  {value}")
    for one in view["stakes"]:
        click.echo(
            f"  {one['node']:<44}  stake {one['amount']}  available {one['available']}  {one['endpoint']}"
        )


@command.command()
@click.argument("address", type=ADDRESS)
@click.argument("roe", type=ROE)
@manager_option
@passphrase_option
@url_option
@json_option
def fund(
    address: str, roe: int, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Add ROE to a task's bounty."""
    from ..operations import fund as fund_task

    payer = read_key(key_path, passphrase_path)
    _show(ask(url, lambda client: fund_task(client, payer, address, roe)), as_json)


@command.command()
@click.argument("address", type=ADDRESS)
@click.option("--off", is_flag=True, help="Shut it for new submissions instead.")
@manager_option
@passphrase_option
@url_option
@json_option
def activate(
    address: str, off: bool, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Open a task for submissions, from the next ledger round on."""
    from ..operations import set_active

    manager = read_key(key_path, passphrase_path)
    _show(ask(url, lambda client: set_active(client, manager, address, not off)), as_json)


@command.command()
@click.argument("address", type=ADDRESS)
@manager_option
@passphrase_option
@url_option
@json_option
def close(address: str, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool) -> None:
    """End a task without open rounds; its bounty goes to the manager."""
    from ..operations import close_task

    manager = read_key(key_path, passphrase_path)
    _show(ask(url, lambda client: close_task(client, manager, address)), as_json)


def _show(signature: str, as_json: bool) -> None:
    click.echo(json.dumps({"signature": signature}) if as_json else signature)
