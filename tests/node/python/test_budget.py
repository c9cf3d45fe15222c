"""What all tasks of a node may have in flight together."""

import asyncio

import pytest

from roundwork.node.python.budget import ByteBudget


def test_requests_beyond_the_budget_wait_in_the_order_in_which_they_came() -> None:
    async def run() -> list[str]:
        budget, order = ByteBudget(100), list[str]()

        async def request(name: str, size: int) -> None:
            await budget.take(size)
            order.append(f"{name} with {budget.held}")

        await request("first", 60)
        waiting = [asyncio.create_task(request(name, size)) for name, size in (("large", 90), ("small", 10))]
        await asyncio.sleep(0)
        assert ["first with 60"] == order  # the small one has room, and waits behind the large one
        budget.give(60)
        await asyncio.gather(*waiting)
        assert 100 == budget.held
        return order

    assert ["first with 60", "large with 100", "small with 100"] == asyncio.run(run())


def test_a_request_that_is_larger_than_all_waits_until_it_is_alone() -> None:
    async def run() -> None:
        budget = ByteBudget(100)
        await budget.take(1)
        waiting = asyncio.create_task(budget.take(500))
        await asyncio.sleep(0)
        assert not waiting.done()
        budget.give(1)
        await waiting
        assert 500 == budget.held

    asyncio.run(run())


@pytest.mark.parametrize("is_its_turn", [True, False])
def test_a_request_that_is_given_up_holds_nothing(is_its_turn: bool) -> None:
    async def run() -> None:
        budget = ByteBudget(100)
        await budget.take(100)
        waiting, behind = asyncio.create_task(budget.take(80)), asyncio.create_task(budget.take(30))
        await asyncio.sleep(0)
        if is_its_turn:
            budget.give(100)
            waiting.cancel()
        else:
            waiting.cancel()
            budget.give(100)
        await asyncio.wait([waiting, behind])
        assert (True, 30) == (waiting.cancelled(), budget.held)

    asyncio.run(run())
