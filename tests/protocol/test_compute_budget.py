"""The compute budget sets the fee, and is read before a transaction is admitted."""

import pytest
from solders.compute_budget import (
    request_heap_frame,
    set_compute_unit_limit,
    set_compute_unit_price,
    set_loaded_accounts_data_size_limit,
)
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from roundwork.protocol.execute import Kind, Receipt
from roundwork.protocol.params import COMPUTE_BUDGET_PROGRAM

from .registry import shows
from .world import World, keypair_of, move

PROGRAM = Pubkey(COMPUTE_BUDGET_PROGRAM)


def run(world: World, *asked: Instruction) -> Receipt:
    """Exactly these instructions, signed by n00."""
    pair = world.keys["n00"]
    message = Message.new_with_blockhash(list(asked), pair.pubkey(), Hash(world.tick()))
    return world.block(bytes(Transaction([pair], message, Hash(world.tick())))).receipts[0]


@shows("3.3")
def _form() -> None:
    world = World(fee_per_signature=7)
    for data in (b"", b"\0\0\0\0\0", b"\x05\0\0\0\0", b"\x01\0\0\0", b"\x03\0\0\0\0"):
        receipt = run(world, move(world, "n00", "n01", 1), Instruction(PROGRAM, data, []))
        assert (Kind.VOID, "BadComputeBudget", 8, 1, 0) == summarize(receipt), data
    for heap in (0, 32 * 1024 - 1024, 32 * 1024 + 1, 257 * 1024, 2**32 - 1):
        receipt = run(world, request_heap_frame(heap))
        assert (Kind.VOID, "BadComputeBudget", 8, 0, 0) == summarize(receipt), heap


@shows("3.4")
def _once() -> None:
    world = World(fee_per_signature=7)
    for asked in (
        request_heap_frame(32 * 1024),
        set_compute_unit_limit(5),
        set_compute_unit_price(5),
        set_loaded_accounts_data_size_limit(5),
    ):
        receipt = run(world, asked, move(world, "n00", "n01", 1), asked)
        assert (Kind.VOID, "DuplicateInstruction", 30, 2, 0) == summarize(receipt)


def summarize(receipt: Receipt) -> tuple[int, str, int, int, int]:
    return receipt.kind, receipt.name, receipt.code, receipt.instruction, receipt.fee


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], 0),
        ([set_compute_unit_limit(300_000)], 0),
        ([set_compute_unit_price(0)], 0),
        ([set_compute_unit_price(1)], 1),  # 200,000 units at a millionth of a roe, rounded up
        ([set_compute_unit_price(5)], 1),
        ([set_compute_unit_price(6)], 2),
        ([set_compute_unit_price(1_000_000), set_compute_unit_limit(3)], 3),
        ([set_compute_unit_limit(2**32 - 1), set_compute_unit_price(1_000_000)], 1_400_000),
        ([request_heap_frame(256 * 1024), set_loaded_accounts_data_size_limit(1)], 0),
    ],
)
def test_a_price_adds_to_the_fee_which_goes_to_the_producer(asked: list[Instruction], expected: int) -> None:
    world = World(fee_per_signature=7)

    receipt = run(world, move(world, "n00", "n01", 1), *asked)

    assert (Kind.OK, 7 + expected) == (receipt.kind, receipt.fee)
    assert 7 + expected == world.state.accounts.rows[bytes(keypair_of("producer").pubkey())].balance


def test_units_are_those_of_the_other_instructions_if_none_are_asked_for() -> None:
    world = World()
    moves = [move(world, "n00", "n01", amount) for amount in range(1, 10)]

    assert 400_000 == run(world, set_compute_unit_price(1_000_000), *moves[:2]).fee
    assert 1_400_000 == run(world, set_compute_unit_price(1_000_000), *moves).fee


def test_a_rejected_transaction_pays_its_price_too() -> None:
    world = World()

    receipt = run(world, set_compute_unit_price(1_000_000), move(world, "n00", "n01", 10**18))

    assert (Kind.REJECTED, 200_000) == (receipt.kind, receipt.fee)


def test_who_cannot_pay_the_price_is_void() -> None:
    world = World()

    receipt = run(world, set_compute_unit_price(2**64 - 1), move(world, "n00", "n01", 1))

    assert "InsufficientFundsForFee" == receipt.name
