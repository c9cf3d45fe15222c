"""The system program: accounts are made, assigned, sized; money and nonces move. Formats are Solana's."""

import struct
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from ...errors import (
    AccountInUse,
    BadInstruction,
    BadSpace,
    BalanceTooLow,
    MissingSigner,
    SeedMismatch,
    SeedTooLong,
    WrongOwner,
)  # fmt: skip
from ..money import credit, debit, get_balance, get_owner
from ..params import (
    KPL_PROGRAM,
    SPACE_MAX,
    SYSTEM_PROGRAM,
    SYSVAR_RECENT_BLOCKHASHES,
    SYSVAR_RENT,
    TASK_PROGRAM,
    TASK_SPACE_MAX,
    Key,
    base58_of,
)
from ..records import Account
from ..rules import rule
from ..state import State
from .nonces import (
    check_blank_nonce,
    check_nonce,
    check_nonce_authority,
    check_nonce_expired,
    get_nonce,
    give_nonce,
    write_nonce,
)  # fmt: skip


class Call(NamedTuple):
    """An instruction with its accounts, which of them signed, and the slot of its block."""

    keys: Sequence[Key]
    signed: Sequence[bool]
    data: bytes
    slot: int
    datas: Sequence[bytes] = ()
    """The data of every instruction of the transaction, for a program that points into them."""


def run(state: State, call: Call) -> None:
    """Carry out one system instruction.

    Raises BadInstruction, MissingSigner, WrongOwner, AccountInUse, BalanceTooLow, BadSpace, SeedTooLong,
    SeedMismatch, NotANonce, NonceNotExpired. Source: docs/PROTOCOL.md 3.
    """
    check_known(call)
    form, _, act = _HANDLERS[_get_number(call)]
    act(state, call, *_read(call.data, form))


def _get_number(call: Call) -> int:
    return int.from_bytes(call.data[:4], "little") if len(call.data) >= 4 else -1


@rule("3.20")
def check_known(call: Call) -> None:
    """A system instruction has a known number, is complete, and names its accounts."""
    number = _get_number(call)
    handler = _HANDLERS.get(number)
    if handler is None:
        raise BadInstruction(f"the system program has no instruction {number}; it has {sorted(_HANDLERS)}")
    form, accounts, _ = handler
    if len(call.keys) < accounts:
        raise BadInstruction(
            f"system instruction {number} names {len(call.keys)} accounts; it needs {accounts}"
        )
    if len(call.data) < (_SIZES.get(form) or _measure(call.data, form)):
        raise BadInstruction(f"system instruction {number} ends too early, after {len(call.data)} bytes")


@rule("3.21")
def check_signed(call: Call, at: int) -> None:
    """The account that pays, is created, is assigned or gets its size signs."""
    if not call.signed[at]:
        raise MissingSigner(f"{base58_of(call.keys[at])} did not sign")


@rule("3.22")
def check_spendable(state: State, key: Key) -> None:
    """Only an account of the system program without data pays."""
    account = state.accounts.rows.get(key)
    if account is not None and (account.owner != SYSTEM_PROGRAM or account.space):
        raise WrongOwner(
            f"{base58_of(key)} belongs to {base58_of(account.owner)} with {account.space} bytes of data; "
            "only a plain system account pays"
        )


@rule("3.23")
def check_balance(state: State, key: Key, amount: int) -> None:
    """An account pays at most its balance."""
    balance = get_balance(state, key)
    if balance < amount:
        raise BalanceTooLow(f"{base58_of(key)} holds {balance} roe; {amount} are to move")


@rule("3.24")
def check_vacant(state: State, key: Key) -> None:
    """An account is created where there is none."""
    if key in state.accounts.rows:
        raise AccountInUse(f"{base58_of(key)} exists already")


@rule("3.25")
def check_space(space: int, owner: Key) -> None:
    """An account's data has a limit; accounts of the task programs have a higher limit."""
    most = TASK_SPACE_MAX if owner in (TASK_PROGRAM, KPL_PROGRAM) else SPACE_MAX
    if space > most:
        raise BadSpace(f"{space} bytes are too many; an account of {base58_of(owner)} has at most {most}")


@rule("3.26")
def check_blank(state: State, key: Key) -> None:
    """Only an account of the system program without data is sized."""
    account = state.accounts.rows.get(key)
    if account is not None and (account.owner != SYSTEM_PROGRAM or account.space):
        raise AccountInUse(f"{base58_of(key)} has an owner or data already")


