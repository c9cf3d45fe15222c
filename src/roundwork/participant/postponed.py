"""When a duty that failed is tried again."""

from collections.abc import Collection

from .step import Duty

FIRST_SLOTS = 4
"""The slots that a duty waits after its first failure."""

DOUBLINGS_MAX = 10


class Postponed:
    """A duty that failed waits for a few slots, and twice as long each time it fails again."""

    def __init__(self) -> None:
        self._waits: dict[Duty, tuple[int, int]] = {}
        """By duty: the slot from which it is due again, and how often it failed."""

    def __bool__(self) -> bool:
        """Whether a duty waits."""
        return bool(self._waits)

    def put(self, duty: Duty, slot: int) -> None:
        """Record a failure in a slot."""
        _, failures = self._waits.get(duty, (0, 0))
        pause = FIRST_SLOTS * 2 ** min(failures, DOUBLINGS_MAX)
        self._waits[duty] = (slot + pause, failures + 1)

    def is_due(self, duty: Duty, slot: int) -> bool:
        """Whether a duty may be tried in a slot."""
        return duty not in self._waits or self._waits[duty][0] <= slot

    def keep(self, owed: Collection[Duty]) -> None:
        """Forget the duties that are not owed any more."""
        self._waits = {duty: wait for duty, wait in self._waits.items() if duty in owed}
