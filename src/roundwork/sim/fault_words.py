"""Faults in words, as `simulate --fault` takes them: KIND=VALUES, with colons between the values."""

import msgspec

from ..errors import BadConfig
from .faults import ClockSkew, Faults, LedgerOutage, LedgerRestart, NodeCrash, SlowDisk
from .network import NetworkModel, Partition

FORMS = {
    "crash": "crash=NODE:SLOT:SLOTS[:dark]",
    "slow-disk": "slow-disk=NODE:SLOTS",
    "skew": "skew=NODE:SLOTS",
    "outage": "outage=SLOT:SLOTS",
    "restart": "restart=SLOT:SLOTS[:torn]",
    "partition": "partition=NODE,NODE,…:FIRST:LAST",
    "delay": "delay=MIN:MAX",
    "loss": "loss=PERCENT",
    "duplicate": "duplicate=PERCENT",
}
"""What is written for each kind of fault."""


def add_fault(network: NetworkModel, faults: Faults, text: str) -> tuple[NetworkModel, Faults]:
    """The network and the faults with one more. Raises BadConfig, which says how a fault is written."""
    kind, _, values = text.partition("=")
    if kind not in FORMS:
        raise BadConfig(f"--fault {text[:100]!r}: the faults are {', '.join(FORMS.values())}")
    try:
        return _add(network, faults, kind, values.split(":"))
    except ValueError:
        raise BadConfig(f"--fault {text[:100]!r}: it is written {FORMS[kind]}; slots are digits") from None


def _add(network: NetworkModel, faults: Faults, kind: str, values: list[str]) -> tuple[NetworkModel, Faults]:
    """Raises ValueError for a value that is missing, too many, or no integer."""
    change = msgspec.structs.replace
    match kind, values:
        case "crash", [node, slot, slots, *rest] if rest in ([], ["dark"]):
            crash = NodeCrash(node, _read(slot), _read(slots), is_proof_gone=bool(rest))
            return network, change(faults, crashes=(*faults.crashes, crash))
        case "slow-disk", [node, slots]:
            return network, change(faults, slow_disks=(*faults.slow_disks, SlowDisk(node, _read(slots))))
        case "skew", [node, slots]:
            skew = ClockSkew(node, -_read(slots[1:]) if slots.startswith("-") else _read(slots))
            return network, change(faults, skews=(*faults.skews, skew))
        case "outage", [slot, slots]:
            return network, change(faults, outages=(*faults.outages, LedgerOutage(_read(slot), _read(slots))))
        case "restart", [slot, slots, *rest] if rest in ([], ["torn"]):
            restart = LedgerRestart(_read(slot), _read(slots), is_torn=bool(rest))
            return network, change(faults, restarts=(*faults.restarts, restart))
        case "partition", [nodes, first, last]:
            partition = Partition(tuple(nodes.split(",")), _read(first), _read(last))
            return change(network, partitions=(*network.partitions, partition)), faults
        case "delay", [least, most]:
            return change(network, delay_slots_min=_read(least), delay_slots_max=_read(most)), faults
        case "loss", [percent]:
            return change(network, loss_percent=_read(percent)), faults
        case "duplicate", [percent]:
            return change(network, duplicate_percent=_read(percent)), faults
        case _:
            raise ValueError(kind)


def _read(text: str) -> int:
    """A number from its digits. Raises ValueError for anything else."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise ValueError(text)
    return int(text)
