"""Address lookup tables: the program that keeps them, and the accounts that a message takes from them.

The bytes are Solana's: a head of 56 bytes (kind u32, deactivated u64, extended u64, start u8, authority as an
option), then addresses of 32 bytes each.
"""

import struct
from hashlib import sha256

import msgspec
from solders.pubkey import Pubkey

from ...errors import (
    AccountInUse,
    AccountLoadedTwice,
    AddressLookupTableNotFound,
    BadInstruction,
    InvalidAddressLookupTableData,
    InvalidAddressLookupTableIndex,
    InvalidAddressLookupTableOwner,
    MissingSigner,
    NotATable,
    NotRecentSlot,
    NotTableAuthority,
    SeedMismatch,
    TableActive,
    TableDeactivated,
    TableEmpty,
    TableFrozen,
    TableFull,
)  # fmt: skip
from ..layout import Call
from ..money import credit, debit, get_balance
from ..params import LOOKUP_PROGRAM, SYSTEM_PROGRAM, Key, base58_of, compute_rent
from ..records import Account
from ..rules import rule
from ..state import State
from ..transaction import Transaction
from .system import check_balance, check_spendable

HEAD_BYTES = 56
ADDRESSES_MAX = 256
TABLE_BYTES_MAX = HEAD_BYTES + 32 * ADDRESSES_MAX
COOLDOWN_SLOTS = 512
"""How many slots a deactivated table stays usable, and how old the slot of a new table may be."""

ACTIVE = 2**64 - 1
"""The slot of deactivation of a table that is active."""

_HEAD = struct.Struct("<IQQBB32s")
_TABLE = 1


class LookupTable(msgspec.Struct, frozen=True):
    """A table. `start` is the number of addresses that were there before slot `extended`."""

    deactivated: int
    extended: int
    start: int
    authority: Key | None
    addresses: bytes

    def is_over(self, slot: int) -> bool:
        """Whether the table is deactivated, and its cooldown past."""
        return self.deactivated != ACTIVE and slot - self.deactivated > COOLDOWN_SLOTS

    def count(self) -> int:
        """How many addresses it holds."""
        return len(self.addresses) // 32

    def count_usable(self, slot: int) -> int:
        """How many of its addresses a transaction in a block of `slot` may take."""
        return self.count() if slot > self.extended else self.start


def decode_table(account: Account) -> LookupTable | None:
    """The table that an account of the lookup program holds; None if it holds none yet."""
    if not HEAD_BYTES <= account.space <= TABLE_BYTES_MAX:  # before a byte is read: a size costs nothing
        return None
    data = account.data.ljust(account.space, b"\0")
    kind, deactivated, extended, start, has_authority, authority = _HEAD.unpack_from(data)
    if kind != _TABLE:
        return None
    return LookupTable(deactivated, extended, start, authority if has_authority else None, data[HEAD_BYTES:])


def encode_table(table: LookupTable) -> bytes:
    """The bytes of a table."""
    head = _HEAD.pack(
        _TABLE,
        table.deactivated,
        table.extended,
        table.start,
        table.authority is not None,
        table.authority or bytes(32),
    )
    return head.ljust(HEAD_BYTES, b"\0") + table.addresses


# What a message takes


def load_keys(state: State, slot: int, transaction: Transaction) -> tuple[Key, ...]:
    """The accounts of a message with those that it takes from tables: its own, then writable, then others.

    Raises AddressLookupTableNotFound, InvalidAddressLookupTableOwner, InvalidAddressLookupTableData,
    InvalidAddressLookupTableIndex, AccountLoadedTwice. Source: docs/PROTOCOL.md 3.
    """
    writable: list[Key] = []
    readonly: list[Key] = []
    for lookup in transaction.lookups:
        account = check_table_account(state.accounts.rows.get(lookup.table), lookup.table)
        table = check_table_data(decode_table(account), lookup.table)
        check_table_usable(table, slot, lookup.table)
        check_indexes(table, slot, lookup.table, lookup.writable + lookup.readonly)
        addresses = table.addresses
        writable += [addresses[32 * at : 32 * at + 32] for at in lookup.writable]
        readonly += [addresses[32 * at : 32 * at + 32] for at in lookup.readonly]
    keys = (*transaction.keys, *writable, *readonly)
    check_loaded_once(keys)
    return keys


