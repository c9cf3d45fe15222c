"""What every RPC method is given: the ledger, as it is read and written over RPC."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from solders.keypair import Keypair

from ...protocol.execute import Block, Outcome
from ...protocol.state import State
from ...protocol.ticks import compute_closing_ticks
from ...wire import Json
from ..chain import Chain
from ..engine import Engine
from ..limits import LIMITS, Limits

VERSION = "2.0.0"
"""The version of Solana's RPC whose shapes these are."""

READERS = 2
"""Threads that read the past, so that readers do not delay the next block."""

T = TypeVar("T")


class Ledger:
    """The ledger as the RPC methods see it."""

    def __init__(
        self, chain: Chain, engine: Engine, faucet: Keypair | None = None, limits: Limits = LIMITS
    ) -> None:
        self.chain = chain
        self.engine = engine
        self.faucet = faucet
        self.limits = limits
        self._readers = ThreadPoolExecutor(READERS, "reader")
        self._settling: list[asyncio.Future[None]] = []
        chain.listeners.append(self._let_read)

    @property
    def state(self) -> State:
        """The state after the last block."""
        return self.chain.state

    @property
    def slot(self) -> int:
        """The slot of the last block: answers are of this slot."""
        return self.chain.state.head.slot

    async def settle(self) -> None:
        """Wait until the whole state is on disk: a crash takes back nothing that a reader has seen."""
        while self.chain.journal.height < self.state.head.height:
            settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settling.append(settled)
            await settled

    def _let_read(self, block: Block, outcome: Outcome) -> None:
        for settled in self._settling:
            if not settled.done():  # else the reader has gone
                settled.set_result(None)
        self._settling.clear()

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function on another thread; what it returns.

        It reads the journal or the history, not the state.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *args)

    def is_tick_valid(self, tick: bytes) -> bool:
        """Whether a transaction that names this tick may still run. What is not valid never will."""
        return tick in self.state.tick_slots or tick in compute_closing_ticks(
            self.state, self.engine.get_slot()
        )

    def with_context(self, value: Any) -> Json:
        """An answer with its slot."""
        return {"context": {"slot": self.slot, "apiVersion": VERSION}, "value": value}
