"""The token program: mints, accounts, transfers, approvals. Formats and numbers are the ecosystem's."""

import re
from collections.abc import Sequence

import msgspec

from ...errors import BadAmount
from ..layout import Call
from ..money import credit, get_balance
from ..params import WRAPPED_MINT, Key, compute_rent
from ..records import Account
from ..rules import rule
from ..state import State
from .token_checks import (
    U64,
    check_apart,
    check_authority,
    check_authority_kind,
    check_decimals,
    check_empty,
    check_enough,
    check_freezable,
    check_fresh,
    check_frozen_state,
    check_mintable,
    check_native,
    check_not_frozen,
    check_not_native,
    check_same_mint,
    check_signers,
    check_supply,
    get_account,
    get_data,
    get_mint,
)  # fmt: skip
from .token_records import (
    ACCOUNT_BYTES,
    MINT_BYTES,
    MULTISIG_BYTES,
    Mint,
    Multisig,
    TokenAccount,
    decode_mint,
    encode_account,
    encode_mint,
    encode_multisig,
)  # fmt: skip

RESERVE = compute_rent(ACCOUNT_BYTES)
"""What an account of wrapped native money keeps back, if it has it."""


def put_data(state: State, key: Key, data: bytes, balance: int | None = None) -> None:
    """Give an account other data, and another balance if that changes."""
    old = state.accounts.rows[key]
    kept = old.balance if balance is None else balance
    state.put(state.accounts, key, Account(kept, old.owner, len(data), data, old.is_executable))


def initialize_mint(state: State, call: Call, decimals: int, authority: Key, freezer: Key | None) -> None:
    check_fresh(state, call.keys[0], MINT_BYTES)

    put_data(state, call.keys[0], encode_mint(Mint(0, decimals, authority, freezer)))


def initialize_account(state: State, call: Call) -> None:
    open_account(state, call.keys[0], call.keys[1], call.keys[2])


def initialize_account_of(state: State, call: Call, owner: Key) -> None:
    open_account(state, call.keys[0], call.keys[1], owner)


def open_account(state: State, key: Key, mint: Key, owner: Key) -> None:
    """Make a blank account of the token program an owner's account for a mint.

    Raises TokenUninitialized, TokenInUse, TokenNotMint.
    """
    check_fresh(state, key, ACCOUNT_BYTES)
    get_mint(state, mint)

    opened = TokenAccount(mint, owner)
    if mint == WRAPPED_MINT:
        balance = get_balance(state, key)
        reserve = min(RESERVE, balance)
        opened = TokenAccount(mint, owner, balance - reserve, reserve=reserve)
    put_data(state, key, encode_account(opened))


def initialize_multisig(state: State, call: Call, needed: int) -> None:
    _open_multisig(state, call, needed, call.keys[2:])


def initialize_multisig_2(state: State, call: Call, needed: int) -> None:
    _open_multisig(state, call, needed, call.keys[1:])


def _open_multisig(state: State, call: Call, needed: int, signers: Sequence[Key]) -> None:
    check_fresh(state, call.keys[0], MULTISIG_BYTES)
    check_signers(needed, len(signers))

    put_data(state, call.keys[0], encode_multisig(Multisig(needed, tuple(signers))))


def transfer(state: State, call: Call, amount: int) -> None:
    _move(state, call, call.keys[0], call.keys[1], 2, amount)


def transfer_checked(state: State, call: Call, amount: int, decimals: int) -> None:
    check_same_mint(get_account(state, call.keys[0]).mint, call.keys[1])
    check_decimals(get_mint(state, call.keys[1]), decimals)
    _move(state, call, call.keys[0], call.keys[2], 3, amount)


def _move(state: State, call: Call, source: Key, target: Key, at: int, amount: int) -> None:
    taker = get_account(state, target)
    spent = check_giver(state, call, source, taker.mint, at, amount)
    check_not_frozen(taker, target)

    if source != target:
        move(state, source, spent, target, amount)


