"""`roundwork ledger`: run, inspect and verify a settlement ledger."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..ledger.chain import Chain

DIRECTORY = Path(".roundwork/ledger")

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=DIRECTORY,
    show_default=True,
    help="Where the ledger is kept.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """Run, inspect and verify a settlement ledger."""


@command.command()
@directory_option
@click.option("--host", default="localhost", show_default=True, help="Where to listen.")
@click.option("--port", default=8899, show_default=True, help="For RPC; websockets also on the next one.")
@click.option("--slot-ms", type=int, help="Milliseconds of a slot, for a ledger that is founded now.")
@json_option
def run(directory: Path, host: str, port: int, slot_ms: int | None, as_json: bool) -> None:
    """Run a ledger; the first time, found a development ledger with a faucet."""
    from ..ledger import server

    server.found_development(directory, **({"slot_ms": slot_ms} if slot_ms else {}))

    def ready(chain: "Chain") -> None:
        url = f"http://{host}:{port}"
        if as_json:
            click.echo(json.dumps({"ready": True, "url": url, "height": chain.state.head.height}))
        else:
            click.echo(
                f"ledger at {url}, height {chain.state.head.height}, slots of {chain.genesis.slot_ms} ms"
            )

    server.run(directory, host, port, ready)


@command.command()
@directory_option
@json_option
def info(directory: Path, as_json: bool) -> None:
    """Show where the ledger on disk stands. It may be running."""
    from ..ledger.inspect import read_info

    facts = read_info(directory)
    if as_json:
        click.echo(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {value}")


@command.command()
@directory_option
@json_option
def verify(directory: Path, as_json: bool) -> None:
    """Replay the journal from genesis: every signature, block hash and state hash."""
    from ..ledger.inspect import verify

    with click.progressbar(length=1, label="verifying", hidden=as_json) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        facts = verify(directory, show)
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(
            f"{facts['blocks']} blocks, {facts['transactions']} transactions: every signature and every hash "
            f"is right. State hash {facts['state_hash']}, supply {facts['supply']} roe"
        )
