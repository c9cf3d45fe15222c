"""Wire bytes: what we accept is what the ecosystem's own parser accepts."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import SanitizeError, VersionedTransaction

from roundwork.errors import Undecodable
from roundwork.protocol.transaction import Lookup, Transaction, _read_length, decode_transaction, is_signed

from .world import World

PAIR = Keypair.from_seed(bytes(32))


def build(is_versioned: bool, count: int = 1) -> bytes:
    world = World()
    ask = transfer(TransferParams(from_pubkey=PAIR.pubkey(), to_pubkey=Pubkey(bytes([7]) * 32), lamports=5))
    if not is_versioned:
        world.keys["n00"] = PAIR
        return world.wire(["n00"], *[ask] * count)
    message = MessageV0.try_compile(PAIR.pubkey(), [ask] * count, [], Hash(bytes(32)))
    return bytes(VersionedTransaction(message, [PAIR]))


def is_sane(wire: bytes) -> bool:
    """What solders makes of the bytes: whole, and fit to be executed."""
    try:
        transaction = VersionedTransaction.from_bytes(wire)
        transaction.sanitize()
    except (ValueError, SanitizeError):
        return False
    return bytes(transaction) == wire


@settings(max_examples=600, deadline=None, derandomize=True)
@given(
    is_versioned=st.booleans(),
    count=st.integers(1, 20),
    edits=st.lists(st.tuples(st.integers(0, 299), st.integers(0, 255)), max_size=3),
    cut=st.one_of(st.none(), st.integers(0, 300)),
    tail=st.binary(max_size=2),
)
def test_we_decode_what_solders_finds_sane_and_nothing_else(
    is_versioned: bool, count: int, edits: Any, cut: int, tail: bytes
) -> None:
    wire = bytearray(build(is_versioned, count))
    for at, value in edits:
        wire[at % len(wire)] = value
    raw = bytes(wire[:cut]) + tail

    try:
        decoded = decode_transaction(raw)
    except Undecodable:
        decoded = None

    assert (decoded is not None) == (is_sane(raw) and len(set_of_keys(raw)) == count_keys(raw))


def set_of_keys(raw: bytes) -> set[Pubkey]:
    return set(VersionedTransaction.from_bytes(raw).message.account_keys)


def count_keys(raw: bytes) -> int:
    """We refuse an account that is named twice where solders leaves that to the runtime."""
    return len(VersionedTransaction.from_bytes(raw).message.account_keys)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(at=st.integers(0, 1000), bit=st.integers(0, 7))
def test_a_changed_bit_is_seen_as_solders_sees_it(at: int, bit: int) -> None:
    wire = bytearray(build(is_versioned=False))
    wire[at % len(wire)] ^= 1 << bit
    try:
        decoded = decode_transaction(bytes(wire))
    except Undecodable:
        return

    theirs = all(VersionedTransaction.from_bytes(bytes(wire)).verify_with_results())

    assert theirs == is_signed(decoded)


def test_a_transaction_has_at_most_1232_bytes() -> None:
    wire = build(is_versioned=False, count=90)

    assert len(wire) > 1232
    with pytest.raises(Undecodable, match="1232"):
        decode_transaction(wire)


def test_a_message_names_at_most_256_accounts() -> None:
    wire = bytearray(build(is_versioned=True))
    assert wire.pop() == 0  # the number of lookup tables
    lookups = bytes([1]) + bytes(32) + bytes([0xFF, 0x01]) + bytes(255) + b"\0"

    with pytest.raises(Undecodable, match="256"):
        decode_transaction(bytes(wire) + lookups)


def test_lookup_tables_are_read() -> None:
    from solders.address_lookup_table_account import AddressLookupTableAccount
    from solders.instruction import AccountMeta, Instruction

    inside = Pubkey(bytes([9]) * 32)
    table = AddressLookupTableAccount(Pubkey(bytes([8]) * 32), [inside])
    ask = Instruction(Pubkey(bytes([6]) * 32), b"", [AccountMeta(inside, False, True)])
    message = MessageV0.try_compile(PAIR.pubkey(), [ask], [table], Hash(bytes(32)))

    decoded = decode_transaction(bytes(VersionedTransaction(message, [PAIR])))

    assert decoded.version == 0
    assert (bytes([8]) * 32, b"\0", b"") == (
        decoded.lookups[0].table,
        decoded.lookups[0].writable,
        decoded.lookups[0].readonly,
    )


def test_lengths_have_one_form_only() -> None:
    wire = build(is_versioned=False)
    long_form = bytes([0x81, 0x00]) + wire[1:]
    longer_form = bytes([0x81, 0x80, 0x00]) + wire[1:]
    too_long = bytes([0x81, 0x80, 0x04]) + wire[1:]

    for raw in (long_form, longer_form, too_long):
        with pytest.raises(Undecodable):
            decode_transaction(raw)


def test_a_length_may_take_three_bytes() -> None:
    assert (0x4000, 3) == _read_length(b"\x80\x80\x01", 0)


def test_a_message_of_an_unknown_version_is_refused() -> None:
    wire = bytearray(build(is_versioned=True))
    wire[65] = 0x81

    with pytest.raises(Undecodable, match="version 1"):
        decode_transaction(bytes(wire))


def test_the_header_says_which_accounts_may_be_changed() -> None:
    transaction = Transaction(
        signatures=(bytes(64),) * 3,
        signers=3,
        readonly_signed=1,
        readonly_unsigned=2,
        keys=tuple(bytes([at]) * 32 for at in range(7)),
        tick=bytes(32),
        instructions=(),
        message=b"",
        version=0,
        lookups=(Lookup(bytes(32), b"\0\1", b"\2"), Lookup(bytes(32), b"\0", b"")),
    )

    writable = [transaction.is_writable(at) for at in range(11)]

    assert [True, True, False, True, True, False, False, True, True, True, False] == writable