@rule("3.11")
def check_table_account(account: Account | None, key: Key) -> Account:
    """A message takes accounts from what belongs to the lookup program."""
    if account is None:
        raise AddressLookupTableNotFound(f"there is no address lookup table at {base58_of(key)}")
    if account.owner != LOOKUP_PROGRAM:
        raise InvalidAddressLookupTableOwner(
            f"{base58_of(key)} belongs to {base58_of(account.owner)}: it is not an address lookup table"
        )
    return account


@rule("3.12")
def check_table_data(table: LookupTable | None, key: Key) -> LookupTable:
    """A table that a message names is initialised."""
    if table is None:
        raise InvalidAddressLookupTableData(f"{base58_of(key)} holds no address lookup table yet")
    return table


@rule("3.13")
def check_table_usable(table: LookupTable, slot: int, key: Key) -> None:
    """A message takes accounts from a table until 512 slots after its deactivation."""
    if table.is_over(slot):
        raise AddressLookupTableNotFound(
            f"the address lookup table {base58_of(key)} was deactivated in slot {table.deactivated}"
        )


@rule("3.14")
def check_indexes(table: LookupTable, slot: int, key: Key, indexes: bytes) -> None:
    """A message takes addresses that the table held before this slot."""
    usable = table.count_usable(slot)
    if indexes and max(indexes) >= usable:
        raise InvalidAddressLookupTableIndex(
            f"address {max(indexes)} of the table {base58_of(key)} is wanted; in slot {slot} it has {usable}"
        )


@rule("3.15")
def check_loaded_once(keys: tuple[Key, ...]) -> None:
    """No account comes twice, from tables or from the message itself."""
    if len(set(keys)) != len(keys):
        twice = next(key for at, key in enumerate(keys) if key in keys[:at])
        raise AccountLoadedTwice(f"{base58_of(twice)} is named twice, by the message or its tables")


# The program


def find_table(authority: Key, slot: int, bump: int) -> Key | None:
    """The address of the table that an authority names by a slot; None if the bump gives none."""
    seeds = authority + slot.to_bytes(8, "little") + bytes([bump])
    derived = sha256(seeds + LOOKUP_PROGRAM + b"ProgramDerivedAddress").digest()
    return None if Pubkey(derived).is_on_curve() else derived


def create(state: State, call: Call, recent: int, bump: int) -> None:
    key, authority, payer = call.keys[:3]
    check_table_vacant(state, key)
    check_recent(recent, call.slot)
    check_table_address(key, find_table(authority, recent, bump))
    check_lookup_signed(call, 2)
    missing = compute_missing(state, key, HEAD_BYTES)
    check_spendable(state, payer)
    check_balance(state, payer, missing)

    debit(state, payer, missing)
    credit(state, key, missing)
    _put(state, key, LookupTable(ACTIVE, 0, 0, authority, b""))


def freeze(state: State, call: Call) -> None:
    key, table = _get_own(state, call)
    check_table_active(table, key)
    check_table_filled(table, key)

    _put(state, key, msgspec.structs.replace(table, authority=None))


