"""Transactions on their way into a block: admission, limits, and the callers that wait for them."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import (
    AlreadyProcessed,
    BlockhashNotFound,
    InsufficientFundsForFee,
    PoolFull,
    RoundworkError,
    SignatureFailure,
    Void,
)  # fmt: skip
from ...protocol.admission import admit, admit_keys, compute_fee
from ...protocol.execute import Receipt
from ...protocol.money import get_balance
from ...protocol.params import Key, base58_of
from ...protocol.state import State
from ...protocol.ticks import compute_closing_ticks
from ...protocol.transaction import Transaction
from ..limits import LIMITS

Answer = Receipt | RoundworkError


class Ticket:
    """A batch whose caller waits: done when every transaction of it has its answer."""

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
    fee: int
    """In roe."""


class Pool:
    """Admitted transactions in the order they came.

    A payer may not owe more fees than it holds, and transactions that wait may name a nonce only once. So
    blocks cannot be filled with transactions that will be void and cost nothing.
    """

    def __init__(self, transactions_max: int = LIMITS.pool_transactions) -> None:
        self._transactions_max = transactions_max
        self._waiting: deque[Waiting] = deque()
        self._named: set[bytes] = set()
        """Signatures, and values of nonces, of the transactions that wait."""
        self._owed: Counter[Key] = Counter()
        """Fees of the transactions that wait, by payer, in roe."""

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
        """Admit a batch. A refused transaction has its answer at once. `slot` is that of the next block."""
        closing = compute_closing_ticks(state, slot)
        for position, ((wire, transaction), is_verified) in enumerate(zip(items, verified, strict=True)):
            try:
                self._check(transaction, is_verified)
                fee = compute_fee(state.genesis, transaction)
                nonce = self._admit(state, slot, closing, transaction, fee)
            except (Void, PoolFull) as error:
                ticket.answer(position, error)
            else:
                self._keep(Waiting(wire, transaction, ticket, position, fee), nonce is not None)

    def take(self, most: int) -> list[Waiting]:
        """The next transactions, for a block."""
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        for _, transaction, _, _, fee in taken:
            self._named.discard(transaction.signatures[0])
            self._named.discard(transaction.tick)
            payer = transaction.keys[0]
            left = self._owed.pop(payer) - fee
            if left:
                self._owed[payer] = left
        return taken

    def _keep(self, waiting: Waiting, names_nonce: bool) -> None:
        transaction = waiting.transaction
        self._owed[transaction.keys[0]] += waiting.fee
        self._named.add(transaction.signatures[0])
        if names_nonce:
            self._named.add(transaction.tick)
        self._waiting.append(waiting)

    def _check(self, transaction: Transaction, is_verified: bool) -> None:
        if len(self._waiting) >= self._transactions_max:
            raise PoolFull(f"{self._transactions_max} transactions wait for a block; send again later")
        if not is_verified:
            raise SignatureFailure("a signature does not verify against its key and the message")
        if transaction.signatures[0] in self._named:
            raise AlreadyProcessed("This transaction has already been processed: it waits for the next block")

    def _admit(
        self, state: State, slot: int, closing: list[bytes], transaction: Transaction, fee: int
    ) -> Key | None:
        """The nonce that an admissible transaction names, if any. Raises Void."""
        nonce = None
        if transaction.tick in closing:
            admit_keys(state, slot, transaction, fee)
        else:
            nonce = admit(state, slot, transaction).nonce
        if nonce is not None and transaction.tick in self._named:
            raise BlockhashNotFound(
                f"Blockhash not found: a transaction that names the nonce {base58_of(nonce)} waits already"
            )
        payer = transaction.keys[0]
        owed = self._owed[payer] + fee
        if owed > get_balance(state, payer):
            raise InsufficientFundsForFee(
                f"{base58_of(payer)} holds {get_balance(state, payer)} roe; with what waits it owes {owed}"
            )
        return nonce
