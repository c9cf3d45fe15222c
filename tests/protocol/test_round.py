"""The life of a round: one table of transitions, one encoding of steps, one table of windows."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundwork.protocol.clock import Phase, Timetable
from roundwork.protocol.params import RULE_SETS, TaskKey
from roundwork.protocol.tasks.round import (
    TRANSITIONS,
    WINDOWS,
    Activity,
    Period,
    RoundEvent,
    RoundState,
    Step,
    StepKind,
    Window,
    compute_next_state,
    compute_pruning_slot,
    compute_turn,
    decode_step,
    find_window,
)

from .world import compute_phase

TABLE = Timetable(starting_slot=100, round_time=20, submission_window=8, audit_window=8)
KOII = WINDOWS["koii-1"]

timetables = st.builds(
    lambda start, submit, audit, rest: Timetable(start, submit + audit + rest, submit, audit),
    st.integers(0, 1000),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 20),
)


def test_every_state_is_reached_and_left_by_events_of_the_table() -> None:
    reached = {row.after for row in TRANSITIONS}
    left = {row.before for row in TRANSITIONS}

    assert {None, *RoundState} == reached
    assert {None, *RoundState} == left
    assert set(RoundEvent) == {row.event for row in TRANSITIONS}


def test_an_event_and_a_state_have_one_next_state() -> None:
    assert len(TRANSITIONS) == len({(row.event, row.before) for row in TRANSITIONS})
    assert all(row.after == compute_next_state(row.before, row.event) for row in TRANSITIONS)


def test_an_event_that_the_table_does_not_have_is_a_fault_of_the_law() -> None:
    with pytest.raises(AssertionError, match="has no transition"):
        compute_next_state(RoundState.PAID, RoundEvent.LIST_STOOD)


def test_a_closed_round_is_never_opened_again() -> None:
    closed = {state for state in RoundState if not state.is_open}

    assert {RoundState.PAID, RoundState.UNPAID} == closed
    assert all(row.after is None for row in TRANSITIONS if row.before in closed)


@given(
    st.integers(0, 2**64 - 1),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(StepKind),
    st.integers(0, 2**64 - 1),
)
def test_a_step_is_its_key(slot: int, task: bytes, kind: StepKind, round_number: int) -> None:
    step = Step(slot, TaskKey(task), kind, round_number)

    assert step == decode_step(step.encode())
    assert 49 == len(step.encode())


def test_steps_sort_by_slot_then_task_then_kind_then_round() -> None:
    steps = [
        Step(slot, TaskKey(bytes([task]) * 32), kind, round_number)
        for slot in (1, 256)
        for task in (1, 2)
        for kind in StepKind
        for round_number in (0, 1, 300)
    ]

    assert steps == sorted(steps, key=Step.encode)


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        (Activity.WORK, (140, 159)),
        (Activity.SUBMIT, (160, 168)),
        (Activity.AUDIT, (169, 176)),
        (Activity.WAIT, (177, 179)),
        (Activity.LIST, (180, 188)),
        (Activity.AUDIT_LIST, (189, 196)),
        (Activity.PAY, (197, 199)),
    ],
)
def test_the_windows_of_round_2(activity: Activity, expected: tuple[int, int]) -> None:
    window = KOII[activity]

    assert expected == window.compute_slots(TABLE, 2)
    assert expected[1] + 1 == window.compute_end(TABLE, 2)
    assert window.is_open(TABLE, expected[0], 2)
    assert not window.is_open(TABLE, expected[0] - 1, 2)


def test_a_retry_moves_the_windows_of_the_distribution_only() -> None:
    moved = {
        activity
        for activity, window in KOII.items()
        if window.compute_ledger_round(5, 1) > window.compute_ledger_round(5)
    }

    assert {Activity.LIST, Activity.AUDIT_LIST, Activity.PAY} == moved
    assert (200, 208) == KOII[Activity.LIST].compute_slots(TABLE, 2, attempt=1)


@given(timetables, st.integers(1, 8), st.sampled_from(Phase))
def test_the_parts_of_a_phase_cover_it_without_gaps(table: Timetable, parts: int, phase: Phase) -> None:
    whole = Window(Period.REVIEW, phase, "all of it").compute_slots(table, 3)

    slots = [
        Window(Period.REVIEW, phase, "a part", "", part, part, parts).compute_slots(table, 3)
        for part in range(parts)
    ]

    assert whole == (slots[0][0], slots[-1][1])
    assert all(before[1] + 1 == after[0] for before, after in pairwise(slots))


@pytest.mark.parametrize("rules", WINDOWS)
@given(table=timetables, later=st.integers(0, 5000))
def test_every_slot_lies_in_one_window_of_each_period(rules: str, table: Timetable, later: int) -> None:
    slot = table.starting_slot + later

    for period in Period:
        window = find_window(WINDOWS[rules], table, slot, period)
        number = table.compute_round(slot) - period.later

        assert window.period is period
        assert window.is_open(table, slot, number)


def test_a_slot_that_no_window_covers_is_a_fault_of_the_table() -> None:
    with pytest.raises(AssertionError, match="no window"):
        find_window({}, TABLE, 100, Period.WORK)


def test_ranks_hand_in_a_quarter_of_the_window_apart_and_everybody_after_three() -> None:
    assert [0, 2, 4, 6, 6] == [compute_turn(TABLE, rank) for rank in range(5)]


def test_a_round_is_pruned_when_its_last_retry_is_over() -> None:
    assert TABLE.compute_start(2 + 4 + 3) == compute_pruning_slot(TABLE, 2, retries_allowed=3)


def test_every_rule_set_has_its_windows() -> None:
    assert set(RULE_SETS) == set(WINDOWS)


def test_the_halves_and_eighths_of_roundwork_1_are_those_of_the_text() -> None:
    windows = WINDOWS["roundwork-1"]
    table = Timetable(starting_slot=0, round_time=60, submission_window=11, audit_window=48)

    offsets = {
        activity: tuple(slot % 60 for slot in window.compute_slots(table, 4))
        for activity, window in windows.items()
    }

    assert (0, 5) == offsets[Activity.COMMIT]  # o <= sw // 2
    assert (6, 11) == offsets[Activity.REVEAL]
    assert (12, 17) == offsets[Activity.CHALLENGE]  # sw + aw * 0 // 8 < o <= sw + aw * 1 // 8
    assert (12, 23) == offsets[Activity.ANSWER]
    assert (24, 29) == offsets[Activity.CHECK]
    assert (30, 35) == offsets[Activity.ACCUSE]
    assert (36, 47) == offsets[Activity.JUDGE]
    assert (48, 59) == offsets[Activity.DISCLOSE]
    assert (0, 11) == offsets[Activity.LIST]
    assert (12, 35) == offsets[Activity.ACCUSE_LIST]  # o <= sw + aw // 2
    assert (36, 59) == offsets[Activity.VOTE_LIST]


@pytest.mark.parametrize("gap", [1, 2, 3, 10, 100])
def test_at_the_least_windows_an_outage_of_the_allowed_length_takes_no_window_whole(gap: int) -> None:
    windows = WINDOWS["roundwork-1"]
    submit, audit = 4 * (gap + 1) - 1, 16 * (gap + 1)
    table = Timetable(0, submit + audit + 1, submit, audit)

    for activity, window in windows.items():
        first, last = window.compute_slots(table, 4)
        if activity not in (Activity.WAIT, Activity.PAY):  # nothing has to be sent in these
            assert last - first + 1 >= 2 * (gap + 1)


def test_the_text_has_the_same_transitions() -> None:
    text = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()

    def name(state: RoundState | None) -> str:
        return "–" if state is None else state.name

    rows = [
        f"| {row.event.value} | {name(row.before)} | {name(row.after)} | {row.effect} |"
        for row in TRANSITIONS
    ]
    assert "\n".join(rows) in text


@given(timetables, st.integers(0, 5000))
def test_a_slot_lies_in_the_phase_whose_window_holds_it(table: Timetable, later: int) -> None:
    slot = table.starting_slot + later

    phase, ledger_round = compute_phase(table, slot), table.compute_round(slot)
    first, last = Window(Period.WORK, phase, "all of it").compute_slots(table, ledger_round)

    assert first <= slot <= last
    assert slot == table.compute_start(ledger_round) + table.compute_offset(slot)
