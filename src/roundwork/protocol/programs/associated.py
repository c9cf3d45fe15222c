"""Associated token accounts: an owner's account for a mint, at the address that follows from both."""

from ...errors import AccountInUse, WrongOwner
from ..addresses import find_associated
from ..layout import Call
from ..money import credit, debit, get_balance
from ..params import SYSTEM_PROGRAM, TOKEN_PROGRAM, Key, base58_of
from ..records import Account
from ..rules import rule
from ..state import State
from .system import check_balance, check_signed, check_spendable
from .token import RESERVE, open_account
from .token_checks import get_data, get_mint
from .token_records import ACCOUNT_BYTES, decode_account


def create(state: State, call: Call) -> None:
    """Create an owner's token account for a mint, paid by the first account.

    Raises WrongOwner, AccountInUse, TokenNotMint, and what a payment raises.
    """
    _create(state, call, is_idempotent=False)


def create_idempotent(state: State, call: Call) -> None:
    """The same, if the owner has no such account yet."""
    _create(state, call, is_idempotent=True)


def _create(state: State, call: Call, is_idempotent: bool) -> None:
    payer, key, owner, mint = call.keys[:4]
    check_associated(call, find_associated(owner, mint))
    existing = decode_account(get_data(state, key))
    if is_idempotent and existing is not None and existing.owner == owner:
        return
    check_associated_vacant(state, key)
    missing = max(RESERVE - get_balance(state, key), 0)
    check_signed(call, 0)
    check_spendable(state, payer)
    check_balance(state, payer, missing)
    get_mint(state, mint)

    debit(state, payer, missing)
    credit(state, key, missing)
    state.put(state.accounts, key, Account(get_balance(state, key), TOKEN_PROGRAM, ACCOUNT_BYTES))
    open_account(state, key, mint, owner)


@rule("12.21")
def check_associated(call: Call, derived: Key) -> None:
    """An associated account lies at the address that follows from its owner and its mint."""
    if call.keys[1] != derived:
        raise WrongOwner(f"{base58_of(call.keys[1])} was named; owner and mint give {base58_of(derived)}")


@rule("12.22")
def check_associated_vacant(state: State, key: Key) -> None:
    """An associated account is created where there is none."""
    account = state.accounts.rows.get(key)
    if account is not None and account.owner != SYSTEM_PROGRAM:
        raise AccountInUse(f"{base58_of(key)} exists already")
