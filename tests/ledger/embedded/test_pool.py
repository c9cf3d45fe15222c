"""What may wait for a block: nothing that will be void and cost its sender nothing."""

import asyncio
from collections.abc import Sequence

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price

from roundwork.errors import PoolFull
from roundwork.ledger.embedded.pool import Pool, Ticket
from roundwork.protocol.transaction import decode_transaction

from ...protocol.stage import NODES, Stage
from ...protocol.test_nonces import Safe
from ...protocol.world import World, move


def add(pool: Pool, world: World, wires: Sequence[bytes], slots: int = 1) -> list[str]:
    """What each of these was refused for; "" if it waits."""

    async def run() -> list[str]:
        ticket = Ticket(len(wires))
        items = [(wire, decode_transaction(wire)) for wire in wires]
        pool.add(world.state, world.state.head.slot + slots, items, [True] * len(wires), ticket)
        return [type(answer).__name__ if answer is not None else "" for answer in ticket.answers]

    return asyncio.run(run())


def pay(world: World, name: str = "n00", tick: bytes | None = None) -> bytes:
    return world.wire([name], move(world, name, "n02", 1), tick=tick)


def test_a_transaction_waits_once() -> None:
    world, pool = World(), Pool()
    world.block()
    wire = pay(world)

    assert ["", "AlreadyProcessed"] == add(pool, world, [wire, wire])
    assert [wire] == [one.wire for one in pool.take(5)]
    assert [""] == add(pool, world, [wire])


def test_a_nonce_is_named_by_one_that_waits() -> None:
    world, pool = Safe(), Pool()
    wires = [world.later(move(world, "n01", "n02", amount)) for amount in (5, 6)]

    assert ["", "BlockhashNotFound"] == add(pool, world, wires)
    assert 1 == len(pool.take(5))
    assert [""] == add(pool, world, wires[1:])


def test_a_payer_owes_no_more_fees_than_it_holds() -> None:
    world, pool = World(fee_per_signature=10), Pool()
    world.run("n00", move(world, "n00", "poor", 25))

    refused = add(pool, world, [pay(world, "poor") for _ in range(3)] + [pay(world)])

    assert ["", "", "InsufficientFundsForFee", ""] == refused
    pool.take(1)
    assert [""] == add(pool, world, [pay(world, "poor")])


def test_what_names_the_tick_of_a_slot_that_is_closing_waits_and_what_names_none_does_not() -> None:
    world, pool = World(), Pool()
    world.block(slots=2)
    closing = world.tick()
    world.block(slots=0)

    assert ["BlockhashNotFound"] == add(pool, world, [pay(world, tick=bytes(32))])
    assert [""] == add(pool, world, [pay(world, tick=closing)])


def offer(world: World, name: str, price: int) -> bytes:
    """A transfer that pays a price, in roe."""
    asked = [set_compute_unit_limit(1_000_000), set_compute_unit_price(price)]
    return world.wire([name], *asked, move(world, name, "n02", 1))


def test_the_price_decides_and_then_arrival() -> None:
    world, pool = World(), Pool()
    world.block()
    cheap, dear, second = offer(world, "n00", 1), offer(world, "n00", 5), offer(world, "n01", 5)
    free = pay(world, "n01")
    add(pool, world, [free, cheap, dear, second])

    assert [dear, second, cheap] == [waiting.wire for waiting in pool.take(3)]
    assert [free] == [waiting.wire for waiting in pool.take(3)]


def test_work_has_its_half_of_a_full_pool_and_of_each_block() -> None:
    """A flood that pays fills the pool; the worst of it gives way, and the half of the flood stays."""
    stage, pool = Stage(), Pool(8)
    stage.go(0, 1)
    flood = [offer(stage, "manager", 10 + n) for n in range(8)]
    work = [stage.wire([name], stage.instruct(stage.submit(name, 0))) for name in NODES]

    assert [""] * 8 == add(pool, stage, flood)
    assert [""] * 3 == add(pool, stage, work)
    assert ["PoolFull"] == add(pool, stage, [offer(stage, "manager", 1)])
    assert 8 == len(pool)
    block = [waiting.wire for waiting in pool.take(4)]
    assert [*work[:2], flood[7], flood[6]] == block
    assert [work[2], flood[5], flood[4], flood[3]] == [waiting.wire for waiting in pool.take(4)]
    assert 0 == len(pool)


def test_what_gives_way_is_told_and_leaves_no_trace() -> None:
    world, pool = World(fee_per_signature=10), Pool(1)
    world.run("n00", move(world, "n00", "poor", 25))
    first, second = pay(world, "poor"), offer(world, "n00", 5)

    async def run() -> list[str]:
        tickets = [Ticket(1), Ticket(1)]
        for ticket, wire in zip(tickets, (first, second), strict=True):
            item = (wire, decode_transaction(wire))
            pool.add(world.state, world.state.head.slot + 1, [item], [True], ticket)
        await tickets[0].done
        return [type(ticket.answers[0]).__name__ for ticket in tickets]

    assert ["PoolFull", "NoneType"] == asyncio.run(run())
    assert [second] == [waiting.wire for waiting in pool.take(5)]
    assert [""] == add(pool, world, [first])


def test_work_that_is_beyond_the_part_of_its_node_competes_with_everything_else() -> None:
    stage, pool = Stage(), Pool(8)  # a part of its half is one transaction
    stage.go(0, 1)
    greedy = [stage.wire(["n00"], stage.instruct(stage.audit("n00", 0, "n01", n))) for n in range(3)]
    dear = offer(stage, "manager", 10)

    assert [""] * 5 == add(
        pool, stage, [*greedy, dear, stage.wire(["n01"], stage.instruct(stage.submit("n01", 0)))]
    )

    chosen = [waiting.wire for waiting in pool.take(4)]
    assert (greedy[0], dear, greedy[1]) == (chosen[0], chosen[2], chosen[3])


def test_a_half_that_is_needed_is_given_back_to_either_side() -> None:
    stage, pool = Stage(), Pool(4)
    stage.go(0, 1)
    work = [stage.wire([name], stage.instruct(stage.submit(name, 0))) for name in NODES]

    assert [""] * 3 == add(pool, stage, work)
    assert [""] * 2 == add(pool, stage, [pay(stage, "manager"), pay(stage, "manager")])

    assert 4 == len(pool)
    assert 2 == sum(waiting.worker is not None for waiting in pool.take(9))


def test_a_full_pool_says_so() -> None:
    world, pool = World(), Pool(1)
    world.block()

    assert ["", PoolFull.__name__] == add(pool, world, [pay(world), pay(world)])
