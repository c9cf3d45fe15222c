"""The picture of the rounds follows the clock."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from roundwork.picture import draw_bar, draw_heading, draw_svg, list_periods
from roundwork.protocol.clock import Timetable

TABLE = Timetable(starting_slot=100, round_time=10, submission_window=4, audit_window=4)


def test_three_rounds_are_under_way_at_a_time() -> None:
    slot = TABLE.compute_start(7) + 6

    assert [
        ("work", 7, "nodes work"),
        ("review", 6, "proofs are audited"),
        ("distribution", 5, "the list is audited"),
    ] == list_periods(TABLE, slot)


def test_the_first_ledger_rounds_review_and_distribute_nothing() -> None:
    assert [] == list_periods(TABLE, 99)
    assert [("work", 0, "nodes work")] == list_periods(TABLE, 100)
    assert ["work", "review"] == [period for period, _, _ in list_periods(TABLE, 110)]


def test_a_bar_is_parted_where_the_ledger_round_stands_and_marks_the_ends_of_its_phases() -> None:
    start = TABLE.compute_start(3)

    assert ("━━━━", "──────┼───────┼─") == tuple(draw_bar(TABLE, start + 1, 20))
    assert ("━━━━━━━━━━╋━━━━━━━╋━", "") == draw_bar(TABLE, start + 9, 20)


@pytest.mark.parametrize("width", range(20, 61))
def test_a_bar_is_as_wide_as_asked_at_every_slot(width: int) -> None:
    for slot in range(100, 110):
        assert width == len("".join(draw_bar(TABLE, slot, width)))


def test_the_heading_names_each_phase_where_it_begins() -> None:
    assert "hand in              audit           settle" == draw_heading(TABLE, 40)
    assert "hand in    audit" == draw_heading(Timetable(0, 8, 4, 4), 16)


def test_the_svg_has_a_bar_for_the_work_and_for_each_phase_of_the_other_periods() -> None:
    svg = ElementTree.fromstring(draw_svg(TABLE, rounds=3))
    bars = svg.findall("{*}rect")

    assert 3 * (1 + 3 + 3) == len(bars)
    assert bars[0].findtext("{*}title") == "round 0: work, slots 100 to 109"
    assert bars[6].findtext("{*}title") == "round 0: distribution, slots 129 to 129"


def test_a_round_whose_windows_fill_it_has_no_bar_for_what_is_left() -> None:
    full = Timetable(0, 8, 4, 4)

    assert 3 * (1 + 2 + 2) == draw_svg(full, rounds=3).count("<rect")


def test_the_picture_in_the_documentation_is_drawn_from_the_clock() -> None:
    drawn = Path(__file__).parent.parent / "docs" / "rounds.svg"

    assert draw_svg(Timetable(0, 60, 24, 24)) == drawn.read_text()
