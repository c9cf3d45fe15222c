"""Rounds are paid, closed unpaid and pruned by themselves."""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from roundwork.protocol.params import TaskKey, base58_of
from roundwork.protocol.read import view_round
from roundwork.protocol.records import DistributionList, QueuedPayout, Round
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.life import compute_reserved
from roundwork.protocol.tasks.payout import find_last_successor, next_place, work_queue
from roundwork.protocol.tasks.round import RoundState

from .registry import shows
from .stage import AW, STAKE, SW, Stage
from .test_life import update
from .world import START


@shows("9.8")
def _payout_round() -> None:
    world = Stage()
    world.expect("UnknownRound", "n00", ins.Payout(world.task, 0))


@shows("9.9")
def _paid() -> None:
    world = Stage().listed()
    world.expect("NotDue", "n00", ins.Payout(world.task, 0))
    world.go(3).expect("ok", "n00", ins.Payout(world.task, 0))


def test_a_round_is_paid_and_slashed_as_its_list_says() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    world.go(2).expect_list("ok", "n01", 0, {"n00": 60, "n01": 40, "n02": -700})
    world.go(2, SW + AW + 2)

    view = view_round(world.state, world.task, 0)

    assert view.status == "PayoutSuccessful"
    assert {
        name: (one.reward, one.slash)
        for name in ("n00", "n01", "n02")
        for one in view.payments
        if one.node == base58_of(world.key(name))
    } == {"n00": (60, 0), "n01": (40, 0), "n02": (0, 700)}
    assert world.state.tasks.rows[world.task].bounty == 1000 - 100 + 700
    assert world.state.get_stakes(world.task).rows[world.key("n02")].amount == STAKE - 700


def test_a_slash_takes_at_most_what_is_there() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    world.go(2).expect_list("ok", "n01", 0, {"n02": -(10**12)})
    world.go(3)

    assert world.state.get_stakes(world.task).rows[world.key("n02")].amount == 0


def test_a_slash_of_nothing_leaves_no_trace() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    world.go(2).expect_list("ok", "n01", 0, {"n02": -STAKE})
    world.submitted(1)
    world.go(2, SW + 1).expect("ok", "n00", world.audit("n00", 1, "n02"))
    world.expect("ok", "n01", world.audit("n01", 1, "n02"), slots=0)
    world.go(3).expect_list("ok", "n01", 1, {"n02": -STAKE})
    world.go(4)

    assert view_round(world.state, world.task, 1).payments == []


def test_payouts_are_worked_off_in_bounded_slices() -> None:
    world = Stage(settle_records_max=2).listed({"n00": 10, "n01": 20, "n02": 30}).go(2, SW + AW + 1)
    world.block()
    assert world.state.tasks.rows[world.task].settling == 1
    assert len(RoundCursor(world.state, world.task, 0).payments.rows) == 2

    world.block()

    assert world.state.tasks.rows[world.task].settling == 0
    assert view_round(world.state, world.task, 0).status == "PayoutSuccessful"


def test_a_round_is_pruned_when_nobody_can_need_it_and_not_while_it_is_paid() -> None:
    world = Stage({"allowed_failed_distributions": 0}).paid()
    world.go(4)
    assert view_round(world.state, world.task, 0).status == "PayoutSuccessful"
    world.go(4, 1)

    assert view_round(world.state, world.task, 0).status == "Unopened"
    assert not any(name[:1] in b"SUVNLMWP" for name in world.dump())


def test_a_round_whose_payout_still_waits_is_pruned_later() -> None:
    world = Stage({"allowed_failed_distributions": 0}, settle_records_max=1, gap_slots_max=50)
    world.listed({"n00": 10, "n01": 20, "n02": 30}).go(2, SW + AW + 1)
    world.block()  # one of three
    world.block(slots=20)  # two of three, when the round should be pruned
    assert "Open" == view_round(world.state, world.task, 0).status
    world.block(slots=0)
    assert "PayoutSuccessful" == view_round(world.state, world.task, 0).status
    world.block()

    assert "Unopened" == view_round(world.state, world.task, 0).status


