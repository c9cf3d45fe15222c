"""One key in two roles: no instruction makes or destroys money, whichever of its roles are one account."""

import itertools
from collections import Counter

import msgspec
import pytest

from roundwork.errors import Undecodable
from roundwork.protocol.execute import Kind, simulated
from roundwork.protocol.params import (
    COMPUTE_BUDGET_PROGRAM,
    ED25519_PROGRAM,
    LOOKUP_PROGRAM,
    MEMO_PROGRAMS,
    SYSTEM_PROGRAM,
    Key,
)
from roundwork.protocol.table import PROGRAMS
from roundwork.protocol.transaction import Instruction, Transaction, decode_transaction

from .scenes import list_scenes
from .world import World, check_invariants

CONTEXTS = 8
"""In so many accepted transactions each instruction is tried."""

NUMBER_BYTES = {SYSTEM_PROGRAM: 4, LOOKUP_PROGRAM: 4}
"""Bytes of an instruction's number; 1 in other programs."""

WITHOUT_ROLES = {*MEMO_PROGRAMS, COMPUTE_BUDGET_PROGRAM, ED25519_PROGRAM}
"""Programs whose instructions touch no account."""

EXPECTED = {
    (program.key, codec.number)
    for program in PROGRAMS.values()
    if program.key not in WITHOUT_ROLES
    for codec in program.codecs
}


class Aliasing:
    """Tries every accepted instruction with every pair of its roles, the fee payer's among them, as one."""

    def __init__(self) -> None:
        self.tried: Counter[tuple[Key, int]] = Counter()
        self.outcomes: Counter[int] = Counter()
        self._serial = itertools.count()

    def watch(self, world: World, wires: tuple[bytes, ...], slot: int) -> None:
        for wire in wires:
            try:
                transaction = decode_transaction(wire)
            except Undecodable:
                continue
            self._try_all(world, transaction, slot)

    def _try_all(self, world: World, transaction: Transaction, slot: int) -> None:
        with simulated(world.state, transaction, slot) as receipt:
            is_accepted = receipt.kind == Kind.OK
        if not is_accepted:
            return
        keys = (*transaction.keys, *receipt.loaded)
        for instruction in transaction.instructions:
            kind = name_kind(keys, instruction)
            if kind not in EXPECTED or self.tried[kind] >= CONTEXTS:
                continue
            self.tried[kind] += 1
            roles = sorted({0, *instruction.accounts})
            for kept, merged in itertools.permutations(roles, 2):
                self._check(world, merge(transaction, keys, kept, merged, next(self._serial)), slot)

    def _check(self, world: World, aliased: Transaction, slot: int) -> None:
        with simulated(world.state, aliased, slot) as receipt:
            self.outcomes[receipt.kind] += 1
            check_invariants(world.state, world.supply - receipt.fee)


def name_kind(keys: tuple[Key, ...], instruction: Instruction) -> tuple[Key, int]:
    program = keys[instruction.program]
    return program, int.from_bytes(instruction.data[: NUMBER_BYTES.get(program, 1)], "little")


def merge(
    transaction: Transaction, keys: tuple[Key, ...], kept: int, merged: int, serial: int
) -> Transaction:
    """The transaction with the account at `kept` in the place of the one at `merged` too; all sign."""
    at = {old: kept if old == merged else old for old in range(len(keys))}
    order = [at[0], *(old for old in range(len(keys)) if old not in (at[0], merged))]
    place = {old: order.index(new) for old, new in at.items()}
    return msgspec.structs.replace(
        transaction,
        signatures=(serial.to_bytes(64, "big"),),
        signers=len(order),
        readonly_signed=0,
        readonly_unsigned=0,
        keys=tuple(keys[old] for old in order),
        instructions=tuple(
            Instruction(place[each.program], bytes(place[old] for old in each.accounts), each.data)
            for each in transaction.instructions
        ),
        lookups=(),
    )


@pytest.fixture(scope="module")
def aliasing() -> Aliasing:
    aliasing = Aliasing()
    World.watchers.append(aliasing.watch)
    try:
        for play in list_scenes():
            play()
    finally:
        World.watchers.remove(aliasing.watch)
    return aliasing


def test_no_two_roles_in_one_key_make_or_destroy_money(aliasing: Aliasing) -> None:
    assert aliasing.outcomes[Kind.OK] > 100
    assert aliasing.outcomes[Kind.REJECTED] > 100


def test_every_instruction_of_every_program_was_tried(aliasing: Aliasing) -> None:
    missing = EXPECTED - set(aliasing.tried)

    assert not missing, sorted((program.hex()[:8], number) for program, number in missing)
