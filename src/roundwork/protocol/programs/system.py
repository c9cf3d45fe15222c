"""The system program: accounts are made, assigned, sized; money and nonces move. Formats are Solana's."""

from hashlib import sha256

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
from ..layout import Call
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


@rule("3.21")
def check_signed(call: Call, at: int) -> None:
    """The account that pays, is created, is assigned or gets its size signs."""
    if not call.is_signed(at):
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
    if base not in call.list_signers():
        raise MissingSigner(f"the base {base58_of(base)} did not sign")


@rule("3.40")
def check_sysvar(call: Call, at: int, sysvar: Key) -> None:
    """Nonce instructions name sysvars where Solana's clients do."""
    if call.keys[at] != sysvar:
        raise BadInstruction(f"account {at} is {base58_of(call.keys[at])}; {base58_of(sysvar)} belongs there")


def create_account(state: State, call: Call, amount: int, space: int, owner: Key) -> None:
    check_vacant(state, call.keys[1])
    check_signed(call, 1)
    _found(state, call, amount, space, owner)


def create_account_with_seed(
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


def assign(state: State, call: Call, owner: Key) -> None:
    """As on Solana, an assignment to the present owner changes nothing and needs no signature."""
    if owner != get_owner(state, call.keys[0]):
        check_signed(call, 0)
        check_assignable(state, call.keys[0])

        _set_owner(state, call.keys[0], owner)


def assign_with_seed(state: State, call: Call, base: Key, seed: bytes, owner: Key) -> None:
    _check_seed(base, seed, owner, call.keys[0])
    if owner != get_owner(state, call.keys[0]):
        check_base(call, base)
        check_assignable(state, call.keys[0])

        _set_owner(state, call.keys[0], owner)


def _set_owner(state: State, key: Key, owner: Key) -> None:
    account = state.accounts.rows.get(key) or Account(0)
    state.put(state.accounts, key, msgspec.structs.replace(account, owner=owner))


def allocate(state: State, call: Call, space: int) -> None:
    check_signed(call, 0)
    _set_space(state, call.keys[0], space, SYSTEM_PROGRAM)


def allocate_with_seed(state: State, call: Call, base: Key, seed: bytes, space: int, owner: Key) -> None:
    _check_seed(base, seed, owner, call.keys[0])
    check_base(call, base)
    _set_space(state, call.keys[0], space, owner)


def _set_space(state: State, key: Key, space: int, owner: Key) -> None:
    check_blank(state, key)
    check_space(space, owner)

    if space or owner != SYSTEM_PROGRAM:
        state.put(state.accounts, key, Account(get_balance(state, key), owner, space))


def transfer(state: State, call: Call, amount: int) -> None:
    check_signed(call, 0)
    _move(state, call.keys[0], call.keys[1], amount)


def transfer_with_seed(state: State, call: Call, amount: int, seed: bytes, owner: Key) -> None:
    source, base, target = call.keys[:3]
    check_signed(call, 1)
    _check_seed(base, seed, owner, source)
    _move(state, source, target, amount)


def _move(state: State, source: Key, target: Key, amount: int) -> None:
    check_spendable(state, source)
    check_balance(state, source, amount)

    debit(state, source, amount)
    credit(state, target, amount)


def advance_nonce(state: State, call: Call) -> None:
    key = call.keys[0]
    check_sysvar(call, 1, SYSVAR_RECENT_BLOCKHASHES)
    nonce = check_nonce(get_nonce(state, key), key)
    check_nonce_authority(call, nonce.authority)
    check_nonce_expired(state, call.slot, nonce, key)

    write_nonce(state, call.slot, key, nonce.authority)


def withdraw_nonce(state: State, call: Call, amount: int) -> None:
    """Take money off a nonce account; all of it ends the nonce."""
    key, target = call.keys[:2]
    check_sysvar(call, 2, SYSVAR_RECENT_BLOCKHASHES)
    check_sysvar(call, 3, SYSVAR_RENT)
    check_balance(state, key, amount)
    nonce = get_nonce(state, key)
    is_all = amount == get_balance(state, key)
    if nonce is None:
        check_blank_nonce(state, key)
        check_nonce_authority(call, key)
    else:
        check_nonce_authority(call, nonce.authority)
        if is_all:
            check_nonce_expired(state, call.slot, nonce, key)

    if is_all:
        state.remove(state.accounts, key)
    else:
        debit(state, key, amount)
    credit(state, target, amount)


def initialize_nonce(state: State, call: Call, authority: Key) -> None:
    check_sysvar(call, 1, SYSVAR_RECENT_BLOCKHASHES)
    check_sysvar(call, 2, SYSVAR_RENT)
    check_blank_nonce(state, call.keys[0])

    write_nonce(state, call.slot, call.keys[0], authority)


def authorize_nonce(state: State, call: Call, authority: Key) -> None:
    key = call.keys[0]
    nonce = check_nonce(get_nonce(state, key), key)
    check_nonce_authority(call, nonce.authority)

    give_nonce(state, key, authority)


def _check_seed(base: Key, seed: bytes, owner: Key, key: Key) -> None:
    check_seed_size(seed)
    check_seed_owner(owner)
    check_derived(key, base, seed, owner)
