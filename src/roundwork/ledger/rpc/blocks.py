"""RPC methods that read slots, ticks and blocks. Clients see every slot as a block."""

import asyncio
from typing import Any

import msgspec

from ...errors import BlockhashNotFound
from ...protocol.admission import compute_fee
from ...protocol.execute import Kind, decode_landed
from ...protocol.params import TICKS, Key, base58_of
from ...protocol.programs.compute_budget import read_budget
from ...protocol.programs.nonces import check_named_nonce, find_nonce
from ...protocol.state import u64
from ...protocol.ticks import compute_tick
from ...protocol.transaction import Transaction
from ...wire import Json
from ..store.history import Place
from .budget import Budget, encode_range
from .commitments import Commitment
from .constants import EPOCH_SLOTS
from .errors import BlockNotAvailable, InvalidParams, NodeUnhealthy
from .ledger import Ledger, LongRead
from .params import CLIENTS_OWN, Params, choice, field, read_key
from .sending import decode_message
from .transaction_forms import name_signatures
from .transactions import (
    TRANSACTION_OPTIONS,
    Landed,
    check_transaction_options,
    count_transactions,
    describe_landed,
)

BLOCKS_MAX = 500_000
SHORT_SLOTS = 5_000
"""Lists of slots up to this length are made on the event loop."""

SAMPLES_MAX = 720
PRICED_SLOTS, PRICED_KEYS_MAX = 150, 128
DETAILS = ("full", "accounts", "signatures", "none")
CLOSE_SECONDS = 5.0
"""How long a request for a slot waits until the slot has reached the commitment."""


# Slots and ticks


def get_slot(ledger: Ledger, params: Params) -> int:
    params.config(0, *CLIENTS_OWN)
    return ledger.slot


async def get_epoch_info(ledger: Ledger, params: Params) -> Json:
    params.config(0)
    try:
        count = await count_transactions(ledger)
    except NodeUnhealthy:
        count = None
    epoch, index = divmod(ledger.slot, EPOCH_SLOTS)
    return {
        "absoluteSlot": ledger.slot,
        "blockHeight": ledger.slot,
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": EPOCH_SLOTS,
        "transactionCount": count,
    }


def get_latest_blockhash(ledger: Ledger, params: Params) -> Json:
    params.config(0, *CLIENTS_OWN)
    tick, slot = ledger.engine.get_newest_tick()
    return ledger.with_context({"blockhash": base58_of(tick), "lastValidBlockHeight": slot + TICKS})


def get_recent_blockhash(ledger: Ledger, params: Params) -> Json:
    """The older form, which the original library still calls before it sends."""
    params.config(0)
    tick, _ = ledger.engine.get_newest_tick()
    return ledger.with_context({"blockhash": base58_of(tick), "feeCalculator": _fee_calculator(ledger)})


def get_fee_calculator(ledger: Ledger, params: Params) -> Json:
    params.config(1)
    is_valid = ledger.is_tick_valid(params.key(0, "the blockhash"))
    return ledger.with_context({"feeCalculator": _fee_calculator(ledger)} if is_valid else None)


def is_blockhash_valid(ledger: Ledger, params: Params) -> Json:
    params.config(1)
    return ledger.with_context(ledger.is_tick_valid(params.key(0, "the blockhash")))


def get_fee_for_message(ledger: Ledger, params: Params) -> Json:
    params.config(1)
    transaction = decode_message(params.get(0, str, "the message"))
    is_valid = ledger.is_tick_valid(transaction.tick) or _names_nonce(ledger, transaction)
    return ledger.with_context(compute_fee(ledger.chain.genesis, transaction) if is_valid else None)


def _names_nonce(ledger: Ledger, transaction: Transaction) -> bool:
    """Whether a transaction names the value of a nonce that it may use now or in the next slot."""
    nonce = find_nonce(transaction)
    try:
        if nonce is not None:
            check_named_nonce(ledger.newest.state, ledger.newest.slot + 1, transaction, nonce)
    except BlockhashNotFound:
        return False
    return nonce is not None


def _fee_calculator(ledger: Ledger) -> Json:
    return {"lamportsPerSignature": ledger.chain.genesis.fee_per_signature}


# Blocks


