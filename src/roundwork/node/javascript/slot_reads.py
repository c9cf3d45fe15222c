"""What a main.js reads of its task in a slot: the ledger gets each request once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

ReadLedger = Callable[[str, list[Any]], Awaitable[Any]]
"""One RPC call that reads: the method and its parameters."""

METHODS = frozenset(
    (
        "getProgramAccounts",
        "getRound",
        "getTask",
        "getTaskAccountInfo",
        "getTaskDistributionInfo",
        "getTaskHead",
        "getTaskSubmissionInfo",
    )
)
"""The methods that read a task. Their answers are the same in all of a slot, but for what comes in it."""

ANSWERS_MAX = 64
"""Answers of one moment that are kept: an idle ledger has no next slot for long."""

Moment = tuple[int, int]
"""A slot, and how many transactions the task has sent: it sees at once what came of its own."""


class SlotReads:
    """Reads the ledger, and gives what was read in the same moment again."""

    def __init__(self, read: ReadLedger, get_moment: Callable[[], Moment | None]) -> None:
        """`get_moment` gives None while no slot is known; then nothing is kept."""
        self._read = read
        self._get_moment = get_moment
        self._moment: Moment | None = None
        self._made: dict[tuple[str, bytes], asyncio.Future[Any]] = {}

    async def read(self, method: str, params: list[Any]) -> Any:
        """The result of a call, which callers do not change. Raises what the call raises.

        A failure is not kept: the next caller makes the call again.
        """
        moment = self._get_moment()
        if moment is None or method not in METHODS:
            return await self._read(method, params)
        if moment != self._moment:
            self._moment, self._made = moment, {}
        key, kept = (method, msgspec.json.encode(params)), self._made
        made = kept.get(key)
        if made is None and len(kept) >= ANSWERS_MAX:
            return await self._read(method, params)
        if made is None:
            made = kept[key] = asyncio.ensure_future(self._read(method, params))

            def drop_failure(done: asyncio.Future[Any]) -> None:
                if done.cancelled() or done.exception() is not None:
                    kept.pop(key, None)

            made.add_done_callback(drop_failure)
        return await asyncio.shield(made)
