"""The first state, from a genesis file."""

from typing import Any

import msgspec
from blake3 import blake3

from ..errors import BadGenesis, Malformed, OldLaw
from ..wire import convert, decode_json
from .params import (
    LAW_VERSION,
    MONEY_MAX,
    NATIVE_LOADER,
    SYSVAR_CLOCK,
    SYSVAR_EPOCH_SCHEDULE,
    SYSVAR_OWNER,
    SYSVAR_RECENT_BLOCKHASHES,
    SYSVAR_RENT,
    SYSVAR_SLOT_HASHES,
    TOKEN_PROGRAM,
    WRAPPED_MINT,
    Genesis,
    Key,
    key_of,
)  # fmt: skip
from .programs.token_records import MINT_BYTES, Mint, encode_mint
from .records import Account
from .state import Head, State, compute_state_hash
from .table import PROGRAMS

OLD_FIELDS = frozenset(("treasury", "lattice_blocks"))
"""The fields that only a genesis of law version 1 has."""

SLOT_HASHES = 512
"""Slots that the sysvar of slot hashes has room for."""

FIXED: dict[Key, Account] = {
    **{program: Account(0, NATIVE_LOADER, is_executable=True) for program in sorted(PROGRAMS)},
    SYSVAR_CLOCK: Account(0, SYSVAR_OWNER, space=40),
    SYSVAR_RECENT_BLOCKHASHES: Account(0, SYSVAR_OWNER, space=8 + 150 * 40),
    SYSVAR_RENT: Account(0, SYSVAR_OWNER, space=17),
    SYSVAR_SLOT_HASHES: Account(0, SYSVAR_OWNER, space=8 + SLOT_HASHES * 40),
    SYSVAR_EPOCH_SCHEDULE: Account(0, SYSVAR_OWNER, space=33),
    WRAPPED_MINT: Account(0, TOKEN_PROGRAM, MINT_BYTES, encode_mint(Mint(0, 9, None, None)).rstrip(b"\0")),
}
"""What clients expect on every ledger: programs, sysvars (read from the head), the wrapped mint."""


def decode_genesis(raw: bytes, source: str) -> Genesis:
    """A genesis from its JSON. Raises OldLaw, and BadGenesis, which names `source`, field and remedy."""
    _check_version(raw, source)
    try:
        genesis = decode_json(raw, Genesis)
    except Malformed as error:  # a WrongShape is one too, and names the field
        raise BadGenesis(f"{source}: {error}; mend it, or found a ledger in another directory") from None
    _check(genesis, source)
    return genesis


def read_old_genesis(raw: bytes, source: str) -> Genesis:
    """The fields of a genesis of law version 1 that this law has too. Raises BadGenesis."""
    try:
        fields = decode_json(raw, dict[str, Any])
        old: Genesis = convert({k: v for k, v in fields.items() if k not in OLD_FIELDS}, Genesis)
        return old
    except Malformed as error:
        raise BadGenesis(f"{source}: {error}") from None


def _check_version(raw: bytes, source: str) -> None:
    try:
        fields = decode_json(raw, dict[str, msgspec.Raw])
    except Malformed:
        return  # what reads the whole file refuses it
    if OLD_FIELDS & fields.keys():
        raise OldLaw(describe_old_law(source))


def describe_old_law(source: str) -> str:
    """The error for a ledger of an older law; it says what the owner can do."""
    return (
        f"{source} is of a ledger of law version 1; this roundwork runs version {LAW_VERSION}. Carry its "
        "money over: `roundwork ledger export --output genesis.json`, put that file into a new directory, "
        "and run the ledger there"
    )


def encode_genesis(genesis: Genesis) -> bytes:
    """A genesis as JSON for people."""
    return msgspec.json.format(msgspec.json.encode(genesis), indent=2) + b"\n"


def hash_genesis(genesis: Genesis) -> bytes:
    """The name of a chain."""
    return blake3(b"roundwork/genesis/1" + msgspec.msgpack.encode(genesis)).digest()


def create_state(genesis: Genesis) -> State:
    """The state before the first block: height 0, slot 0. Raises BadGenesis."""
    _check(genesis, "genesis")
    genesis_hash = hash_genesis(genesis)
    state = State(
        genesis, genesis_hash, Head(0, 0, genesis.time_ms, genesis.time_ms, genesis_hash, genesis_hash)
    )
    for key, account in FIXED.items():
        state.put(state.accounts, key, account)
    for grant in genesis.accounts:
        state.put(state.accounts, key_of(grant.address), Account(grant.balance))
    state_hash = compute_state_hash(genesis_hash, state.take_changes())
    state.head = msgspec.structs.replace(state.head, state_hash=state_hash)
    return state


def _check(genesis: Genesis, source: str) -> None:
    bounds = (
        ("time_ms", genesis.time_ms, 0, 2**53),
        ("decimals", genesis.decimals, 0, 18),
        ("slot_ms", genesis.slot_ms, 10, 60_000),
        ("gap_slots_max", genesis.gap_slots_max, 1, 100),
        ("fee_per_signature", genesis.fee_per_signature, 0, 10**12),
        ("settle_records_max", genesis.settle_records_max, 1, 10**9),
        ("list_chunks_max", genesis.list_chunks_max, 1, 65_536),
        ("the sum of balances", sum(grant.balance for grant in genesis.accounts), 0, MONEY_MAX),
    )
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise BadGenesis(f"{source}: {name} is {value}; {least} to {most} are allowed")
    seen = set()
    for place, text in _addresses(genesis):
        key = _read_address(text, place, source)
        if place.startswith("accounts"):
            if key in seen or key in FIXED:
                raise BadGenesis(f"{source}: {place} {text} is taken; every account stands once")
            seen.add(key)
    for number, grant in enumerate(genesis.accounts):
        if grant.balance <= 0:
            raise BadGenesis(f"{source}: accounts[{number}].balance is {grant.balance}; give at least 1 roe")
    if genesis.faucet is not None and genesis.kind != "development":
        raise BadGenesis(f"{source}: faucet is for kind development only; this is a {genesis.kind} ledger")


def _addresses(genesis: Genesis) -> list[tuple[str, str]]:
    places = [("producer", genesis.producer)]
    if genesis.faucet is not None:
        places.append(("faucet", genesis.faucet))
    if genesis.allowlister is not None:
        places.append(("allowlister", genesis.allowlister))
    return places + [(f"accounts[{n}].address", grant.address) for n, grant in enumerate(genesis.accounts)]


def _read_address(text: str, place: str, source: str) -> Key:
    try:
        return key_of(text)
    except ValueError as error:
        raise BadGenesis(f"{source}: {place} is {text!r}, no base58 address of 32 bytes ({error})") from None
