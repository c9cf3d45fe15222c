"""The embedded engine: one process makes blocks as fast as they fill and sync, and empty ones in between."""

import asyncio
import contextlib
from collections.abc import Sequence

from ...errors import RoundworkError
from ...protocol.execute import Block, Outcome, compute_slot, next_block
from ...protocol.params import key_of
from ...protocol.ticks import get_newest_tick
from ...protocol.transaction import Transaction
from ..chain import Chain
from ..limits import LIMITS
from ..signatures import Verifier
from .clock import BlockClock
from .pool import Answer, Pool, Ticket, Waiting

BLOCK_TRANSACTIONS_MAX = 2_000
"""Transactions of one block."""


class Producer:
    """Makes the blocks of an embedded ledger. One `run` at a time."""

    def __init__(
        self,
        chain: Chain,
        verifier: Verifier,
        pool_transactions: int = LIMITS.pool_transactions,
        clock: BlockClock | None = None,
    ) -> None:
        self._chain = chain
        self._clock = clock or BlockClock(chain.state.head.time_ms)
        self._verifier = verifier
        self._pool = Pool(pool_transactions)
        self._key = key_of(chain.genesis.producer)
        self._work = asyncio.Event()
        self._is_stopping = False
        self._used_slot = chain.state.head.slot
        """The slot of the last block with transactions."""

    def get_slot(self) -> int:
        """The slot that a block made now would have."""
        return compute_slot(
            self._chain.genesis, self._chain.state.head, max(self._clock.now_ms(), self._began_ms())
        )[0]

    def get_newest_tick(self) -> tuple[bytes, int]:
        """The tick that a transaction sent now names, and its slot."""
        return get_newest_tick(self._chain.state, self.get_slot())

    async def submit(self, items: Sequence[tuple[bytes, Transaction]]) -> list[Answer]:
        """Have a batch executed: for each its receipt when it is durable, or the error that refused it."""
        verified = await self._verifier.verify([transaction for _, transaction in items])
        ticket = Ticket(len(items))
        self._pool.add(self._chain.state, self.get_slot(), items, verified, ticket)
        self._work.set()
        await ticket.done
        return [answer for answer in ticket.answers if answer is not None]

    async def run(self) -> None:
        """Make blocks until `stop`. Raises StoreFull, StoreCorrupt; after that nothing is acknowledged."""
        while not self._is_stopping or len(self._pool):
            await self._wait_for_work()
            self._work.clear()
            if self._chain.is_behind():
                await asyncio.to_thread(self._chain.wait_for_history)
            await self._make_block(self._pool.take(BLOCK_TRANSACTIONS_MAX))
            await asyncio.sleep(0)  # readers wait for a moment in which all of the state is on disk

    def stop(self) -> None:
        """Let `run` end when the pool is empty."""
        self._is_stopping = True
        self._work.set()

    async def _wait_for_work(self) -> None:
        if len(self._pool):
            return
        seconds = max(0.0, self._heartbeat_ms() - self._clock.now_ms()) / 1000
        with contextlib.suppress(TimeoutError):  # then a heartbeat is due
            await asyncio.wait_for(self._work.wait(), seconds)

    async def _make_block(self, taken: list[Waiting]) -> None:
        chain = self._chain
        block = next_block(chain.state, self._clock.now_ms(), [waiting.wire for waiting in taken], self._key)
        if taken:
            self._used_slot = block.slot
        outcome = chain.execute(block, [True] * len(taken), [waiting.transaction for waiting in taken])
        try:
            await asyncio.to_thread(chain.persist, block, outcome)
        except RoundworkError as error:
            for waiting in taken + self._pool.take(len(self._pool)):
                waiting.ticket.answer(waiting.position, error)
            raise
        self._publish(block, outcome, taken)

    def _publish(self, block: Block, outcome: Outcome, taken: list[Waiting]) -> None:
        self._chain.publish(block, outcome)
        for waiting, receipt in zip(taken, outcome.receipts, strict=True):
            waiting.ticket.answer(waiting.position, receipt)

    def _began_ms(self) -> int:
        return self._chain.state.head.began_ms

    def _heartbeat_ms(self) -> int:
        """When a block is due without transactions: each slot while a task is active, else less often.

        Each slot also until the last transactions are final, because that takes two slots more.
        """
        genesis, state = self._chain.genesis, self._chain.state
        is_busy = state.head.slot <= self._used_slot + 1 or any(
            task.is_active or task.open_rounds for task in state.tasks.rows.values()
        )
        return state.head.began_ms + genesis.slot_ms * (1 if is_busy else genesis.gap_slots_max)
