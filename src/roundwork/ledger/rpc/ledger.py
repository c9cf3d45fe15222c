"""The ledger as every RPC method reads and writes it."""

import asyncio
import copy
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import msgspec
from solders.keypair import Keypair

from ...host.front import compute_name, is_local
from ...protocol.execute import Block, Outcome
from ...protocol.state import State
from ...protocol.ticks import compute_closing_ticks
from ...wire import Json
from ..chain import Chain
from ..engine import Engine
from ..limits import LIMITS, Limits
from .answers import Answers
from .budget import THREAD_COST_SECONDS, Budget, join
from .commitments import Commitment, Reached, Standing, copy_state
from .errors import NodeUnhealthy
from .pace import Pace
from .params import Params
from .reads import TaskReads

VERSION = "2.0.0"
"""The version of Solana's RPC whose shapes these are."""

READERS = 2
"""Threads that read the past, so that no reader holds up the next block. One more reads the state."""

READS_MAX = 500
"""Reads that may wait for a thread."""

T = TypeVar("T")


ReachedListener = Callable[[Commitment, Reached], None]


class Ledger:
    """The ledger as the RPC methods see it: as it stands at a commitment, which `at` chooses.

    `newest` is the ledger after the last block.
    """

    def __init__(
        self, chain: Chain, engine: Engine, faucet: Keypair | None = None, limits: Limits = LIMITS
    ) -> None:
        self.chain = chain
        self.engine = engine
        self.faucet = faucet
        self.limits = limits
        self._readers = ThreadPoolExecutor(READERS, "reader")
        self._state_reader = ThreadPoolExecutor(1, "state-reader")
        self._reads = Counter[str]()
        """Reads that wait for a thread, by address."""
        self.airdrops: dict[bytes, None] = {}
        """The signatures of the last airdrops, oldest first."""
        self.pace = Pace()
        self._snapshot: State | None = None
        self._snapshot_slot = 0
        self._view: Ledger | None = None
        self._waiting_for_disk: list[asyncio.Future[None]] = []
        self.answers = Answers(chain)
        self.reads = TaskReads(chain, self.wait_for_disk)
        self.newest = self
        self.commitment = Commitment.PROCESSED
        self.listeners: list[ReachedListener] = []
        """They are called with what has reached a commitment."""
        self._standings = {each: Standing(each, chain.state) for each in Commitment}
        self._at: dict[Commitment, Ledger] = {}
        for each in Commitment:
            self._at[each] = self._stand_at(each)
        chain.listeners.append(self._follow)

    def _stand_at(self, commitment: Commitment) -> "Ledger":
        if commitment == self.commitment:
            return self
        ledger = copy.copy(self)
        ledger.commitment = commitment
        return ledger

    def at(self, commitment: Commitment) -> "Ledger":
        """The ledger as it stands at a commitment."""
        return self._at[commitment]

    @property
    def state(self) -> State:
        """The state after the last block at this commitment; in a view, after the block of the view."""
        return self._standings[self.commitment].state if self._snapshot is None else self._snapshot

    @property
    def slot(self) -> int:
        """The last slot at this commitment: answers are of this slot."""
        if self._snapshot is not None:
            return self._snapshot_slot
        if self.commitment == Commitment.PROCESSED:
            return self.state.head.slot
        return self._standings[self.commitment].slot

    def get_open_blocks(self) -> list[tuple[Block, Outcome]]:
        """The blocks of the slot that is not over."""
        return self._standings[Commitment.CONFIRMED].get_waiting()

    def find_commitment(self, slot: int) -> Commitment:
        """The highest commitment that the blocks of a slot have reached."""
        reached = [each for each in Commitment if slot <= self._standings[each].slot]
        return reached[-1] if reached else Commitment.PROCESSED

    async def wait_for_disk(self) -> None:
        """Wait until the whole state is on disk: a crash takes back nothing that a reader has seen."""
        while self.chain.journal.height < self.chain.state.head.height:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting_for_disk.append(waiter)
            await waiter

    def _follow(self, block: Block, outcome: Outcome) -> None:
        """Take in a block that is durable."""
        for waiter in self._waiting_for_disk:
            if not waiter.done():  # else the reader has gone
                waiter.set_result(None)
        self._waiting_for_disk.clear()
        head = self.chain.state.head
        assert head.height == block.height, "a block is published before the next is executed"
        for commitment, standing in self._standings.items():
            reached = standing.follow(block, outcome, head)
            if reached.slots or reached.blocks:
                self._at[commitment]._view = None
                for listener in self.listeners:
                    listener(commitment, reached)

    async def read(self, budget: Budget, function: Callable[..., T], *args: Any) -> T:
        """Run a function on another thread; what it returns.

        It reads the journal or the history, not the state. Raises NodeUnhealthy, ReadAborted.
        """
        return await self._run(self._readers, budget, function, *args)

    async def read_encoded(self, budget: Budget, function: Callable[..., Any], *args: Any) -> msgspec.Raw:
        """The same, but it returns the JSON of the function's result. Also raises AnswerTooLarge."""
        return await self._run(self._readers, budget, _encode, budget, function, *args)

    async def read_state(self, budget: Budget, function: Callable[..., Any], *args: Any) -> msgspec.Raw:
        """The JSON of what a function returns that reads the state, on another thread.

        Its first argument is a view: this ledger as it stands now, with a state that stays as it is.
        Raises NodeUnhealthy, ReadAborted, and what the function raises.
        """
        return await self.run_on_view(budget, _encode_of_view, budget, function, *args)

    async def run_on_view(self, budget: Budget, function: Callable[..., T], *args: Any) -> T:
        """The result of a function on another thread, which gets a view; one such function runs at a time.

        It may change the state of the view if it rolls that back. Raises as above.
        """
        return await self._run(self._state_reader, budget, function, self.get_view(budget), *args)

    def get_view(self, budget: Budget) -> "Ledger":
        """This ledger as it stands now, for other threads."""
        if self._view is None or self._view.state.head is not self.state.head:
            with budget.work():
                view = copy.copy(self)
                view._snapshot, view._snapshot_slot = copy_state(self.state), self.slot
                self._view = view  # only now it is whole: a copy that failed is no view
        return self._view

    async def run_in_thread(self, budget: Budget, function: Callable[..., T], *args: Any) -> T:
        """What a function returns, on the thread that reads the state. For work that no client waits for."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._state_reader, _work, budget, function, *args)

    @property
    def is_view(self) -> bool:
        """Whether this is the ledger as it stood after a block: then other threads may read it."""
        return self._snapshot is not None

    async def _run(
        self, pool: ThreadPoolExecutor, budget: Budget, function: Callable[..., T], *args: Any
    ) -> T:
        name = compute_name(budget.address)
        most = READS_MAX if is_local(name) else self.limits.reads_per_address
        if self._reads[name] >= most or self._reads.total() >= READS_MAX:
            raise NodeUnhealthy("too many long reads wait already; send again later")
        self._reads[name] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, _work, budget, function, *args)
        finally:
            self._reads[name] -= 1
            if not self._reads[name]:
                del self._reads[name]

    def is_tick_valid(self, tick: bytes) -> bool:
        """Whether a transaction that names this tick may still run. If not, it never will."""
        state = self.chain.state
        return tick in state.tick_slots or tick in compute_closing_ticks(state, self.engine.get_slot())

    def with_context(self, value: Any) -> Json:
        """An answer with its slot."""
        return {"context": self.describe_context(self.slot), "value": value}

    def encode_with_context(self, value: msgspec.Raw) -> msgspec.Raw:
        """The JSON of an answer with its slot, for a value that is encoded already."""
        context = msgspec.json.encode(self.describe_context(self.slot))
        return join(b'{"context":', context, b',"value":', value, b"}")

    def describe_context(self, slot: int) -> Json:
        """The context of an answer for this slot."""
        return {"slot": slot, "apiVersion": VERSION}


Read = Callable[[Ledger, Params], Any]
"""What answers a request at once. Raises RpcError, RoundworkError."""


class LongRead(NamedTuple):
    """A method whose answer may take long. It is given on another thread unless it `is_short`."""

    answer: Read
    is_short: Callable[[Ledger, Params], bool] = lambda ledger, params: False


def _encode(budget: Budget, function: Callable[..., Any], *args: Any) -> msgspec.Raw:
    result = function(*args)
    return result if isinstance(result, msgspec.Raw) else budget.encode(result)


def _encode_of_view(view: Ledger, budget: Budget, function: Callable[..., Any], *args: Any) -> msgspec.Raw:
    return _encode(budget, function, view, *args)


def _work(budget: Budget, function: Callable[..., T], *args: Any) -> T:
    with budget.work(THREAD_COST_SECONDS):
        return function(*args)