def extend(state: State, call: Call, added: bytes) -> None:
    key, table = _get_own(state, call)
    check_table_active(table, key)
    check_room(table, len(added) // 32, key)
    missing = compute_missing(state, key, HEAD_BYTES + len(table.addresses) + len(added))
    if missing:
        check_payer_named(call)
        check_lookup_signed(call, 2)
        check_spendable(state, call.keys[2])
        check_balance(state, call.keys[2], missing)

    if missing:
        debit(state, call.keys[2], missing)
        credit(state, key, missing)
    if call.slot != table.extended:
        table = msgspec.structs.replace(table, extended=call.slot, start=table.count())
    _put(state, key, msgspec.structs.replace(table, addresses=table.addresses + added))


def deactivate(state: State, call: Call) -> None:
    key, table = _get_own(state, call)
    check_table_active(table, key)

    _put(state, key, msgspec.structs.replace(table, deactivated=call.slot))


def close(state: State, call: Call) -> None:
    key, table = _get_own(state, call)
    check_table_over(table, call.slot, key)
    check_heir(key, call.keys[2])

    balance = get_balance(state, key)
    state.remove(state.accounts, key)
    credit(state, call.keys[2], balance)


def _get_own(state: State, call: Call) -> tuple[Key, LookupTable]:
    """The table that the signer is the authority of. Raises NotATable, TableFrozen, NotTableAuthority …"""
    key, authority = call.keys[:2]
    account = state.accounts.rows.get(key)
    is_ours = account is not None and account.owner == LOOKUP_PROGRAM
    table = check_table(decode_table(account) if account and is_ours else None, key)
    check_table_authority(check_not_frozen(table, key), authority, key)
    check_lookup_signed(call, 1)
    return key, table


def _put(state: State, key: Key, table: LookupTable) -> None:
    data = encode_table(table)
    state.put(state.accounts, key, Account(get_balance(state, key), LOOKUP_PROGRAM, len(data), data))


def compute_missing(state: State, key: Key, space: int) -> int:
    """What an account still needs to be exempt of rent with so many bytes, in roe."""
    return max(compute_rent(space) - get_balance(state, key), 0)


# Checks of the program


@rule("3.42")
def check_lookup_signed(call: Call, at: int) -> None:
    """The account that pays for a table signs, and so does the authority that changes it."""
    if not call.is_signed(at):
        raise MissingSigner(f"{base58_of(call.keys[at])} did not sign")


@rule("3.43")
def check_recent(recent: int, slot: int) -> None:
    """A new table is named after one of the last 512 slots."""
    if not slot - COOLDOWN_SLOTS <= recent <= slot:
        raise NotRecentSlot(
            f"a table is named by one of the slots {max(0, slot - COOLDOWN_SLOTS)} to {slot}, not {recent}"
        )


@rule("3.44")
def check_table_address(key: Key, derived: Key | None) -> None:
    """A table lies at the address that follows from authority, slot and bump."""
    if key != derived:
        there = base58_of(derived) if derived else "none"
        raise SeedMismatch(f"{base58_of(key)} was named; authority, slot and bump give {there}")


@rule("3.45")
def check_table_vacant(state: State, key: Key) -> None:
    """A table is created where there is nothing but money."""
    account = state.accounts.rows.get(key)
    if account is not None and (account.owner != SYSTEM_PROGRAM or account.space):
        raise AccountInUse(f"{base58_of(key)} has an owner or data already")


@rule("3.46")
def check_table(table: LookupTable | None, key: Key) -> LookupTable:
    """An account that is changed as a table is a table."""
    if table is None:
        raise NotATable(f"there is no address lookup table at {base58_of(key)}")
    return table


@rule("3.47")
def check_not_frozen(table: LookupTable, key: Key) -> Key:
    """A frozen table is never changed."""
    if table.authority is None:
        raise TableFrozen(f"the table {base58_of(key)} is frozen")
    return table.authority


@rule("3.48")
def check_table_authority(authority: Key, signer: Key, key: Key) -> None:
    """Only its authority changes a table."""
    if authority != signer:
        raise NotTableAuthority(
            f"{base58_of(authority)} may change the table {base58_of(key)}, not {base58_of(signer)}"
        )


@rule("3.49")
def check_table_active(table: LookupTable, key: Key) -> None:
    """A deactivated table is not extended, frozen or deactivated again."""
    if table.deactivated != ACTIVE:
        raise TableDeactivated(f"the table {base58_of(key)} was deactivated in slot {table.deactivated}")


@rule("3.50")
def check_room(table: LookupTable, added: int, key: Key) -> None:
    """A table holds at most 256 addresses."""
    if table.count() + added > ADDRESSES_MAX:
        raise TableFull(
            f"the table {base58_of(key)} holds {table.count()} of {ADDRESSES_MAX} addresses; "
            f"there is no room for {added} more"
        )


@rule("3.51")
def check_table_filled(table: LookupTable, key: Key) -> None:
    """Only a table that holds something is frozen."""
    if not table.addresses:
        raise TableEmpty(f"the table {base58_of(key)} is empty; it would stay so for ever")


@rule("3.52")
def check_table_over(table: LookupTable, slot: int, key: Key) -> None:
    """A table is closed when more than 512 slots have passed since its deactivation."""
    if not table.is_over(slot):
        since = "it is active" if table.deactivated == ACTIVE else f"deactivated in slot {table.deactivated}"
        raise TableActive(
            f"the table {base58_of(key)} is still of use in slot {slot}: {since}; "
            f"it is closed more than {COOLDOWN_SLOTS} slots after it was deactivated"
        )


@rule("3.53")
def check_heir(key: Key, heir: Key) -> None:
    """A closed table pays its money into another account."""
    if key == heir:
        raise BadInstruction(f"the money of the table {base58_of(key)} must go to another account")


@rule("3.54")
def check_payer_named(call: Call) -> None:
    """The account that pays for a longer table is among the accounts."""
    if len(call.keys) < 3:
        raise BadInstruction("the table needs more money for its new size, and no account is named to pay it")
