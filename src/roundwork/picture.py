"""The stacked rounds, drawn from the clock: as text for a terminal, as SVG for pages."""

from collections.abc import Iterator
from html import escape
from itertools import pairwise

from .protocol.clock import DISTRIBUTION, Phase, Timetable
from .protocol.params import KOII_1
from .protocol.tasks.round import WINDOWS, Period, Window, find_window

_WINDOWS = WINDOWS[KOII_1.name]


def list_periods(table: Timetable, slot: int, rules: str = KOII_1.name) -> list[tuple[str, int, str]]:
    """For each of the three rounds of a slot: its period, its number, and what nodes do now.

    Rounds before the first are left out. Before the task begins the list is empty.
    """
    ledger_round = table.compute_round(slot)
    return [
        (period.value, ledger_round - period.later, find_window(WINDOWS[rules], table, slot, period).doing)
        for period in Period
        if ledger_round >= period.later
    ]


def draw_bar(table: Timetable, slot: int, width: int) -> tuple[str, str]:
    """A ledger round as a line of `width` characters, divided at `slot` into past and future."""
    passed = (table.compute_offset(slot) + 1) * width // table.round_time
    ends = _place_ends(table, width)
    line = "".join(
        ("╋" if at in ends else "━") if at < passed else "┼" if at in ends else "─" for at in range(width)
    )
    return line[:passed], line[passed:]


def draw_heading(table: Timetable, width: int) -> str:
    """The names of the phases, each at the place where its part of the bar begins."""
    starts = [0, *(end + 1 for end in _place_ends(table, width))]
    rooms = [second - first for first, second in pairwise(starts)]
    names = ("hand in", "audit", "settle")[: len(starts)]
    return "".join(name[: room - 1].ljust(room) for name, room in zip(names, rooms, strict=False)) + names[-1]


def _place_ends(table: Timetable, width: int) -> tuple[int, ...]:
    """The places on a bar where SUBMIT and AUDIT end, if another phase follows."""
    ends = (table.compute_offset_after(phase, 1, 1) for phase in (Phase.SUBMIT, Phase.AUDIT))
    return tuple(end * width // table.round_time for end in ends if end < table.round_time)


# SVG

ROW, BAR, LEFT, TOP, ROUND_WIDTH = 40, 26, 76, 34, 190
_COLOURS = {"work": "#dfe6ee", "review": "#f6d9a8", "distribution": "#bfe3c4"}
_SHADES = {None: 1.0, Phase.SUBMIT: 1.0, Phase.AUDIT: 0.75, Phase.SETTLE: 0.4}


def draw_svg(table: Timetable, rounds: int = 4) -> str:
    """The first rounds of a task as a picture: a row a round, a column a ledger round."""
    columns = rounds + DISTRIBUTION
    width, height = LEFT + columns * ROUND_WIDTH + 10, TOP + rounds * ROW + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        ' font-size="12" role="img" aria-label="Rounds are stacked: each is worked on, reviewed and paid in'
        ' three consecutive ledger rounds">',
        *(_text(LEFT + (at + 0.5) * ROUND_WIDTH, 20, f"ledger round {at}") for at in range(columns)),
    ]
    for round_number in range(rounds):
        parts += _draw_round(table, round_number)
    return "\n".join((*parts, "</svg>", ""))


def _draw_round(table: Timetable, round_number: int) -> Iterator[str]:
    top = TOP + round_number * ROW
    yield _text(LEFT / 2, top + BAR / 2 + 4, f"round {round_number}")
    for window in _WINDOWS.values():
        first, last = window.compute_slots(table, round_number)
        if last < first:
            continue
        yield _draw_window(table, round_number, window, top)
        if window.label:
            yield _text(_place(table, (first + last + 1) / 2), top + BAR / 2 + 4, window.label)


def _draw_window(table: Timetable, round_number: int, window: Window, top: int) -> str:
    first, last = window.compute_slots(table, round_number)
    left, right = _place(table, first), _place(table, last + 1)
    period, shade = window.period.value, _SHADES[window.phase]
    title = escape(f"round {round_number}: {period}, slots {first} to {last}")
    return (
        f'<rect x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{BAR}" fill="{_COLOURS[period]}"'
        f' fill-opacity="{shade}" stroke="#667"><title>{title}</title></rect>'
    )


def _place(table: Timetable, slot: float) -> float:
    """Where a slot is, from the left."""
    return LEFT + (slot - table.starting_slot) / table.round_time * ROUND_WIDTH


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'
