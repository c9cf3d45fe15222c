"""`roundwork balance`: what an address holds."""

from typing import TYPE_CHECKING

import click

from .keys import choose_address
from .options import ADDRESS, call_ledger, json_option, url_option
from .output import say_either
from .receipts import Unit, read_unit

if TYPE_CHECKING:
    from ..client.rpc import Client


@click.command()
@click.argument("address", type=ADDRESS, required=False, callback=choose_address)
@url_option
@json_option
def command(address: str, url: str, as_json: bool) -> None:
    """Show what ADDRESS holds; without it, that of the keypair that Solana's configuration names."""

    async def run(client: "Client") -> tuple[int, Unit]:
        return await client.get_balance(address), await read_unit(client)

    roe, unit = call_ledger(url, run)
    say_either({"address": address, "roe": roe}, unit.show(roe), as_json)
