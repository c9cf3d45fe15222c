"""RPC methods that read slots, blocks, transactions and what is constant here."""

from typing import Any

from ..errors import BlockhashNotFound, Undecodable
from ..protocol.admission import compute_fee
from ..protocol.execute import Kind, Receipt, decode_landed
from ..protocol.nonces import check_named_nonce, find_nonce
from ..protocol.params import TICKS, base58_of
from ..protocol.state import u64
from ..protocol.ticks import compute_tick
from ..protocol.transaction import Transaction
from ..wire import (
    Json,
    base58_encode,
    describe_error,
    describe_memo,
    describe_meta,
    describe_status,
    encode_transaction,
)
from .desk import VERSION, Desk, Params, RpcError, field, read_signature
from .history import Place
from .journal import Entry
from .rpc_sending import decode_message

EPOCH_SLOTS = 432_000
BLOCKS_MAX = 500_000
STATUSES_MAX = 256
SIGNATURES_MAX = 1_000
HISTORY_SECONDS = 2.0
"""How long a read of the past waits for the history to catch up."""

Landed = tuple[Place, Entry, Transaction]


# Slots


def get_slot(desk: Desk, params: Params) -> int:
    params.config(0)
    return desk.slot


def get_epoch_info(desk: Desk, params: Params) -> Json:
    params.config(0)
    epoch, index = divmod(desk.slot, EPOCH_SLOTS)
    return {
        "absoluteSlot": desk.slot,
        "blockHeight": desk.slot,
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": EPOCH_SLOTS,
        "transactionCount": desk.chain.state.head.height,
    }


def get_latest_blockhash(desk: Desk, params: Params) -> Json:
    params.config(0)
    tick, slot = desk.engine.get_newest_tick()
    return desk.with_context({"blockhash": base58_of(tick), "lastValidBlockHeight": slot + TICKS})


def get_recent_blockhash(desk: Desk, params: Params) -> Json:
    """What the original library still asks for before it sends."""
    params.config(0)
    tick, _ = desk.engine.get_newest_tick()
    return desk.with_context({"blockhash": base58_of(tick), "feeCalculator": _fee_calculator(desk)})


def get_fee_calculator(desk: Desk, params: Params) -> Json:
    params.config(1)
    known = params.key(0, "the blockhash") in desk.state.tick_slots
    return desk.with_context({"feeCalculator": _fee_calculator(desk)} if known else None)


def is_blockhash_valid(desk: Desk, params: Params) -> Json:
    params.config(1)
    tick = params.key(0, "the blockhash")
    return desk.with_context(tick in desk.state.tick_slots or tick == desk.engine.get_newest_tick()[0])


def _fee_calculator(desk: Desk) -> Json:
    return {"lamportsPerSignature": desk.chain.genesis.fee_per_signature}


# Blocks


def get_block(desk: Desk, params: Params) -> Json:
    """A slot as a block: its stored blocks joined, or an empty one if it has none."""
    slot = params.get(0, int, "the slot")
    config = params.config(1) if not isinstance(_at(params, 1), str) else {"encoding": params.values[1]}
    if slot > desk.slot:
        raise RpcError(-32004, f"Block not available for slot {slot}")
    entries = desk.chain.journal.find_slot(slot)
    previous = compute_slot_tick(desk, slot - 1) if slot else desk.state.genesis_hash
    block: Json = {
        "blockhash": base58_of(compute_slot_tick(desk, slot)),
        "previousBlockhash": base58_of(previous),
        "parentSlot": max(slot - 1, 0),
        "blockHeight": slot,
        "blockTime": compute_time(desk, slot),
    }
    detail = field(config, "transactionDetails", str, "full")
    landed = [
        (Place(entry.block.height, at), entry, decode_landed(wire, entry.receipts[at]))
        for entry in entries
        for at, wire in enumerate(entry.block.transactions)
        if entry.receipts[at].kind != Kind.VOID
    ]
    if detail == "signatures":
        block["signatures"] = [_name(transaction) for _, _, transaction in landed]
    elif detail != "none":
        block["transactions"] = [_describe_landed(one, config) for one in landed]
    if field(config, "rewards", bool, True) and detail != "none":
        block["rewards"] = []
    return block


def compute_slot_tick(desk: Desk, slot: int) -> bytes:
    """The tick of any slot that is over, from the journal if the state has forgotten it."""
    mark = desk.state.ticks.rows.get(u64(slot))
    if mark is not None:
        return mark.digest
    entry = desk.chain.journal.find_before(slot + 1)
    return compute_tick(entry.block_hash if entry else desk.state.genesis_hash, slot)


def compute_time(desk: Desk, slot: int) -> int:
    """When a slot was, in seconds since 1970: by the last block at or before it."""
    genesis = desk.chain.genesis
    entry = desk.chain.journal.find_before(slot + 1)
    time_ms, at = (entry.block.time_ms, entry.block.slot) if entry else (genesis.time_ms, 0)
    return (time_ms + (slot - at) * genesis.slot_ms) // 1000


