"""`roundwork airdrop`: money from a development ledger's faucet."""

import click

from .keys import choose_address
from .options import ADDRESS, ROE, call_ledger, json_option, url_option
from .output import say_either


@click.command()
@click.argument("address", type=ADDRESS, required=False, callback=choose_address)
@click.argument("roe", type=ROE, default=100 * 10**9)
@url_option
@json_option
def command(address: str, roe: int, url: str, as_json: bool) -> None:
    """Have the faucet give ROE (default 100 KOII) to ADDRESS."""
    from ..client.operations import airdrop

    signature = call_ledger(url, lambda client: airdrop(client, address, roe))
    say_either({"signature": signature}, signature, as_json)
