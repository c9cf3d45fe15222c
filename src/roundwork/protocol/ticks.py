"""Ticks: a transaction names one to show its age, and so runs once only."""

from blake3 import blake3

from .params import TICKS
from .records import Mark
from .state import State, u64


def compute_tick(block_hash: bytes, slot: int) -> bytes:
    """The tick of a slot, from the hash of the last block at or before it."""
    return blake3(b"roundwork/tick/1" + block_hash + slot.to_bytes(8, "little")).digest()


def get_newest_tick(state: State, slot: int) -> tuple[bytes, int]:
    """The tick of the last slot that is closed when the next block is in `slot`, and that slot.

    On a ledger whose first slot is not over yet this is the tick of slot 0.
    """
    last = max(slot - 1, 0)
    mark = state.ticks.rows.get(u64(last))
    if mark is not None:
        return mark.digest, last
    return compute_tick(state.head.block_hash, last), last


def compute_closing_ticks(state: State, slot: int) -> list[bytes]:
    """The ticks of the slots that the state has not closed yet, and a block of `slot` will."""
    return [compute_tick(state.head.block_hash, closing) for closing in range(state.head.slot, slot)]


def roll_ticks(state: State, slot: int) -> None:
    """Take in the ticks of slots that are closed now; forget those too old, with what was spent on them."""
    add_ticks(state, slot)
    for old in range(max(0, state.head.slot - TICKS), max(0, slot - TICKS)):
        mark = state.ticks.rows[u64(old)]
        del state.tick_slots[mark.digest]
        state.remove(state.ticks, u64(old))
        state.drop(state.get_spent(old))


def add_ticks(state: State, slot: int) -> list[bytes]:
    """Add the ticks of the slots that are closed when the next block is in `slot`."""
    ticks = []
    for closed in range(state.head.slot, slot):
        tick = compute_tick(state.head.block_hash, closed)
        state.put(state.ticks, u64(closed), Mark(closed, tick))
        state.tick_slots[tick] = closed
        ticks.append(tick)
    return ticks
