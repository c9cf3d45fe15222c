"""Windows that suffice: the law takes them, they follow the measured times, and short ones are named."""

import msgspec
import pytest

from roundwork.package.terms import AUDIT_SLOTS_MIN, SUBMIT_SLOTS_MIN, Terms
from roundwork.package.windows import (
    CHECKS,
    LANDING_SLOTS,
    SLOWER,
    Timings,
    compute_windows,
    find_short_windows,
    widen,
)

TERMS = Terms(
    name="test",
    description="",
    executable_network="IPFS",
    round_time=60,
    audit_window=48,
    submission_window=11,
    minimum_stake=10**9,
    total_bounty=10**10,
    bounty_per_round=10**9,
    allowed_failed_distributions=1,
    rules="roundwork-1",
)


def test_a_task_that_takes_no_time_gets_the_least_windows_of_the_law() -> None:
    assert (SUBMIT_SLOTS_MIN, AUDIT_SLOTS_MIN) == compute_windows(Timings(0, 0, 0), 400)


@pytest.mark.parametrize("slot_ms", [50, 100, 400])
@pytest.mark.parametrize(
    "timings", [Timings(0.1, 0.5, 0.1), Timings(3, 0.1, 0.2), Timings(0, 5, 0), Timings(0.2, 0.2, 8)]
)
def test_each_part_has_time_for_what_nodes_do_in_it(timings: Timings, slot_ms: int) -> None:
    windows = compute_windows(timings, slot_ms)

    slow = Timings(*(seconds * SLOWER * 1000 / slot_ms for seconds in timings))
    landing = LANDING_SLOTS
    assert windows.submission // 2 >= slow.submission + landing
    assert windows.eighth / 2 >= slow.fetch
    assert windows.eighth >= slow.fetch + landing
    assert windows.eighth >= slow.fetch + CHECKS * slow.audit + landing
    assert 0 == windows.audit % 8
    shorter = compute_windows(Timings(*(seconds / 4 for seconds in timings)), slot_ms)
    assert shorter < windows


def test_windows_grow_and_never_shrink() -> None:
    needed = compute_windows(Timings(0.1, 0.5, 2), 400)
    long = msgspec.structs.replace(TERMS, submission_window=500, audit_window=500, round_time=2000)

    wide = widen(TERMS, needed)

    assert needed == (wide.submission_window, wide.audit_window)
    assert wide.round_time == sum(needed) + 1
    assert long == widen(long, needed)
    assert wide == widen(wide, needed)


def test_short_windows_are_named_with_the_slots_that_suffice() -> None:
    timings = Timings(3, 0.5, 2)
    needed = compute_windows(timings, 400)

    submission, audit = find_short_windows(TERMS, timings)

    assert f"submission_window 11: nodes need at least {needed.submission} slots" in submission
    assert f"an eighth of it is 6 slots, and nodes need {needed.eighth}, so at least {needed.audit}" in audit
    assert "2 s for an audit" in audit
    assert [] == find_short_windows(widen(TERMS, needed), timings)
