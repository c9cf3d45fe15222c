"""The life of a round: its states, its transitions, its steps (work that falls due), and its windows.

The law moves rounds by `TRANSITIONS`, schedules `Step`s, and opens windows by `WINDOWS`; the participant, the
steps of JavaScript tasks and the picture read the same tables. A rule set with more states or windows adds
rows.
Source: docs/PROTOCOL.md 2.1 and 9.
"""

from enum import Enum, IntEnum
from typing import NamedTuple

from ..clock import DISTRIBUTION, REVIEW, Phase, Timetable
from ..params import KOII_1, ROUNDWORK_1, TaskKey

PRUNING = 4
"""The ledger rounds from a round's work to its pruning; each allowed retry adds one."""

# States


class RoundState(IntEnum):
    """The state of a round that a submission has opened."""

    SUBMITTING = 0
    """SUBMIT of its review is under way."""
    REVIEWING = 1
    """SUBMIT of its review has ended: its submissions are audited, then its first list."""
    RETRYING = 2
    """A list failed or never came; the next attempt is due."""
    SETTLING = 3
    """Its list stands and waits in the queue of payouts, or is being paid in slices."""
    PAID = 4
    """The list is paid. The round is closed."""
    UNPAID = 5
    """No list stood in any attempt. The round is closed."""

    @property
    def is_open(self) -> bool:
        """Whether the round still reserves its bounty and can move money."""
        return self not in (RoundState.PAID, RoundState.UNPAID)


class RoundEvent(Enum):
    """The events that move a round from one state to the next."""

    FIRST_SUBMISSION = "the first submission is accepted"
    SUBMIT_ENDED = "SUBMIT of its review ends"
    TOO_FEW = "SUBMIT of its review ends with fewer than three submissions, under `roundwork-1`"
    LIST_STOOD = "AUDIT of an attempt ends and its list stands"
    LIST_FAILED = "AUDIT of an attempt ends without a list that stands, and a retry is allowed"
    LAST_LIST_FAILED = "AUDIT of the last attempt ends without a list that stands"
    LEDGER_SPLIT = "AUDIT of the last attempt ends without a list that stands, under `roundwork-1`"
    PAYOUT_DONE = "the last amount of the list is paid"
    PRUNING_DUE = "its pruning is due, and the round is closed"


class Transition(NamedTuple):
    """An event takes a round from `before` to `after`. None stands for a round without a record."""

    event: RoundEvent
    before: RoundState | None
    after: RoundState | None
    effect: str
    """What the law does beside: the column of the table in docs/PROTOCOL.md, which a test compares."""


_RESERVE_FREE = "its reserve is free again"
_SPLIT = "the ledger's own split joins the queue"

TRANSITIONS = (
    Transition(RoundEvent.FIRST_SUBMISSION, None, RoundState.SUBMITTING, "its bounty is reserved"),
    Transition(RoundEvent.SUBMIT_ENDED, RoundState.SUBMITTING, RoundState.REVIEWING, "its beacon is fixed"),
    Transition(RoundEvent.TOO_FEW, RoundState.SUBMITTING, RoundState.UNPAID, _RESERVE_FREE),
    Transition(
        RoundEvent.LIST_STOOD, RoundState.REVIEWING, RoundState.SETTLING, "its payout joins the queue"
    ),
    Transition(RoundEvent.LIST_STOOD, RoundState.RETRYING, RoundState.SETTLING, "its payout joins the queue"),
    Transition(
        RoundEvent.LIST_FAILED, RoundState.REVIEWING, RoundState.RETRYING, "the next attempt is scheduled"
    ),
    Transition(
        RoundEvent.LIST_FAILED, RoundState.RETRYING, RoundState.RETRYING, "the next attempt is scheduled"
    ),
    Transition(RoundEvent.LAST_LIST_FAILED, RoundState.REVIEWING, RoundState.UNPAID, _RESERVE_FREE),
    Transition(RoundEvent.LAST_LIST_FAILED, RoundState.RETRYING, RoundState.UNPAID, _RESERVE_FREE),
    Transition(RoundEvent.LEDGER_SPLIT, RoundState.REVIEWING, RoundState.SETTLING, _SPLIT),
    Transition(RoundEvent.LEDGER_SPLIT, RoundState.RETRYING, RoundState.SETTLING, _SPLIT),
    Transition(RoundEvent.PAYOUT_DONE, RoundState.SETTLING, RoundState.PAID, _RESERVE_FREE),
    Transition(RoundEvent.PRUNING_DUE, RoundState.PAID, None, "its records leave the state"),
    Transition(RoundEvent.PRUNING_DUE, RoundState.UNPAID, None, "its records leave the state"),
)

