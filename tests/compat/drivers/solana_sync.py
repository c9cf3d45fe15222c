"""Driven by the synchronous client of solana 0.36.12: prints one JSON object of what it saw."""

import json
import sys

from solana.rpc.api import Client
from solana.rpc.commitment import Confirmed, Finalized
from solana.rpc.core import RPCException
from solana.rpc.types import MemcmpOpts, TxOpts
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import Transaction, VersionedTransaction

client = Client(sys.argv[1], commitment=Confirmed)
owner = Pubkey.from_string(sys.argv[2])
seen = {}

payer, target, made = Keypair(), Keypair().pubkey(), Keypair()
airdrop = client.request_airdrop(payer.pubkey(), 5_000_000_000).value
client.confirm_transaction(airdrop, Finalized)
seen["airdropped"] = client.get_balance(payer.pubkey()).value


def move(amount: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=target, lamports=amount))


latest = client.get_latest_blockhash().value
message = Message.new_with_blockhash([move(1000)], payer.pubkey(), latest.blockhash)
signature = client.send_transaction(Transaction([payer], message, latest.blockhash)).value
client.confirm_transaction(signature, Confirmed, last_valid_block_height=latest.last_valid_block_height)
seen["transferred"] = client.get_balance(target).value
seen["status"] = client.get_signature_statuses([signature]).value[0].err is None
got = client.get_transaction(signature, max_supported_transaction_version=0).value
seen["fee"] = got.transaction.meta.fee
seen["fee_for_message"] = client.get_fee_for_message(message).value
seen["signatures"] = [str(one.signature) for one in client.get_signatures_for_address(target).value] == [
    str(signature)
]
block = client.get_block(got.slot, max_supported_transaction_version=0).value
seen["in_block"] = any(signature in one.transaction.signatures for one in block.transactions)

tick = client.get_latest_blockhash().value.blockhash
versioned = MessageV0.try_compile(payer.pubkey(), [move(7)], [], tick)
signature = client.send_transaction(
    VersionedTransaction(versioned, [payer]), TxOpts(skip_confirmation=False)
).value
seen["versioned"] = client.get_balance(target).value

blockhash = client.get_latest_blockhash().value.blockhash
create = create_account(
    CreateAccountParams(
        from_pubkey=payer.pubkey(), to_pubkey=made.pubkey(), lamports=2_000_000, space=40, owner=owner
    )
)
message = Message.new_with_blockhash([create], payer.pubkey(), blockhash)
client.send_transaction(Transaction([payer, made], message, blockhash), TxOpts(skip_confirmation=False))
account = client.get_account_info(made.pubkey()).value
seen["account"] = [account.lamports, str(account.owner), len(account.data), account.executable]
found = client.get_program_accounts(owner, filters=[40, MemcmpOpts(offset=0, bytes="1111")]).value
seen["program_accounts"] = [str(one.pubkey) for one in found]
seen["made"] = str(made.pubkey())
seen["multiple"] = [
    one is None for one in client.get_multiple_accounts([made.pubkey(), Keypair().pubkey()]).value
]

blockhash = client.get_latest_blockhash().value.blockhash
poor = Message.new_with_blockhash([move(10**15)], payer.pubkey(), blockhash)
simulated = client.simulate_transaction(Transaction([payer], poor, blockhash)).value
seen["simulated"] = [str(simulated.err), bool(simulated.logs)]
try:
    client.send_transaction(Transaction([payer], poor, blockhash))
except RPCException as error:
    seen["refused"] = type(error.args[0]).__name__

seen["constants"] = [
    client.get_version().value.solana_core,
    client.get_slot().value > 0,
    client.get_block_height().value > 0,
    client.get_epoch_info().value.slots_in_epoch > 0,
    client.get_minimum_balance_for_rent_exemption(100).value,
    client.is_connected(),
    str(client.get_genesis_hash().value),
    client.get_cluster_nodes().value[0].pubkey is not None,
    client.get_vote_accounts().value.current,
    client.get_inflation_governor().value.initial,
    client.get_epoch_schedule().value.slots_per_epoch > 0,
    client.get_supply().value.total > 0,
    client.get_largest_accounts().value[0].lamports > 0,
    client.get_blocks(1, 3).value,
    client.get_recent_performance_samples().value[0].num_slots > 0,
    client.get_first_available_block().value,
    client.get_block_time(1).value > 0,
    client.is_blockhash_valid(blockhash).value if hasattr(client, "is_blockhash_valid") else True,
    client.get_transaction_count().value > 0,
    client.get_leader_schedule().value is not None,
    client.get_identity().value.identity is not None,
    client.get_minimum_ledger_slot().value,
]
print(json.dumps(seen, default=str))
