"""`roundwork transfer`: send money."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .keys import key_option, passphrase_option, read_key
from .options import ADDRESS, ROE, call_ledger, json_option, priority_option, url_option
from .receipts import read_unit, show_receipt

if TYPE_CHECKING:
    from ..client.rpc import Client


@click.command()
@click.argument("address", type=ADDRESS)
@click.argument("roe", type=ROE)
@key_option("--from", "source", "A keypair file; else the one that Solana's configuration names.")
@passphrase_option
@url_option
@priority_option
@json_option
def command(
    address: str, roe: int, source: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Send ROE, an integer or such as 2.5koii, to ADDRESS."""
    from ..client.operations import transfer_money

    pair = read_key(source, passphrase_path)
    source_address = str(pair.pubkey())

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        signature = await transfer_money(client, pair, address, roe)
        balance, unit = await client.get_balance(source_address), await read_unit(client)
        facts = {
            "signature": signature,
            "from": source_address,
            "to": address,
            "roe": roe,
            "balance": balance,
        }
        return facts, f"sent {unit.show(roe)} to {address}; {source_address} holds {unit.show(balance)} now"

    show_receipt(*call_ledger(url, run), as_json)
