"""A slot of a task: the rounds that it belongs to, and their windows that are open."""

from functools import lru_cache

import msgspec

from ..protocol.clock import Timetable
from ..protocol.tasks.round import WINDOWS, Activity, Period
from ..views import TaskHead, TaskView


class Moment(msgspec.Struct, frozen=True):
    """A slot, read with the timetable of a task and the windows of its rule set."""

    table: Timetable
    rules: str
    slot: int

    @property
    def ledger_round(self) -> int:
        """The ledger round of the slot; negative before the task began."""
        return self.table.compute_round(self.slot)

    def compute_round(self, period: Period) -> int:
        """The round whose first attempt is in a period now; negative before the first round."""
        return self.ledger_round - period.later

    def is_open(self, activity: Activity, round_number: int, attempt: int = 0) -> bool:
        """Whether a window of a round is open."""
        first, last = _compute_slots(self.table, self.rules, activity, round_number, attempt)
        return first <= self.slot <= last

    def is_second_half(self, activity: Activity, round_number: int, attempt: int = 0) -> bool:
        """Whether the second half of a window of a round has begun."""
        return self.slot >= self.compute_middle(activity, round_number, attempt)

    def compute_middle(self, activity: Activity, round_number: int, attempt: int = 0) -> int:
        """The slot at which the second half of a window begins."""
        first, last = _compute_slots(self.table, self.rules, activity, round_number, attempt)
        return first + (last - first + 1) // 2

    def compute_end(self, activity: Activity, round_number: int, attempt: int = 0) -> int:
        """The slot at which a window has ended."""
        return _compute_slots(self.table, self.rules, activity, round_number, attempt)[1] + 1

    def is_due(self, activity: Activity, round_number: int, attempt: int = 0) -> bool:
        """Whether a window of a round lies in this ledger round."""
        window = WINDOWS[self.rules][activity]
        return window.compute_ledger_round(round_number, attempt) == self.ledger_round


@lru_cache(maxsize=1024)
def _compute_slots(
    table: Timetable, rules: str, activity: Activity, round_number: int, attempt: int
) -> tuple[int, int]:
    """The first and the last slot of a window. All nodes of a simulation ask for the same ones."""
    return WINDOWS[rules][activity].compute_slots(table, round_number, attempt)


def compute_moment(task: TaskHead | TaskView, slot: int) -> Moment:
    """A slot of a task."""
    return Moment(compute_timetable(task), task.rules, slot)


def compute_timetable(task: TaskHead | TaskView) -> Timetable:
    """When the rounds of a task are."""
    return Timetable(task.starting_slot, task.round_time, task.submission_window, task.audit_window)
