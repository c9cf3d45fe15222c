"""The picture of the rounds follows the clock."""

from pathlib import Path
from xml.etree import ElementTree

from roundwork.picture import draw_position, draw_svg, list_periods
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


def test_a_position_is_in_capitals_as_far_as_the_round_has_come() -> None:
    start = draw_position(TABLE, TABLE.compute_start(3))
    end = draw_position(TABLE, TABLE.compute_start(4) - 1)

    assert "SSSSSssss" == start[:9]
    assert end.isupper() or set(end) <= {"S", "A", "."}
    assert start.lower() == end.lower()


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
