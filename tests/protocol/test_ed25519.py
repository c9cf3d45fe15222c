"""The ed25519 program verifies signatures wherever they lie in a transaction, for the price of signatures."""

import struct

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from roundwork.protocol.execute import Kind
from roundwork.protocol.params import ED25519_PROGRAM, MEMO_PROGRAM

from .registry import rejected, shows
from .world import World, keypair_of

PROGRAM = Pubkey(ED25519_PROGRAM)
HERE = 0xFFFF
SIGNER = keypair_of("somebody")
MESSAGE = b"what was signed"
SIGNED = bytes(SIGNER.sign_message(MESSAGE)) + bytes(SIGNER.pubkey()) + MESSAGE


def build(*offsets: tuple[int, ...], tail: bytes = b"", count: int | None = None) -> Instruction:
    """Offsets as the program reads them: signature, key and message, each with its instruction."""
    head = bytes([len(offsets) if count is None else count, 0])
    return Instruction(PROGRAM, head + b"".join(struct.pack("<7H", *each) for each in offsets) + tail, [])


def point(at: int, instruction: int = HERE, size: int = len(MESSAGE)) -> tuple[int, ...]:
    """At what SIGNED holds, from an offset on."""
    return at, instruction, at + 64, instruction, at + 96, size, instruction


def test_a_signature_in_the_instruction_itself_verifies_and_is_paid_for() -> None:
    world = World(fee_per_signature=7)

    receipt = world.run("n00", build(point(16), tail=SIGNED))

    assert (Kind.OK, 14) == (receipt.kind, receipt.fee)


def test_signatures_in_another_instruction_verify() -> None:
    world = World(fee_per_signature=7)
    note = Instruction(PROGRAM, b"\0\0", [])
    holder = Instruction(Pubkey(MEMO_PROGRAM), b"", [])
    asked = [build(point(30, 2), point(30, HERE), tail=SIGNED), note, build(point(16), tail=SIGNED)]
    asked[0] = build(point(16, 2), point(30, HERE), tail=SIGNED)

    receipt = world.run("n00", *asked, holder)

    assert (Kind.OK, 7 * 4) == (receipt.kind, receipt.fee)


def test_no_signatures_are_fine() -> None:
    world = World()

    assert Kind.OK == world.run("n00", Instruction(PROGRAM, b"\0\0", [])).kind


@shows("3.32")
def _size() -> None:
    world = World()
    rejected(world, "Ed25519BadSize", "n00", Instruction(PROGRAM, b"", []))
    rejected(world, "Ed25519BadSize", "n00", Instruction(PROGRAM, b"\0", []))
    rejected(world, "Ed25519BadSize", "n00", Instruction(PROGRAM, b"\0\0\0", []))
    rejected(world, "Ed25519BadSize", "n00", build(count=1, tail=bytes(13)))


@shows("3.33")
def _offsets() -> None:
    world = World()
    whole = 16 + len(SIGNED)
    for bad in (point(16, 9), (whole - 63, HERE, 80, HERE, 112, 1, HERE), point(16, size=2**16 - 1)):
        rejected(world, "Ed25519BadOffsets", "n00", build(bad, tail=SIGNED))
    key = 16, HERE, whole - 31, HERE, 112, 1, HERE
    rejected(world, "Ed25519BadOffsets", "n00", build(key, tail=SIGNED))


@shows("3.34")
def _key() -> None:
    world = World()
    off_curve = bytes([2]) + bytes(31)
    assert not Pubkey(off_curve).is_on_curve()
    tail = SIGNED[:64] + off_curve + MESSAGE
    rejected(world, "Ed25519BadKey", "n00", build(point(16), tail=tail))


@shows("3.35")
def _signature() -> None:
    world = World()
    for tail in (SIGNED[:-1] + b"!", bytes([SIGNED[0] ^ 1]) + SIGNED[1:]):
        rejected(world, "Ed25519BadSignature", "n00", build(point(16), tail=tail))


@pytest.mark.parametrize("key", [bytes([1]) + bytes(31), bytes(32)])
def test_a_key_of_small_order_signs_nothing(key: bytes) -> None:
    world = World()
    forged = key + bytes(32)  # R of small order, S zero: verifies where nobody is strict

    receipt = world.run("n00", build(point(16), tail=forged + key + MESSAGE))

    assert Kind.REJECTED == receipt.kind


def test_a_rejected_verification_is_paid_for() -> None:
    world = World(fee_per_signature=7)

    receipt = world.run("n00", build(point(16), point(16), tail=SIGNED[:-1] + b"!"))

    assert (Kind.REJECTED, 21) == (receipt.kind, receipt.fee)
