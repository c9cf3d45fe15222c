"""Answers that clients share: made once for a block, anew after it, and never a failure of another."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from roundwork.ledger.rpc.answers import ANSWERS_MAX, Answers
from roundwork.ledger.rpc.errors import NodeUnhealthy

KEY = "getTask finalized", b"[]"


class Room:
    """Answers over a chain of which only the height is read."""

    def __init__(self) -> None:
        self.head = SimpleNamespace(height=1)
        chain: Any = SimpleNamespace(state=SimpleNamespace(head=self.head))
        self.answers = Answers(chain)
        self.made = 0
        self.gate = asyncio.Event()

    async def make(self) -> msgspec.Raw:
        self.made += 1
        number = self.made
        await self.gate.wait()
        return msgspec.Raw(b"%d" % number)

    async def share(self, key: tuple[str, bytes] = KEY) -> bytes:
        return bytes(await self.answers.share(key, self.make))


def test_an_answer_is_made_once_for_all_who_request_it_between_two_blocks() -> None:
    async def run() -> None:
        room = Room()
        waiting = [asyncio.create_task(room.share()) for _ in range(5)]
        await asyncio.sleep(0)
        room.gate.set()

        assert [b"1"] * 5 == await asyncio.gather(*waiting)
        assert b"1" == await room.share()
        assert b"2" == await room.share(("getTask finalized", b"[1]"))
        room.head.height = 2
        assert b"3" == await room.share()

    asyncio.run(run())


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_failure_is_that_of_the_client_it_happened_to(is_cancelled: bool) -> None:
    async def run() -> None:
        room = Room()

        async def fail() -> msgspec.Raw:
            await room.gate.wait()
            raise NodeUnhealthy("too many reads of this address")

        failing = asyncio.create_task(room.answers.share(KEY, fail))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(room.share())
        await asyncio.sleep(0)
        if is_cancelled:
            failing.cancel()
        room.gate.set()

        assert b"1" == await waiting
        with pytest.raises(asyncio.CancelledError if is_cancelled else NodeUnhealthy):
            await failing

    asyncio.run(run())


def test_the_answers_that_are_kept_are_bounded() -> None:
    async def run() -> None:
        room = Room()
        room.gate.set()
        for at in range(ANSWERS_MAX + 5):
            await room.share(("getTask finalized", b"[%d]" % at))

        assert b"%d" % (ANSWERS_MAX + 6) == await room.share(("getTask finalized", b"[%d]" % ANSWERS_MAX))
        assert b"1" == await room.share(("getTask finalized", b"[0]"))

    asyncio.run(run())
