"""What the commands of a ledger share: their options, and the line that reports that it answers."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import say, say_json

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
host_option = click.option("--host", default="localhost", show_default=True, help="Where to listen.")
port_option = click.option(
    "--port",
    type=click.IntRange(1, 65_534),
    default=8899,
    show_default=True,
    help="For RPC; websockets also on the next port.",
)
slot_option = click.option(
    "--slot-ms",
    type=click.IntRange(10, 60_000),
    help="Milliseconds of a slot, for a ledger that is founded now.",
)
limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Set a limit of RPC, as docs/RPC.md lists them; may be given again.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def compose_settings(slot_ms: int | None) -> dict[str, int]:
    """The fields of a genesis that options ask for."""
    return {"slot_ms": slot_ms} if slot_ms is not None else {}


def announce(host: str, port: int, as_json: bool) -> "Callable[[Chain], None]":
    """Prints, when it is called, that the ledger answers."""

    def ready(chain: "Chain") -> None:
        url = f"http://{host}:{port}"
        if as_json:
            say_json({"ready": True, "url": url, "height": chain.state.head.height})
        else:
            say(f"ledger at {url}, height {chain.state.head.height}, slots of {chain.genesis.slot_ms} ms")

    return ready
