"""Faults that a scenario declares: nodes that crash and restart, and a ledger that stands still."""

import msgspec

from ..errors import BadConfig


class NodeCrash(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node is down from a slot on. It comes back with its decisions, but forgets what it was sending."""

    node: str
    """The node's name."""
    slot: int
    slots: int
    """For how many slots it is down."""
    is_proof_gone: bool = False
    """Whether the node's blobs cannot be had meanwhile."""


class LedgerOutage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ledger makes no blocks. When it is back, the gap rule says which slot it is in."""

    slot: int
    slots: int
    """How many slots long it makes no block."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All faults of a world."""

    crashes: tuple[NodeCrash, ...] = ()
    outages: tuple[LedgerOutage, ...] = ()


def check_faults(faults: Faults, names: set[str]) -> None:
    """Raises BadConfig for a fault of an unknown node, or a fault without a duration."""
    for crash in faults.crashes:
        if crash.node not in names:
            raise BadConfig(f"faults: no node is named {crash.node!r}; they are node-1 to node-{len(names)}")
    lengths = [crash.slots for crash in faults.crashes] + [outage.slots for outage in faults.outages]
    if any(slots < 1 for slots in lengths):
        raise BadConfig(f"faults: one is {min(lengths)} slots long; at least 1")