_AFTER = {(row.event, row.before): row.after for row in TRANSITIONS}


def compute_next_state(before: RoundState | None, event: RoundEvent) -> RoundState | None:
    """The state that an event leads to. It is a fault of the law if the table has no such row."""
    assert (event, before) in _AFTER, f"a round in state {before!r} has no transition for {event!r}"
    return _AFTER[event, before]


# Steps that fall due


class StepKind(IntEnum):
    """The kinds of steps; those from 5 on are of `roundwork-1`.

    Steps of the same slot and task run in this order, then by round.
    """

    SUBMIT_END = 2
    ATTEMPT_END = 3
    PRUNING = 4
    COMMITS_END = 5
    REVEALS_END = 6
    ANSWERS_END = 7
    ACCUSATIONS_END = 8
    TRIAL_BONDS = 9
    LIST_BONDS = 10
    LIST_COSTS = 11
    VERDICTS = 12
    RELEASE = 13
    """Its round is the ledger round in which the rewards were paid."""
    LIST_PAYS = 14


class Step(NamedTuple):
    """Work that falls due for a round, in the first block of `slot` or of a later slot."""

    slot: int
    task: TaskKey
    kind: StepKind
    round_number: int

    def encode(self) -> bytes:
        """The key of the step: its bytes sort in the order in which steps are worked off."""
        return (
            self.slot.to_bytes(8, "big")
            + self.task
            + bytes([self.kind])
            + self.round_number.to_bytes(8, "big")
        )


def decode_step(key: bytes) -> Step:
    """The step of a key."""
    slot, task, kind, round_number = key[:8], key[8:40], key[40], key[41:]
    return Step(
        int.from_bytes(slot, "big"), TaskKey(task), StepKind(kind), int.from_bytes(round_number, "big")
    )


# Windows


class Period(Enum):
    """The three ledger rounds of a round's life."""

    WORK = "work"
    REVIEW = "review"
    DISTRIBUTION = "distribution"

    __hash__ = object.__hash__  # four times as fast as that of Enum; members are equal to themselves alone

    @property
    def later(self) -> int:
        """Ledger rounds after the round's work."""
        return _LATER[self]


_LATER = {Period.WORK: 0, Period.REVIEW: REVIEW, Period.DISTRIBUTION: DISTRIBUTION}


class Activity(Enum):
    """The activities of a round; each has a window."""

    WORK = "work"
    SUBMIT = "submit"
    AUDIT = "audit"
    WAIT = "wait"
    LIST = "list"
    AUDIT_LIST = "audit list"
    PAY = "pay"
    COMMIT = "commit"
    REVEAL = "reveal"
    CHALLENGE = "challenge"
    ANSWER = "answer"
    CHECK = "check"
    ACCUSE = "accuse"
    JUDGE = "judge"
    DISCLOSE = "disclose"
    ACCUSE_LIST = "accuse list"
    VOTE_LIST = "vote list"

    __hash__ = object.__hash__


class Window(NamedTuple):
    """When an activity of a round takes place: a phase of one of its ledger rounds, or a part of that phase.

    Each failed attempt moves the windows of the distribution one ledger round later.
    """

    period: Period
    phase: Phase | None
    """None: the whole ledger round."""
    doing: str
    """For people: what happens in it."""
    label: str = ""
    """The word in a picture; empty where the picture shows none."""
    first_part: int = 0
    """The first of `parts` equal parts of the phase that belongs to the window, counted from 0."""
    last_part: int = 0
    """The last one that does."""
    parts: int = 1

    def compute_ledger_round(self, round_number: int, attempt: int = 0) -> int:
        """The ledger round that the window lies in."""
        return round_number + self.period.later + (attempt if self.period is Period.DISTRIBUTION else 0)

    def compute_slots(self, table: Timetable, round_number: int, attempt: int = 0) -> tuple[int, int]:
        """The first and the last slot of the window; the last is before the first if it has none."""
        return self.compute_slots_in(table, self.compute_ledger_round(round_number, attempt))

    def compute_slots_in(self, table: Timetable, ledger_round: int) -> tuple[int, int]:
        """The same for the window that lies in a ledger round."""
        start = table.compute_start(ledger_round)
        if self.phase is None:
            return start, start + table.round_time - 1
        first = table.compute_offset_after(self.phase, self.first_part, self.parts)
        end = table.compute_offset_after(self.phase, self.last_part + 1, self.parts)
        return start + first, start + end - 1

    def compute_end(self, table: Timetable, round_number: int, attempt: int = 0) -> int:
        """The slot at which the window has ended: what its end brings about happens in it or later."""
        return self.compute_slots(table, round_number, attempt)[1] + 1

    def is_open(self, table: Timetable, slot: int, round_number: int, attempt: int = 0) -> bool:
        """Whether a slot lies in the window."""
        first, last = self.compute_slots(table, round_number, attempt)
        return first <= slot <= last


