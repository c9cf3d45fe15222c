"""Durable nonces: a value on an account that a transaction may name instead of a tick, at any later time.

The bytes are Solana's: version u32, state u32, authority 32, value 32, fee per signature u64.
"""

import struct
from hashlib import sha256
from typing import NamedTuple

from ...errors import BlockhashNotFound, MissingSigner, NonceNotExpired, NotANonce
from ..layout import Call
from ..params import SYSTEM_PROGRAM, Key, base58_of
from ..records import Account
from ..rules import rule
from ..state import State
from ..ticks import get_newest_tick
from ..transaction import Transaction
from .layouts import SYSTEM

NONCE_BYTES = 80

ADVANCE = SYSTEM.by_name["advanceNonce"].prefix
"""How the data of the system instruction begins that moves a nonce on."""

_LAYOUT = struct.Struct("<II32s32sQ")
_VERSION, _INITIALIZED = 1, 1


class Nonce(NamedTuple):
    """The data of a nonce account: its authority, and the value that replaces a tick."""

    authority: Key
    value: bytes
    fee: int
    """The fee of a signature when it took on its value, in roe."""


def decode_nonce(data: bytes) -> Nonce | None:
    """The nonce in the 80 bytes of an account; None if no nonce is initialised there."""
    _, status, authority, value, fee = _LAYOUT.unpack(data)
    return Nonce(authority, value, fee) if status == _INITIALIZED else None


def get_nonce(state: State, key: Key) -> Nonce | None:
    """The nonce at an address; None if no nonce is initialised there."""
    account = state.accounts.rows.get(key)
    if account is None or account.owner != SYSTEM_PROGRAM or len(account.data) != NONCE_BYTES:
        return None
    return decode_nonce(account.data)


def find_nonce(transaction: Transaction) -> Key | None:
    """The nonce account whose value a transaction names, if its first instruction advances one.

    As in Solana the account must be among the message's own, and writable.
    """
    if not transaction.instructions:
        return None
    first = transaction.instructions[0]
    if transaction.keys[first.program] != SYSTEM_PROGRAM or first.data[:4] != ADVANCE or not first.accounts:
        return None
    at = first.accounts[0]
    return transaction.keys[at] if at < len(transaction.keys) and transaction.is_writable(at) else None


def compute_value(state: State, slot: int) -> bytes:
    """The value that every nonce takes on in a slot; each slot has its own."""
    return sha256(b"DURABLE_NONCE" + get_newest_tick(state, slot)[0]).digest()


def write_nonce(state: State, slot: int, key: Key, authority: Key) -> None:
    """Put the value of this slot on an account, for an authority to use."""
    old = state.accounts.rows[key]
    fee = state.genesis.fee_per_signature
    data = _LAYOUT.pack(_VERSION, _INITIALIZED, authority, compute_value(state, slot), fee)
    state.put(state.accounts, key, Account(old.balance, old.owner, old.space, data))


def advance(state: State, slot: int, key: Key) -> None:
    """Move a nonce on to the value of this slot."""
    nonce = get_nonce(state, key)
    assert nonce is not None
    write_nonce(state, slot, key, nonce.authority)


def give_nonce(state: State, key: Key, authority: Key) -> None:
    """Let another authority use a nonce; its value stays."""
    old = state.accounts.rows[key]
    version, status, _, value, fee = _LAYOUT.unpack(old.data)
    data = _LAYOUT.pack(version, status, authority, value, fee)
    state.put(state.accounts, key, Account(old.balance, old.owner, old.space, data))


# Checks


@rule("3.6")
def check_named_nonce(state: State, slot: int, transaction: Transaction, key: Key) -> None:
    """A transaction without a tick names a nonce's value of an earlier slot; its authority signs."""
    nonce = get_nonce(state, key)
    signers = [
        transaction.keys[at] for at in transaction.instructions[0].accounts if at < transaction.signers
    ]
    if nonce is None or nonce.value != transaction.tick:
        raise BlockhashNotFound(
            f"Blockhash not found: {base58_of(transaction.tick)} is neither the tick of a recent slot nor "
            f"the value of the nonce {base58_of(key)}"
        )
    if nonce.value == compute_value(state, slot):
        raise BlockhashNotFound(
            f"Blockhash not found: the nonce {base58_of(key)} took on its value in slot {slot}; "
            "it can be named from the next one on"
        )
    if nonce.authority not in signers:
        raise BlockhashNotFound(
            f"Blockhash not found: {base58_of(nonce.authority)}, who may use the nonce {base58_of(key)}, "
            "does not sign the instruction that moves it on"
        )


@rule("3.36")
def check_nonce(nonce: Nonce | None, key: Key) -> Nonce:
    """An account whose nonce is advanced or given to another authority is a nonce."""
    if nonce is None:
        raise NotANonce(f"no nonce is initialised at {base58_of(key)}")
    return nonce


@rule("3.37")
def check_blank_nonce(state: State, key: Key) -> None:
    """An account that becomes a nonce, or is emptied without one, is a blank system account of 80 bytes."""
    account = state.accounts.rows.get(key)
    if account is None or account.owner != SYSTEM_PROGRAM or account.space != NONCE_BYTES or account.data:
        raise NotANonce(
            f"{base58_of(key)} is not a blank account of the system program with {NONCE_BYTES} bytes"
        )


@rule("3.38")
def check_nonce_authority(call: Call, authority: Key) -> None:
    """A nonce's authority is among the accounts and signs; for a blank account the account itself does."""
    if authority not in call.list_signers():
        raise MissingSigner(f"{base58_of(authority)}, who may use the nonce, did not sign")


@rule("3.39")
def check_nonce_expired(state: State, slot: int, nonce: Nonce, key: Key) -> None:
    """A nonce is moved on, or ended, once a slot."""
    if nonce.value == compute_value(state, slot):
        raise NonceNotExpired(
            f"the nonce {base58_of(key)} took on its value in slot {slot}; it moves on from the next one on"
        )
