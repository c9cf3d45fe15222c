"""Transactions on their way into a block: admission, limits, and who waits for them."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import AlreadyProcessed, PoolFull, RoundworkError, SignatureFailure, Void
from ..protocol.admission import admit, admit_keys
from ..protocol.execute import Receipt
from ..protocol.state import State
from ..protocol.ticks import compute_closing_ticks
from ..protocol.transaction import Transaction
from .limits import LIMITS

Answer = Receipt | RoundworkError


class Ticket:
    """A batch that somebody waits for: done when every transaction of it has its answer."""

    def __init__(self, size: int) -> None:
        self.answers: list[Answer | None] = [None] * size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = size
        if not size:
            self.done.set_result(None)

    def answer(self, position: int, answer: Answer) -> None:
        """Give one transaction its answer."""
        self.answers[position] = answer
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)


class Waiting(NamedTuple):
    """A transaction in the pool, and the ticket it answers to."""

    wire: bytes
    transaction: Transaction
    ticket: Ticket
    position: int


class Pool:
    """Admitted transactions in the order they came."""

    def __init__(self, transactions_max: int = LIMITS.pool_transactions) -> None:
        self._transactions_max = transactions_max
        self._waiting: deque[Waiting] = deque()
        self._signatures: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(
        self,
        state: State,
        slot: int,
        items: Sequence[tuple[bytes, Transaction]],
        verified: Sequence[bool],
        ticket: Ticket,
    ) -> None:
        """Admit a batch; what is refused has its answer at once. `slot` is that of the next block."""
        closing = compute_closing_ticks(state, slot)
        for position, ((wire, transaction), is_verified) in enumerate(zip(items, verified, strict=True)):
            try:
                self._check(state, slot, closing, transaction, is_verified)
            except (Void, PoolFull) as error:
                ticket.answer(position, error)
            else:
                self._signatures.add(transaction.signatures[0])
                self._waiting.append(Waiting(wire, transaction, ticket, position))

    def take(self, most: int) -> list[Waiting]:
        """The next transactions, for a block."""
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._signatures.difference_update([one.transaction.signatures[0] for one in taken])
        return taken

    def _check(
        self, state: State, slot: int, closing: list[bytes], transaction: Transaction, is_verified: bool
    ) -> None:
        if len(self._waiting) >= self._transactions_max:
            raise PoolFull(f"{self._transactions_max} transactions wait for a block; send again later")
        if not is_verified:
            raise SignatureFailure("a signature does not verify against its key and the message")
        if transaction.signatures[0] in self._signatures:
            raise AlreadyProcessed("This transaction has already been processed: it waits for the next block")
        if transaction.tick in closing:
            admit_keys(state, slot, transaction)
        else:
            admit(state, slot, transaction)
