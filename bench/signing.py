"""Transfers that are signed beforehand, as bodies of JSON-RPC requests."""

import base64
import random
from collections.abc import Sequence

import msgspec
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

BATCH = 100
"""Requests in a batch."""


def sign_transfers(
    payers: Sequence[Keypair],
    targets: Sequence[Pubkey],
    tick: str,
    amounts: range,
    batch: int = BATCH,
) -> list[bytes]:
    """A transfer of each amount to a random target, in batches; each alone if `batch` is 1."""
    config = {"encoding": "base64", "skipPreflight": True}
    hash = Hash.from_string(tick)
    items = []
    for at, amount in enumerate(amounts):
        payer = payers[at % len(payers)]
        terms = TransferParams(from_pubkey=payer.pubkey(), to_pubkey=random.choice(targets), lamports=amount)
        message = Message.new_with_blockhash([transfer(terms)], payer.pubkey(), hash)
        text = base64.b64encode(bytes(Transaction([payer], message, hash))).decode()
        items.append({"jsonrpc": "2.0", "id": at, "method": "sendTransaction", "params": [text, config]})
    if batch == 1:
        return [msgspec.json.encode(item) for item in items]
    return [msgspec.json.encode(items[at : at + batch]) for at in range(0, len(items), batch)]
