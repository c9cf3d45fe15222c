"""Money at addresses: read, credit, debit. The caller checks the balance before a debit."""

from .params import SYSTEM_PROGRAM, Key
from .records import Account
from .state import State


def get_balance(state: State, key: Key) -> int:
    """What an address holds, in roe; 0 if nothing is there."""
    account = state.accounts.rows.get(key)
    return account.balance if account is not None else 0


def get_owner(state: State, key: Key) -> Key:
    """The program that an address belongs to; the system program's if nothing is there."""
    account = state.accounts.rows.get(key)
    return account.owner if account is not None else SYSTEM_PROGRAM


def credit(state: State, key: Key, amount: int) -> None:
    """Add to an address."""
    if not amount:
        return
    old = state.accounts.rows.get(key)
    if old is None:
        new = Account(amount)
    else:
        new = Account(old.balance + amount, old.owner, old.space, old.data, old.is_executable)
    state.put(state.accounts, key, new)


def debit(state: State, key: Key, amount: int) -> None:
    """Take from an address. An account with no money and no data ceases to exist."""
    if not amount:
        return
    old = state.accounts.rows[key]
    left = old.balance - amount
    assert left >= 0, "the check let a balance go below zero"
    if left or old.space or old.is_executable:
        state.put(state.accounts, key, Account(left, old.owner, old.space, old.data, old.is_executable))
    else:
        state.remove(state.accounts, key)
