"""Writes tests/vectors/roundwork-1.journal: blocks in which nodes play roundwork-1, natively and in a token.

The file is kept, as that of law 2 is: whatever changes later must replay it to the same hashes. Run
`python -m tests.protocol.make_hardened_journal` only for another law.
"""

from collections import Counter
from pathlib import Path

import msgspec
import zstandard

from roundwork.protocol.execute import HARDENED, Kind, encode_block, encode_receipt
from roundwork.protocol.genesis import encode_genesis
from roundwork.protocol.transaction import decode_transaction

from .make_journal import Entry, Vector
from .token_world import TokenWorld
from .town import Town

PATH = Path(__file__).parents[1] / "vectors" / "roundwork-1.journal"

ROUNDS = (0, 3, 6)


class TokenTown(Town, TokenWorld):
    """The same with a task that pays in a token."""


def make(kind: type[Town]) -> Vector:
    """A town's ledger in the first seed under which each instruction is accepted and refused."""
    seed = 0
    while True:
        town = kind(seed)
        for number in ROUNDS:
            town.live(number)
            town.distribute(number)
        if count_uses(town).keys() >= {
            (data, is_refused) for data in HARDENED for is_refused in (False, True)
        }:
            break
        seed += 1
    entries = [
        Entry(
            encode_block(block),
            bytes(verified),
            outcome.state_hash,
            list(map(encode_receipt, outcome.receipts)),
        )
        for block, verified, outcome in town.blocks
    ]
    return Vector(encode_genesis(town.state.genesis), entries)


def count_uses(town: Town) -> Counter[tuple[bytes, bool]]:
    """How often each instruction of roundwork-1 was accepted and refused, by its number."""
    uses: Counter[tuple[bytes, bool]] = Counter()
    for block, _, outcome in town.blocks:
        for wire, receipt in zip(block.transactions, outcome.receipts, strict=True):
            first = decode_transaction(wire).instructions[0].data[:1]
            if first in HARDENED:
                uses[first, receipt.kind == Kind.REJECTED] += 1
    return uses


def read() -> list[Vector]:
    """The vectors that are kept: of a native task, and of one that pays in a token."""
    raw = zstandard.ZstdDecompressor().decompress(PATH.read_bytes())
    return msgspec.msgpack.decode(raw, type=list[Vector])


def main() -> None:
    vectors = [make(Town), make(TokenTown)]
    PATH.write_bytes(zstandard.ZstdCompressor(level=19).compress(msgspec.msgpack.encode(vectors)))
    print(f"{[len(vector.entries) for vector in vectors]} blocks, {PATH.stat().st_size:,} bytes in {PATH}")


if __name__ == "__main__":
    main()
