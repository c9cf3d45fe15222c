"""Nodes hand in a missing list in the same turns, whatever their language."""

import msgspec
import pytest

from roundwork.node.javascript.turns import compute_own_turn, compute_turn_number
from roundwork.participant.moment import Moment, compute_moment
from roundwork.participant.selection import select_node
from roundwork.participant.step import is_my_turn
from roundwork.protocol.clock import Timetable
from roundwork.protocol.params import KOII_1
from roundwork.protocol.tasks.round import TURNS

from ...participant.test_step import TABLE, round_of, submission, view_of
from .village import show


@pytest.mark.parametrize("attempt", [0, 1, 2])
@pytest.mark.parametrize("round_number", range(6))
def test_both_languages_have_the_same_turns(round_number: int, attempt: int) -> None:
    nodes = [f"node {at}" for at in range(5)]
    listed = round_of(round_number, *map(submission, nodes), attempt=attempt)
    view = view_of(listed)
    [head] = view.head.rounds
    submitted = show(listed)
    selected = select_node(submitted, [], is_retry=attempt > 0)

    for node in nodes:
        own = msgspec.structs.replace(view, node=node)
        window = range(TABLE.compute_start(9), TABLE.compute_start(9) + TABLE.submission_window + 1)
        first = next(slot for slot in window if is_my_turn(own, head, compute_moment(view.head, slot)))

        turn = compute_turn_number(compute_moment(view.head, first))

        if selected is None:
            # The program that selected no node at first is called again from turn 1 on.
            assert min(turn + 1, TURNS) == compute_own_turn(node, head, submitted, [])
        else:
            assert max(turn, 1) == compute_own_turn(node, head, submitted, [])
            assert (turn == 0) is (node == selected)


def test_turns_begin_in_the_quarters_of_the_window() -> None:
    table = Timetable(starting_slot=100, round_time=60, submission_window=24, audit_window=24)
    begun = [compute_turn_number(Moment(table, KOII_1.name, 400 + offset)) for offset in range(25)]

    assert [0] * 6 + [1] * 6 + [2] * 6 + [3] * 7 == begun
