"""When a node reads again what others may have changed: its own records, and the stakes of all nodes.

All nodes see a change in the same head. They share the slots after it, so that they do not all read at once.
"""

from ..protocol.params import RULE_SETS
from ..protocol.tasks.round import Activity, Period
from ..views import RoundHead, TaskHead
from .moment import compute_moment

OWN_SLOTS = 8
"""Own records that others may have changed are read within so many slots."""

STAKES_SLOTS = 4
"""Changes of stakes are read within so many slots in a small network."""

STAKES_READERS = 64
"""In a large network about so many nodes read them in a slot, however often a stake changes: each node has
slots of its own that come again and again, and they do not depend on when a change was seen."""


def has_changed(before: TaskHead, head: TaskHead) -> bool:
    """Whether a round was paid, was closed or went to its next attempt between two heads.

    This and a release may have moved the money of nodes: when a round begins, they need not read anything.
    """
    return not _list_ends(head) <= _list_ends(before) or not _list_open(before) <= _list_open(head)


def has_released(before: TaskHead, head: TaskHead) -> bool:
    """Whether the ledger may have released held-back rewards between two heads: when an AUDIT ends."""
    if not RULE_SETS[head.rules].held_rounds:
        return False
    now = compute_moment(head, head.slot)
    end = now.compute_end(Activity.AUDIT, now.compute_round(Period.REVIEW))
    if head.slot < end:
        end -= head.round_time
    return before.slot < end <= head.slot


def pick_slot(secret: bytes, slots: range) -> int:
    """The slot of a node among `slots`, which are not empty. `secret` is the node's, of 8 bytes or more."""
    return slots[int.from_bytes(secret[:8]) % len(slots)]


def list_own_slots(slot: int) -> range:
    """The slots in which nodes read their own records after a change that a head of `slot` shows."""
    return range(slot, slot + OWN_SLOTS)


def find_stakes_slot(secret: bytes, slot: int, nodes: int) -> int:
    """The first slot from `slot` on in which a node of `nodes` reads stakes. `secret` as for `pick_slot`.

    A node that has read waits for all the others before it reads again, so a stake that changes in every slot
    makes each node read in one of `max(STAKES_SLOTS, nodes // STAKES_READERS)` slots.
    """
    length = max(STAKES_SLOTS, nodes // STAKES_READERS)
    return slot + (int.from_bytes(secret[:8]) - slot) % length


def _list_ends(head: TaskHead) -> set[tuple[int, str, int]]:
    """The rounds of a head that are over."""
    return {_get_state(shown) for shown in head.rounds if shown.status not in ("Unopened", "Open")}


def _list_open(head: TaskHead) -> set[tuple[int, str, int]]:
    """The rounds of a head that are open, with their attempts."""
    return {_get_state(shown) for shown in head.rounds if shown.status == "Open"}


def _get_state(shown: RoundHead) -> tuple[int, str, int]:
    return shown.round, shown.status, shown.attempt
