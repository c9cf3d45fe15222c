"""Money that is held for a node or divided among nodes."""

from roundwork.protocol.params import NodeKey
from roundwork.protocol.tasks.events import Event, Shared
from roundwork.protocol.tasks.pledges import fine, share

from .hardened import Hardened


def test_a_pool_smaller_than_its_shares_stays_whole() -> None:
    world = Hardened()
    cursor = world.cursor()
    nodes = {world.key("n00"): 1, world.key("n01"): 1}
    before = world.available_of("n00"), world.available_of("n01")
    events: list[Event] = []

    assert 1 == share(cursor, nodes, 1, events)

    assert [] == events
    assert before == (world.available_of("n00"), world.available_of("n01"))


def test_a_pool_is_divided_in_proportion_and_the_rest_is_returned() -> None:
    world = Hardened()
    cursor = world.cursor()
    first, second = world.key("n00"), world.key("n01")
    events: list[Event] = []

    assert 1 == share(cursor, {first: 1, second: 2}, 10, events)

    assert {first: 3, second: 6} == {
        event.node: event.amount for event in events if isinstance(event, Shared)
    }
    assert 3 == world.available_of("n00")


def test_a_fine_of_a_node_without_money_takes_nothing_and_is_not_told() -> None:
    world = Hardened()
    before, events = world.bounty, list[Event]()

    fine(world.cursor(), NodeKey(bytes(32)), 7, events)

    assert [] == events
    assert before == world.bounty
