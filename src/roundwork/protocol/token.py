"""The token program: mints, accounts, transfers, approvals. Formats and numbers are the ecosystem's.

Also its two companions: associated token accounts, and memos.
"""

import struct
from collections.abc import Callable
from typing import TypeVar

import msgspec
from solders.pubkey import Pubkey

from ..errors import (
    AccountInUse,
    BadInstruction,
    BadMemo,
    MissingSigner,
    TokenAuthorityUnsupported,
    TokenDecimalsMismatch,
    TokenFixedSupply,
    TokenFrozen,
    TokenHasBalance,
    TokenInUse,
    TokenMintMismatch,
    TokenNativeUnsupported,
    TokenNotEnough,
    TokenNotMint,
    TokenOverflow,
    TokenOwnerMismatch,
    TokenSignersWrong,
    TokenUnfreezable,
    TokenUninitialized,
    WrongOwner,
)  # fmt: skip
from .money import credit, debit, get_balance
from .params import (
    ASSOCIATED_TOKEN_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_MINT,
    Key,
    base58_of,
)  # fmt: skip
from .records import Account
from .rules import rule
from .state import State
from .system import Call, check_balance, check_signed, check_spendable
from .token_records import (
    ACCOUNT_BYTES,
    MINT_BYTES,
    MULTISIG_BYTES,
    SIGNERS_MAX,
    Mint,
    Multisig,
    TokenAccount,
    decode_account,
    decode_mint,
    decode_multisig,
    encode_account,
    encode_mint,
    encode_multisig,
)  # fmt: skip

U64 = 2**64
RESERVE = (ACCOUNT_BYTES + 128) * 6960
"""What an account of wrapped native money keeps back, if it has it."""

T = TypeVar("T")


def run(state: State, call: Call) -> None:
    """Carry out one token instruction. Raises Token… and BadInstruction. Source: docs/PROTOCOL.md 12."""
    check_known(call)
    _, form, act = _HANDLERS[call.data[0]]
    act(state, call, *_read(call.data, form))


# Reading


def get_data(state: State, key: Key) -> bytes:
    """The data of an account of the token program; nothing of any other."""
    account = state.accounts.rows.get(key)
    if account is None or account.owner != TOKEN_PROGRAM:
        return b""
    return account.data.ljust(account.space, b"\0")


def get_mint(state: State, key: Key) -> Mint:
    """The mint at an address. Raises TokenNotMint."""
    mint = decode_mint(get_data(state, key))
    check_mint(mint, key)
    assert mint is not None
    return mint


def get_account(state: State, key: Key) -> TokenAccount:
    """The token account at an address. Raises TokenUninitialized."""
    account = decode_account(get_data(state, key))
    check_account(account, key)
    assert account is not None
    return account


def put_data(state: State, key: Key, data: bytes, balance: int | None = None) -> None:
    """Give an account other data, and another balance if that changes."""
    old = state.accounts.rows[key]
    kept = old.balance if balance is None else balance
    state.put(state.accounts, key, Account(kept, old.owner, len(data), data, old.is_executable))


def find_associated(owner: Key, mint: Key) -> Key:
    """The address of an owner's associated token account for a mint."""
    seeds = [owner, TOKEN_PROGRAM, mint]
    return bytes(Pubkey.find_program_address(seeds, Pubkey(ASSOCIATED_TOKEN_PROGRAM))[0])


# Checks


@rule("12.1")
def check_known(call: Call) -> None:
    """A token instruction is one that there is, whole, and names its accounts."""
    number = call.data[0] if call.data else -1
    handler = _HANDLERS.get(number)
    if handler is None:
        raise BadInstruction(f"the token program has no instruction {number}; it has {sorted(_HANDLERS)}")
    accounts, form, _ = handler
    if len(call.keys) < accounts:
        raise BadInstruction(
            f"token instruction {number} names {len(call.keys)} accounts; it needs {accounts}"
        )
    try:
        _read(call.data, form)
    except (struct.error, IndexError):
        raise BadInstruction(
            f"token instruction {number} ends too early, after {len(call.data)} bytes"
        ) from None


