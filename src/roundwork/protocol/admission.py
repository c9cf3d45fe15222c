"""What a transaction must be to run at all: whoever fails here is void, pays nothing and changes nothing."""

from ..errors import (
    AccountNotFound,
    AlreadyProcessed,
    BlockhashNotFound,
    InsufficientFundsForFee,
    SignatureFailure,
    Undecodable,
)  # fmt: skip
from .money import get_balance
from .params import TICKS, Genesis, Key, base58_of
from .records import Mark
from .rules import rule
from .state import State, Table
from .transaction import Transaction


def admit(state: State, slot: int, transaction: Transaction) -> Table[Mark]:
    """Check everything but the signatures; where the transaction's own signature goes once it is spent.

    Raises Undecodable, BlockhashNotFound, AlreadyProcessed, AccountNotFound, InsufficientFundsForFee.
    Source: docs/PROTOCOL.md 3.
    """
    check_lookups(transaction)
    check_tick(state, transaction.tick, slot)
    spent = state.get_spent(state.tick_slots[transaction.tick])
    check_unspent(spent, transaction.signatures[0])
    payer = transaction.keys[0]
    check_payer(state, payer)
    check_fee(state, payer, compute_fee(state.genesis, transaction))
    return spent


def compute_fee(genesis: Genesis, transaction: Transaction) -> int:
    """What a transaction costs, executed or rejected, in roe."""
    return genesis.fee_per_signature * transaction.signers


@rule("3.1")
def check_signatures(is_verified: bool) -> None:
    """Every signature verifies."""
    if not is_verified:
        raise SignatureFailure("a signature does not verify against its key and the message")


@rule("3.21")
def check_lookups(transaction: Transaction) -> None:
    """A message names all its accounts itself: there are no address lookup tables here yet."""
    if transaction.lookups:
        table = base58_of(transaction.lookups[0].table)
        raise Undecodable(
            f"{table} is no address lookup table: this ledger has none; name the accounts themselves"
        )


@rule("3.2")
def check_tick(state: State, tick: bytes, slot: int) -> None:
    """A transaction names the tick of one of the last 300 slots."""
    named = state.tick_slots.get(tick)
    if named is None or not slot - TICKS <= named < slot:
        raise BlockhashNotFound(
            f"Blockhash not found: {base58_of(tick)} is no tick of slots {max(0, slot - TICKS)} to {slot - 1}"
        )


@rule("3.3")
def check_unspent(spent: Table[Mark], signature: bytes) -> None:
    """A transaction runs once."""
    if signature in spent.rows:
        slot = spent.rows[signature].slot
        raise AlreadyProcessed(f"This transaction has already been processed, in slot {slot}")


@rule("3.4")
def check_payer(state: State, payer: Key) -> None:
    """The fee payer exists."""
    if payer not in state.accounts.rows:
        raise AccountNotFound(
            "Attempt to debit an account but found no record of a prior credit: "
            f"{base58_of(payer)} pays the fee and does not exist"
        )


@rule("3.5")
def check_fee(state: State, payer: Key, fee: int) -> None:
    """The fee payer holds the fee."""
    balance = get_balance(state, payer)
    if balance < fee:
        raise InsufficientFundsForFee(f"{base58_of(payer)} holds {balance} roe; the fee is {fee}")