def check_giver(state: State, call: Call, source: Key, mint: Key, at: int, amount: int) -> TokenAccount:
    """The account that gives, as it is afterwards; its owner or its delegate stands at `at` and signs.

    Raises TokenUninitialized, TokenFrozen, TokenMintMismatch, TokenNotEnough, TokenOwnerMismatch,
    MissingSigner.
    """
    giver = get_account(state, source)
    check_not_frozen(giver, source)
    check_same_mint(giver.mint, mint)
    check_enough(giver.amount, amount)
    spent = check_spender(state, call, at, giver, amount)
    return msgspec.structs.replace(spent, amount=giver.amount - amount)


def check_spender(state: State, call: Call, at: int, giver: TokenAccount, amount: int) -> TokenAccount:
    """The account after its owner or its delegate has spent from what is approved."""
    if giver.delegate is None or call.keys[at] != giver.delegate:
        check_authority(state, call, at, giver.owner)
        return giver
    check_authority(state, call, at, giver.delegate)
    check_enough(giver.delegated, amount)
    left = giver.delegated - amount
    return msgspec.structs.replace(giver, delegated=left, delegate=giver.delegate if left else None)


def move(state: State, source: Key, spent: TokenAccount, target: Key, amount: int) -> None:
    """Store the account that gave, and credit the account that takes."""
    native = amount if spent.reserve is not None else 0
    put_token(state, source, spent, -native)
    taker = get_account(state, target)
    put_token(state, target, msgspec.structs.replace(taker, amount=taker.amount + amount), native)


def put_token(state: State, key: Key, account: TokenAccount, native: int = 0) -> None:
    """Store a token account, and move as much native money as it wraps."""
    balance = state.accounts.rows[key].balance + native
    put_data(state, key, encode_account(account), balance)


def approve(state: State, call: Call, amount: int) -> None:
    _delegate(state, call, call.keys[1], 2, amount)


def approve_checked(state: State, call: Call, amount: int, decimals: int) -> None:
    check_same_mint(get_account(state, call.keys[0]).mint, call.keys[1])
    check_decimals(get_mint(state, call.keys[1]), decimals)
    _delegate(state, call, call.keys[2], 3, amount)


def _delegate(state: State, call: Call, delegate: Key | None, at: int, amount: int) -> None:
    account = get_account(state, call.keys[0])
    check_not_frozen(account, call.keys[0])
    check_authority(state, call, at, account.owner)

    put_token(state, call.keys[0], msgspec.structs.replace(account, delegate=delegate, delegated=amount))


def revoke(state: State, call: Call) -> None:
    _delegate(state, call, None, 1, 0)


def set_authority(state: State, call: Call, kind: int, new: Key | None) -> None:
    key = call.keys[0]
    mint = decode_mint(get_data(state, key))
    if mint is not None:
        check_authority_kind(kind, (0, 1))
        if kind == 0:
            check_mintable(mint)
        else:
            check_freezable(mint)
        check_authority(state, call, 1, mint.authority if kind == 0 else mint.freezer)
        change = {"authority": new} if kind == 0 else {"freezer": new}
        put_data(state, key, encode_mint(msgspec.structs.replace(mint, **change)))
        return
    account = get_account(state, key)
    check_not_frozen(account, key)
    check_authority_kind(kind, (2, 3) if new is not None else (3,))
    check_authority(state, call, 1, account.owner if kind == 2 else account.closer or account.owner)
    if kind == 3:
        put_token(state, key, msgspec.structs.replace(account, closer=new))
    else:
        assert new is not None
        closer = account.closer if account.reserve is None else None
        put_token(
            state, key, msgspec.structs.replace(account, owner=new, delegate=None, delegated=0, closer=closer)
        )


