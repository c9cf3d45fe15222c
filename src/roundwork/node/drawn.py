"""The rounds of a task under roundwork-1, read from the ledger when the duties of a slot need them."""

import asyncio
import logging
from collections.abc import Collection

from ..client.rpc import Client
from ..errors import RemoteError
from ..participant.sealed_step import DrawnRound

log = logging.getLogger(__name__)


class RoundBook:
    """Keeps the newest view of each round that is needed, and reads it again in each slot."""

    def __init__(self, client: Client, task: str, node: str, news: asyncio.Event) -> None:
        """`news` is set when a round has come."""
        self._client = client
        self._task = task
        self._node = node
        self._news = news
        self._rounds: dict[int, DrawnRound] = {}
        self._requested_slots: dict[int, int] = {}
        """The slot for which each round was requested last."""
        self._jobs: dict[int, asyncio.Task[None]] = {}

    def show(self, needed: Collection[int], slot: int, since_slot: int) -> dict[int, DrawnRound]:
        """Those of the needed rounds whose view is of slot `since_slot` or later.

        A round that was not requested for `slot` is read meanwhile. Rounds that are not needed are dropped.
        """
        self._rounds = {number: shown for number, shown in self._rounds.items() if number in needed}
        self._requested_slots = {
            number: requested for number, requested in self._requested_slots.items() if number in needed
        }
        for number in needed:
            if self._requested_slots.get(number, -1) < slot and number not in self._jobs:
                self._requested_slots[number] = slot
                self._jobs[number] = asyncio.create_task(self._read(number))
        return {number: shown for number, shown in self._rounds.items() if shown.round.slot >= since_slot}

    async def close(self) -> None:
        """End the reads that are under way."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _read(self, number: int) -> None:
        try:
            answer = await self._client.get_drawn_round(self._task, number, self._node)
            if answer is not None:
                self._rounds[number] = DrawnRound(*answer)
        except RemoteError as error:
            log.debug("round %d: %s", number, error)
        finally:
            del self._jobs[number]
            self._news.set()
