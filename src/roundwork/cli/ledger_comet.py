"""`roundwork ledger comet`: the same ledger behind CometBFT's agreement."""

import sys
from pathlib import Path

import click

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
from .output import fail, say_either

P2P = "tcp://127.0.0.1:0"

p2p_option = click.option(
    "--p2p",
    default=P2P,
    show_default=True,
    help="Where other validators reach this validator, tcp://HOST:PORT.",
)


@click.group()
def command() -> None:
    """Run a ledger on CometBFT: many operators, who do not need to trust each other."""


@command.command()
@directory_option
@slot_option
@p2p_option
@click.option(
    "--validator",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A keypair file for the validator's key; without it one is made.",
)
@json_option
def init(directory: Path, slot_ms: int | None, p2p: str, validator: Path | None, as_json: bool) -> None:
    """Write CometBFT's home for the ledger of a directory; found a development ledger if there is none."""
    from ..ledger.comet.founding import found_home

    home = found_home(directory, p2p, validator, **compose_settings(slot_ms))
    chain = home.genesis.chain_id
    facts = {"chain": chain, "home": str(home.path)}
    say_either(facts, f"chain {chain}, one validator, in {home.path}", as_json)


@command.command()
@directory_option
@host_option
@port_option
@slot_option
@limit_option
@json_option
def run(
    directory: Path, host: str, port: int, slot_ms: int | None, limits: tuple[str, ...], as_json: bool
) -> None:
    """Run CometBFT and its application as a pair; the first time, do what `init` does."""
    from ..host.front import read_limits
    from ..host.logs import start_log
    from ..ledger.comet import supervise
    from ..ledger.comet.home import Home, has_home
    from ..ledger.limits import Limits

    start_log()
    read_limits(limits, Limits)  # a wrong limit is an error here, before any process starts
    binary = supervise.find_cometbft()
    directory = directory.absolute()
    if not has_home(directory):
        from ..ledger.comet.founding import found_home

        found_home(directory, P2P, None, **compose_settings(slot_ms))
    application = [sys.executable, "-m", "roundwork", "ledger", "comet", "application"]
    application += ["--directory", str(directory), "--host", host, "--port", str(port)]
    application += [word for limit in limits for word in ("--limit", limit)]
    supervise.run(Home(directory), binary, application + ["--json"] * as_json)


@command.command(hidden=True)
@directory_option
@host_option
@port_option
@limit_option
@json_option
@click.option("--socket-fd", type=int, required=True, help="The unix socket that CometBFT dials.")
def application(
    directory: Path, host: str, port: int, limits: tuple[str, ...], as_json: bool, socket_fd: int
) -> None:
    """What `run` starts beside CometBFT."""
    import socket

    from ..errors import BadInput, PortInUse, StoreCorrupt, StoreFull, StoreInUse
    from ..host.front import read_limits
    from ..host.logs import start_log
    from ..ledger.comet import serve
    from ..ledger.comet.home import Home
    from ..ledger.comet.supervise import FATAL
    from ..ledger.limits import Limits

    start_log()
    listening = socket.socket(fileno=socket_fd)
    try:
        ready = announce(host, port, as_json)
        serve.run(Home(directory), listening, host, port, ready, read_limits(limits, Limits))
    except (BadInput, PortInUse, StoreCorrupt, StoreFull, StoreInUse) as error:
        fail(f"{type(error).__name__}: {error}", FATAL)
