"""`roundwork token`: make a token and move it, for tasks that pay in one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .keys import choose_address, key_option, passphrase_option, read_key
from .options import ADDRESS, AMOUNT, call_ledger, format_money, json_option, priority_option, url_option
from .output import say_either
from .receipts import read_unit, show_receipt

if TYPE_CHECKING:
    from ..client.rpc import Client

payer_option = key_option(
    "--key", "key_path", "The key that signs and pays; else that of Solana's configuration."
)


@click.group()
def command() -> None:
    """Make a token and move it. Amounts are in its smallest unit."""


@command.command()
@click.option("--decimals", type=click.IntRange(0, 18), default=9, show_default=True)
@payer_option
@passphrase_option
@url_option
@priority_option
@json_option
def create(decimals: int, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool) -> None:
    """Make a new token. The signing key may make more of it; it cannot be frozen."""
    from ..client.operations import create_token

    payer = read_key(key_path, passphrase_path)
    mint = call_ledger(url, lambda client: create_token(client, payer, decimals))
    say_either({"mint": mint}, mint, as_json)


@command.command()
@click.argument("token", type=ADDRESS)
@click.argument("owner", type=ADDRESS)
@click.argument("amount", type=AMOUNT)
@payer_option
@passphrase_option
@url_option
@priority_option
@json_option
def mint(
    token: str, owner: str, amount: int, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Make AMOUNT more of TOKEN for OWNER."""
    from ..client.operations import mint_tokens, read_holding

    payer = read_key(key_path, passphrase_path)

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        signature = await mint_tokens(client, payer, token, owner, amount)
        balance, unit = await read_holding(client, token, owner), await read_unit(client, token)
        facts = {"signature": signature, "owner": owner, "amount": amount, "balance": balance}
        return facts, f"made {unit.show(amount)} for {owner}, which holds {unit.show(balance)} now"

    show_receipt(*call_ledger(url, run), as_json)


@command.command()
@click.argument("token", type=ADDRESS)
@click.argument("owner", type=ADDRESS)
@click.argument("amount", type=AMOUNT)
@payer_option
@passphrase_option
@url_option
@priority_option
@json_option
def send(
    token: str, owner: str, amount: int, key_path: Path, passphrase_path: Path | None, url: str, as_json: bool
) -> None:
    """Send AMOUNT of TOKEN to OWNER."""
    from ..client.operations import read_holding, send_tokens

    payer = read_key(key_path, passphrase_path)

    async def run(client: "Client") -> tuple[dict[str, Any], str]:
        signature = await send_tokens(client, payer, token, owner, amount)
        source, unit = str(payer.pubkey()), await read_unit(client, token)
        balance = await read_holding(client, token, source)
        facts = {"signature": signature, "from": source, "to": owner, "amount": amount, "balance": balance}
        return facts, f"sent {unit.show(amount)} to {owner}; {source} holds {unit.show(balance)} now"

    show_receipt(*call_ledger(url, run), as_json)


@command.command()
@click.argument("token", type=ADDRESS)
@click.argument("owner", type=ADDRESS, required=False, callback=choose_address)
@url_option
@json_option
def balance(token: str, owner: str, url: str, as_json: bool) -> None:
    """Show what OWNER holds of TOKEN."""
    from ..client.operations import read_tokens

    amount, decimals = call_ledger(url, lambda client: read_tokens(client, token, owner))
    facts = {"mint": token, "owner": owner, "amount": amount, "decimals": decimals}
    say_either(facts, format_money(amount, token, decimals), as_json)
