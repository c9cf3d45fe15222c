"""What a node under roundwork-1 reads in a slot and in a round, in worlds of 10 and of 200 nodes."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from roundwork.ledger.rpc.reads import encode_part
from roundwork.participant.sealed_parts import list_sealed_parts
from roundwork.participant.step import View
from roundwork.protocol.execute import Outcome
from roundwork.protocol.read import list_frozen, read_part, view_head, view_own
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.sealed_strategies import ROLES
from roundwork.sim.sealed import SealedWorld
from roundwork.sim.sealed_attack import make_trial_task
from roundwork.views import GROWING, PartKey

from .sealed_village import TERMS, make_setting

T = TERMS.round_time
LISTED = (2 * T, 2 * T + TERMS.submission_window + 1)
"""Slots of round 0 in which its list comes: in a large world it takes a few slots more."""


class Reading:
    """What one node reads in a world with a liar, slot by slot."""

    def __init__(self, nodes: int) -> None:
        self.heads: dict[int, Any] = {}
        """Heads by slot since the world began, as JSON."""
        self.head_bytes: dict[int, int] = {}
        self.part_bytes: dict[PartKey, int] = {}
        """Every part that the node needs, once."""
        self.grown_bytes: dict[int, int] = {}
        """The rows since the last slot, by slot."""
        setting = make_setting(("liar", *("honest",) * (nodes - 1)), rounds=1)
        strategies = {node.name: ROLES[node.role]() for node in setting.nodes}
        SealedWorld(setting, make_trial_task(), watch=self._watch, strategies=strategies).run()

    def _watch(self, world: SealedWorld, outcome: Outcome) -> None:
        state, task, slot = world.ledger.state, world.task, world.slot
        head = view_head(state, task, lambda part: "b" * 59)
        at, text = slot - head.starting_slot, msgspec.json.encode(head)
        self.heads[at], self.head_bytes[at] = msgspec.json.decode(text), len(text)
        node = world.nodes[-1]
        view = View(node.address, head, view_own(state, task, node.key), {}, bytes(32), 0)
        for part in list_sealed_parts(view, slot):
            if part.kind in GROWING:
                rows = msgspec.json.encode(read_part(state, task, part, slot))
                self.grown_bytes[at] = self.grown_bytes.get(at, 0) + len(rows) - len("[]")
            elif part not in self.part_bytes and part in list_frozen(RoundCursor(state, task, part.round)):
                blobs = encode_part(state, task, part).blobs
                self.part_bytes[part] = sum(len(blob.data) for blob in blobs.values())


@pytest.fixture(scope="module")
def readings() -> Mapping[int, Reading]:
    return {nodes: Reading(nodes) for nodes in (10, 200)}


def get_shape(value: Any) -> Any:
    """A JSON value without its numbers and the letters of its texts."""
    if isinstance(value, dict):
        return {name: get_shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [get_shape(each) for each in value]
    return type(value).__name__


def test_a_head_has_the_same_fields_in_every_slot_whatever_the_number_of_nodes(
    readings: Mapping[int, Reading],
) -> None:
    small, large = readings[10], readings[200]
    slots = [at for at in small.heads if at in large.heads and at < 3 * T and at not in range(*LISTED)]

    assert len(slots) > 2 * T
    for at in slots:
        assert get_shape(small.heads[at]) == get_shape(large.heads[at]), f"slot {at}"
        # Counts and sums of stakes have more digits, and an address has 43 or 44 letters.
        assert abs(small.head_bytes[at] - large.head_bytes[at]) < 40, f"slot {at}"


def test_in_most_slots_a_node_reads_a_head_and_nothing_else(readings: Mapping[int, Reading]) -> None:
    for reading in readings.values():
        assert 0 < sum(size > 0 for size in reading.grown_bytes.values()) < T // 4
        assert 3 == len(reading.part_bytes)


def test_a_round_costs_a_node_one_copy_of_each_part(readings: Mapping[int, Reading]) -> None:
    small, large = (sum(reading.part_bytes.values()) for reading in readings.values())

    assert large < 200 / 10 * small
