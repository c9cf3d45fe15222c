"""`roundwork task`: deploy, fund and look after tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BadConfig
from .check import check_functions
from .check import command as check
from .keys import key_option, passphrase_option, read_key
from .margin import Costs, check_margin, cost_options, force_option
from .options import ADDRESS, ROE, call_ledger, json_option, priority_option, sandbox_option, url_option
from .options import show as show_facts
from .output import report_once, say, say_either, say_json
from .receipts import Unit, read_unit, show_receipt
from .task_ledger import list_tasks, show_rounds
from .task_view import compose_task, find_warnings, prepare, report

if TYPE_CHECKING:
    from ..client.rpc import Client

manager_option = key_option(
    "--key", "key_path", "The manager's keypair file; else the one that Solana's configuration names."
)


@click.group()
def command() -> None:
    """Deploy, fund and look after tasks."""


command.add_command(check, "check")
command.add_command(list_tasks)
command.add_command(show_rounds)


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@manager_option
@passphrase_option
@url_option
@priority_option
@click.option("--inactive", is_flag=True, help="Leave it inactive: it takes no submissions yet.")
@sandbox_option
@cost_options
@force_option
@json_option
def deploy(
    folder: Path,
    key_path: Path,
    passphrase_path: Path | None,
    url: str,
    inactive: bool,
    sandbox: str | None,
    is_forced: bool,
    as_json: bool,
    **costs: Any,
) -> None:
    """Create the task of FOLDER, pay its bounty in and activate it.

    It first tries the task's functions, as `roundwork check` does, and shows what cheating would lose with
    the expected nodes and costs, as `roundwork advise` does. It refuses a task whose functions fail, and one
    under roundwork-1 in which cheating pays.
    """
    from ..client.operations import deploy as deploy_package
    from ..client.operations import read_holding, read_task, set_active
    from ..client.rpc import Client

    manager = read_key(key_path, passphrase_path)
    manager_address = str(manager.pubkey())
    check_functions(folder, sandbox, is_forced, as_json)
    package, content_id, metadata = prepare(folder, sandbox, as_json)
    margin = check_margin(package, Costs(**costs), is_forced, as_json)

    async def run(client: Client) -> tuple[str, dict[str, int]]:
        address = await deploy_package(client, manager, package, content_id, metadata)
        report(f"created {address}", as_json)
        if not inactive:
            await set_active(client, manager, address, True)
            report("activated it: it takes submissions", as_json)
        view = await read_task(client, address)
        unit, balance = (
            await read_unit(client, view.mint),
            await read_holding(client, view.mint, manager_address),
        )
        report(f"paid in {unit.show(view.bounty)}; {manager_address} holds {unit.show(balance)} now", as_json)
        return address, {"bounty": view.bounty, "balance": balance}

    address, money = call_ledger(url, run)
    facts = {"task": address, "package": content_id, "metadata": metadata}
    more = {**money, "margin": margin, "warnings": find_warnings(package)} if as_json else {}
    show_facts({**facts, **more}, as_json)
    report(_describe_next(address, folder), as_json)


@command.command()
@click.argument("words", nargs=-1, required=True, metavar="[ADDRESS] FOLDER")
@manager_option
@passphrase_option
@url_option
@priority_option
@sandbox_option
@cost_options
@force_option
@json_option
def update(
    words: tuple[str, ...],
    key_path: Path,
    passphrase_path: Path | None,
    url: str,
    sandbox: str | None,
    is_forced: bool,
    as_json: bool,
    **costs: Any,
) -> None:
    """Found a task's successor from FOLDER. It takes the bounty over; open rounds settle at the old address.

    The task is the one at ADDRESS, or else task_id of the folder's config-task.yml.
    """
    from ..client.operations import read_task
    from ..client.operations import update as update_task
    from ..client.rpc import Client
    from ..package.folder import load_package

    if len(words) > 2:
        raise click.UsageError("it takes [ADDRESS] FOLDER and nothing else")
    folder = Path(words[-1])
    manager = read_key(key_path, passphrase_path)
    address = _choose_task(words[0] if len(words) == 2 else None, load_package(folder).task_id)
    check_functions(folder, sandbox, is_forced, as_json)
    package, content_id, metadata = prepare(folder, sandbox, as_json, is_new=False)
    margin = check_margin(package, Costs(**costs), is_forced, as_json)
    if not package.migration_description:
        report("warning: migrationDescription is empty: operators do not see what is new", as_json)

    async def run(client: Client) -> str:
        rules = (await read_task(client, address)).rules
        if rules != package.rules:
            line = f"rule set {package.rules} in place of {rules}: rounds that are open end under {rules}"
            report(line, as_json)
        return await update_task(client, manager, address, package, content_id, metadata)

    successor = call_ledger(url, run)
    facts = {"task": successor, "migrated_from": address, "package": content_id, "metadata": metadata}
    show_facts({**facts, "margin": margin} if as_json else facts, as_json)
    report(_describe_next(successor, folder), as_json)


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; 0 is any free one.")
@json_option
def serve(folder: Path, host: str, port: int, as_json: bool) -> None:
    """Serve the package of FOLDER to nodes, without a stake and without running it, until Ctrl-C."""
    import asyncio

    from ..node.peers.serving import serve_package

    def ready(content_id: str, blobs: int, port: int) -> None:
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        facts = {"url": url, "package": content_id, "blobs": blobs}
        text = f"serves {content_id}, {blobs} blobs, at {url}; nodes fetch it with `node run --peer {url}`"
        say_either(facts, text, as_json)

    asyncio.run(serve_package(folder, host, port, ready))


@command.command()
@click.argument("address", type=ADDRESS)
@url_option
@json_option
def show(address: str, url: str, as_json: bool) -> None:
    """Show a task: its configuration, its money, its nodes."""
    import msgspec

    from ..client.operations import read_task
    from ..client.rpc import Client
    from ..node.peers.metadata import fetch_metadata
    from ..views import TaskView

    async def run(client: Client) -> tuple[TaskView, dict[str, Any] | None, Unit, int]:
        view, ledger = await read_task(client, address), await client.get_ledger()
        unit = await read_unit(client, view.mint)
        return view, await fetch_metadata(view, ledger), unit, ledger.slot_ms

    view, metadata, unit, slot_ms = call_ledger(url, run)
    if as_json:
        say_json({**msgspec.to_builtins(view), "metadata_json": metadata})
        return
    for line in compose_task(view, metadata, unit, slot_ms):
        say(line)


@command.command()
@click.argument("address", type=ADDRESS)
@click.argument("roe", type=ROE)
@manager_option
@passphrase_option
@url_option
@priority_option
@json_option
def fund(
    address: str, roe: int, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Add ROE to a task's bounty."""
    from ..client.operations import fund as fund_task
    from ..client.operations import read_holding, read_task

    payer = read_key(key_path, passphrase_path)
    payer_address = str(payer.pubkey())

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        signature = await fund_task(client, payer, address, roe)
        view = await read_task(client, address)
        balance, unit = (
            await read_holding(client, view.mint, payer_address),
            await read_unit(client, view.mint),
        )
        facts = {"signature": signature, "amount": roe, "bounty": view.bounty, "balance": balance}
        line = f"added {unit.show(roe)}: the bounty is {unit.show(view.bounty)} now"
        return facts, f"{line}; {payer_address} holds {unit.show(balance)}"

    show_receipt(*call_ledger(url, run), as_json)


