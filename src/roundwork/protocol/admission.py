"""The rules that admit a transaction. A transaction that breaks one is Void: it changes nothing."""

from typing import NamedTuple

from ..errors import (
    AccountNotFound,
    AlreadyProcessed,
    BlockhashNotFound,
    InsufficientFundsForFee,
    InvalidAccountForFee,
    SignatureFailure,
)  # fmt: skip
from .money import get_balance, get_owner
from .params import TICKS, TOKEN_PROGRAM, Genesis, Key, base58_of
from .programs.compute_budget import read_budget
from .programs.ed25519 import count_signatures
from .programs.lookups import load_keys
from .programs.nonces import check_named_nonce, find_nonce
from .records import Mark
from .rules import rule
from .state import State, Table
from .transaction import Transaction


class Admitted(NamedTuple):
    """A transaction that may run."""

    keys: tuple[Key, ...]
    """Its accounts, those from lookup tables among them."""
    fee: int
    """In roe."""
    spent: Table[bytes, Mark] | None
    """Where its signature is kept, so that it never runs again; None if it names a nonce."""
    nonce: Key | None
    """The nonce that it names, if it names no tick."""


def admit(state: State, slot: int, transaction: Transaction) -> Admitted:
    """Check everything but the signatures. `slot` is that of the block that is to hold the transaction.

    Raises BlockhashNotFound, AlreadyProcessed, and what compute_fee and admit_keys raise.
    Source: docs/PROTOCOL.md 3.
    """
    fee = compute_fee(state.genesis, transaction)
    named = state.tick_slots.get(transaction.tick)
    nonce = find_nonce(transaction) if named is None else None
    if nonce is not None:
        check_named_nonce(state, slot, transaction, nonce)
        return Admitted(admit_keys(state, slot, transaction, fee), fee, None, nonce)
    check_tick(state, transaction.tick, slot)
    spent = state.get_spent(state.tick_slots[transaction.tick])
    check_unspent(spent, transaction.signatures[0])
    return Admitted(admit_keys(state, slot, transaction, fee), fee, spent, None)


def admit_keys(state: State, slot: int, transaction: Transaction, fee: int) -> tuple[Key, ...]:
    """The accounts of a transaction whose fee payer can pay, those from lookup tables among them.

    Raises AccountNotFound, InvalidAccountForFee, InsufficientFundsForFee, and what load_keys raises.
    """
    payer = transaction.keys[0]
    check_payer(state, payer)
    check_may_pay(state, payer)
    check_fee(state, payer, fee)
    return load_keys(state, slot, transaction) if transaction.lookups else transaction.keys


def compute_fee(genesis: Genesis, transaction: Transaction) -> int:
    """The fee of a transaction in roe: for its signatures, and the price that it offers.

    Signatures that its ed25519 instructions verify count too. Raises BadComputeBudget, DuplicateInstruction.
    """
    signatures = transaction.signers + count_signatures(transaction)
    return genesis.fee_per_signature * signatures + read_budget(transaction).compute_price()


@rule("3.2")
def check_signatures(is_verified: bool) -> None:
    """Every signature verifies."""
    if not is_verified:
        raise SignatureFailure("a signature does not verify against its key and the message")


@rule("3.5")
def check_tick(state: State, tick: bytes, slot: int) -> None:
    """A transaction names the tick of one of the last 300 slots."""
    named = state.tick_slots.get(tick)
    if named is None or not slot - TICKS <= named < slot:
        raise BlockhashNotFound(
            f"Blockhash not found: {base58_of(tick)} is not the tick of a slot "
            f"from {max(0, slot - TICKS)} to {slot - 1}"
        )


@rule("3.7")
def check_unspent(spent: Table[bytes, Mark], signature: bytes) -> None:
    """A transaction runs once."""
    if signature in spent.rows:
        slot = spent.rows[signature].slot
        raise AlreadyProcessed(f"This transaction has already been processed, in slot {slot}")


@rule("3.8")
def check_payer(state: State, payer: Key) -> None:
    """The fee payer exists."""
    if payer not in state.accounts.rows:
        raise AccountNotFound(
            "Attempt to debit an account but found no record of a prior credit: "
            f"{base58_of(payer)} pays the fee and does not exist"
        )


@rule("3.9")
def check_may_pay(state: State, payer: Key) -> None:
    """The fee payer does not belong to the token program, whose accounts may wrap their money."""
    if get_owner(state, payer) == TOKEN_PROGRAM:
        raise InvalidAccountForFee(f"{base58_of(payer)} belongs to the token program and pays no fees")


@rule("3.10")
def check_fee(state: State, payer: Key, fee: int) -> None:
    """The fee payer holds the fee."""
    balance = get_balance(state, payer)
    if balance < fee:
        raise InsufficientFundsForFee(f"{base58_of(payer)} holds {balance} roe; the fee is {fee}")
