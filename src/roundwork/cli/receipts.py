"""What a command says of money that it moved: the amount, from where to where, and the balance now."""

from typing import TYPE_CHECKING, Any, NamedTuple

from .options import format_money
from .output import say, say_json

if TYPE_CHECKING:
    from ..client.rpc import Client


class Unit(NamedTuple):
    """What an amount is counted in: native money, or a token in its smallest unit."""

    symbol: str
    decimals: int

    def show(self, amount: int) -> str:
        """An amount in whole coins or tokens, exactly."""
        return format_money(amount, self.symbol, self.decimals)


async def read_unit(client: "Client", mint: str | None = None) -> Unit:
    """The unit of a token, or of native money. Raises Refused."""
    if mint is None:
        ledger = await client.get_ledger()
        return Unit(ledger.symbol, ledger.decimals)
    _, decimals = await client.get_token_supply(mint)
    return Unit("tokens", decimals)


def show_receipt(facts: dict[str, Any], line: str, as_json: bool) -> None:
    """Print what was done: the facts as JSON, or the line for people and the signature below it."""
    if as_json:
        say_json(facts)
        return
    say(line)
    say(f"signature {facts['signature']}")