def test_what_returns_follows_the_chain_of_successors_to_its_end() -> None:
    world = Stage().submitted()
    assert update(world, "next") == "ok"
    world.keys["task"], first = world.keys["next"], world.keys["task"]
    assert update(world, "last") == "ok"
    world.keys["task"] = first
    world.go(2).expect_list("ok", "n00", 0, {"n00": 70})
    world.go(3)

    assert world.state.tasks.rows[world.key("last")].bounty == 930
    assert world.state.tasks.rows[world.key("next")].bounty == 0


class Counted(dict[Any, Any]):
    """Records that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, key: bytes) -> object:
        self.looks += 1
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[bytes]:
        for key in super().__iter__():
            self.looks += 1
            yield key


def test_a_long_chain_of_successors_is_passed_once_and_not_by_each_of_its_tasks() -> None:
    """Updates cost a fee each, and rounds of all tasks of a chain may end in one block."""
    state, count = Stage().state, 200
    task = next(iter(state.tasks.rows.values()))
    keys = [TaskKey(number.to_bytes(32, "big")) for number in range(count)]
    for key, successor in zip(keys, [*keys[1:], TaskKey(b"")], strict=True):
        state.put(state.tasks, key, replace(task, migrated_to=successor))
    state.tasks.rows = rows = Counted(state.tasks.rows)

    assert {keys[-1]} == {find_last_successor(state, key)[0] for key in keys}
    assert rows.looks < 4 * count
    state.put(state.tasks, TaskKey(bytes(31) + b"\xff"), task)
    state.put(state.tasks, keys[-1], replace(task, migrated_to=TaskKey(bytes(31) + b"\xff")))
    assert {bytes(31) + b"\xff"} == {find_last_successor(state, key)[0] for key in keys}


def test_many_payouts_of_a_block_cost_as_much_each_as_few() -> None:
    world = Stage(settle_records_max=1).listed()
    state, count = world.state, 200
    state.queue.rows = rows = Counted()

    places = []
    for _ in range(count):
        places.append(next_place(state))
        state.put(state.queue, places[-1], QueuedPayout(world.task, 0))

    assert [number.to_bytes(8, "big") for number in range(1, count + 1)] == places
    assert rows.looks < 4 * count
    state.last_place = b""  # as after a start
    assert (count + 1).to_bytes(8, "big") == next_place(state)


def test_the_first_payouts_of_a_long_queue_are_found_at_once() -> None:
    world = Stage()
    state, task, count = world.state, world.state.tasks.rows[world.task], 200
    state.queue.rows = rows = Counted()
    for number in range(count):
        cursor = RoundCursor(state, TaskKey(number.to_bytes(32, "big")), 0)
        state.put(state.tasks, cursor.task_key, replace(task, open_rounds=(0,), settling=1))
        cursor.open(Round(RoundState.SETTLING))
        state.put(cursor.lists, b"\0", DistributionList(world.key("n00"), 0, ()))
        state.put(state.queue, next_place(state), QueuedPayout(cursor.task_key, 0))
    rows.looks = 0

    work_queue(state, [])

    assert not rows
    assert rows.looks < 4 * count


def test_what_returns_to_a_closed_end_goes_to_the_manager() -> None:
    world = Stage().submitted()
    assert update(world, "next") == "ok"
    world.expect("ok", "manager", ins.CloseTask(world.key("next"), world.key("manager"), world.key("pot")))
    world.go(2).expect_list("ok", "n00", 0, {"n00": 70})
    world.go(3)

    assert world.state.accounts.rows[world.key("manager")].balance == START - 1000 + 900 + 30


def test_what_a_payout_has_paid_is_not_reserved_any_more() -> None:
    world = Stage({"total_bounty": 250}, settle_records_max=1).submitted()
    world.go(2).expect_list("ok", "n00", 0, {"n00": 30, "n01": 30, "n02": 40})
    world.go(2, SW + AW + 1).block()

    task = world.state.tasks.rows[world.task]
    assert (220, 30, 70) == (task.bounty, task.paid, compute_reserved(task))
    assert update(world, "next") == "ok"
    assert 150 == world.state.tasks.rows[world.key("next")].bounty
    world.block()
    world.block()
    assert (0, 0) == (world.state.tasks.rows[world.task].bounty, world.state.tasks.rows[world.task].paid)
