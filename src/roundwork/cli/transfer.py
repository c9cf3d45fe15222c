"""`roundwork transfer`: send money."""

import json
from pathlib import Path

import click

from .options import ADDRESS, ROE, ask, json_option, passphrase_option, url_option


@click.command()
@click.argument("address", type=ADDRESS)
@click.argument("roe", type=ROE)
@click.option("--from", "source", type=click.Path(path_type=Path), required=True, help="A keypair file.")
@passphrase_option
@url_option
@json_option
def command(address: str, roe: int, source: Path, passphrase: str | None, url: str, as_json: bool) -> None:
    """Send ROE to ADDRESS."""
    from ..node.keystore import read_keypair
    from ..operations import transfer_money

    pair = read_keypair(source, passphrase)
    signature = ask(url, lambda client: transfer_money(client, pair, address, roe))
    click.echo(json.dumps({"signature": signature}) if as_json else signature)
