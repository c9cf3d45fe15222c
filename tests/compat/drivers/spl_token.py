"""Driven by the token client of solana 0.36.12: prints one JSON object of what it saw."""

import json
import sys
from typing import Any

from solana.rpc.api import Client
from solana.rpc.commitment import Confirmed
from solana.rpc.types import TokenAccountOpts, TxOpts
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from spl.memo.constants import MEMO_PROGRAM_ID
from spl.memo.instructions import MemoParams, create_memo
from spl.token.client import Token
from spl.token.constants import TOKEN_PROGRAM_ID, WRAPPED_SOL_MINT
from spl.token.instructions import AuthorityType

client = Client(sys.argv[1], commitment=Confirmed)
seen: dict[str, Any] = {}
payer, delegate, friend = (Keypair() for _ in range(3))
owner = payer  # the client signs approvals with the payer only
client.confirm_transaction(client.request_airdrop(payer.pubkey(), 10_000_000_000).value)
done = TxOpts(skip_confirmation=False)

token = Token.create_mint(
    client,
    payer,
    payer.pubkey(),
    6,
    TOKEN_PROGRAM_ID,
    freeze_authority=payer.pubkey(),
    skip_confirmation=False,
)
mine = token.create_account(owner.pubkey(), skip_confirmation=False)
theirs = token.create_associated_token_account(friend.pubkey(), skip_confirmation=False)
token.mint_to(mine, payer, 1_000_000, opts=done)
checked = token.mint_to_checked(mine, payer, 500, 6, opts=done).value
token.transfer(mine, theirs, owner, 300, opts=done)
token.transfer_checked(mine, theirs, owner, 200, 6, opts=done)
token.approve(source=mine, delegate=delegate.pubkey(), owner=owner, amount=70, opts=done)
seen["delegate"] = str(token.get_account_info(mine).delegate) == str(delegate.pubkey())
token.transfer(mine, theirs, delegate, 50, opts=done)
seen["delegated"] = token.get_account_info(mine).delegated_amount
by_delegate = client.get_token_accounts_by_delegate(
    delegate.pubkey(), TokenAccountOpts(mint=token.pubkey)
).value
seen["by_delegate"] = [str(one.pubkey) for one in by_delegate] == [str(mine)]
token.revoke(mine, owner, opts=done)
token.burn(mine, owner, 450, opts=done)
token.freeze_account(mine, payer, opts=done)
seen["frozen"] = token.get_account_info(mine).is_frozen
try:
    token.transfer(mine, theirs, owner, 1, opts=done)
except Exception as error:  # noqa: BLE001 # whatever the client makes of it
    seen["refused"] = "0x11" in str(error)
token.thaw_account(mine, payer, opts=done)
info = token.get_mint_info()
seen["mint"] = [info.supply, info.decimals, info.is_initialized]
seen["balance"] = client.get_token_account_balance(theirs).value.ui_amount_string
seen["supply"] = client.get_token_supply(token.pubkey).value.amount
largest = client.get_token_largest_accounts(token.pubkey).value
seen["largest"] = [str(largest[0].address) == str(mine), len(largest)]
parsed = client.get_token_accounts_by_owner_json_parsed(
    friend.pubkey(), TokenAccountOpts(program_id=TOKEN_PROGRAM_ID)
)
seen["parsed"] = parsed.value[0].account.data.parsed["info"]["tokenAmount"]["amount"]
token.set_authority(mine, owner, AuthorityType.CLOSE_ACCOUNT, friend.pubkey(), opts=done)
seen["close_authority"] = token.get_account_info(mine).close_authority is not None
multisig = token.create_multisig(2, [owner.pubkey(), friend.pubkey(), delegate.pubkey()], opts=done)
shared = token.create_account(multisig, skip_confirmation=False)
token.mint_to(shared, payer, 10, opts=done)
token.transfer(shared, theirs, multisig, 4, multi_signers=[owner, friend], opts=done)
seen["shared"] = token.get_account_info(shared).amount
parsed = {
    "mint": token.pubkey, "account": mine, "multisig": multisig,
    "rent": Pubkey.from_string("SysvarRent111111111111111111111111111111111"),
}  # fmt: skip
for name, address in parsed.items():
    account = client.get_account_info_json_parsed(address).value.data
    seen[f"parsed_{name}"] = [account.program, account.parsed["type"]]
many = client.get_multiple_accounts_json_parsed([mine, token.pubkey, payer.pubkey()]).value
seen["parsed_many"] = [type(one.data).__name__ for one in many]
wrapped = Token.create_wrapped_native_account(
    client, TOKEN_PROGRAM_ID, payer.pubkey(), payer, 5_000_000, skip_confirmation=False
)
native = Token(client, WRAPPED_SOL_MINT, TOKEN_PROGRAM_ID, payer)
seen["wrapped"] = native.get_account_info(wrapped).amount
native.close_account(wrapped, friend.pubkey(), payer, opts=done)
seen["unwrapped"] = client.get_balance(friend.pubkey()).value

memo = create_memo(MemoParams(program_id=MEMO_PROGRAM_ID, signer=payer.pubkey(), message=b"test"))
blockhash = client.get_latest_blockhash().value.blockhash
message = Message.new_with_blockhash([memo], payer.pubkey(), blockhash)
signature = client.send_transaction(Transaction([payer], message, blockhash), done).value
got = client.get_transaction(signature, "jsonParsed").value.transaction
seen["memo"] = [got.meta.log_messages[2], got.transaction.message.instructions[0].parsed]
got = client.get_transaction(checked, "jsonParsed").value
shown = got.transaction.transaction.message.instructions[0].parsed
seen["parsed_instruction"] = [shown["type"], shown["info"]["tokenAmount"]["uiAmountString"]]
block = client.get_block(got.slot, "jsonParsed", max_supported_transaction_version=0).value
seen["in_parsed_block"] = any(checked in one.transaction.signatures for one in block.transactions)
print(json.dumps(seen))
