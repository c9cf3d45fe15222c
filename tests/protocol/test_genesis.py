"""What a ledger is founded on."""

import json
from typing import Any

import msgspec
import pytest

from roundwork.errors import BadGenesis, OldLaw
from roundwork.protocol.books import compute_supply
from roundwork.protocol.genesis import (
    OLD_FIELDS,
    create_state,
    decode_genesis,
    encode_genesis,
    hash_genesis,
    read_old_genesis,
)
from roundwork.protocol.params import SYSTEM_PROGRAM, Genesis, Grant, base58_of
from roundwork.protocol.read import view_ledger

from .world import keypair_of, make_genesis

GOOD = make_genesis([keypair_of("n00"), keypair_of("n01")])


def test_a_genesis_survives_its_json() -> None:
    assert decode_genesis(encode_genesis(GOOD), "genesis.json") == GOOD


def test_the_first_state_holds_what_genesis_grants() -> None:
    state = create_state(GOOD)

    assert sum(grant.balance for grant in GOOD.accounts) == compute_supply(state)
    assert (0, 0, GOOD.time_ms) == (state.head.height, state.head.slot, state.head.began_ms)
    assert hash_genesis(GOOD) == state.genesis_hash
    assert view_ledger(state).chain == "roundwork-dev"


def test_another_genesis_is_another_chain() -> None:
    other = make_genesis([keypair_of("n00")])

    assert hash_genesis(GOOD) != hash_genesis(other)
    assert create_state(GOOD).head.state_hash != create_state(other).head.state_hash


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"slot_ms": 1}, "slot_ms"),
        ({"slot_ms": "fast"}, "slot_ms"),
        ({"gap_slots_max": 0}, "gap_slots_max"),
        ({"time_ms": -1}, "time_ms"),
        ({"decimals": 19}, "decimals"),
        ({"fee_per_signature": -1}, "fee_per_signature"),
        ({"settle_records_max": 0}, "settle_records_max"),
        ({"list_chunks_max": 65537}, "list_chunks_max"),
        ({"colour": "red"}, "colour"),
        ({"producer": "nobody"}, "producer"),
        ({"allowlister": "1"}, "allowlister"),
        ({"faucet": "x"}, "faucet"),
        ({"allowlister": "x"}, "allowlister"),
        ({"kind": "toy"}, "kind"),
        ({"kind": "production", "faucet": str(keypair_of("n00").pubkey())}, "faucet"),
        ({"accounts": [{"address": "x", "balance": 1}]}, "accounts[0].address"),
        ({"accounts": [{"address": str(keypair_of("a").pubkey()), "balance": 0}]}, "accounts[0].balance"),
        ({"accounts": [{"address": str(keypair_of("a").pubkey()), "balance": 2**63}]}, "sum of balances"),
        ({"accounts": [{"address": str(keypair_of("a").pubkey()), "balance": 1}] * 2}, "accounts[1].address"),
        ({"accounts": [{"address": base58_of(SYSTEM_PROGRAM), "balance": 1}]}, "accounts[0].address"),
    ],
)
def test_a_bad_genesis_is_refused_with_file_and_field(change: dict[str, Any], named: str) -> None:
    raw = json.dumps({**json.loads(encode_genesis(GOOD)), **change}).encode()

    with pytest.raises(BadGenesis) as caught:
        decode_genesis(raw, "my-genesis.json")

    assert "my-genesis.json" in str(caught.value)
    assert named in str(caught.value)


def test_a_genesis_with_every_optional_field_is_good() -> None:
    key = str(keypair_of("n00").pubkey())

    assert create_state(make_genesis([keypair_of("n00")], faucet=key, allowlister=key)).genesis.faucet == key


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(BadGenesis, match="truncated"):
        decode_genesis(b"{", "genesis.json")


def test_what_genesis_does_not_say_is_as_the_reference_has_it() -> None:
    defaults = {
        field.name: field.default
        for field in msgspec.structs.fields(Genesis)
        if field.default is not msgspec.NODEFAULT
    }

    assert defaults == {
        "chain": "roundwork-dev",
        "kind": "development",
        "symbol": "KOII",
        "decimals": 9,
        "slot_ms": 400,
        "gap_slots_max": 2,
        "fee_per_signature": 5000,
        "settle_records_max": 20_000,
        "list_chunks_max": 8192,
        "faucet": None,
        "allowlister": None,
    }


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("time_ms", 0, 2**53),
        ("decimals", 0, 18),
        ("slot_ms", 10, 60_000),
        ("gap_slots_max", 1, 100),
        ("fee_per_signature", 0, 10**12),
        ("settle_records_max", 1, 10**9),
        ("list_chunks_max", 1, 65_536),
    ],
)
def test_a_number_of_genesis_has_its_bounds(name: str, least: int, most: int) -> None:
    for good in (least, most):
        create_state(make_genesis([keypair_of("n00")], **{name: good}))

    for bad in (least - 1, most + 1):
        with pytest.raises(BadGenesis, match=f"{name} is {bad}; {least} to {most} are allowed"):
            create_state(make_genesis([keypair_of("n00")], **{name: bad}))


def test_all_money_is_a_number_of_63_bits() -> None:
    key = str(keypair_of("n00").pubkey())
    other = str(keypair_of("n01").pubkey())

    create_state(make_genesis([], accounts=(Grant(key, 2**63 - 1),)))

    with pytest.raises(BadGenesis, match="the sum of balances is"):
        create_state(make_genesis([], accounts=(Grant(key, 2**63 - 1), Grant(other, 1))))


def test_a_genesis_of_the_older_law_is_told_so_and_read_only_to_carry_its_money_over() -> None:
    genesis = make_genesis([keypair_of("n00")])
    fields = {**json.loads(encode_genesis(genesis)), **dict.fromkeys(OLD_FIELDS, 1)}
    raw = json.dumps(fields).encode()

    with pytest.raises(OldLaw, match=r"genesis\.json is of a ledger of law version 1"):
        decode_genesis(raw, "genesis.json")

    assert genesis == read_old_genesis(raw, "genesis.json")
    for bad in (b"{", b'{"time_ms": "soon"}'):
        with pytest.raises(BadGenesis, match=r"old\.json: "):
            read_old_genesis(bad, "old.json")
