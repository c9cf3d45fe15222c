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
        self._rounds = {
            round_number: shown for round_number, shown in self._rounds.items() if round_number in needed
        }
        self._requested_slots = {
            round_number: requested
            for round_number, requested in self._requested_slots.items()
            if round_number in needed
        }
        for round_number in needed:
            if self._requested_slots.get(round_number, -1) < slot and round_number not in self._jobs:
                self._requested_slots[round_number] = slot
                self._jobs[round_number] = asyncio.create_task(self._read(round_number))
        return {
            round_number: shown
            for round_number, shown in self._rounds.items()
            if shown.round.slot >= since_slot
        }

    async def close(self) -> None:
        """End the reads that are under way."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _read(self, round_number: int) -> None:
        try:
            answer = await self._client.get_drawn_round(self._task, round_number, self._node)
            if answer is not None:
                self._rounds[round_number] = DrawnRound(*answer)
        except RemoteError as error:
            log.debug("round %d: %s", round_number, error)
        finally:
            del self._jobs[round_number]
            self._news.set()
