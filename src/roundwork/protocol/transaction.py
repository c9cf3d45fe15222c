"""The transaction: parse its bytes, and verify its signatures.

The format is Solana's: legacy, and version 0. Source: docs/PROTOCOL.md 3.
"""

import msgspec
from solders.pubkey import Pubkey
from solders.signature import Signature

from ..errors import Undecodable
from .params import Key, base58_of
from .rules import rule

WIRE_BYTES_MAX = 1232


class Instruction(msgspec.Struct, frozen=True, gc=False):
    """An instruction as it lies in a message: indices into the message's accounts, and bytes."""

    program: int
    accounts: bytes
    data: bytes


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """Accounts that a version 0 message takes from an address lookup table."""

    table: Key
    writable: bytes
    readonly: bytes


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """A parsed transaction. The first `signers` of `keys` sign; `message` is what they sign.

    Writable are the keys before `signers - readonly_signed`, and those from `signers` to
    `len(keys) - readonly_unsigned`. `version` is None for legacy.
    """

    signatures: tuple[bytes, ...]
    signers: int
    readonly_signed: int
    readonly_unsigned: int
    keys: tuple[Key, ...]
    tick: bytes
    instructions: tuple[Instruction, ...]
    message: bytes
    version: int | None = None
    lookups: tuple[Lookup, ...] = ()
    loaded: tuple[Key, ...] = ()
    """The accounts from lookup tables, writable accounts first; set from the receipt, for readers."""

    @property
    def accounts(self) -> tuple[Key, ...]:
        """The accounts that its instructions point at, in their order."""
        return self.keys + self.loaded

    def is_writable(self, at: int) -> bool:
        """Whether the message says that one of its accounts may be changed."""
        if at < self.signers:
            return at < self.signers - self.readonly_signed
        if at >= len(self.keys):
            return at - len(self.keys) < self.count_loaded_writable()
        return at < len(self.keys) - self.readonly_unsigned

    def count_loaded_writable(self) -> int:
        """How many of the accounts that it takes from lookup tables may be changed."""
        return sum(len(lookup.writable) for lookup in self.lookups)


def decode_transaction(wire: bytes) -> Transaction:
    """Parse a transaction. Raises Undecodable, which says at which byte and why."""
    if len(wire) > WIRE_BYTES_MAX:
        raise Undecodable(f"the transaction has {len(wire)} bytes; {WIRE_BYTES_MAX} are allowed")
    try:
        return _decode(wire)
    except IndexError:
        raise Undecodable(f"the transaction ends too early, after {len(wire)} bytes") from None


def _decode(wire: bytes) -> Transaction:
    count, at = _read_length(wire, 0)
    signatures = tuple([wire[i : i + 64] for i in range(at, at + 64 * count, 64)])
    at += 64 * count
    message = wire[at:]

    version, start = None, at
    if wire[at] & 0x80:
        version, at = wire[at] & 0x7F, at + 1
        if version != 0:
            raise Undecodable(f"message version {version} at byte {start}; legacy and 0 are known")
    signers, readonly_signed, readonly_unsigned = wire[at], wire[at + 1], wire[at + 2]
    count, at = _read_length(wire, at + 3)
    keys = tuple([wire[i : i + 32] for i in range(at, at + 32 * count, 32)])
    at += 32 * count
    tick = wire[at : at + 32]
    at += 32

    count, at = _read_length(wire, at)
    instructions = []
    for _ in range(count):
        program = wire[at]
        size, at = _read_length(wire, at + 1)
        accounts = wire[at : at + size]
        size, at = _read_length(wire, at + size)
        instructions.append(Instruction(program, accounts, wire[at : at + size]))
        at += size

    lookups = []
    if version is not None:
        count, at = _read_length(wire, at)
        for _ in range(count):
            table = wire[at : at + 32]
            size, at = _read_length(wire, at + 32)
            writable = wire[at : at + size]
            size, at = _read_length(wire, at + size)
            lookups.append(Lookup(table, writable, wire[at : at + size]))
            at += size

    if at != len(wire):
        raise Undecodable(f"the transaction should end at byte {at}; it has {len(wire)}")
    check_well_formed(
        len(signatures), signers, readonly_signed, readonly_unsigned, keys, instructions, lookups
    )
    return Transaction(
        signatures, signers, readonly_signed, readonly_unsigned, keys, tick, tuple(instructions), message,
        version, tuple(lookups),
    )  # fmt: skip


@rule("3.1")
def check_well_formed(
    signatures: int,
    signers: int,
    readonly_signed: int,
    readonly_unsigned: int,
    keys: tuple[Key, ...],
    instructions: list[Instruction],
    lookups: list[Lookup],
) -> None:
    """A message names each account once, and points at accounts that it names."""
    if signatures != signers or not signers:
        raise Undecodable(f"{signatures} signatures for {signers} signers; at least one, and equally many")
    if readonly_signed >= signers:
        raise Undecodable("the fee payer must be writable")
    if signers + readonly_unsigned > len(keys):
        raise Undecodable(f"the header counts {signers + readonly_unsigned} accounts of {len(keys)}")
    if len(set(keys)) != len(keys):
        raise Undecodable("an account is named twice")
    total = len(keys)
    for lookup in lookups:
        if not lookup.writable and not lookup.readonly:
            raise Undecodable(f"nothing is taken from the lookup table {base58_of(lookup.table)}")
        total += len(lookup.writable) + len(lookup.readonly)
    if total > 256:
        raise Undecodable(f"{total} accounts; 256 can be named")
    for index, instruction in enumerate(instructions):
        accounts = instruction.accounts
        if not 0 < instruction.program < len(keys) or (accounts and max(accounts) >= total):
            raise Undecodable(f"instruction {index} points outside of the accounts")


def _read_length(wire: bytes, at: int) -> tuple[int, int]:
    """A compact-u16 and the position behind it; only its shortest form is valid."""
    first = wire[at]
    if first < 0x80:
        return first, at + 1
    second = wire[at + 1]
    if second < 0x80:
        if not second:
            raise Undecodable(f"the length at byte {at} is not in its shortest form")
        return first & 0x7F | second << 7, at + 2
    third = wire[at + 2]
    if not 0 < third < 4:
        raise Undecodable(f"the length at byte {at} is not a compact u16")
    return first & 0x7F | (second & 0x7F) << 7 | third << 14, at + 3


def is_signed(transaction: Transaction) -> bool:
    """Whether every signature verifies, strictly: no small-order keys, S below the group's order."""
    return verify(transaction.signatures, transaction.keys, transaction.message)


def verify(signatures: tuple[bytes, ...], keys: tuple[Key, ...], message: bytes) -> bool:
    """Whether each signature of the message verifies against the key at its place. There may be more keys."""
    return all(
        Signature(signature).verify(Pubkey(key), message)
        for signature, key in zip(signatures, keys, strict=False)
    )
