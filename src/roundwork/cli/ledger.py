"""`roundwork ledger`: run, inspect and verify a settlement ledger."""

import asyncio
import sys
from pathlib import Path

import click

from ..errors import BadInput
from . import ledger_comet
from .ledger_options import (
    announce,
    compose_settings,
    directory_option,
    host_option,
    json_option,
    limit_option,
    port_option,
    slot_option,
)  # fmt: skip
from .options import ADDRESS, show
from .output import say, say_either, say_exactly, say_json

WARP_SLOTS_MAX = 1_000_000
"""More would take hours: each block is synced to the disk."""


@click.group()
def command() -> None:
    """Run, inspect and verify a settlement ledger."""


command.add_command(ledger_comet.command, "comet")


@command.command()
@directory_option
@host_option
@port_option
@slot_option
@click.option(
    "--account",
    "account_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="For a new ledger: an account as `solana account --output json` writes it; may be given again.",
)
@click.option(
    "--clone",
    "clones",
    multiple=True,
    type=ADDRESS,
    help="For a new ledger: copy the balance of this account from --clone-url; may be given again.",
)
@click.option("--clone-url", help="RPC of the ledger or cluster that --clone copies from.")
@limit_option
@json_option
def run(
    directory: Path,
    host: str,
    port: int,
    slot_ms: int | None,
    account_files: tuple[Path, ...],
    clones: tuple[str, ...],
    clone_url: str | None,
    limits: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run a ledger; the first time, create a development ledger with a faucet."""
    from ..host.front import read_limits
    from ..host.logs import start_log
    from ..ledger import server
    from ..ledger.comet.home import check_no_home
    from ..ledger.grants import copy_grants, read_grant
    from ..ledger.limits import Limits
    from ..ledger.store.agreement import GENESIS_FILE

    if clones and clone_url is None:
        raise click.UsageError("--clone needs --clone-url, the RPC to copy from")
    start_log()
    allowed = read_limits(limits, Limits)
    check_no_home(directory)
    if (account_files or clones) and (directory / GENESIS_FILE).exists():
        raise BadInput(f"{directory} has a ledger already; --account and --clone are for a new one")
    grants = [read_grant(path) for path in account_files]
    if clone_url is not None:
        grants += asyncio.run(copy_grants(clone_url, list(clones)))
    server.found_development(directory, grants, **compose_settings(slot_ms))
    server.run(directory, host, port, announce(host, port, as_json), allowed)


@command.command()
@directory_option
@json_option
def info(directory: Path, as_json: bool) -> None:
    """Show where the ledger on disk stands. It may be running."""
    from ..ledger.inspect import read_info

    facts = read_info(directory)
    show(facts, as_json)


@command.command()
@directory_option
@json_option
def verify(directory: Path, as_json: bool) -> None:
    """Replay the journal from genesis: every signature, block hash and state hash."""
    from ..ledger.inspect import verify

    with click.progressbar(length=1, label="verifying", hidden=as_json or not sys.stdout.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        facts = verify(directory, show)
    if as_json:
        say_json(facts)
    else:
        say(
            f"{facts['blocks']} blocks, {facts['transactions']} transactions: every signature and every hash "
            f"is right. State hash {facts['state_hash']}, supply {facts['supply']:,} roe"
        )


@command.command()
@directory_option
@click.option(
    "--slots",
    type=click.IntRange(1, WARP_SLOTS_MAX),
    required=True,
    help="How many slots: at most a million.",
)
@json_option
def warp(directory: Path, slots: int, as_json: bool) -> None:
    """Let slots of a stopped development ledger pass at once, with all that falls due in them."""
    from ..ledger.comet.home import check_no_home
    from ..ledger.warp import warp

    check_no_home(directory)
    hidden = as_json or not sys.stderr.isatty()
    with click.progressbar(length=slots, label="warping", hidden=hidden, file=sys.stderr) as bar:
        facts = warp(directory, slots, lambda done: bar.update(done - bar.pos))
    text = f"slot {facts['slot']:,}, height {facts['height']:,}: {facts['blocks']:,} blocks made"
    say_either(facts, text, as_json)


@command.command()
@directory_option
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the genesis here.")
@click.option("--chain", help="The name of the new chain; else the old one's with -2.")
@json_option
def export(directory: Path, output: Path | None, chain: str | None, as_json: bool) -> None:
    """Write the money of a stopped ledger as the genesis of a new one."""
    from ..ledger.export import export

    exported = export(directory, chain)
    if output is not None:
        with output.open("xb") as file:
            file.write(exported.text)
    total = sum(exported.sums.values())
    if as_json:
        shown = {"chain": exported.genesis.chain, "accounts": len(exported.genesis.accounts), "total": total}
        say_json({**shown, "sums": exported.sums, "left_behind": exported.left_behind})
        return
    if output is None:
        say_exactly(exported.text.decode())
    width = len(f"{total:,}")
    for kind, amount in exported.sums.items():
        say(f"{amount:>{width},} roe  {kind}", err=output is None)
    say(f"{total:>{width},} roe  in {len(exported.genesis.accounts)} accounts", err=output is None)
    for line in exported.left_behind:
        say(f"left behind: {line}", err=True)