_SUBMITTED = Period.REVIEW, Phase.SUBMIT
_LISTED = Period.DISTRIBUTION, Phase.AUDIT


def _half(place: tuple[Period, Phase], half: int, doing: str, label: str) -> Window:
    """A half of a phase: 0 the first, 1 the second."""
    return Window(*place, doing, label, half, half, parts=2)


def _eighths(first: int, last: int, doing: str, label: str) -> Window:
    """Some eighths of AUDIT of the review, counted from 1."""
    return Window(Period.REVIEW, Phase.AUDIT, doing, label, first - 1, last - 1, parts=8)


Windows = dict[Activity, Window]

WINDOWS: dict[str, Windows] = {
    KOII_1.name: {
        Activity.WORK: Window(Period.WORK, None, "nodes work", "work"),
        Activity.SUBMIT: Window(Period.REVIEW, Phase.SUBMIT, "proofs are submitted", "submit"),
        Activity.AUDIT: Window(Period.REVIEW, Phase.AUDIT, "proofs are audited", "audit"),
        Activity.WAIT: Window(Period.REVIEW, Phase.SETTLE, "verdicts are final"),
        Activity.LIST: Window(Period.DISTRIBUTION, Phase.SUBMIT, "the list is handed in", "list"),
        Activity.AUDIT_LIST: Window(Period.DISTRIBUTION, Phase.AUDIT, "the list is audited", "audit"),
        Activity.PAY: Window(Period.DISTRIBUTION, Phase.SETTLE, "paid", "pay"),
    },
    ROUNDWORK_1.name: {
        Activity.WORK: Window(Period.WORK, None, "nodes work", "work"),
        Activity.COMMIT: _half(_SUBMITTED, 0, "submissions are committed", "commit"),
        Activity.REVEAL: _half(_SUBMITTED, 1, "submissions are revealed", "reveal"),
        Activity.CHALLENGE: _eighths(1, 1, "proofs are challenged", "challenge"),
        Activity.ANSWER: _eighths(1, 2, "challenges are answered", "answer"),
        Activity.CHECK: _eighths(3, 3, "receipts are committed", "check"),
        Activity.ACCUSE: _eighths(4, 4, "submissions are accused", "accuse"),
        Activity.JUDGE: _eighths(5, 6, "juries commit their votes", "judge"),
        Activity.DISCLOSE: _eighths(7, 8, "receipts and votes are revealed", "disclose"),
        Activity.SUBMIT: Window(*_SUBMITTED, "submissions are committed and revealed"),
        Activity.AUDIT: Window(Period.REVIEW, Phase.AUDIT, "submissions are checked, accused and judged"),
        Activity.WAIT: Window(Period.REVIEW, Phase.SETTLE, "verdicts are final"),
        Activity.LIST: Window(Period.DISTRIBUTION, Phase.SUBMIT, "the list is handed in", "list"),
        Activity.ACCUSE_LIST: _half(_LISTED, 0, "the list may be accused", "accuse"),
        Activity.VOTE_LIST: _half(_LISTED, 1, "an accused list is voted on", "vote"),
        Activity.AUDIT_LIST: Window(*_LISTED, "the list is accused and voted on"),
        Activity.PAY: Window(Period.DISTRIBUTION, Phase.SETTLE, "paid", "pay"),
    },
}
"""The windows of each rule set in the order of a round; the parts of a phase stand before its whole."""


def find_window(windows: Windows, table: Timetable, slot: int, period: Period) -> Window:
    """The window that a slot lies in, for the round that is in this period then."""
    ledger_round = table.compute_round(slot)
    for window in windows.values():
        first, last = window.compute_slots_in(table, ledger_round)
        if window.period is period and first <= slot <= last:
            return window
    raise AssertionError(f"no window of {period} covers slot {slot}")


def compute_turn(table: Timetable, rank: int) -> int:
    """The offset from which a node of a rank, 0 the highest, hands in a list; from rank 3 on, every node."""
    return min(rank, TURNS) * ((table.submission_window + 1) // (TURNS + 1))


TURNS = 3
"""The number of nodes that may hand in a list before all others, one after the other."""


def compute_pruning_slot(table: Timetable, round_number: int, retries_allowed: int) -> int:
    """The slot at which the records of a round are pruned, if it is closed by then."""
    return table.compute_start(round_number + PRUNING + retries_allowed)
