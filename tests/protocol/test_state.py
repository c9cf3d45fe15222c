"""The state: order, rollback, and what a simulation leaves."""

from typing import Any

import msgspec

from roundwork.protocol.books import compute_owed, compute_supply
from roundwork.protocol.execute import simulated
from roundwork.protocol.params import TaskKey
from roundwork.protocol.transaction import decode_transaction

from .stage import Stage
from .world import World, move, task_instruction


def test_a_block_is_the_same_in_whatever_order_the_records_came_into_the_state() -> None:
    """A state from a checkpoint has its records in the order of their keys, not of their making."""
    worlds = [Stage({"allowed_failed_distributions": 0}).paid() for _ in range(2)]
    for table in worlds[1].state.tables.values():
        table.rows = dict(reversed(table.rows.items()))

    done = [[outcome for _, _, outcome in world.go(4, 1).blocks[-100:]] for world in worlds]

    assert "pruned" in {event.kind for outcome in done[0] for event in outcome.events}
    assert msgspec.msgpack.encode(done[0]) == msgspec.msgpack.encode(done[1])


def test_a_round_that_a_rejected_transaction_opened_was_never_opened() -> None:
    world = Stage().go(1)
    opening = task_instruction(world.submit("n00", 0))

    receipt = world.run("n00", opening, move(world, "n00", "n01", 10**16))

    assert "BalanceTooLow" == receipt.name
    assert {} == world.state.due.rows
    world.wait(world.start + 60)  # what was scheduled for it does not happen
    assert () == world.state.tasks.rows[world.task].open_rounds


def test_while_a_simulation_lasts_the_state_is_what_it_would_leave() -> None:
    world = World(fee_per_signature=7)
    slot = world.state.head.slot + 1
    good = decode_transaction(world.wire(["n00"], move(world, "n00", "new", 5)))
    before = world.dump()

    with simulated(world.state, good, slot) as receipt:
        inside = world.state.accounts.rows[world.key("new")].balance

    assert (0, 5) == (receipt.kind, inside)
    assert before == world.dump()


def test_what_simulations_schedule_does_not_pile_up() -> None:
    """Anybody may simulate the transaction that opens a round, for nothing and as often as he likes."""
    world = Stage().go(1)
    opening = decode_transaction(world.wire(["n00"], task_instruction(world.submit("n00", 0))))
    slot = world.state.head.slot + 1
    sizes = set()

    for _ in range(3):
        with simulated(world.state, opening, slot) as receipt:
            assert not receipt.kind, receipt.text
        sizes.add(len(world.state._heap))

    assert 1 == len(sizes)
    world.expect("ok", "n00", world.submit("n00", 0))  # and what is scheduled in earnest does happen
    world.go(5)
    assert () == world.state.tasks.rows[world.task].open_rounds


class Counted(dict[bytes, Any]):
    """Tables that count how often one of them is looked at."""

    looks = 0

    def items(self) -> Any:
        self.looks += len(self)
        return super().items()


def test_the_sum_of_all_money_looks_at_each_table_a_few_times_however_many_tasks_there_are() -> None:
    """Any client may ask for it, and a task costs a few fees."""
    world = Stage()
    task, stakes = world.state.tasks.rows[world.task], world.state.get_stakes(world.task).rows
    for number in range(100):
        key = TaskKey(number.to_bytes(32, "big"))
        world.state.put(world.state.tasks, key, task)
        for node, stake in stakes.items():
            world.state.put(world.state.get_stakes(key), node, stake)
    world.state.get_stakes(TaskKey(bytes(31) + b"\xff"))  # as a reader of a task that is not there leaves it
    world.state.tables = tables = Counted(world.state.tables)

    assert world.supply + 100 * compute_owed(world.state, world.task) == compute_supply(world.state)
    assert tables.looks <= 4 * len(tables)
