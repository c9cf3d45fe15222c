"""What the asynchronous client of solana sees of accounts: their money, owner and size, as JSON."""

import asyncio
import json
import sys
from typing import Any

from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey


async def look() -> dict[str, list[Any]]:
    async with AsyncClient(sys.argv[1]) as client:
        keys = [Pubkey.from_string(one) for one in sys.argv[2:]]
        found = (await client.get_multiple_accounts(keys)).value
        return {
            one: [got.lamports, str(got.owner), len(got.data)]
            for one, got in zip(sys.argv[2:], found, strict=True)
        }


print(json.dumps(asyncio.run(look())))
