"""A slot of a task: the rounds that it belongs to, and their windows that are open."""

import msgspec

from ..protocol.clock import Timetable
from ..protocol.tasks.round import WINDOWS, Activity, Period, Window
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
        return self._get_window(activity).is_open(self.table, self.slot, round_number, attempt)

    def is_second_half(self, activity: Activity, round_number: int, attempt: int = 0) -> bool:
        """Whether the second half of a window of a round has begun."""
        return self.slot >= self.compute_middle(activity, round_number, attempt)

    def compute_middle(self, activity: Activity, round_number: int, attempt: int = 0) -> int:
        """The slot at which the second half of a window begins."""
        first, last = self._get_window(activity).compute_slots(self.table, round_number, attempt)
        return first + (last - first + 1) // 2

    def compute_end(self, activity: Activity, round_number: int, attempt: int = 0) -> int:
        """The slot at which a window has ended."""
        return self._get_window(activity).compute_end(self.table, round_number, attempt)

    def is_due(self, activity: Activity, round_number: int, attempt: int = 0) -> bool:
        """Whether a window of a round lies in this ledger round."""
        window = self._get_window(activity)
        return window.compute_ledger_round(round_number, attempt) == self.ledger_round

    def _get_window(self, activity: Activity) -> Window:
        return WINDOWS[self.rules][activity]


def compute_moment(task: TaskHead | TaskView, slot: int) -> Moment:
    """A slot of a task."""
    return Moment(compute_timetable(task), task.rules, slot)


def compute_timetable(task: TaskHead | TaskView) -> Timetable:
    """When the rounds of a task are."""
    return Timetable(task.starting_slot, task.round_time, task.submission_window, task.audit_window)
