"""What failed is tried again, less and less often."""

from roundwork.participant.postponed import FIRST_SLOTS, Postponed
from roundwork.participant.step import TopUp

DUTY, OTHER = TopUp(1), TopUp(2)


def test_what_never_failed_is_due() -> None:
    assert Postponed().is_due(DUTY, 0)


def test_each_failure_doubles_the_pause() -> None:
    postponed, slot, pauses = Postponed(), 100, []
    for _ in range(4):
        postponed.put(DUTY, slot)
        due = next(each for each in range(slot, slot + 100) if postponed.is_due(DUTY, each))
        pauses.append(due - slot)
        slot = due

    assert [FIRST_SLOTS, 2 * FIRST_SLOTS, 4 * FIRST_SLOTS, 8 * FIRST_SLOTS] == pauses


def test_what_is_no_longer_owed_begins_anew() -> None:
    postponed = Postponed()
    postponed.put(DUTY, 0)
    postponed.put(OTHER, 0)

    postponed.keep([OTHER])

    assert postponed.is_due(DUTY, 0)
    assert not postponed.is_due(OTHER, 0)
