"""When a duty that failed is tried again."""

from collections.abc import Collection, Hashable

FIRST_SLOTS = 4
"""The slots that a duty waits after its first failure."""

DOUBLINGS_MAX = 10


class Postponed:
    """A duty that failed waits for a few slots, and twice as long each time it fails again."""

    def __init__(self, first_slots: int = FIRST_SLOTS) -> None:
        """`first_slots` is how long a duty waits after its first failure."""
        self._first_slots = first_slots
        self._waits: dict[Hashable, tuple[int, int]] = {}
        """By duty: the slot from which it is due again, and how often it failed."""

    def __bool__(self) -> bool:
        """Whether a duty waits."""
        return bool(self._waits)

    def put(self, duty: Hashable, slot: int) -> None:
        """Record a failure in a slot."""
        _, failures = self._waits.get(duty, (0, 0))
        pause = self._first_slots * 2 ** min(failures, DOUBLINGS_MAX)
        self._waits[duty] = (slot + pause, failures + 1)

    def is_due(self, duty: Hashable, slot: int) -> bool:
        """Whether a duty may be tried in a slot."""
        return duty not in self._waits or self._waits[duty][0] <= slot

    def keep(self, owed: Collection[Hashable]) -> None:
        """Forget the duties that are not owed any more."""
        self._waits = {duty: wait for duty, wait in self._waits.items() if duty in owed}