@rule("12.2")
def check_mint(mint: Mint | None, key: Key) -> None:
    """Where a mint is named there is one."""
    if mint is None:
        raise TokenNotMint(f"{base58_of(key)} is no mint")


@rule("12.3")
def check_account(account: TokenAccount | None, key: Key) -> None:
    """Where a token account is named there is one."""
    if account is None:
        raise TokenUninitialized(f"{base58_of(key)} is no token account")


@rule("12.4")
def check_fresh(state: State, key: Key, size: int) -> None:
    """What is initialised belongs to the token program, has the size that it needs, and is still blank."""
    account = state.accounts.rows.get(key)
    if account is None or account.owner != TOKEN_PROGRAM or account.space != size:
        raise TokenUninitialized(f"{base58_of(key)} is no account of the token program of {size} bytes")
    if account.data.strip(b"\0"):
        raise TokenInUse(f"{base58_of(key)} is initialised already")


@rule("12.5")
def check_authority(state: State, call: Call, at: int, authority: Key | None) -> None:
    """Who disposes of something is its authority, and signs; for a multisig enough of its signers do."""
    if call.keys[at] != authority:
        needed = "nobody" if authority is None else base58_of(authority)
        raise TokenOwnerMismatch(f"{base58_of(call.keys[at])} is not the authority, {needed} is")
    multisig = decode_multisig(get_data(state, authority))
    signed = {key for key, is_signer in zip(call.keys, call.signed, strict=True) if is_signer}
    if multisig is not None:
        count = len(signed & {*multisig.signers} & {*call.keys[at + 1 :]})
        if count < multisig.needed:
            raise MissingSigner(
                f"{count} signers of {base58_of(authority)} signed; it needs {multisig.needed}"
            )
    elif authority not in signed:
        raise MissingSigner(f"{base58_of(authority)} did not sign")


@rule("12.6")
def check_same_mint(mint: Key, other: Key) -> None:
    """Tokens move between accounts of one mint."""
    if mint != other:
        raise TokenMintMismatch(f"one account is of mint {base58_of(mint)}, the other of {base58_of(other)}")


@rule("12.7")
def check_not_frozen(account: TokenAccount, key: Key) -> None:
    """A frozen account neither gives nor takes."""
    if account.is_frozen:
        raise TokenFrozen(f"{base58_of(key)} is frozen")


@rule("12.8")
def check_enough(available: int, amount: int) -> None:
    """Nobody gives more tokens than it has, or than were approved."""
    if available < amount:
        raise TokenNotEnough(f"{available} tokens are there; {amount} are to move")


@rule("12.9")
def check_decimals(mint: Mint, decimals: int) -> None:
    """A checked instruction knows the mint's decimals."""
    if mint.decimals != decimals:
        raise TokenDecimalsMismatch(f"the mint has {mint.decimals} decimals, the instruction says {decimals}")


@rule("12.10")
def check_mintable(mint: Mint) -> None:
    """Only a mint that has an authority makes more tokens."""
    if mint.authority is None:
        raise TokenFixedSupply("the supply of this mint is fixed")


@rule("12.11")
def check_supply(mint: Mint, amount: int) -> None:
    """A supply is a number of 64 bits."""
    if mint.supply + amount >= U64:
        raise TokenOverflow(f"a supply of {mint.supply} cannot grow by {amount}")


@rule("12.12")
def check_not_native(account: TokenAccount) -> None:
    """Wrapped native money is neither minted nor burnt."""
    if account.reserve is not None:
        raise TokenNativeUnsupported("wrapped native money is neither minted nor burnt")


@rule("12.13")
def check_native(account: TokenAccount) -> None:
    """Only wrapped native money is brought in line with its balance."""
    if account.reserve is None:
        raise TokenNativeUnsupported("only an account of wrapped native money has a balance to follow")


@rule("12.14")
def check_empty(account: TokenAccount) -> None:
    """An account with tokens is not closed."""
    if account.reserve is None and account.amount:
        raise TokenHasBalance(f"the account holds {account.amount} tokens")


