"""The stacked rounds as text, drawn from the clock."""

from .protocol.clock import DISTRIBUTION, REVIEW, Phase, Timetable

WIDTH = 44


def draw_rounds(table: Timetable, slot: int) -> list[str]:
    """Three lines, one for each period of the present ledger round, with where in it `slot` is."""
    ledger_round = table.compute_round(slot)
    if ledger_round < 0:
        return [f"the task begins at slot {table.starting_slot}"]
    phase = table.compute_phase(slot).name
    periods = (
        ("work", ledger_round, "nodes work"),
        ("review", ledger_round - REVIEW, _REVIEW[phase]),
        ("distribution", ledger_round - DISTRIBUTION, _DISTRIBUTION[phase]),
    )
    return [
        f"{name:<12} {f'round {number}' if number >= 0 else '–':<10} {what if number >= 0 else '':<30}"
        for name, number, what in periods
    ]


def draw_position(table: Timetable, slot: int) -> str:
    """One bar for the ledger round: where its phases end, and how far it has come."""
    marks = []
    offset = table.compute_offset(slot)
    for at in range(WIDTH):
        first = at * table.round_time // WIDTH
        letter = {Phase.SUBMIT: "s", Phase.AUDIT: "a", Phase.SETTLE: "."}[
            table.compute_phase(table.starting_slot + first)
        ]
        marks.append(letter.upper() if first <= offset else letter)
    return "".join(marks)


_REVIEW = {
    "SUBMIT": "proofs are submitted",
    "AUDIT": "proofs are audited",
    "SETTLE": "verdicts are final",
}
_DISTRIBUTION = {
    "SUBMIT": "the list is handed in",
    "AUDIT": "the list is audited",
    "SETTLE": "paid",
}