def mint_to(state: State, call: Call, amount: int) -> None:
    account, mint = get_account(state, call.keys[1]), get_mint(state, call.keys[0])
    check_not_native(account)
    check_not_frozen(account, call.keys[1])
    check_same_mint(account.mint, call.keys[0])
    check_mintable(mint)
    check_authority(state, call, 2, mint.authority)
    check_supply(mint, amount)

    put_data(state, call.keys[0], encode_mint(msgspec.structs.replace(mint, supply=mint.supply + amount)))
    put_token(state, call.keys[1], msgspec.structs.replace(account, amount=account.amount + amount))


def mint_to_checked(state: State, call: Call, amount: int, decimals: int) -> None:
    check_decimals(get_mint(state, call.keys[0]), decimals)
    mint_to(state, call, amount)


def burn(state: State, call: Call, amount: int) -> None:
    account, mint = get_account(state, call.keys[0]), get_mint(state, call.keys[1])
    check_not_native(account)
    check_not_frozen(account, call.keys[0])
    check_same_mint(account.mint, call.keys[1])
    check_enough(account.amount, amount)
    spent = check_spender(state, call, 2, account, amount)

    put_data(state, call.keys[1], encode_mint(msgspec.structs.replace(mint, supply=mint.supply - amount)))
    put_token(state, call.keys[0], msgspec.structs.replace(spent, amount=account.amount - amount))


def burn_checked(state: State, call: Call, amount: int, decimals: int) -> None:
    check_decimals(get_mint(state, call.keys[1]), decimals)
    burn(state, call, amount)


def close_account(state: State, call: Call) -> None:
    source, target = call.keys[0], call.keys[1]
    account = get_account(state, source)
    check_apart(source, target)
    check_empty(account)
    check_authority(state, call, 2, account.closer or account.owner)

    credit(state, target, get_balance(state, source))
    state.remove(state.accounts, source)


def freeze_account(state: State, call: Call) -> None:
    _set_frozen(state, call, True)


def thaw_account(state: State, call: Call) -> None:
    _set_frozen(state, call, False)


def _set_frozen(state: State, call: Call, is_frozen: bool) -> None:
    account, mint = get_account(state, call.keys[0]), get_mint(state, call.keys[1])
    check_frozen_state(account, is_frozen)
    check_not_native(account)
    check_same_mint(account.mint, call.keys[1])
    check_freezable(mint)
    check_authority(state, call, 2, mint.freezer)

    put_token(state, call.keys[0], msgspec.structs.replace(account, is_frozen=is_frozen))


def sync_native(state: State, call: Call) -> None:
    account = get_account(state, call.keys[0])
    reserve = check_native(account)

    amount = get_balance(state, call.keys[0]) - reserve
    put_token(state, call.keys[0], msgspec.structs.replace(account, amount=amount))


def stay_as_is(state: State, call: Call) -> None:
    """The owner of an account may be said to be immutable; nothing here depends on it."""


def get_account_size(state: State, call: Call) -> bytes:
    get_mint(state, call.keys[0])
    return ACCOUNT_BYTES.to_bytes(8, "little")


def describe_amount(state: State, call: Call, amount: int) -> bytes:
    decimals = get_mint(state, call.keys[0]).decimals
    digits = str(amount).rjust(decimals + 1, "0")
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{whole}.{part}".encode() if part else whole.encode()


def read_amount(state: State, call: Call, text: bytes) -> bytes:
    return check_amount_text(text, get_mint(state, call.keys[0]).decimals).to_bytes(8, "little")


@rule("12.20")
def check_amount_text(text: bytes, decimals: int) -> int:
    """An amount for people is digits with at most one point, no finer than the mint, and fits 64 bits."""
    found = _AMOUNT.fullmatch(text)
    whole, part = (found[1], (found[2] or b"").rstrip(b"0")) if found else (b"", b"")
    amount = int(whole + part.ljust(decimals, b"0") or b"0")
    if not (whole or part) or len(part) > decimals or amount >= U64:
        raise BadAmount(f"{text[:80]!a} is not an amount of a mint with {decimals} decimals")
    return amount


_AMOUNT = re.compile(rb"\+?([0-9]{0,39})(?:\.([0-9]*))?")