@rule("12.15")
def check_freezable(mint: Mint) -> None:
    """Only a mint that has a freezing authority freezes."""
    if mint.freezer is None:
        raise TokenUnfreezable("this mint has no freezing authority")


@rule("12.16")
def check_frozen_state(account: TokenAccount, is_frozen: bool) -> None:
    """What is frozen is not frozen yet, what is thawed is frozen."""
    if account.is_frozen == is_frozen:
        raise TokenFrozen(f"the account is {'' if is_frozen else 'not '}frozen already")


@rule("12.17")
def check_signers(needed: int, count: int) -> None:
    """A multisig has 1 to 11 signers and needs no more than it has."""
    if not 1 <= needed <= count <= SIGNERS_MAX:
        raise TokenSignersWrong(
            f"{needed} of {count} signers; 1 to {SIGNERS_MAX}, and no more than there are"
        )


@rule("12.18")
def check_authority_kind(kind: int, allowed: tuple[int, ...]) -> None:
    """A mint has authorities to mint and to freeze, an account an owner and who may close it."""
    if kind not in allowed:
        raise TokenAuthorityUnsupported(f"an authority of kind {kind} is none of {allowed}")


@rule("12.19")
def check_apart(source: Key, target: Key) -> None:
    """The money of a closed account goes to another one."""
    if source == target:
        raise TokenInUse("an account cannot be closed into itself")


@rule("12.20")
def check_associated(call: Call, derived: Key) -> None:
    """An associated account lies at the address that follows from its owner and its mint."""
    if call.keys[1] != derived:
        raise WrongOwner(f"{base58_of(call.keys[1])} was named; owner and mint give {base58_of(derived)}")


@rule("12.21")
def check_associated_vacant(state: State, key: Key) -> None:
    """An associated account is created where there is none."""
    account = state.accounts.rows.get(key)
    if account is not None and account.owner != SYSTEM_PROGRAM:
        raise AccountInUse(f"{base58_of(key)} exists already")


@rule("12.22")
def check_associated_call(call: Call) -> None:
    """The associated token program creates, and names its accounts."""
    if call.data not in (b"", b"\0", b"\1") or len(call.keys) < 4:
        raise BadInstruction(
            "the associated token program has instructions 0 and 1, with at least 4 accounts"
        )


@rule("12.23")
def check_memo(call: Call) -> None:
    """A memo is UTF-8, and every account that it names signs."""
    try:
        call.data.decode()
    except UnicodeDecodeError as error:
        raise BadMemo(f"the memo is not UTF-8: {error.reason} at byte {error.start}") from None
    if not all(call.signed):
        raise MissingSigner("every account that a memo names signs it")


# Instructions


def _init_mint(state: State, call: Call, decimals: int, authority: Key, freezer: Key | None) -> None:
    check_fresh(state, call.keys[0], MINT_BYTES)

    put_data(state, call.keys[0], encode_mint(Mint(0, decimals, authority, freezer)))


def _init_account(state: State, call: Call) -> None:
    _open_account(state, call.keys[0], call.keys[1], call.keys[2])


def _init_account_of(state: State, call: Call, owner: Key) -> None:
    _open_account(state, call.keys[0], call.keys[1], owner)


def _open_account(state: State, key: Key, mint: Key, owner: Key) -> None:
    check_fresh(state, key, ACCOUNT_BYTES)
    get_mint(state, mint)

    opened = TokenAccount(mint, owner)
    if mint == WRAPPED_MINT:
        balance = get_balance(state, key)
        reserve = min(RESERVE, balance)
        opened = TokenAccount(mint, owner, balance - reserve, reserve=reserve)
    put_data(state, key, encode_account(opened))


def _init_multisig(state: State, call: Call, needed: int) -> None:
    signers = tuple(call.keys[2:] if call.data[0] == 2 else call.keys[1:])
    check_fresh(state, call.keys[0], MULTISIG_BYTES)
    check_signers(needed, len(signers))

    put_data(state, call.keys[0], encode_multisig(Multisig(needed, signers)))


def _transfer(state: State, call: Call, amount: int) -> None:
    _move(state, call, call.keys[0], call.keys[1], 2, amount)


