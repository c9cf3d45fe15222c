"""The turns in which the nodes of a main.js hand in a list that is missing, as Python nodes do."""

from __future__ import annotations

from collections.abc import Sequence

from ...participant.moment import Moment
from ...participant.selection import Submissions, rank_nodes, select_node
from ...protocol.tasks.round import TURNS, compute_turn
from ...views import RoundHead


def compute_turn_number(now: Moment) -> int:
    """Which turn of the nodes has begun in this LIST window, from 0 to TURNS."""
    offset = now.table.compute_offset(now.slot)
    return max(turn for turn in range(TURNS + 1) if offset >= compute_turn(now.table, turn))


def compute_own_turn(
    node: str, listed: RoundHead, submitted: Submissions, before: Sequence[Submissions]
) -> int:
    """The turn of a node in the list's attempt, from 1 on: turn 0 belongs to the published rule alone.

    The order is that of Python nodes. The node has submitted in the round.
    """
    failed = [each.submitter for each in listed.lists if each.attempt < listed.attempt]
    selected = select_node(submitted, before, failed, is_retry=listed.attempt > 0)
    order = rank_nodes([*submitted], listed.round, listed.attempt, selected)
    rank = order.index(node)
    return min(max(rank if selected else rank + 1, 1), TURNS)
