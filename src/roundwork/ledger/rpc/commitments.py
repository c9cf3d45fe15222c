"""What each commitment means, and the state that has reached it."""

from collections import deque
from enum import Enum
from typing import NamedTuple

from ...protocol.execute import Block, Outcome
from ...protocol.state import TABLE_KINDS, Head, State, TableChange


class Commitment(Enum):
    """How long ago a block was made. Its number says how many slots must be over, the block's own first.

    All blocks that clients read are durable, so a commitment is about time only. When a block is `CONFIRMED`,
    the newest blockhash has changed, and a nonce that the block advanced can be used.
    """

    PROCESSED = 0
    CONFIRMED = 1
    FINALIZED = 2


COMMITMENTS = {
    "processed": Commitment.PROCESSED,
    "recent": Commitment.PROCESSED,
    "confirmed": Commitment.CONFIRMED,
    "single": Commitment.CONFIRMED,
    "singleGossip": Commitment.CONFIRMED,
    "finalized": Commitment.FINALIZED,
    "root": Commitment.FINALIZED,
    "max": Commitment.FINALIZED,
}
"""The commitments by the names that clients use, the older ones of Solana among them."""


class Reached(NamedTuple):
    """What reached a commitment at once: the slots, and the blocks in them."""

    slots: range
    blocks: list[tuple[Block, Outcome]]


class Standing:
    """The state after the last block that has reached a commitment. It follows the newest state."""

    def __init__(self, commitment: Commitment, state: State) -> None:
        """What is on disk when a ledger starts has reached every commitment."""
        self.slot = state.head.slot
        """The last slot that has reached the commitment."""
        self.state = state if commitment == Commitment.PROCESSED else copy_state(state)
        self._commitment = commitment
        self._waiting: deque[tuple[Block, Outcome, Head]] = deque()

    def get_waiting(self) -> list[tuple[Block, Outcome]]:
        """The blocks that have not reached the commitment."""
        return [(block, outcome) for block, outcome, _ in self._waiting]

    def follow(self, block: Block, outcome: Outcome, head: Head) -> Reached:
        """Take in a durable block, with the head after it; returns what has reached the commitment now."""
        self._waiting.append((block, outcome, head))
        last = max(self.slot, block.slot - self._commitment.value)
        slots = range(self.slot + 1, last + 1)
        self.slot = last
        blocks = []
        while self._waiting and self._waiting[0][0].slot <= last:
            reached, its_outcome, its_head = self._waiting.popleft()
            blocks.append((reached, its_outcome))
            if self._commitment != Commitment.PROCESSED:
                apply_changes(self.state, its_outcome.changes, its_head)
        return Reached(slots, blocks)


def copy_state(state: State) -> State:
    """A state with the same records, which does not change when the first one does."""
    copied = State(state.genesis, state.genesis_hash, state.head)
    for name, table in state.tables.items():
        copied.get_table(name).rows = table.rows.copy()
    copied.tick_slots = state.tick_slots.copy()
    copied.take_changes()  # it has no news
    return copied


def apply_changes(state: State, changes: list[TableChange], head: Head) -> None:
    """Move a copy of a state on by a block's change set, to the head after it."""
    for change in changes:
        table = state.get_table(change.name)
        if change.is_dropped:
            table.rows = {}
        for key, record in change.rows:
            if record is None:
                table.rows.pop(key, None)
            else:
                table.rows[key] = record
        if not table.rows and change.name[:1] not in _KEPT_EMPTY:
            del state.tables[change.name]
        if table is state.ticks:
            state.tick_slots = {mark.digest: int.from_bytes(slot, "big") for slot, mark in table.rows.items()}
    state.head = head


_KEPT_EMPTY = frozenset(kind.letter for kind in TABLE_KINDS.values() if kind.is_kept_empty)
