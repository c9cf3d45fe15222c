"""Faults that a scenario declares, of nodes and of the ledger."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ..errors import BadConfig

Slot = Annotated[int, Meta(ge=0)]
Duration = Annotated[int, Meta(ge=1)]
"""In slots."""


class NodeCrash(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node is down from a slot on. It comes back with its decisions, but forgets what it was sending."""

    node: str
    """The node's name."""
    slot: Slot
    slots: Duration
    """For how many slots it is down."""
    is_proof_gone: bool = False
    """Whether the node's blobs cannot be had meanwhile."""


class SlowDisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's writes take long: after each decision the node does nothing until that is on its disk.

    A crash meanwhile loses the decision.
    """

    node: str
    """The node's name."""
    slots: Duration
    """How many slots a write takes."""


class ClockSkew(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node has a wrong slot in mind, and acts too early or too late."""

    node: str
    """The node's name."""
    slots: int
    """How many slots later than the present one; below 0: earlier."""


class LedgerOutage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ledger makes no blocks. When it is back, the gap rule says which slot it is in."""

    slot: Slot
    slots: Duration
    """How many slots long it makes no block."""


class LedgerRestart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The process of the ledger is killed in a slot, and starts again from its journal."""

    slot: Slot
    slots: Duration
    """How many slots long it makes no block."""
    is_torn: bool = False
    """Whether it was writing the slot's block. The block is lost, and its transactions are sent again."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All faults of a world."""

    crashes: tuple[NodeCrash, ...] = ()
    slow_disks: tuple[SlowDisk, ...] = ()
    skews: tuple[ClockSkew, ...] = ()
    outages: tuple[LedgerOutage, ...] = ()
    restarts: tuple[LedgerRestart, ...] = ()


def check_faults(faults: Faults, names: set[str]) -> None:
    """Raises BadConfig for a fault of an unknown node, and for a fault without a duration."""
    of_nodes: list[NodeCrash | SlowDisk | ClockSkew] = [*faults.crashes, *faults.slow_disks, *faults.skews]
    for fault in of_nodes:
        if fault.node not in names:
            raise BadConfig(f"faults: no node is named {fault.node!r}; they are node-1 to node-{len(names)}")
    lasting = [each for each in of_nodes if not isinstance(each, ClockSkew)]
    for each in (*lasting, *list_stops(faults)):
        if each.slots < 1:
            raise BadConfig(f"faults: {type(each).__name__} is {each.slots} slots long; at least 1")
        if not isinstance(each, SlowDisk) and each.slot < 0:
            raise BadConfig(f"faults: {type(each).__name__} begins in slot {each.slot}; 0 is the first")


Stop = LedgerOutage | LedgerRestart
"""A fault in which the ledger makes no block for some slots."""


def list_stops(faults: Faults) -> list[Stop]:
    """The faults of the ledger by the slot in which they begin."""
    stops: list[Stop] = [*faults.outages, *faults.restarts]
    return sorted(stops, key=lambda stop: stop.slot)