@rule("3.27")
def check_assignable(state: State, key: Key) -> None:
    """Only an account of the system program whose data is zeros is assigned to another owner."""
    account = state.accounts.rows.get(key)
    if account is not None and (account.owner != SYSTEM_PROGRAM or account.data):
        raise AccountInUse(f"{base58_of(key)} has an owner already, or data that is not zeros")


@rule("3.28")
def check_seed_size(seed: bytes) -> None:
    """A seed has at most 32 bytes."""
    if len(seed) > 32:
        raise SeedTooLong(f"the seed has {len(seed)} bytes; 32 are allowed")


@rule("3.29")
def check_derived(key: Key, base: Key, seed: bytes, owner: Key) -> None:
    """An address made with a seed follows from base, seed and owner."""
    derived = sha256(base + seed + owner).digest()
    if derived != key:
        raise SeedMismatch(f"{base58_of(key)} was named; base, seed and owner give {base58_of(derived)}")


@rule("3.30")
def check_seed_owner(owner: Key) -> None:
    """The owner of an address made with a seed does not end in `ProgramDerivedAddress`."""
    if owner.endswith(b"ProgramDerivedAddress"):
        raise WrongOwner(f"{base58_of(owner)} would make an address that programs derive")


@rule("3.31")
def check_base(call: Call, base: Key) -> None:
    """The base of an address made with a seed is among the accounts and signs."""
    if not any(key == base and signed for key, signed in zip(call.keys, call.signed, strict=True)):
        raise MissingSigner(f"the base {base58_of(base)} did not sign")


@rule("3.40")
def check_sysvar(call: Call, at: int, sysvar: Key) -> None:
    """Nonce instructions name sysvars where Solana's clients do."""
    if call.keys[at] != sysvar:
        raise BadInstruction(f"account {at} is {base58_of(call.keys[at])}; {base58_of(sysvar)} belongs there")


def _create(state: State, call: Call, amount: int, space: int, owner: Key) -> None:
    check_vacant(state, call.keys[1])
    check_signed(call, 1)
    _found(state, call, amount, space, owner)


def _create_with_seed(
    state: State, call: Call, base: Key, seed: bytes, amount: int, space: int, owner: Key
) -> None:
    _check_seed(base, seed, owner, call.keys[1])
    check_vacant(state, call.keys[1])
    check_base(call, base)
    _found(state, call, amount, space, owner)


def _found(state: State, call: Call, amount: int, space: int, owner: Key) -> None:
    source, target = call.keys[:2]
    check_space(space, owner)
    check_signed(call, 0)
    check_spendable(state, source)
    check_balance(state, source, amount)

    debit(state, source, amount)
    state.put(state.accounts, target, Account(amount, owner, space))


def _assign(state: State, call: Call, owner: Key) -> None:
    """As on Solana, an assignment to the present owner changes nothing and needs no signature."""
    if owner != get_owner(state, call.keys[0]):
        check_signed(call, 0)
        check_assignable(state, call.keys[0])

        _set_owner(state, call.keys[0], owner)


def _assign_with_seed(state: State, call: Call, base: Key, seed: bytes, owner: Key) -> None:
    _check_seed(base, seed, owner, call.keys[0])
    if owner != get_owner(state, call.keys[0]):
        check_base(call, base)
        check_assignable(state, call.keys[0])

        _set_owner(state, call.keys[0], owner)


def _set_owner(state: State, key: Key, owner: Key) -> None:
    account = state.accounts.rows.get(key) or Account(0)
    state.put(state.accounts, key, msgspec.structs.replace(account, owner=owner))


def _allocate(state: State, call: Call, space: int) -> None:
    check_signed(call, 0)
    _set_space(state, call.keys[0], space, SYSTEM_PROGRAM)


def _allocate_with_seed(state: State, call: Call, base: Key, seed: bytes, space: int, owner: Key) -> None:
    _check_seed(base, seed, owner, call.keys[0])
    check_base(call, base)
    _set_space(state, call.keys[0], space, owner)


def _set_space(state: State, key: Key, space: int, owner: Key) -> None:
    check_blank(state, key)
    check_space(space, owner)

    if space or owner != SYSTEM_PROGRAM:
        state.put(state.accounts, key, Account(get_balance(state, key), owner, space))


def _transfer(state: State, call: Call, amount: int) -> None:
    check_signed(call, 0)
    _move(state, call.keys[0], call.keys[1], amount)


