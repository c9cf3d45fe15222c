"""What a node reads: heads, its own records, and the rows of parts."""

import msgspec
import pytest

from roundwork.participant.plays import LIAR
from roundwork.protocol.params import NodeKey, key_of
from roundwork.protocol.read import count_rows, list_frozen, read_part, view_head, view_own, view_round
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.views import PART_ROWS, PartKey, PartKind, Row, TaskHead

from ..town import BOUNTY, Town


def head_of(town: Town) -> TaskHead:
    return view_head(town.world.state, town.world.task)


def frozen(town: Town, number: int) -> list[PartKey]:
    return list_frozen(RoundCursor(town.world.state, town.world.task, number))


def live_through(town: Town, ledger_round: int) -> list[tuple[int, int]]:
    """Let a ledger round pass; the bytes of the head in each of its slots, by offset."""
    sizes = []
    for offset in range(20):
        town.live_until(offset, ledger_round)
        sizes.append((offset, len(msgspec.json.encode(head_of(town)))))
    return sizes


def test_the_bytes_of_a_head_do_not_depend_on_the_number_of_nodes() -> None:
    few, many = Town(3), Town(30)

    few.live_until(0, 3)
    many.live_until(0, 3)

    for (offset, small), (_, large) in zip(live_through(few, 3), live_through(many, 3), strict=True):
        assert abs(large - small) < 40, f"at offset {offset}: only counts and amounts have more digits"


def test_a_part_is_frozen_when_its_window_ends_and_never_changes_after() -> None:
    town = Town(5)
    town.nodes["n03"].play = LIAR
    seen: dict[PartKey, list[Row]] = {}
    born: dict[PartKey, int] = {}
    state, task = town.world.state, town.world.task

    for _ in range(90):
        town.live_slot()
        for number in (0, 1):
            for part in frozen(town, number):
                born.setdefault(part, town.task.slot - town.task.starting_slot)
                rows = list(read_part(state, task, part))
                assert seen.setdefault(part, rows) == rows, part
                assert {type(row) for row in rows} <= {PART_ROWS[part.kind]}

    assert 29 == born[PartKey(0, PartKind.SUBMISSIONS)]
    assert 37 == born[PartKey(0, PartKind.AUDITS)]
    assert 40 <= born[PartKey(0, PartKind.LIST)] < 49
    assert 57 == born[PartKey(0, PartKind.LIST_AUDITS)]
    assert 5 == len(seen[PartKey(0, PartKind.SUBMISSIONS)])
    assert len(seen[PartKey(0, PartKind.AUDITS)]) > 1


@pytest.mark.parametrize("offset", [0, 4, 9, 12, 17])
def test_own_records_are_those_that_the_whole_round_shows(offset: int) -> None:
    town = Town(5)
    town.nodes["n03"].play = LIAR
    town.live_until(offset, 4)
    state, task = town.world.state, town.world.task

    for node in town.nodes.values():
        own = view_own(state, task, NodeKey(key_of(node.address)))
        rounds = {each.round: each for each in own.rounds}
        assert own.amount == state.get_stakes(task).rows[NodeKey(key_of(node.address))].amount
        for head in head_of(town).rounds:
            shown = view_round(state, task, head.round)
            mine = rounds.get(head.round)
            value = next((each.value for each in shown.submissions if each.node == node.address), None)
            opinions = {
                each.node: each.auditors[node.address]
                for each in shown.submissions
                if node.address in each.auditors
            }
            reward = next((each.reward for each in shown.payments if each.node == node.address), 0)
            assert (value, opinions, reward) == (
                (mine.value, mine.opinions, mine.reward) if mine else (None, {}, 0)
            )
            assert reward in (0, BOUNTY // 4)


def test_raised_audits_are_read_from_a_slot_on() -> None:
    town = Town(5)
    town.nodes["n03"].play = town.nodes["n01"].play = LIAR
    town.live_until(17, 1)
    state, task, part = town.world.state, town.world.task, PartKey(0, PartKind.RAISED)

    rows = read_part(state, task, part)

    liars = {town.nodes[name].address for name in ("n01", "n03")}
    assert liars == {getattr(row, "candidate", None) for row in rows}
    first = min(getattr(row, "slot", 0) for row in rows)
    assert rows == read_part(state, task, part, first)
    assert [] == read_part(state, task, part, town.task.slot)


def test_submissions_are_read_from_a_slot_on_in_the_order_of_their_slots() -> None:
    town = Town(5)
    town.live_until(10, 1)
    state, task = town.world.state, town.world.task
    submitted = PartKey(0, PartKind.SUBMITTED)

    rows = read_part(state, task, submitted)

    slots = [getattr(row, "slot", 0) for row in rows]
    assert 5 == len(rows) == count_rows(RoundCursor(state, task, 0), submitted)
    assert sorted(slots) == slots
    assert [row for row in rows if getattr(row, "slot", 0) >= slots[-1]] == list(
        read_part(state, task, submitted, slots[-1])
    )
    assert 0 == count_rows(RoundCursor(state, task, 0), PartKey(0, PartKind.RAISED))