def get_blocks(desk: Desk, params: Params) -> list[int]:
    first = params.get(0, int, "the first slot")
    last = (
        params.get(1, int, "the last slot", desk.slot) if not isinstance(_at(params, 1), dict) else desk.slot
    )
    if last - first > BLOCKS_MAX:
        raise RpcError(-32602, f"Slot range too large; max {BLOCKS_MAX}")
    return list(range(first, min(last, desk.slot) + 1))


def get_blocks_with_limit(desk: Desk, params: Params) -> list[int]:
    first, limit = params.get(0, int, "the first slot"), params.get(1, int, "the limit")
    if limit > BLOCKS_MAX:
        raise RpcError(-32602, f"Limit too large; max {BLOCKS_MAX}")
    return list(range(first, min(first + limit - 1, desk.slot) + 1))


def get_block_time(desk: Desk, params: Params) -> int:
    slot = params.get(0, int, "the slot")
    if slot > desk.slot:
        raise RpcError(-32004, f"Block not available for slot {slot}")
    return compute_time(desk, slot)


def get_transaction_count(desk: Desk, params: Params) -> int:
    params.config(0)
    return desk.chain.recent.count


# Transactions


def find_landed(desk: Desk, signature: bytes) -> Landed | None:
    """Where a transaction ran, from memory or from the history."""
    recent = desk.chain.recent.find(signature)
    places = [Place(recent.height, recent.position)] if recent else []
    for place in places or desk.chain.history.find_transaction(signature):
        landed = _read_place(desk, place)
        if landed is not None and landed[2].signatures[0] == signature:
            return landed
    return None