def _transfer_with_seed(state: State, call: Call, amount: int, seed: bytes, owner: Key) -> None:
    source, base, target = call.keys[:3]
    check_signed(call, 1)
    _check_seed(base, seed, owner, source)
    _move(state, source, target, amount)


def _move(state: State, source: Key, target: Key, amount: int) -> None:
    check_spendable(state, source)
    check_balance(state, source, amount)

    debit(state, source, amount)
    credit(state, target, amount)


def _advance_nonce(state: State, call: Call) -> None:
    key = call.keys[0]
    check_sysvar(call, 1, SYSVAR_RECENT_BLOCKHASHES)
    nonce = check_nonce(get_nonce(state, key), key)
    check_nonce_authority(call.keys, call.signed, nonce.authority)
    check_nonce_expired(state, call.slot, nonce, key)

    write_nonce(state, call.slot, key, nonce.authority)


def _withdraw_nonce(state: State, call: Call, amount: int) -> None:
    """Take money off a nonce account; all of it ends the nonce."""
    key, target = call.keys[:2]
    check_sysvar(call, 2, SYSVAR_RECENT_BLOCKHASHES)
    check_sysvar(call, 3, SYSVAR_RENT)
    check_balance(state, key, amount)
    nonce = get_nonce(state, key)
    is_all = amount == get_balance(state, key)
    if nonce is None:
        check_blank_nonce(state, key)
        check_nonce_authority(call.keys, call.signed, key)
    else:
        check_nonce_authority(call.keys, call.signed, nonce.authority)
        if is_all:
            check_nonce_expired(state, call.slot, nonce, key)

    if is_all:
        state.remove(state.accounts, key)
    else:
        debit(state, key, amount)
    credit(state, target, amount)


def _initialize_nonce(state: State, call: Call, authority: Key) -> None:
    check_sysvar(call, 1, SYSVAR_RECENT_BLOCKHASHES)
    check_sysvar(call, 2, SYSVAR_RENT)
    check_blank_nonce(state, call.keys[0])

    write_nonce(state, call.slot, call.keys[0], authority)


def _authorize_nonce(state: State, call: Call, authority: Key) -> None:
    key = call.keys[0]
    nonce = check_nonce(get_nonce(state, key), key)
    check_nonce_authority(call.keys, call.signed, nonce.authority)

    give_nonce(state, key, authority)


def _check_seed(base: Key, seed: bytes, owner: Key, key: Key) -> None:
    check_seed_size(seed)
    check_seed_owner(owner)
    check_derived(key, base, seed, owner)


def _measure(data: bytes, form: str) -> int:
    """How many bytes an instruction of this form needs, as far as its data says."""
    before, has_seed, after = form.partition("S")
    size = 4 + sum([_WIDTHS[letter] for letter in before + after])
    if has_seed:
        at = 4 + sum([_WIDTHS[letter] for letter in before])
        size += 8 + int.from_bytes(data[at : at + 8], "little")
    return size


_WIDTHS = {"Q": 8, "K": 32}


def _read(data: bytes, form: str) -> list[int | bytes]:
    """The fields behind the number: Q a u64, K a key, S a text with its u64 length."""
    fields: list[int | bytes] = []
    at = 4
    for letter in form:
        if letter == "S":
            (size,) = struct.unpack_from("<Q", data, at)
            at += 8
            fields += struct.unpack_from(f"<{size}s", data, at)
            at += size
        else:
            fields += struct.unpack_from("<Q" if letter == "Q" else "<32s", data, at)
            at += 8 if letter == "Q" else 32
    return fields


_HANDLERS: dict[int, tuple[str, int, Callable[..., None]]] = {
    0: ("QQK", 2, _create),
    1: ("K", 1, _assign),
    2: ("Q", 2, _transfer),
    3: ("KSQQK", 2, _create_with_seed),
    4: ("", 3, _advance_nonce),
    5: ("Q", 5, _withdraw_nonce),
    6: ("K", 3, _initialize_nonce),
    7: ("K", 2, _authorize_nonce),
    8: ("Q", 1, _allocate),
    9: ("KSQK", 1, _allocate_with_seed),
    10: ("KSK", 1, _assign_with_seed),
    11: ("QSK", 3, _transfer_with_seed),
}

_SIZES = {form: _measure(b"", form) for form, _, _ in _HANDLERS.values() if "S" not in form}
"""Bytes of the forms that always have as many."""
