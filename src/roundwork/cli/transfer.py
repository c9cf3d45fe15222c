"""`roundwork transfer`: send money."""

from pathlib import Path

import click

from .keys import key_option, passphrase_option, read_key
from .options import ADDRESS, ROE, call_ledger, json_option, url_option
from .output import say_either


@click.command()
@click.argument("address", type=ADDRESS)
@click.argument("roe", type=ROE)
@key_option("--from", "source", "A keypair file; else the one that Solana's configuration names.")
@passphrase_option
@url_option
@json_option
def command(
    address: str, roe: int, source: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Send ROE, an integer or such as 2.5koii, to ADDRESS."""
    from ..client.operations import transfer_money

    pair = read_key(source, passphrase_path)
    signature = call_ledger(url, lambda client: transfer_money(client, pair, address, roe))
    say_either({"signature": signature}, signature, as_json)