async def get_block(ledger: Ledger, params: Params) -> msgspec.Raw:
    """A slot as a block: its stored blocks joined, or an empty one if it has none."""
    slot = params.get(0, int, "the slot")
    config = params.config_or_encoding(1, *TRANSACTION_OPTIONS, "transactionDetails", "rewards")
    detail = choice(config, "transactionDetails", DETAILS, "full")
    check_transaction_options(config)
    field(config, "rewards", bool, True)
    check_past(ledger, slot)
    await _wait_until_closed(ledger, slot)
    return await ledger.read_encoded(
        params.budget, compose_block, ledger, slot, detail, config, params.budget
    )


async def _wait_until_closed(ledger: Ledger, slot: int) -> None:
    """Wait until a slot is over, because a block that a client has read never changes.

    If the client reads finalized blocks, wait until the slot is finalized. Raises BlockNotAvailable.
    """
    reader = ledger.at(max(ledger.commitment, Commitment.CONFIRMED, key=lambda each: each.value))
    for _ in range(int(CLOSE_SECONDS * 100)):
        if reader.slot >= slot:
            return
        await asyncio.sleep(0.01)
    raise BlockNotAvailable(slot)


def compose_block(
    ledger: Ledger, slot: int, detail: str, config: Json, budget: Budget, mentioned: Key | None = None
) -> Json | None:
    """A slot as a block. With an address, only transactions that name it; None if no transaction does."""
    entries = ledger.chain.journal.find_slot(slot)
    block: Json = {
        "blockhash": base58_of(compute_slot_tick(ledger, slot)),
        "previousBlockhash": base58_of(
            compute_slot_tick(ledger, slot - 1) if slot else ledger.state.genesis_hash
        ),
        "parentSlot": max(slot - 1, 0),
        "blockHeight": slot,
        "blockTime": compute_time(ledger, slot),
    }
    landed = [
        Landed(Place(entry.block.height, at), entry, decode_landed(wire, entry.receipts[at]))
        for entry in entries
        for at, wire in enumerate(entry.block.transactions)
        if entry.receipts[at].kind != Kind.VOID
    ]
    if mentioned is not None:
        landed = [item for item in landed if mentioned in item.transaction.accounts]
        if not landed:
            return None
    if detail == "signatures":
        block["signatures"] = [name_signatures(item.transaction)[0] for item in landed]
    elif detail != "none":
        block["transactions"] = budget.encode_list(
            describe_landed(transaction, config, detail == "accounts") for transaction in landed
        )
    if field(config, "rewards", bool, True):
        block["rewards"] = []
    return block


def compute_slot_tick(ledger: Ledger, slot: int) -> bytes:
    """The tick of a slot that is over, from the journal if the state does not have it any more."""
    mark = ledger.newest.state.ticks.rows.get(u64(slot))
    if mark is not None:
        return mark.digest
    entry = ledger.chain.journal.find_before(slot + 1)
    return compute_tick(entry.block_hash if entry else ledger.state.genesis_hash, slot)


def compute_time(ledger: Ledger, slot: int) -> int:
    """The time of a slot, in seconds since 1970, computed from the last block at or before it."""
    genesis = ledger.chain.genesis
    entry = ledger.chain.journal.find_before(slot + 1)
    time_ms, at = (entry.block.time_ms, entry.block.slot) if entry else (genesis.time_ms, 0)
    return (time_ms + (slot - at) * genesis.slot_ms) // 1000


def check_past(ledger: Ledger, slot: int) -> None:
    """Raises BlockNotAvailable for a slot that has not begun."""
    if slot > ledger.newest.slot:
        raise BlockNotAvailable(slot)


async def get_block_time(ledger: Ledger, params: Params) -> int:
    slot = params.get(0, int, "the slot")
    params.end(1)
    check_past(ledger, slot)
    return await ledger.read(params.budget, compute_time, ledger, slot)


def get_blocks(ledger: Ledger, params: Params) -> msgspec.Raw:
    return encode_range(_read_range(ledger, params))


def _read_range(ledger: Ledger, params: Params) -> range:
    first = params.get(0, int, "the first slot")
    has_last = len(params.values) > 1 and not isinstance(params.values[1], dict)
    last = params.get(1, int, "the last slot", ledger.slot) if has_last else ledger.slot
    params.config(2 if has_last else 1)
    if last - first > BLOCKS_MAX:
        raise InvalidParams(f"Slot range too large; max {BLOCKS_MAX}")
    return range(first, min(last, ledger.slot) + 1)


