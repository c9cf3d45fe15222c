"""Transactions on their way into a block: admission, limits, and the callers that wait for them."""

import asyncio
import itertools
from bisect import insort
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
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
from ...protocol.params import Key, NodeKey, base58_of
from ...protocol.state import State
from ...protocol.ticks import compute_closing_ticks
from ...protocol.transaction import Transaction
from ..limits import LIMITS
from ..work import Parts, compute_half, compute_part, compute_price, fill, find_worker

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
    price: int
    """What it pays above the fee for its signatures, in roe."""
    arrival: int
    worker: NodeKey | None
    """The node whose work it is; None if it is not work, or beyond the part of its node."""
    size: int = 1

    @property
    def payer(self) -> Key:
        """Who pays the fee."""
        return self.transaction.keys[0]

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts the best first: price decides, then arrival."""
        return -self.price, self.arrival


class Pool:
    """Admitted transactions, best first: nodes' work in one half, everything else in the other.

    A half that is not full lends its room. When it needs the room back, the lowest transaction of the
    other half gives way. A payer may not owe more fees than it holds, and a nonce may be named once. So
    blocks cannot be filled with transactions that will be void and cost nothing.
    """

    def __init__(self, transactions_max: int = LIMITS.pool_transactions) -> None:
        self._transactions_max = transactions_max
        self._work: list[Waiting] = []
        self._others: list[Waiting] = []
        self._parts = Parts(compute_part(transactions_max))
        self._arrivals = itertools.count()
        self._named: set[bytes] = set()
        """Signatures, and values of nonces, of waiting transactions."""
        self._owed: Counter[Key] = Counter()
        """Fees of waiting transactions, by payer, in roe."""

    def __len__(self) -> int:
        return len(self._work) + len(self._others)

    def add(
        self,
        state: State,
        slot: int,
        items: Sequence[tuple[bytes, Transaction]],
        verified: Sequence[bool],
        ticket: Ticket,
    ) -> None:
        """Admit a batch; a refused transaction is answered at once. `slot` is that of the next block."""
        closing = compute_closing_ticks(state, slot)
        for position, ((wire, transaction), is_verified) in enumerate(zip(items, verified, strict=True)):
            try:
                self._check(transaction, is_verified)
                fee = compute_fee(state.genesis, transaction)
                nonce = self._admit(state, slot, closing, transaction, fee)
                worker = self._find_worker(state, transaction)
                waiting = Waiting(
                    wire, transaction, ticket, position, fee, compute_price(transaction),
                    next(self._arrivals), worker,
                )  # fmt: skip
                self._make_room(waiting)
            except (Void, PoolFull) as error:
                ticket.answer(position, error)
            else:
                self._keep(waiting, nonce is not None)

    def take(self, most: int) -> list[Waiting]:
        """The next transactions, for a block."""
        taken = fill(self._work, self._others, most, lambda waiting: True)
        arrivals = {waiting.arrival for waiting in taken}
        self._work = [waiting for waiting in self._work if waiting.arrival not in arrivals]
        self._others = [waiting for waiting in self._others if waiting.arrival not in arrivals]
        for waiting in taken:
            self._forget(waiting)
        return taken

    def _find_worker(self, state: State, transaction: Transaction) -> NodeKey | None:
        """The node whose work a transaction is, while it is within the part of that node and of its payer."""
        worker = find_worker(state, transaction)
        if worker is None or not self._parts.has_room(worker, transaction.keys[0]):
            return None
        return worker

    def _make_room(self, waiting: Waiting) -> None:
        """Let the worst transaction give way if the pool is full. Raises PoolFull if that is the new one."""
        if len(self) < self._transactions_max:
            return
        half = compute_half(self._transactions_max)
        if waiting.worker is not None:
            own, other, most = self._work, self._others, half
        else:
            own, other, most = self._others, self._work, self._transactions_max - half
        losers = other if len(own) < most else own
        if losers is own and (not own or own[-1].rank < waiting.rank):
            raise PoolFull(
                f"{self._transactions_max} transactions wait for a block; send again later, or pay a price"
            )
        loser = losers.pop()
        self._forget(loser)
        loser.ticket.answer(
            loser.position,
            PoolFull("a transaction that pays more, or has this place, came into the pool; send again later"),
        )

    def _keep(self, waiting: Waiting, names_nonce: bool) -> None:
        transaction = waiting.transaction
        self._owed[waiting.payer] += waiting.fee
        self._named.add(transaction.signatures[0])
        if names_nonce:
            self._named.add(transaction.tick)
        if waiting.worker is not None:
            self._parts.take(waiting.worker, waiting.payer)
        insort(self._others if waiting.worker is None else self._work, waiting, key=attrgetter("rank"))

    def _forget(self, waiting: Waiting) -> None:
        self._named.discard(waiting.transaction.signatures[0])
        self._named.discard(waiting.transaction.tick)
        self._owed[waiting.payer] -= waiting.fee
        if not self._owed[waiting.payer]:
            del self._owed[waiting.payer]
        if waiting.worker is not None:
            self._parts.give_back(waiting.worker, waiting.payer)

    def _check(self, transaction: Transaction, is_verified: bool) -> None:
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
