"""The results of the transactions of the last few hundred slots, in memory."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ...protocol.execute import Block, Kind, Receipt

SLOTS = 400
"""Statuses of this many slots are kept: more than those in which a transaction can be sent again."""


class Landed(NamedTuple):
    """Where a transaction ran, and its receipt."""

    slot: int
    height: int
    position: int
    receipt: Receipt


class Recent:
    """Statuses by signature. A Void transaction has none: it may still come again and run."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots = slots
        self._landed: dict[bytes, Landed] = {}
        self._blocks: deque[tuple[int, list[bytes]]] = deque()
        self._newest = 0
        """The height of the last block."""

    def add(self, block: Block, receipts: Sequence[Receipt]) -> None:
        """Take in a block that is durable, and drop blocks that are too old."""
        signatures = []
        for position, (wire, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
            if receipt.kind != Kind.VOID:
                signature = get_signature(wire)
                signatures.append(signature)
                self._landed[signature] = Landed(block.slot, block.height, position, receipt)
        self._blocks.append((block.slot, signatures))
        self._newest = block.height
        while self._blocks[0][0] < block.slot - self.slots:
            for signature in self._blocks.popleft()[1]:
                self._landed.pop(signature, None)

    @property
    def oldest(self) -> int | None:
        """The height of the first block from which on all statuses are here; None if none are."""
        return self._newest - len(self._blocks) + 1 if self._blocks else None

    @property
    def size(self) -> int:
        """How many statuses are kept."""
        return len(self._landed)

    def find(self, signature: bytes) -> Landed | None:
        """Where a transaction ran; None if that is long ago, or it never ran."""
        return self._landed.get(signature)


def get_signature(wire: bytes) -> bytes:
    """The first signature of a decodable transaction. Everywhere it names the transaction."""
    return wire[1:65] if wire[0] < 0x80 else wire[2:66]
