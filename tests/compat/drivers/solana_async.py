"""Driven by the current asynchronous client of solana, with its websocket: prints what it saw as JSON."""

import asyncio
import json
import sys

from solana.rpc.async_api import AsyncClient
from solana.rpc.websocket_api import SolanaWsClient
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

URL, WEBSOCKET, MADE = sys.argv[1:4]


async def next_of(websocket, name):
    """The next notification whose class is `name`."""
    async with asyncio.timeout(10):
        while True:
            message = await websocket.recv()
            if type(message).__name__ == name:
                return message


async def main() -> dict:
    seen = {}
    payer, target = Keypair(), Keypair().pubkey()
    async with AsyncClient(URL) as client, SolanaWsClient(WEBSOCKET) as websocket:
        airdrop = (await client.request_airdrop(payer.pubkey(), 5_000_000_000)).value
        await client.confirm_transaction(airdrop)
        seen["other_library_made"] = (await client.get_account_info(Pubkey.from_string(MADE))).value.lamports

        slots = await websocket.slot_subscribe()
        seen["slot"] = (await next_of(websocket, "SlotNotification")).result.slot > 0
        await websocket.unsubscribe(slots)
        await websocket.account_subscribe(pubkey=target)
        latest = (await client.get_latest_blockhash()).value.blockhash
        ask = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=target, lamports=1234))
        message = Message.new_with_blockhash([ask], payer.pubkey(), latest)
        signature = (await client.send_transaction(Transaction([payer], message, latest))).value
        seen["account"] = (await next_of(websocket, "AccountNotification")).result.value.lamports
        await websocket.signature_subscribe(signature=signature)
        seen["signature"] = (await next_of(websocket, "SignatureNotification")).result.value.err is None
        seen["transferred"] = (await client.get_balance(target)).value
    return seen


print(json.dumps(asyncio.run(main())))
