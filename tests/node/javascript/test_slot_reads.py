"""What a main.js reads again in the same moment is one call, also for callers at once, unless it fails."""

import asyncio
from typing import Any

import pytest

from roundwork.node.javascript.slot_reads import ANSWERS_MAX, Moment, SlotReads


class Counted:
    """A ledger that answers each call with how many calls there were, or fails."""

    def __init__(self) -> None:
        self.calls = 0
        self.moment: Moment | None = (1, 0)
        self.failure: Exception | None = None
        self.reads = SlotReads(self.read, lambda: self.moment)

    async def read(self, method: str, params: list[Any]) -> int:
        self.calls += 1
        answer = self.calls
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return answer


def test_callers_of_the_same_moment_share_a_call() -> None:
    ledger = Counted()

    async def run() -> list[int]:
        together = await asyncio.gather(*(ledger.reads.read("getTask", ["a"]) for _ in range(5)))
        return [*together, await ledger.reads.read("getTask", ["a"])]

    assert [1] * 6 == asyncio.run(run())


@pytest.mark.parametrize("moment", [(2, 0), (1, 1), None])
def test_another_moment_is_another_call(moment: Moment | None) -> None:
    ledger = Counted()

    async def run() -> list[int]:
        first = await ledger.reads.read("getTask", ["a"])
        ledger.moment = moment
        return [first, await ledger.reads.read("getTask", ["a"])]

    assert [1, 2] == asyncio.run(run())


@pytest.mark.parametrize(("method", "params"), [("getTask", ["b"]), ("getRound", ["a"]), ("getSlot", ["a"])])
def test_another_request_is_another_call(method: str, params: list[Any]) -> None:
    ledger = Counted()

    async def run() -> list[int]:
        return [await ledger.reads.read("getTask", ["a"]), await ledger.reads.read(method, params)]

    assert [1, 2] == asyncio.run(run())


def test_what_may_change_at_any_time_is_read_each_time() -> None:
    ledger = Counted()

    async def run() -> list[int]:
        return [await ledger.reads.read("getSlot", []) for _ in range(3)]

    assert [1, 2, 3] == asyncio.run(run())


def test_a_failure_is_told_and_not_kept() -> None:
    ledger = Counted()
    ledger.failure = ValueError("not now")

    async def run() -> int:
        for _ in range(2):
            with pytest.raises(ValueError, match="not now"):
                await ledger.reads.read("getTask", ["a"])
        ledger.failure = None
        answer: int = await ledger.reads.read("getTask", ["a"])
        return answer

    assert 3 == asyncio.run(run())


def test_a_caller_that_gives_up_takes_nothing_from_the_others() -> None:
    ledger = Counted()

    async def run() -> int:
        first = asyncio.create_task(ledger.reads.read("getTask", ["a"]))
        second = asyncio.create_task(ledger.reads.read("getTask", ["a"]))
        await asyncio.sleep(0)
        first.cancel()
        answer: int = await second
        return answer

    assert 1 == asyncio.run(run())


def test_what_is_kept_of_a_moment_is_bounded() -> None:
    ledger = Counted()

    async def run() -> tuple[int, int]:
        for at in range(ANSWERS_MAX + 9):
            await ledger.reads.read("getRound", ["a", at])
        return await ledger.reads.read("getRound", ["a", 0]), len(ledger.reads._made)

    assert (1, ANSWERS_MAX) == asyncio.run(run())
