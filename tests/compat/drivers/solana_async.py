"""Driven by the current asynchronous client of solana, with its websocket: prints what it saw as JSON."""

import asyncio
import json
import sys
from typing import Any

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.models import MemcmpOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import Transaction, VersionedTransaction

URL, WEBSOCKET, OWNER = sys.argv[1], sys.argv[2], Pubkey.from_string(sys.argv[3])
payer, target, made = Keypair(), Keypair().pubkey(), Keypair()


async def next_of(websocket: SolanaWsClient, name: str) -> Any:
    """The next notification whose class is `name`."""
    async with asyncio.timeout(20):
        while True:
            message = await websocket.recv()
            if type(message).__name__ == name:
                return message


def move(amount: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=target, lamports=amount))


async def subscribe(client: AsyncClient, websocket: SolanaWsClient) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    slots = await websocket.slot_subscribe()
    seen["slot"] = (await next_of(websocket, "SlotNotification")).result.slot > 0
    await websocket.unsubscribe(slots)
    roots = await websocket.root_subscribe()
    seen["root"] = (await next_of(websocket, "RootNotification")).result > 0
    await websocket.unsubscribe(roots)

    account = await websocket.account_subscribe(pubkey=target)
    latest = (await client.get_latest_blockhash()).value
    message = Message.new_with_blockhash([move(1234)], payer.pubkey(), latest.blockhash)
    signature = (await client.send_transaction(Transaction([payer], message, latest.blockhash))).value
    seen["account"] = (await next_of(websocket, "AccountNotification")).result.value.lamports
    await websocket.unsubscribe(account)
    await websocket.signature_subscribe(signature=signature)
    seen["signature"] = (await next_of(websocket, "SignatureNotification")).result.value.err is None
    await client.confirm_transaction(
        signature, Confirmed, last_valid_block_height=latest.last_valid_block_height
    )

    logs = await websocket.logs_subscribe(filter_=RpcTransactionLogsFilterMentions(target))
    programs = await websocket.program_subscribe(program_id=OWNER, filters=[48])
    blockhash = (await client.get_latest_blockhash()).value.blockhash
    versioned = MessageV0.try_compile(payer.pubkey(), [move(7)], [], blockhash)
    sent = (await client.send_transaction(VersionedTransaction(versioned, [payer]))).value
    noted = (await next_of(websocket, "LogsNotification")).result.value
    seen["logs"] = [noted.signature == sent, noted.logs[0], noted.err is None]
    await websocket.unsubscribe(logs)
    seen["version"] = (
        await client.get_transaction(sent, "jsonParsed", max_supported_transaction_version=0)
    ).value.transaction.version

    create = create_account(
        CreateAccountParams(
            from_pubkey=payer.pubkey(), to_pubkey=made.pubkey(), lamports=2_500_000, space=48, owner=OWNER
        )
    )
    message = Message.new_with_blockhash([create], payer.pubkey(), blockhash)
    await client.send_transaction(Transaction([payer, made], message, blockhash))
    noted = (await next_of(websocket, "ProgramNotification")).result.value
    seen["program"] = [noted.pubkey == made.pubkey(), noted.account.lamports]
    await websocket.unsubscribe(programs)
    return seen


async def main() -> dict[str, Any]:
    async with AsyncClient(URL, commitment=Confirmed) as client, SolanaWsClient(WEBSOCKET) as websocket:
        await client.confirm_transaction((await client.request_airdrop(payer.pubkey(), 5_000_000_000)).value)
        seen = {"airdropped": (await client.get_balance(payer.pubkey())).value}
        seen |= await subscribe(client, websocket)
        seen["transferred"] = (await client.get_balance(target)).value
        found = await client.get_program_accounts(OWNER, filters=[48, MemcmpOpts(offset=0, bytes="1111")])
        seen["program_accounts"] = [str(one.pubkey) for one in found.value]
        seen["made"] = str(made.pubkey())

        blockhash = (await client.get_latest_blockhash()).value.blockhash
        for name, amount in (("simulated", 5), ("simulated_poor", 10**15)):
            message = MessageV0.try_compile(payer.pubkey(), [move(amount)], [], blockhash)
            result = (await client.simulate_transaction(VersionedTransaction(message, [payer]))).value
            seen[name] = [result.err is None, len(result.logs)]
        clock = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
        parsed = (await client.get_account_info_json_parsed(clock)).value.data.parsed
        seen["clock"] = [parsed["type"], parsed["info"]["slot"] > 0]
    return seen


print(json.dumps(asyncio.run(main())))
