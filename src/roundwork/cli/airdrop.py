"""`roundwork airdrop`: money from a development ledger's faucet."""

from typing import TYPE_CHECKING, Any

import click

from .keys import choose_address
from .options import ADDRESS, ROE, call_ledger, json_option, url_option
from .receipts import read_unit, show_receipt

if TYPE_CHECKING:
    from ..client.rpc import Client


@click.command()
@click.argument("address", type=ADDRESS, required=False, callback=choose_address)
@click.argument("roe", type=ROE, default=100 * 10**9)
@url_option
@json_option
def command(address: str, roe: int, url: str, as_json: bool) -> None:
    """Have the faucet give ROE (default 100 KOII) to ADDRESS."""
    from ..client.operations import airdrop

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        signature = await airdrop(client, address, roe)
        balance, unit = await client.get_balance(address), await read_unit(client)
        facts = {"signature": signature, "address": address, "roe": roe, "balance": balance}
        return facts, f"the faucet gave {unit.show(roe)} to {address}, which holds {unit.show(balance)} now"

    show_receipt(*call_ledger(url, run), as_json)
