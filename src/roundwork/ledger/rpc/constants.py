"""RPC methods whose answers are constant here: one producer, no votes, no inflation, nothing forgotten."""

from typing import Any

from ...protocol.params import base58_of
from ...wire import Json
from .call import VERSION, Desk, Params, RpcError, field, read_key

EPOCH_SLOTS = 432_000
LEADERS_MAX = 5_000


def get_epoch_schedule(desk: Desk, params: Params) -> Json:
    return {
        "slotsPerEpoch": EPOCH_SLOTS,
        "leaderScheduleSlotOffset": EPOCH_SLOTS,
        "warmup": False,
        "firstNormalEpoch": 0,
        "firstNormalSlot": 0,
    }


def get_inflation_governor(desk: Desk, params: Params) -> Json:
    params.config(0)
    return {"initial": 0.0, "terminal": 0.0, "taper": 0.0, "foundation": 0.0, "foundationTerm": 0.0}


def get_inflation_rate(desk: Desk, params: Params) -> Json:
    return {"total": 0.0, "validator": 0.0, "foundation": 0.0, "epoch": desk.slot // EPOCH_SLOTS}


def get_block_commitment(desk: Desk, params: Params) -> Json:
    """Nobody votes."""
    params.get(0, int, "the slot")
    return {"commitment": None, "totalStake": 0}


def get_vote_accounts(desk: Desk, params: Params) -> Json:
    params.config(0)
    return {"current": [], "delinquent": []}


def get_cluster_nodes(desk: Desk, params: Params) -> list[Json]:
    return [
        {
            "pubkey": get_producer(desk, params), "gossip": None, "tpu": None, "rpc": None,
            "version": VERSION, "featureSet": None, "shredVersion": 0,
        }
    ]  # fmt: skip


def get_producer(desk: Desk, params: Params) -> str:
    """Who makes the blocks."""
    return desk.chain.genesis.producer


def get_slot_leader(desk: Desk, params: Params) -> str:
    params.config(0)
    return get_producer(desk, params)


def get_slot_leaders(desk: Desk, params: Params) -> list[str]:
    params.get(0, int, "the first slot")
    limit = params.get(1, int, "the limit")
    if not 1 <= limit <= LEADERS_MAX:
        raise RpcError(-32602, f"Invalid limit; max {LEADERS_MAX}")
    return [get_producer(desk, params)] * limit


def get_leader_schedule(desk: Desk, params: Params) -> Json | None:
    """The slots of the epoch, all of them the producer's; null for an epoch that has no schedule yet."""
    has_slot = bool(params.values) and not isinstance(params.values[0], dict)
    slot = params.get(0, int, "the slot", desk.slot) if has_slot else desk.slot
    config = params.config(1 if has_slot else 0)
    if slot // EPOCH_SLOTS > desk.slot // EPOCH_SLOTS + 1:
        return None
    producer = get_producer(desk, params)
    only = field(config, "identity", str, producer)
    read_key(only, "the identity")
    return {producer: list(range(EPOCH_SLOTS))} if only == producer else {}


METHODS: dict[str, Any] = {
    "getHealth": lambda desk, params: "ok",
    "getVersion": lambda desk, params: {"solana-core": VERSION, "feature-set": 1},
    "getGenesisHash": lambda desk, params: base58_of(desk.state.genesis_hash),
    "getIdentity": lambda desk, params: {"identity": get_producer(desk, params)},
    "getSlotLeader": get_slot_leader,
    "getSlotLeaders": get_slot_leaders,
    "getLeaderSchedule": get_leader_schedule,
    "getClusterNodes": get_cluster_nodes,
    "getVoteAccounts": get_vote_accounts,
    "getEpochSchedule": get_epoch_schedule,
    "getInflationGovernor": get_inflation_governor,
    "getInflationRate": get_inflation_rate,
    "getBlockCommitment": get_block_commitment,
    "getFirstAvailableBlock": lambda desk, params: 0,
    "minimumLedgerSlot": lambda desk, params: 0,
}