def _transfer_checked(state: State, call: Call, amount: int, decimals: int) -> None:
    check_same_mint(get_account(state, call.keys[0]).mint, call.keys[1])
    check_decimals(get_mint(state, call.keys[1]), decimals)
    _move(state, call, call.keys[0], call.keys[2], 3, amount)


def _move(state: State, call: Call, source: Key, target: Key, at: int, amount: int) -> None:
    giver, taker = get_account(state, source), get_account(state, target)
    check_not_frozen(giver, source)
    check_not_frozen(taker, target)
    check_same_mint(giver.mint, taker.mint)
    check_enough(giver.amount, amount)
    spent = check_spender(state, call, at, giver, amount)

    if source == target:
        return
    native = amount if giver.reserve is not None else 0
    put_token(state, source, msgspec.structs.replace(spent, amount=giver.amount - amount), -native)
    put_token(state, target, msgspec.structs.replace(taker, amount=taker.amount + amount), native)


def check_spender(state: State, call: Call, at: int, giver: TokenAccount, amount: int) -> TokenAccount:
    """The account after its owner or its delegate has spent from what is approved."""
    if giver.delegate is None or call.keys[at] != giver.delegate:
        check_authority(state, call, at, giver.owner)
        return giver
    check_authority(state, call, at, giver.delegate)
    check_enough(giver.delegated, amount)
    left = giver.delegated - amount
    return msgspec.structs.replace(giver, delegated=left, delegate=giver.delegate if left else None)


def put_token(state: State, key: Key, account: TokenAccount, native: int = 0) -> None:
    """Store a token account, and move as much native money as it wraps."""
    balance = state.accounts.rows[key].balance + native
    put_data(state, key, encode_account(account), balance)


def _approve(state: State, call: Call, amount: int) -> None:
    _delegate(state, call, call.keys[1], 2, amount)


def _approve_checked(state: State, call: Call, amount: int, decimals: int) -> None:
    check_same_mint(get_account(state, call.keys[0]).mint, call.keys[1])
    check_decimals(get_mint(state, call.keys[1]), decimals)
    _delegate(state, call, call.keys[2], 3, amount)


def _delegate(state: State, call: Call, delegate: Key | None, at: int, amount: int) -> None:
    account = get_account(state, call.keys[0])
    check_not_frozen(account, call.keys[0])
    check_authority(state, call, at, account.owner)

    put_token(state, call.keys[0], msgspec.structs.replace(account, delegate=delegate, delegated=amount))


def _revoke(state: State, call: Call) -> None:
    _delegate(state, call, None, 1, 0)


def _set_authority(state: State, call: Call, kind: int, new: Key | None) -> None:
    key = call.keys[0]
    mint = decode_mint(get_data(state, key))
    if mint is not None:
        check_authority_kind(kind, (0, 1))
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
        put_token(state, key, msgspec.structs.replace(account, owner=new, delegate=None, delegated=0))


def _mint_to(state: State, call: Call, amount: int) -> None:
    account, mint = get_account(state, call.keys[1]), get_mint(state, call.keys[0])
    check_not_native(account)
    check_not_frozen(account, call.keys[1])
    check_same_mint(account.mint, call.keys[0])
    check_mintable(mint)
    check_authority(state, call, 2, mint.authority)
    check_supply(mint, amount)

    put_data(state, call.keys[0], encode_mint(msgspec.structs.replace(mint, supply=mint.supply + amount)))
    put_token(state, call.keys[1], msgspec.structs.replace(account, amount=account.amount + amount))


def _mint_to_checked(state: State, call: Call, amount: int, decimals: int) -> None:
    check_decimals(get_mint(state, call.keys[0]), decimals)
    _mint_to(state, call, amount)


def _burn(state: State, call: Call, amount: int) -> None:
    account, mint = get_account(state, call.keys[0]), get_mint(state, call.keys[1])
    check_not_native(account)
    check_not_frozen(account, call.keys[0])
    check_same_mint(account.mint, call.keys[1])
    check_enough(account.amount, amount)
    spent = check_spender(state, call, 2, account, amount)

    put_data(state, call.keys[1], encode_mint(msgspec.structs.replace(mint, supply=mint.supply - amount)))
    put_token(state, call.keys[0], msgspec.structs.replace(spent, amount=account.amount - amount))


