"""RPC methods with constant answers: a ledger has one producer, no votes, no inflation and all its past."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from ...protocol.params import base58_of
from ...wire import Json
from .budget import encode_range, join
from .errors import InvalidParams
from .ledger import VERSION, Ledger, LongRead, Read
from .params import Params, check_fields, choice, field, read_key

EPOCH_SLOTS = 432_000
LEADERS_MAX = 5_000
KEYS_MAX = 100
STAKE_MINIMUM = 10**9


def get_epoch_schedule(ledger: Ledger) -> Json:
    return {
        "slotsPerEpoch": EPOCH_SLOTS,
        "leaderScheduleSlotOffset": EPOCH_SLOTS,
        "warmup": False,
        "firstNormalEpoch": 0,
        "firstNormalSlot": 0,
    }


def get_inflation_governor(ledger: Ledger, params: Params) -> Json:
    params.config(0)
    return {"initial": 0.0, "terminal": 0.0, "taper": 0.0, "foundation": 0.0, "foundationTerm": 0.0}


def get_inflation_rate(ledger: Ledger) -> Json:
    return {"total": 0.0, "validator": 0.0, "foundation": 0.0, "epoch": ledger.slot // EPOCH_SLOTS}


def get_block_commitment(ledger: Ledger, params: Params) -> Json:
    """This ledger has no votes."""
    params.get(0, int, "the slot")
    params.end(1)
    return {"commitment": None, "totalStake": 0}


def get_block_production(ledger: Ledger, params: Params) -> Json:
    """Every slot is a block of the producer. Without a range, the present epoch counts."""
    config = params.config(0, "range", "identity", "encoding")
    choice(config, "encoding", ("base64",), "base64")  # @solana/web3.js sends it; it changes nothing
    producer = get_producer(ledger)
    bounds = check_fields(field(config, "range", dict, {}), "range", ("firstSlot", "lastSlot"))
    first = field(bounds, "firstSlot", int, ledger.slot // EPOCH_SLOTS * EPOCH_SLOTS)
    last = field(bounds, "lastSlot", int, ledger.slot)
    if last > ledger.slot:
        raise InvalidParams(f"lastSlot, {last}, is too large; max {ledger.slot}")
    if first > last:
        raise InvalidParams(f"firstSlot, {first}, is too large; max {last}")
    only = field(config, "identity", str, producer)
    read_key(only, "the identity")
    slots = last - first + 1
    produced = {producer: [slots, slots]} if only == producer else {}
    return ledger.with_context({"byIdentity": produced, "range": {"firstSlot": first, "lastSlot": last}})


def get_inflation_reward(ledger: Ledger, params: Params) -> list[None]:
    """No address has a reward."""
    names = params.get(0, list, "the addresses")
    if len(names) > KEYS_MAX:
        raise InvalidParams(f"Too many inputs provided; max {KEYS_MAX}")
    params.config(1, "epoch")
    return [None for name in names if read_key(name, "the address")]


def get_stake_minimum(ledger: Ledger, params: Params) -> Json:
    """What Solana answers; this ledger has no stake program."""
    params.config(0)
    return ledger.with_context(STAKE_MINIMUM)


def get_highest_snapshot(ledger: Ledger) -> Json:
    """The slot of the last checkpoint."""
    return {"full": ledger.chain.checkpointed.slot, "incremental": None}


def get_vote_accounts(ledger: Ledger, params: Params) -> Json:
    config = params.config(0, "votePubkey", "keepUnstakedDelinquents", "delinquentSlotDistance")
    if "votePubkey" in config:
        read_key(config["votePubkey"], "votePubkey")
    return {"current": [], "delinquent": []}


def get_cluster_nodes(ledger: Ledger) -> list[Json]:
    return [
        {
            "pubkey": get_producer(ledger), "gossip": None, "tpu": None, "rpc": None,
            "version": VERSION, "featureSet": None, "shredVersion": 0,
        }
    ]  # fmt: skip


def get_producer(ledger: Ledger) -> str:
    """The address that makes the blocks."""
    return ledger.chain.genesis.producer


def get_slot_leader(ledger: Ledger, params: Params) -> str:
    params.config(0)
    return get_producer(ledger)


def get_slot_leaders(ledger: Ledger, params: Params) -> msgspec.Raw:
    params.get(0, int, "the first slot")
    limit = params.get(1, int, "the limit")
    params.end(2)
    if not 1 <= limit <= LEADERS_MAX:
        raise InvalidParams(f"Invalid limit; max {LEADERS_MAX}")
    producer = msgspec.json.encode(get_producer(ledger))
    return join(b"[", b",".join([producer] * limit), b"]")


def get_leader_schedule(ledger: Ledger, params: Params) -> msgspec.Raw | Json | None:
    """The slots of the epoch, all of them the producer's; null for an epoch that has no schedule yet."""
    has_slot = bool(params.values) and not isinstance(params.values[0], dict)
    slot = params.get(0, int, "the slot", ledger.slot) if has_slot else ledger.slot
    config = params.config(1 if has_slot else 0, "identity")
    if slot // EPOCH_SLOTS > ledger.slot // EPOCH_SLOTS + 1:
        return None
    producer = get_producer(ledger)
    only = field(config, "identity", str, producer)
    read_key(only, "the identity")
    if only != producer:
        return {}
    return join(b"{", msgspec.json.encode(producer), b":", _encode_epoch(), b"}")


@cache
def _encode_epoch() -> msgspec.Raw:
    """The slots of an epoch as JSON: three megabytes, made once."""
    return encode_range(range(EPOCH_SLOTS))


def without_parameters(read: Callable[[Ledger], Any]) -> Read:
    """A method that takes no parameters."""

    def answer(ledger: Ledger, params: Params) -> Any:
        params.end(0)
        return read(ledger)

    return answer


METHODS: dict[str, Any] = {
    "getHealth": without_parameters(lambda ledger: "ok"),
    "getVersion": without_parameters(lambda ledger: {"solana-core": VERSION, "feature-set": 1}),
    "getGenesisHash": without_parameters(lambda ledger: base58_of(ledger.state.genesis_hash)),
    "getIdentity": without_parameters(lambda ledger: {"identity": get_producer(ledger)}),
    "getSlotLeader": get_slot_leader,
    "getSlotLeaders": get_slot_leaders,
    "getLeaderSchedule": LongRead(get_leader_schedule),
    "getClusterNodes": without_parameters(get_cluster_nodes),
    "getVoteAccounts": get_vote_accounts,
    "getEpochSchedule": without_parameters(get_epoch_schedule),
    "getInflationGovernor": get_inflation_governor,
    "getInflationRate": without_parameters(get_inflation_rate),
    "getBlockCommitment": get_block_commitment,
    "getBlockProduction": get_block_production,
    "getInflationReward": get_inflation_reward,
    "getStakeMinimumDelegation": get_stake_minimum,
    "getHighestSnapshotSlot": without_parameters(get_highest_snapshot),
    "getMaxRetransmitSlot": without_parameters(lambda ledger: ledger.newest.slot),
    "getMaxShredInsertSlot": without_parameters(lambda ledger: ledger.newest.slot),
    "getFirstAvailableBlock": without_parameters(lambda ledger: 0),
    "minimumLedgerSlot": without_parameters(lambda ledger: 0),
}