def get_transaction(desk: Desk, params: Params) -> Json | None:
    signature = read_signature(params.get(0, str, "the signature"))
    config = params.config(1) if not isinstance(_at(params, 1), str) else {"encoding": params.values[1]}
    landed = find_landed(desk, signature)
    if landed is None:
        return None
    slot = landed[1].block.slot
    return {"slot": slot, "blockTime": landed[1].block.time_ms // 1000, **_describe_landed(landed, config)}


def get_signature_statuses(desk: Desk, params: Params) -> Json:
    names = params.get(0, list, "the signatures")
    config = params.config(1)
    if len(names) > STATUSES_MAX:
        raise RpcError(-32602, f"Too many inputs provided; max {STATUSES_MAX}")
    is_deep = bool(config.get("searchTransactionHistory"))
    return desk.with_context([_describe_status(desk, read_signature(name), is_deep) for name in names])


def get_signatures_for_address(desk: Desk, params: Params) -> list[Json]:
    address, config = params.key(0), params.config(1)
    limit = field(config, "limit", int, SIGNATURES_MAX)
    if not 1 <= limit <= SIGNATURES_MAX:
        raise RpcError(-32602, f"Invalid limit; max {SIGNATURES_MAX}")
    desk.chain.history.wait_for(desk.state.head.height, HISTORY_SECONDS)
    before = _find_bound(desk, config, "before")
    until = _find_bound(desk, config, "until")
    found: list[Json] = []
    while len(found) < limit:
        places = desk.chain.history.find_address(address, before, limit - len(found))
        for place in places:
            before = place
            if until is not None and place <= until:
                return found
            landed = _read_place(desk, place)
            if landed is not None and address in landed[2].accounts:
                found.append(_describe_signature(landed))
        if not places:
            break
    return found


def _find_bound(desk: Desk, config: Json, name: str) -> Place | None:
    if config.get(name) is None:
        return None
    landed = find_landed(desk, read_signature(config[name]))
    if landed is None:
        raise RpcError(-32602, f"Invalid params: {name} names a transaction that is not known")
    return landed[0]


def _read_place(desk: Desk, place: Place) -> Landed | None:
    entry = desk.chain.journal.read(place.height)
    if entry is None:
        return None
    try:
        wire, receipt = entry.block.transactions[place.position], entry.receipts[place.position]
        return place, entry, decode_landed(wire, receipt)
    except Undecodable:
        return None


def _describe_landed(landed: Landed, config: Json) -> Json:
    place, entry, transaction = landed
    encoding = field(config, "encoding", str, "json")
    if encoding not in ("json", "jsonParsed", "base58", "base64", "binary"):
        raise RpcError(-32602, f"Invalid params: encoding {encoding!r}; json, jsonParsed, base58 or base64")
    newest = field(config, "maxSupportedTransactionVersion", int, None)
    if transaction.version is not None and newest is None:
        raise RpcError(
            -32015,
            f"Transaction version ({transaction.version}) is not supported by the requesting client. "
            "Please try the request again with the following configuration parameter: "
            f'"maxSupportedTransactionVersion": {transaction.version}',
        )
    receipt = entry.receipts[place.position]
    shown: Json = {
        "transaction": encode_transaction(entry.block.transactions[place.position], transaction, encoding),
        "meta": describe_meta(transaction, receipt),
    }
    if newest is not None:
        shown["version"] = "legacy" if transaction.version is None else transaction.version
    return shown


def _describe_status(desk: Desk, signature: bytes, is_deep: bool) -> Json | None:
    recent = desk.chain.recent.find(signature)
    if recent is not None:
        return compose_status(recent.slot, recent.receipt)
    landed = find_landed(desk, signature) if is_deep else None
    if landed is None:
        return None
    place, entry, _ = landed
    return compose_status(entry.block.slot, entry.receipts[place.position])


def compose_status(slot: int, receipt: Receipt) -> Json:
    """The status of a transaction that is durable."""
    return {
        "slot": slot,
        "confirmations": None,
        "err": describe_error(receipt),
        "status": describe_status(receipt),
        "confirmationStatus": "finalized",
    }


def _describe_signature(landed: Landed) -> Json:
    place, entry, transaction = landed
    return {
        "signature": _name(transaction),
        "slot": entry.block.slot,
        "err": describe_error(entry.receipts[place.position]),
        "memo": describe_memo(landed[2]),
        "blockTime": entry.block.time_ms // 1000,
        "confirmationStatus": "finalized",
    }


def _name(transaction: Transaction) -> str:
    return base58_encode(transaction.signatures[0])


def _at(params: Params, at: int) -> Any:
    return params.values[at] if at < len(params.values) else None


# What is constant here


def _producer(desk: Desk) -> str:
    return desk.chain.genesis.producer


def get_cluster_nodes(desk: Desk, params: Params) -> list[Json]:
    return [
        {
            "pubkey": _producer(desk), "gossip": None, "tpu": None, "rpc": None, "version": VERSION,
            "featureSet": None, "shredVersion": 0,
        }
    ]  # fmt: skip


def get_vote_accounts(desk: Desk, params: Params) -> Json:
    params.config(0)
    return {"current": [], "delinquent": []}


def get_performance(desk: Desk, params: Params) -> list[Json]:
    """Samples of the last minute: one, from what the recent statuses hold."""
    slots = min(desk.slot, desk.chain.recent.slots)
    seconds = max(slots * desk.chain.genesis.slot_ms // 1000, 1)
    count = desk.chain.recent.size
    sample = {
        "slot": desk.slot, "numTransactions": count, "numNonVoteTransactions": count, "numSlots": slots,
        "samplePeriodSecs": seconds,
    }  # fmt: skip
    return [sample]


def get_fee_for_message(desk: Desk, params: Params) -> Json:
    params.config(1)
    transaction = decode_message(params.get(0, str, "the message"))
    known = transaction.tick in desk.state.tick_slots or transaction.tick == desk.engine.get_newest_tick()[0]
    known = known or _names_nonce(desk, transaction)
    return desk.with_context(compute_fee(desk.chain.genesis, transaction) if known else None)


def _names_nonce(desk: Desk, transaction: Transaction) -> bool:
    """Whether a transaction names the value of a nonce that it may use, in the next slot at the latest."""
    nonce = find_nonce(transaction)
    try:
        if nonce is not None:
            check_named_nonce(desk.state, desk.slot + 1, transaction, nonce)
    except BlockhashNotFound:
        return False
    return nonce is not None


def get_leader_schedule(desk: Desk, params: Params) -> Json:
    return {_producer(desk): list(range(EPOCH_SLOTS // 1000))}


METHODS: dict[str, Any] = {
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
    "getBlocks": get_blocks,
    "getConfirmedBlocks": get_blocks,
    "getBlocksWithLimit": get_blocks_with_limit,
    "getBlockTime": get_block_time,
    "getBlockCommitment": lambda desk, params: {"commitment": None, "totalStake": 0},
    "getTransaction": get_transaction,
    "getConfirmedTransaction": get_transaction,
    "getTransactionCount": get_transaction_count,
    "getSignatureStatuses": get_signature_statuses,
    "getSignaturesForAddress": get_signatures_for_address,
    "getConfirmedSignaturesForAddress2": get_signatures_for_address,
    "getHealth": lambda desk, params: "ok",
    "getVersion": lambda desk, params: {"solana-core": VERSION, "feature-set": 1},
    "getGenesisHash": lambda desk, params: base58_of(desk.state.genesis_hash),
    "getIdentity": lambda desk, params: {"identity": _producer(desk)},
    "getSlotLeader": lambda desk, params: _producer(desk),
    "getSlotLeaders": lambda desk, params: [_producer(desk)] * min(params.get(1, int, "the limit"), 5000),
    "getLeaderSchedule": get_leader_schedule,
    "getClusterNodes": get_cluster_nodes,
    "getVoteAccounts": get_vote_accounts,
    "getEpochSchedule": lambda desk, params: {
        "slotsPerEpoch": EPOCH_SLOTS, "leaderScheduleSlotOffset": EPOCH_SLOTS, "warmup": False,
        "firstNormalEpoch": 0, "firstNormalSlot": 0,
    },
    "getInflationGovernor": lambda desk, params: {
        "initial": 0.0, "terminal": 0.0, "taper": 0.0, "foundation": 0.0, "foundationTerm": 0.0,
    },
    "getInflationRate": lambda desk, params: {"total": 0.0, "validator": 0.0, "foundation": 0.0, "epoch": 0},
    "getRecentPerformanceSamples": get_performance,
    "getFirstAvailableBlock": lambda desk, params: 0,
    "minimumLedgerSlot": lambda desk, params: 0,
}  # fmt: skip
