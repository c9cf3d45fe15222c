"""When a node reads its own records and the stakes again."""

import random
from collections import Counter

import msgspec
import pytest

from roundwork.participant.reading import (
    OWN_SLOTS,
    STAKES_READERS,
    STAKES_SLOTS,
    find_stakes_slot,
    has_changed,
    has_released,
    list_own_slots,
    pick_slot,
)
from roundwork.views import RoundHead, TaskHead

State = tuple[int, str, int]

PAID, CLOSED = "PayoutSuccessful", "ClosedUnpaid"


def head_of(*states: State) -> TaskHead:
    """A head whose rounds have these numbers, states and attempts."""
    rounds = [
        RoundHead(
            round=round_number, status=status, attempt=attempt, beacon="", seed="", submissions=0, raised=0,
            lists=[], parts=[],
        )
        for round_number, status, attempt in states
    ]  # fmt: skip
    return TaskHead(
        task="Task", slot=0, rules="koii-1", starting_slot=0, round_time=20, submission_window=8,
        audit_window=8, minimum_stake=1, bounty=0, bounty_per_round=0, is_active=True, is_closed=False,
        migrated_to=None, seed="", stakes_slot=0, open_rounds=[], rounds=rounds,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "is_read"),
    [
        ([(1, "Open", 0)], [(1, "Open", 0)], False),
        ([(1, "Unopened", 0)], [(1, "Open", 0)], False),  # another node has submitted
        ([(1, "Unopened", 0)], [(2, "Unopened", 0)], False),  # a quiet round has passed
        ([(1, "Open", 0)], [(1, "Open", 0), (2, "Unopened", 0)], False),
        ([(0, PAID, 0), (1, "Open", 0)], [(1, "Open", 0)], False),  # an old round is forgotten
        ([(1, "Open", 0)], [(1, PAID, 0)], True),
        ([(1, "Open", 0)], [(1, CLOSED, 0)], True),
        ([(1, "Open", 0)], [(1, "Open", 1)], True),  # a list failed: its node was slashed
        ([(1, "Open", 0)], [(2, "Unopened", 0)], True),  # it was paid, and heads do not show it any more
        ([(1, "Open", 0)], [(1, "Open", 0), (2, PAID, 0)], True),  # heads were missed
    ],
)
def test_own_records_are_read_again_when_a_round_may_have_moved_money(
    before: list[State], after: list[State], is_read: bool
) -> None:
    assert is_read == has_changed(head_of(*before), head_of(*after))


@pytest.mark.parametrize(
    ("rules", "before", "after", "is_released"),
    [
        ("roundwork-1", 376, 377, True),  # AUDIT has slots 329 to 376 of the ledger round from 317 on
        ("roundwork-1", 375, 376, False),
        ("roundwork-1", 377, 378, False),
        ("roundwork-1", 376, 380, True),  # heads were missed
        ("roundwork-1", 370, 378, True),
        ("roundwork-1", 376, 400, True),
        ("roundwork-1", 376, 500, True),  # more than a ledger round was missed
        ("koii-1", 376, 377, False),
    ],
)
def test_own_records_are_read_again_when_rewards_may_be_released_also_in_quiet_rounds(
    rules: str, before: int, after: int, is_released: bool
) -> None:
    heads = [
        msgspec.structs.replace(
            head_of(), rules=rules, slot=slot, starting_slot=17, round_time=100, submission_window=11,
            audit_window=48,
        )
        for slot in (before, after)
    ]  # fmt: skip

    assert is_released == has_released(*heads)


def test_nodes_share_the_slots_in_which_they_read() -> None:
    secrets = [random.Random(at).randbytes(32) for at in range(1000)]

    readers = Counter(pick_slot(secret, list_own_slots(100)) for secret in secrets)

    assert set(range(100, 100 + OWN_SLOTS)) == set(readers)
    assert max(readers.values()) < 2 * len(secrets) / OWN_SLOTS


@pytest.mark.parametrize("nodes", [1, 50, 1_000, 10_000])
def test_in_a_large_network_a_bounded_number_of_nodes_reads_stakes_in_a_slot(nodes: int) -> None:
    secrets = [random.Random(at).randbytes(32) for at in range(nodes)]

    readers = Counter(find_stakes_slot(secret, 101, nodes) for secret in secrets)

    assert max(readers.values()) <= min(2 * STAKES_READERS, nodes)
    assert 101 <= min(readers) <= max(readers) < 101 + max(STAKES_SLOTS, nodes // STAKES_READERS)


@pytest.mark.parametrize("nodes", [4, 50, 1_000, 10_000])
def test_a_stake_that_changes_in_every_slot_makes_each_node_read_once_in_a_turn(nodes: int) -> None:
    secrets = [random.Random(at).randbytes(32) for at in range(nodes)]
    turn = max(STAKES_SLOTS, nodes // STAKES_READERS)
    readers: Counter[int] = Counter()

    for secret in secrets:
        slot = find_stakes_slot(secret, 100, nodes)
        while slot < 100 + 5 * turn:
            readers[slot] += 1
            slot = find_stakes_slot(secret, slot + 1, nodes)

    assert 5 * nodes == readers.total()
    assert max(readers.values()) <= min(2 * STAKES_READERS, nodes)