def _burn_checked(state: State, call: Call, amount: int, decimals: int) -> None:
    check_decimals(get_mint(state, call.keys[1]), decimals)
    _burn(state, call, amount)


def _close(state: State, call: Call) -> None:
    source, target = call.keys[0], call.keys[1]
    account = get_account(state, source)
    check_apart(source, target)
    check_empty(account)
    check_authority(state, call, 2, account.closer or account.owner)

    credit(state, target, get_balance(state, source))
    state.remove(state.accounts, source)


def _freeze(state: State, call: Call) -> None:
    _set_frozen(state, call, True)


def _thaw(state: State, call: Call) -> None:
    _set_frozen(state, call, False)


def _set_frozen(state: State, call: Call, is_frozen: bool) -> None:
    account, mint = get_account(state, call.keys[0]), get_mint(state, call.keys[1])
    check_frozen_state(account, is_frozen)
    check_same_mint(account.mint, call.keys[1])
    check_freezable(mint)
    check_authority(state, call, 2, mint.freezer)

    put_token(state, call.keys[0], msgspec.structs.replace(account, is_frozen=is_frozen))


def _sync_native(state: State, call: Call) -> None:
    account = get_account(state, call.keys[0])
    check_native(account)

    amount = get_balance(state, call.keys[0]) - (account.reserve or 0)
    put_token(state, call.keys[0], msgspec.structs.replace(account, amount=amount))


def _stay_as_is(state: State, call: Call) -> None:
    """The owner of an account may be said to be immutable; nothing here depends on it."""


# Companions


def run_associated(state: State, call: Call) -> None:
    """Create an owner's token account for a mint, paid by the first account; instruction 1 if it is missing.

    Raises BadInstruction, WrongOwner, AccountInUse, TokenNotMint, and what a payment raises.
    """
    check_associated_call(call)
    payer, key, owner, mint = call.keys[:4]
    check_associated(call, find_associated(owner, mint))
    existing = decode_account(get_data(state, key))
    if call.data == b"\1" and existing is not None and existing.owner == owner:
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
    _open_account(state, key, mint, owner)


def run_memo(call: Call) -> None:
    """A memo changes nothing. Raises BadMemo, MissingSigner."""
    check_memo(call)


def _read(data: bytes, form: str) -> list[int | bytes | None]:
    """The fields behind the number: B a byte, Q a u64, K a key, O a key that may be missing.

    Raises struct.error, IndexError.
    """
    fields: list[int | bytes | None] = []
    at = 1
    for letter in form:
        if letter == "O":
            is_there = data[at]
            at += 1
            fields += struct.unpack_from("<32s", data, at) if is_there else [None]
            at += 32 * bool(is_there)
        else:
            fields += struct.unpack_from({"B": "<B", "Q": "<Q", "K": "<32s"}[letter], data, at)
            at += {"B": 1, "Q": 8, "K": 32}[letter]
    return fields


_HANDLERS: dict[int, tuple[int, str, Callable[..., None]]] = {
    0: (1, "BKO", _init_mint),
    1: (3, "", _init_account),
    2: (2, "B", _init_multisig),
    3: (3, "Q", _transfer),
    4: (3, "Q", _approve),
    5: (2, "", _revoke),
    6: (2, "BO", _set_authority),
    7: (3, "Q", _mint_to),
    8: (3, "Q", _burn),
    9: (3, "", _close),
    10: (3, "", _freeze),
    11: (3, "", _thaw),
    12: (4, "QB", _transfer_checked),
    13: (4, "QB", _approve_checked),
    14: (3, "QB", _mint_to_checked),
    15: (3, "QB", _burn_checked),
    16: (2, "K", _init_account_of),
    17: (1, "", _sync_native),
    18: (2, "K", _init_account_of),
    19: (1, "B", _init_multisig),
    20: (1, "BKO", _init_mint),
    22: (1, "", _stay_as_is),
}
"""Accounts that each names at least, its fields, and what it does."""
