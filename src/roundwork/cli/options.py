"""What commands that talk to a ledger share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from ..client import Client

T = TypeVar("T")

URL = "http://127.0.0.1:8899"

url_option = click.option(
    "--url", default=URL, show_default=True, envvar="ROUNDWORK_URL", help="The ledger's RPC."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def ask(url: str, question: "Callable[[Client], Awaitable[T]]") -> T:
    """The answer to one question to the ledger."""
    from ..client import Client

    async def run() -> T:
        async with Client(url) as client:
            await client.get_slot()  # nobody there is said at once; only an outage in between is waited for
            return await question(client)

    return asyncio.run(run())
