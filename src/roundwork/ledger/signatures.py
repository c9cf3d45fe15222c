"""Signatures verified in batches: few of them right here, many in worker processes."""

import asyncio
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

from ..protocol.transaction import Transaction, is_signed

INLINE_MAX = 8
"""Up to so many transactions are verified on the spot: a trip to a worker costs as much."""

FRAME = 256
"""Transactions that travel to a worker together."""


class Verifier:
    """Says of transactions whether all their signatures verify. Its workers start when a batch is large."""

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    async def verify(self, transactions: list[Transaction]) -> list[bool]:
        """One verdict for each transaction."""
        if len(transactions) <= INLINE_MAX:
            return [is_signed(transaction) for transaction in transactions]
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            self._pool = ProcessPoolExecutor(self._workers, mp_context=context)
        loop = asyncio.get_running_loop()
        frames = [transactions[at : at + FRAME] for at in range(0, len(transactions), FRAME)]
        verdicts = await asyncio.gather(*[loop.run_in_executor(self._pool, verify_frame, f) for f in frames])
        return [verdict for frame in verdicts for verdict in frame]

    def close(self) -> None:
        """Stop the workers."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def verify_frame(transactions: list[Transaction]) -> list[bool]:
    """In a worker: one verdict for each transaction."""
    return [is_signed(transaction) for transaction in transactions]
