"""Slots of a development ledger without waiting for them."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ..errors import BadInput
from ..protocol.execute import next_block
from ..protocol.params import key_of
from .chain import Chain, read_genesis
from .server import lock


def warp(directory: Path, slots: int, show: Callable[[int], None] = lambda done: None) -> dict[str, int]:
    """Make empty blocks until `slots` slots have passed; due steps of all phases on the way are worked off.

    `show(done)` is called with the slots that have passed. Raises BadInput for a ledger that is not for
    development, StoreInUse while the ledger runs, BadGenesis, StoreCorrupt, StoreFull.
    """
    genesis = read_genesis(directory)
    if genesis.kind != "development":
        raise BadInput(f"{directory}: a {genesis.kind} ledger does not warp; only a development ledger does")
    with lock(directory), closing(Chain(directory)) as chain:
        first = chain.state.head
        while (passed := chain.state.head.slot - first.slot) < slots:
            step = min(genesis.gap_slots_max, slots - passed)
            time_ms = chain.state.head.began_ms + step * genesis.slot_ms
            block = next_block(chain.state, time_ms, [], key_of(genesis.producer))
            outcome = chain.execute(block, [])
            chain.persist(block, outcome)
            chain.publish(block, outcome)
            if chain.is_behind():
                chain.wait_for_history()
            show(chain.state.head.slot - first.slot)
        head = chain.state.head
    return {"slot": head.slot, "height": head.height, "blocks": head.height - first.height}
