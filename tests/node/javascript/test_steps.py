"""When a main.js is told what: one table, one line a moment."""

from typing import Final

import pytest

from roundwork.node.javascript.steps import Step, compute_steps
from roundwork.participant.moment import Moment
from roundwork.protocol.clock import Timetable
from roundwork.protocol.params import KOII_1
from roundwork.protocol.tasks.round import Activity

TABLE = Timetable(starting_slot=100, round_time=60, submission_window=24, audit_window=24)
"""Ledger round R begins in slot 100 + 60 R; SUBMIT to offset 24, AUDIT to 48, then SETTLE."""


def at(slot: int) -> Moment:
    return Moment(TABLE, KOII_1.name, slot)


WORK = Step("executeTask", 5)
LIST: Final = "generateAndSubmitDistributionList"


@pytest.mark.parametrize(
    ("offset", "attempts", "contested", "expected"),
    [
        (0, {}, (), [WORK, Step("submitPayload", 4)]),
        (24, {}, (), [WORK, Step("submitPayload", 4)]),
        (0, {3: 0}, (), [WORK, Step("submitPayload", 4), Step(LIST, 3)]),
        # A list that failed is due again one ledger round later, and said to be a retry.
        (0, {2: 1, 3: 0}, (), [WORK, Step("submitPayload", 4), Step(LIST, 2, True), Step(LIST, 3)]),
        # Its next attempt is not due yet.
        (0, {3: 1}, (), [WORK, Step("submitPayload", 4)]),
        (25, {3: 0}, (), [WORK, Step("auditPayload", 4), Step("distributionListAudit", 3)]),
        # Whoever found no fault is asked again once somebody did, for `true` is accepted only then.
        (36, {3: 0}, (), [WORK, Step("auditPayload", 4), Step("distributionListAudit", 3)]),
        (36, {}, ((Activity.AUDIT, 4),), [WORK, Step("auditPayload", 4)]),
        (
            37,
            {},
            ((Activity.AUDIT, 4),),
            [WORK, Step("auditPayload", 4), Step("auditPayload", 4, False, True)],
        ),
        (37, {}, ((Activity.AUDIT_LIST, 4), (Activity.AUDIT, 3)), [WORK, Step("auditPayload", 4)]),
        (
            37,
            {3: 0},
            ((Activity.AUDIT_LIST, 3),),
            [
                WORK,
                Step("auditPayload", 4),
                Step("distributionListAudit", 3),
                Step("distributionListAudit", 3, False, True),
            ],
        ),
        (49, {3: 0}, (), [WORK]),
        (59, {3: 0}, (), [WORK]),
    ],
)
def test_what_is_due_in_ledger_round_5(
    offset: int, attempts: dict[int, int], contested: tuple[tuple[Activity, int], ...], expected: list[Step]
) -> None:
    slot = TABLE.compute_start(5) + offset

    assert expected == compute_steps(at(slot), attempts, frozenset(contested))


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (5, [Step(LIST, 3)]),
        (6, [Step(LIST, 3), Step(LIST, 3, turn=1)]),
        (12, [Step(LIST, 3), Step(LIST, 3, turn=2)]),
        (18, [Step(LIST, 3), Step(LIST, 3, turn=3)]),
        (24, [Step(LIST, 3), Step(LIST, 3, turn=3)]),
        (25, [Step("distributionListAudit", 3)]),
    ],
)
def test_a_missing_list_is_due_again_in_each_turn(offset: int, expected: list[Step]) -> None:
    moment = at(TABLE.compute_start(5) + offset)

    def list_lists(unlisted: set[int]) -> list[Step]:
        steps = compute_steps(moment, {3: 0}, frozenset(), frozenset(unlisted))
        return [step for step in steps if "istributionList" in step.function]

    assert expected == list_lists({3})
    assert expected[:1] == list_lists({2})


def test_a_program_is_called_in_its_turn_without_being_said_that_a_list_failed() -> None:
    moment = at(TABLE.compute_start(6) + 12)

    steps = compute_steps(moment, {3: 1}, frozenset(), frozenset({3}))

    assert [Step(LIST, 3, True), Step(LIST, 3, False, turn=2)] == [
        step for step in steps if step.function == LIST
    ]


def test_nothing_is_due_before_the_task_begins() -> None:
    assert [] == compute_steps(at(99), {}, frozenset())


def test_the_first_round_has_nothing_to_submit_or_audit() -> None:
    for slot in (100, 125, 140, 159):
        assert [Step("executeTask", 0)] == compute_steps(at(slot), {}, frozenset())