def get_blocks_with_limit(ledger: Ledger, params: Params) -> msgspec.Raw:
    return encode_range(_read_limited_range(ledger, params))


def _read_limited_range(ledger: Ledger, params: Params) -> range:
    first, limit = params.get(0, int, "the first slot"), params.get(1, int, "the limit")
    params.config(2)
    if limit > BLOCKS_MAX:
        raise InvalidParams(f"Limit too large; max {BLOCKS_MAX}")
    return range(first, min(first + limit - 1, ledger.slot) + 1)


def _are_few(ledger: Ledger, params: Params) -> bool:
    return len(_read_range(ledger, params)) <= SHORT_SLOTS


def _are_few_by_limit(ledger: Ledger, params: Params) -> bool:
    return len(_read_limited_range(ledger, params)) <= SHORT_SLOTS


def get_performance(ledger: Ledger, params: Params) -> list[Json]:
    """A single sample, of the slots whose statuses are in memory."""
    limit = params.get(0, int, "the limit", SAMPLES_MAX)
    params.end(1)
    if limit > SAMPLES_MAX:
        raise InvalidParams(f"Invalid limit; max {SAMPLES_MAX}")
    slots = min(ledger.slot, ledger.chain.recent.slots)
    sample = {
        "slot": ledger.slot,
        "numTransactions": ledger.chain.recent.size,
        "numNonVoteTransactions": ledger.chain.recent.size,
        "numSlots": slots,
        "samplePeriodSecs": max(slots * ledger.chain.genesis.slot_ms // 1000, 1),
    }
    return [sample][:limit]


async def get_priority_fees(ledger: Ledger, params: Params) -> msgspec.Raw:
    """For each of the last slots the least price that was offered.

    Only transactions that may change all of the addresses count.
    """
    names = params.get(0, list, "the addresses", [])
    params.end(1)
    if len(names) > PRICED_KEYS_MAX:
        raise InvalidParams(f"Too many inputs provided; max {PRICED_KEYS_MAX}")
    keys = frozenset(read_key(name, "the address") for name in names)
    slots = range(max(ledger.newest.slot - PRICED_SLOTS + 1, 0), ledger.newest.slot + 1)
    return await ledger.read_encoded(params.budget, _find_prices, ledger, slots, keys, params.budget)


def _find_prices(ledger: Ledger, slots: range, keys: frozenset[Key], budget: Budget) -> list[Json]:
    found = []
    for slot in slots:
        prices = [
            read_budget(transaction).price
            for entry in ledger.chain.journal.find_slot(slot)
            for wire, receipt in zip(entry.block.transactions, entry.receipts, strict=True)
            if receipt.kind != Kind.VOID
            for transaction in (decode_landed(wire, receipt),)
            if keys <= list_writable(transaction)
        ]
        budget.check_time()
        found.append({"slot": slot, "prioritizationFee": min(prices, default=0)})
    return found


def list_writable(transaction: Transaction) -> set[Key]:
    """The accounts that a transaction may change."""
    return {key for at, key in enumerate(transaction.accounts) if transaction.is_writable(at)}


METHODS: dict[str, Any] = {
    "getRecentPrioritizationFees": get_priority_fees,
    "getSlot": get_slot,
    "getBlockHeight": get_slot,
    "getEpochInfo": get_epoch_info,
    "getLatestBlockhash": get_latest_blockhash,
    "getRecentBlockhash": get_recent_blockhash,
    "getFeeCalculatorForBlockhash": get_fee_calculator,
    "isBlockhashValid": is_blockhash_valid,
    "getFeeForMessage": get_fee_for_message,
    "getBlock": get_block,
    "getConfirmedBlock": get_block,
    "getBlocks": LongRead(get_blocks, _are_few),
    "getConfirmedBlocks": LongRead(get_blocks, _are_few),
    "getBlocksWithLimit": LongRead(get_blocks_with_limit, _are_few_by_limit),
    "getBlockTime": get_block_time,
    "getRecentPerformanceSamples": get_performance,
}
