"""The pots of tasks that pay in a token: token accounts that the law alone moves tokens out of.

A pot belongs to an address that follows from it and that no key signs for. It holds the bounty, the
stakes and the available balances of its task. Source: docs/PROTOCOL.md 13.
"""

import msgspec

from ...errors import AccountInUse, SeedMismatch, WrongPot
from ..addresses import compute_pot_seed, find_authority
from ..layout import Call
from ..money import credit, debit, get_balance
from ..params import SYSTEM_PROGRAM, TOKEN_PROGRAM, Key, base58_of
from ..programs.system import check_balance, check_spendable
from ..programs.token import RESERVE, check_giver, move, open_account
from ..programs.token_checks import check_not_frozen, check_same_mint, get_account
from ..programs.token_records import ACCOUNT_BYTES, TokenAccount
from ..records import Account, Task
from ..rules import rule
from ..state import State

# Checks


@rule("13.2")
def check_derived_pot(pot: Key, seed: bytes, authority: Key) -> None:
    """A new pot's seed and authority follow from its address."""
    if seed != compute_pot_seed(pot):
        raise SeedMismatch(f"the seed is not the sha256 of the text {base58_of(pot)}")
    if authority != find_authority(pot):
        raise SeedMismatch(
            f"{base58_of(authority)} was named; the pot gives the authority {base58_of(find_authority(pot))}"
        )


@rule("13.3")
def check_vacant_pot(state: State, pot: Key) -> None:
    """A new pot lies where there is no account, or a plain account."""
    account = state.accounts.rows.get(pot)
    if account is not None and (account.owner != SYSTEM_PROGRAM or account.space):
        raise AccountInUse(
            f"{base58_of(pot)} has an owner or data already; a pot needs an address of its own"
        )


@rule("13.4")
def check_pot(task: Task, pot: Key) -> None:
    """An instruction names the task's own pot."""
    if pot != task.pot:
        raise WrongPot(f"{base58_of(pot)} was named; the pot of the task is {base58_of(task.pot)}")


@rule("13.5")
def check_authority_named(task: Task, authority: Key) -> None:
    """An instruction that names the pot's authority names that of the task's pot."""
    if authority != find_authority(task.pot):
        raise WrongPot(
            f"{base58_of(authority)} was named; the authority of the pot is "
            f"{base58_of(find_authority(task.pot))}"
        )


def check_new_pot(state: State, payer: Key, pot: Key) -> None:
    """A pot can be opened there, and the payer has what its account costs.

    Raises AccountInUse, WrongOwner, BalanceTooLow.
    """
    check_vacant_pot(state, pot)
    check_spendable(state, payer)
    check_balance(state, payer, compute_cost(state, pot))


def check_payment(state: State, source: Key, mint: Key, pot: Key, signer: Key, amount: int) -> TokenAccount:
    """The account that pays into a pot, as it is afterwards; its owner or its delegate signed.

    Raises TokenUninitialized, TokenFrozen, TokenMintMismatch, TokenNotEnough, TokenOwnerMismatch.
    """
    # The signer is the first account of a message that names nothing else; tokens move alike in every slot.
    call = Call([source, pot, signer], b"\1\2\0", 1, b"", slot=0, payer=signer)
    return check_giver(state, call, source, mint, 2, amount)


def check_payable(state: State, task: Task, target: Key) -> None:
    """A pot can pay into a token account.

    Raises TokenUninitialized, TokenMintMismatch, TokenFrozen.
    """
    check_not_into_pot(task, target)
    check_not_frozen(get_account(state, task.pot), task.pot)
    taker = get_account(state, target)
    check_same_mint(taker.mint, task.mint)
    check_not_frozen(taker, target)


def compute_cost(state: State, pot: Key) -> int:
    """How much a pot's account lacks, in roe."""
    return max(RESERVE - get_balance(state, pot), 0)


@rule("13.7")
def check_not_into_pot(task: Task, target: Key) -> None:
    """Claimed tokens leave the pot: inside it they would belong to no account."""
    if target == task.pot:
        raise WrongPot(f"{base58_of(target)} is the pot itself; name a token account of your own")


# Changes


def open_pot(state: State, payer: Key, pot: Key, mint: Key) -> None:
    """Make the pot a token account of its authority's; the payer pays what it costs."""
    missing = compute_cost(state, pot)
    debit(state, payer, missing)
    credit(state, pot, missing)
    state.put(state.accounts, pot, Account(get_balance(state, pot), TOKEN_PROGRAM, ACCOUNT_BYTES))
    open_account(state, pot, mint, find_authority(pot))


def pay_out(state: State, pot: Key, target: Key, amount: int) -> None:
    """Move tokens out of a pot. The caller has checked that they belong to its task."""
    held = get_account(state, pot)
    assert held.amount >= amount, "a pot holds less than its task owes"
    move(state, pot, msgspec.structs.replace(held, amount=held.amount - amount), target, amount)
