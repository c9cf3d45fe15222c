"""Before a transaction runs: who signed, who pays, what its bytes are."""

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from roundwork.errors import Undecodable
from roundwork.protocol.params import TASK_PROGRAM
from roundwork.protocol.transaction import decode_transaction

from .registry import rejected, shows
from .stage import Stage
from .world import World, move, task_instruction, unsigned


def voided(world: World, expected: str, wire: bytes) -> None:
    receipt = world.block(wire).receipts[0]
    assert (2, expected, 0) == (receipt.kind, receipt.name, receipt.fee)


@shows("3.2")
def _signature() -> None:
    world = World()
    wire = bytearray(world.wire(["n00"], move(world, "n00", "n01", 5)))
    wire[10] ^= 1
    voided(world, "SignatureFailure", bytes(wire))


@shows("3.5")
def _tick() -> None:
    world = World()
    old = world.wire(["n00"], move(world, "n00", "n01", 5), tick=bytes(32))
    voided(world, "BlockhashNotFound", old)


@shows("3.7")
def _replay() -> None:
    world = World()
    wire = world.wire(["n00"], move(world, "n00", "n01", 5))
    assert not world.block(wire).receipts[0].kind
    voided(world, "AlreadyProcessed", wire)


@shows("3.8")
def _payer() -> None:
    world = World()
    voided(world, "AccountNotFound", world.wire(["nobody"], move(world, "nobody", "n01", 0)))


@shows("3.10")
def _fee() -> None:
    world = World(fee_per_signature=10)
    world.run("n00", move(world, "n00", "poor", 9))
    voided(world, "InsufficientFundsForFee", world.wire(["poor"], move(world, "poor", "n01", 0)))


@shows("3.16")
def _program() -> None:
    world = World()
    rejected(world, "UnknownProgram", "n00", Instruction(Pubkey(world.key("n01")), b"", []))


@shows("3.17")
def _layout() -> None:
    world = World()
    for data in (b"", b"\x63", b"\x09\x01", b"\x21"):
        rejected(world, "BadInstruction", "n00", Instruction(Pubkey(TASK_PROGRAM), data, []))


@shows("3.18")
def _accounts() -> None:
    world = Stage()
    whole = task_instruction(world.withdraw("n00"))
    rejected(world, "BadInstruction", "n00", Instruction(whole.program_id, whole.data, whole.accounts[:1]))


@shows("3.19")
def _signers() -> None:
    world = Stage()
    rejected(world, "MissingSigner", "n01", unsigned(task_instruction(world.withdraw("n00"))))


@shows("3.1")
def _well_formed() -> None:
    world = World()
    wire = world.wire(["n00"], move(world, "n00", "n01", 5))
    keys = 1 + 64 + 4
    twice = wire[:keys] + wire[keys : keys + 32] * 2 + wire[keys + 64 :]
    outside = bytearray(wire)
    outside[keys + 32 * wire[keys - 1] + 32 + 1] = 99  # the program of the first instruction
    readonly = bytearray(wire)
    readonly[66] = 1
    beyond = bytearray(wire)
    beyond[67] = 200
    short = bytes([0]) + wire[65:]
    for bad in (twice, bytes(outside), bytes(readonly), bytes(beyond), short):
        with pytest.raises(Undecodable):
            decode_transaction(bad)
        voided(world, "Undecodable", bad)
