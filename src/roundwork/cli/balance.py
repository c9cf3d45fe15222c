"""`roundwork balance`: what an address holds."""

import click

from .keys import choose_address
from .options import ADDRESS, call_ledger, format_money, json_option, url_option
from .output import say_either


@click.command()
@click.argument("address", type=ADDRESS, required=False, callback=choose_address)
@url_option
@json_option
def command(address: str, url: str, as_json: bool) -> None:
    """Show what ADDRESS holds; without one, the address that Solana's configuration has the key of."""
    roe = call_ledger(url, lambda client: client.get_balance(address))
    say_either({"address": address, "roe": roe}, format_money(roe), as_json)
