"""What may wait for a block: nothing that will be void and cost its sender nothing."""

import asyncio
from collections.abc import Sequence

from roundwork.errors import PoolFull
from roundwork.ledger.embedded.pool import Pool, Ticket
from roundwork.protocol.transaction import decode_transaction

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


def test_a_full_pool_says_so() -> None:
    world, pool = World(), Pool(1)
    world.block()

    assert ["", PoolFull.__name__] == add(pool, world, [pay(world), pay(world)])
