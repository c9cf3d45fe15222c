"""Writes tests/vectors/law-2.journal: blocks of law version 2 that use every instruction of every program.

Each instruction is accepted and refused. The file is kept: whatever changes later must replay it to the same
hashes. Run `python -m tests.protocol.make_journal` only for another version of the law.
"""

import sys
from pathlib import Path

import msgspec
import zstandard

from roundwork.protocol.execute import Kind, encode_block, encode_receipt, simulate
from roundwork.protocol.genesis import encode_genesis
from roundwork.protocol.transaction import is_signed

from .fuzz import Fuzz, Tally, _count, _parse, list_instructions

PATH = Path(__file__).parents[1] / "vectors" / "law-2.journal"
BLOCKS_MIN, BLOCKS_MAX = 300, 700
CALM_BLOCKS = 250
"""Blocks before the first leap in time, which ends rounds and tables."""

ENOUGH = 1
"""So often is each instruction to be accepted and refused."""


class Entry(msgspec.Struct, array_like=True):
    """A block, which of its signatures verify, and what it led to."""

    block: bytes
    verified: bytes
    state_hash: bytes
    receipts: list[bytes]


class Vector(msgspec.Struct, array_like=True):
    """A ledger from its genesis on."""

    genesis: bytes
    entries: list[Entry]


class Picky(Fuzz):
    """A world that keeps what it has not seen often enough, and a few others that are accepted."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.seen = Tally()

    def choose(self) -> list[bytes]:
        self.is_jumpy = len(self.blocks) > CALM_BLOCKS and self.chance(0.2)
        kept = []
        for wire in [*super().choose(), *super().choose(), *(self.build() for _ in range(15))]:
            transaction = _parse(wire)
            if transaction is None or not is_signed(transaction):
                if self.chance(0.05):
                    kept.append(wire)
                continue
            receipt = simulate(self.state, transaction, self.state.head.slot + 1)
            if receipt.kind == Kind.VOID:
                is_wanted = self.chance(0.05)
            else:
                one = Tally()
                _count(one, transaction, receipt)
                is_wanted = any(self.seen.accepted[name] < ENOUGH for name in one.accepted)
                is_wanted |= any(self.seen.refused[name] < ENOUGH for name in one.refused)
                is_wanted |= receipt.kind == Kind.OK and self.chance(0.2)
            if is_wanted:
                kept.append(wire)
        return kept[:10]

    def is_complete(self) -> bool:
        return all(
            counter[name] >= ENOUGH
            for name in list_instructions()
            for counter in (self.seen.accepted, self.seen.refused)
        )


def make(seed: str) -> Vector:
    """A ledger whose blocks use every instruction. Raises ValueError if the seed takes too long for that."""
    world = Picky(seed)
    while len(world.blocks) < BLOCKS_MIN or not world.is_complete():
        if len(world.blocks) >= BLOCKS_MAX:
            raise ValueError(f"seed {seed} has not used every instruction in {BLOCKS_MAX} blocks")
        world.step(world.seen)
    world.replay()
    entries = [
        Entry(
            encode_block(block),
            bytes(verified),
            outcome.state_hash,
            list(map(encode_receipt, outcome.receipts)),
        )
        for block, verified, outcome in world.blocks
    ]
    return Vector(encode_genesis(world.genesis), entries)


def read() -> Vector:
    """The vector that is kept."""
    return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(PATH.read_bytes()), type=Vector)


def main() -> None:
    for seed in sys.argv[1:] or ("journal 2",):
        vector = make(seed)
        PATH.write_bytes(zstandard.ZstdCompressor(level=19).compress(msgspec.msgpack.encode(vector)))
        print(f"seed {seed}: {len(vector.entries)} blocks, {PATH.stat().st_size:,} bytes in {PATH}")


if __name__ == "__main__":
    main()