@command.command()
@click.argument("address", type=ADDRESS)
@click.option("--off", is_flag=True, help="Deactivate it instead: it takes no new submissions.")
@manager_option
@passphrase_option
@url_option
@priority_option
@json_option
def activate(
    address: str, off: bool, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Activate a task: it takes submissions from the next ledger round on."""
    from ..client.operations import set_active

    manager = read_key(key_path, passphrase_path)
    signature = call_ledger(url, lambda client: set_active(client, manager, address, not off))
    takes = "no submissions" if off else "submissions"
    show_receipt(
        {"signature": signature, "is_active": not off},
        f"{address} takes {takes} from the next ledger round on",
        as_json,
    )


@command.command()
@click.argument("address", type=ADDRESS)
@click.option("--wait", is_flag=True, help="Deactivate it, and wait until its open rounds are over.")
@manager_option
@passphrase_option
@url_option
@priority_option
@json_option
def close(
    address: str, wait: bool, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """End a task without open rounds; its bounty goes to the manager."""
    from ..client.operations import close_task, close_task_when_free, read_holding, read_task

    manager = read_key(key_path, passphrase_path)
    manager_address = str(manager.pubkey())

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        mint = (await read_task(client, address)).mint
        if wait:
            signature = await close_task_when_free(client, manager, address, report_once())
        else:
            signature = await close_task(client, manager, address)
        balance, unit = await read_holding(client, mint, manager_address), await read_unit(client, mint)
        facts = {"signature": signature, "balance": balance}
        return facts, f"closed {address}; {manager_address} holds {unit.show(balance)} now"

    show_receipt(*call_ledger(url, run), as_json)


def _describe_next(address: str, folder: Path) -> str:
    """Who gives the package of a new task to its nodes."""
    run = f"roundwork node run --task {address} --package {folder}"
    return (
        f"next: nodes fetch its package from a node that has it, so start one: {run}"
        f" (or serve it: roundwork task serve {folder})"
    )


def _choose_task(given: str | None, named: str) -> str:
    """The task to update. Raises UsageError, BadConfig."""
    if given is None and not named:
        raise click.UsageError("which task? Give its ADDRESS, or task_id in the folder's config-task.yml")
    if given is not None:
        ADDRESS.convert(given, None, None)
    if given and named and given != named:
        raise BadConfig(f"task_id: {named} must be {given}, the task that is to be updated, or empty")
    return given or named
