"""How transactions reach the ledger: delay, loss, duplication and partition, from a seed."""

from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

from ..errors import BadConfig

RESEND_SLOTS = 4
"""A node sends a transaction again when it is not durable after so many slots."""


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes that do not reach the ledger for some slots."""

    nodes: tuple[str, ...]
    first_slot: Annotated[int, Meta(ge=0)]
    last_slot: Annotated[int, Meta(ge=0)]


class NetworkModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How transactions travel. The defaults are a network without faults."""

    delay_slots_min: Annotated[int, Meta(ge=1)] = 1
    """The least slots from a node to a block."""
    delay_slots_max: Annotated[int, Meta(ge=1)] = 1
    """The most. Transactions with different delays overtake one another."""
    loss_percent: Annotated[int, Meta(ge=0, le=99)] = 0
    """How many of a hundred transactions are lost; the node sends them again."""
    duplicate_percent: Annotated[int, Meta(ge=0, le=99)] = 0
    """How many of a hundred arrive twice."""
    partitions: tuple[Partition, ...] = ()


def check_model(model: NetworkModel) -> None:
    """Raises BadConfig for an impossible network."""
    if not 1 <= model.delay_slots_min <= model.delay_slots_max:
        raise BadConfig(
            f"network: delay_slots_min is {model.delay_slots_min} and delay_slots_max is"
            f" {model.delay_slots_max}; the first must be at least 1 and at most the second"
        )
    for name in ("loss_percent", "duplicate_percent"):
        percent = getattr(model, name)
        if not 0 <= percent < 100:
            raise BadConfig(f"network: {name} is {percent}; 0 to 99 are allowed")


def check_partitions(model: NetworkModel, names: set[str]) -> None:
    """Raises BadConfig for a partition of an unknown node, and for one that ends before it begins."""
    for partition in model.partitions:
        for name in partition.nodes:
            if name not in names:
                raise BadConfig(f"network: no node is named {name!r}; they are node-1 to node-{len(names)}")
        if partition.last_slot < partition.first_slot:
            slots = f"{partition.first_slot} to {partition.last_slot}"
            raise BadConfig(f"network: a partition of slots {slots}; the last is at least the first")


class Delivery:
    """Says when each transaction arrives."""

    def __init__(self, model: NetworkModel, seed: int) -> None:
        """Raises BadConfig."""
        check_model(model)
        self._model = model
        self._random = Random(f"network/{seed}")
        self._is_plain = model == NetworkModel()

    def compute_arrivals(self, node: str, slot: int) -> list[int]:
        """The slots of the blocks that a transaction, sent in a slot, reaches: two if it is doubled."""
        if self._is_plain:
            return [slot + 1]
        model = self._model
        while self._random.randrange(100) < model.loss_percent:
            slot += RESEND_SLOTS
        for partition in model.partitions:
            if node in partition.nodes and partition.first_slot <= slot <= partition.last_slot:
                slot = partition.last_slot + 1
        arrivals = [slot + self._draw_delay()]
        if self._random.randrange(100) < model.duplicate_percent:
            arrivals.append(slot + self._draw_delay())
        return sorted(arrivals)

    def _draw_delay(self) -> int:
        return self._random.randint(self._model.delay_slots_min, self._model.delay_slots_max)
