"""The transactions of a proposed block, and the checks of proposals of others."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ...errors import EngineFailed, PoolFull, Undecodable, Void
from ...protocol.admission import admit
from ...protocol.money import get_balance
from ...protocol.params import Key, NodeKey
from ...protocol.state import State
from ...protocol.transaction import Transaction, decode_transaction
from ..work import Parts, compute_half, compute_part, compute_price, fill, find_worker
from .home import BLOCK_BYTES_MAX

TRANSACTIONS_MAX = 5_000
"""The most transactions of one block, which executes well within a slot."""

KNOWN_MAX = 20_000
"""Transactions whose verdicts are remembered: those of two full pools."""

Verify = Callable[[list[Transaction]], Awaitable[list[bool]]]
"""Whether all signatures of each transaction verify, computed outside of the main thread."""


class Candidate(NamedTuple):
    """Wire bytes, the transaction they are, and whether its signatures verify."""

    wire: bytes
    transaction: Transaction | None
    """None if the bytes are not a transaction."""
    is_verified: bool
    reason: str = ""
    """The reason why the bytes are not a transaction."""


class Known:
    """Remembers candidates, so that no signature is verified twice between delivery and block."""

    def __init__(self, verify: Verify) -> None:
        self._verify = verify
        self._candidates: dict[bytes, Candidate] = {}

    def find(self, wire: bytes) -> Candidate | None:
        """The candidate of these bytes, if it is remembered."""
        return self._candidates.get(wire)

    def remember(self, candidate: Candidate) -> None:
        """Remember a candidate, and forget the oldest ones beyond KNOWN_MAX."""
        self._candidates[candidate.wire] = candidate
        if len(self._candidates) > KNOWN_MAX:
            del self._candidates[next(iter(self._candidates))]

    def forget(self, wires: Sequence[bytes]) -> None:
        """Forget the transactions of a block."""
        for wire in wires:
            self._candidates.pop(wire, None)

    async def look_at(self, wires: Sequence[bytes]) -> list[Candidate]:
        """The candidates of these bytes. Signatures without a verdict yet are verified in one batch."""
        return await self._verify_all([self._candidates.get(wire) or _decode(wire) for wire in wires])

    async def look_at_decoded(self, items: Sequence[tuple[bytes, Transaction]]) -> list[Candidate]:
        """The same for transactions that are decoded already."""
        return await self._verify_all(
            [self._candidates.get(wire) or Candidate(wire, transaction, False) for wire, transaction in items]
        )

    async def _verify_all(self, found: list[Candidate]) -> list[Candidate]:
        fresh = [at for at, candidate in enumerate(found) if candidate.wire not in self._candidates]
        unverified = [(at, found[at].transaction) for at in fresh]
        verdicts = await self._verify([transaction for _, transaction in unverified if transaction])
        verdict = iter(verdicts)
        for at, transaction in unverified:
            if transaction is not None:
                found[at] = found[at]._replace(is_verified=next(verdict))
            self.remember(found[at])
        return found


class Waiting:
    """What waits for a block in CometBFT's pool and on the way to it: nodes' work, and everything else.

    CometBFT gives back nothing that it has taken, so neither half is lent. It checks all of its pool again
    after each block: what it has not checked lately is not in its pool any more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[bytes, _Place] = {}
        self._others = 0
        self._parts = Parts(compute_part(most))

    def enter(self, state: State, candidate: Candidate) -> bool:
        """Take in an admitted transaction; whether it is work. Raises PoolFull if its half is full."""
        place = self._waiting.get(candidate.wire)
        if place is not None:
            return place.worker is not None
        assert candidate.transaction is not None, "what was admitted is a transaction"
        worker, payer = find_worker(state, candidate.transaction), candidate.transaction.keys[0]
        if worker is not None and not self._parts.has_room(worker, payer):
            worker = None
        half = compute_half(self._most)
        if worker is None and self._others >= self._most - half:
            raise PoolFull(f"{self._others} transactions wait for CometBFT; send again later")
        if worker is not None and len(self._waiting) - self._others >= half:
            raise PoolFull(f"{half} transactions of nodes wait for CometBFT; send again later")
        self._waiting[candidate.wire] = _Place(worker, payer)
        if worker is None:
            self._others += 1
        else:
            self._parts.take(worker, payer)
        return worker is not None

    def see(self, wire: bytes, height: int) -> None:
        """CometBFT took or checked a transaction after the block of this height: it is in its pool."""
        place = self._waiting.get(wire)
        if place is not None:
            place.seen = height

    def leave(self, wires: Iterable[bytes]) -> None:
        """Let go of transactions that are in a block, or void."""
        for wire in wires:
            place = self._waiting.pop(wire, None)
            if place is None:
                continue
            if place.worker is None:
                self._others -= 1
            else:
                self._parts.give_back(place.worker, place.payer)

    def forget_unseen(self, height: int) -> None:
        """Let go of what CometBFT has not checked since before the last block. `height` is the newest."""
        gone = [wire for wire, place in self._waiting.items() if 0 <= place.seen < height - 1]
        self.leave(gone)


class _Place:
    """A waiting transaction: whose it is, and the height after which CometBFT checked it; -1 before that."""

    __slots__ = ("payer", "seen", "worker")

    def __init__(self, worker: NodeKey | None, payer: Key) -> None:
        self.worker = worker
        self.payer = payer
        self.seen = -1


class _Offered(NamedTuple):
    """A candidate for a proposal, as it competes with others."""

    wire: bytes
    transaction: Transaction
    price: int
    """In roe."""
    worker: NodeKey | None
    payer: Key
    size: int
    """The bytes that it takes of a block."""


def choose(state: State, slot: int, candidates: Sequence[Candidate], bytes_max: int) -> list[bytes]:
    """The transactions of a proposal, in their order: those that will run, as far as there is room.

    Half of the room is kept for nodes' work; in each half the price decides, then the candidates' order.
    A payer may not owe more fees than it holds, and a nonce may be named once. So a payer with the fee of one
    transaction cannot fill a block.
    """
    spent: set[bytes] = set()
    nonces: set[bytes] = set()
    fees: dict[Key, int] = {}

    def take(offered: _Offered) -> bool:
        transaction = offered.transaction
        if len(spent) >= TRANSACTIONS_MAX or transaction.signatures[0] in spent:
            return False
        try:
            admitted = admit(state, slot, transaction)
        except Void:
            return False
        if admitted.nonce is not None and transaction.tick in nonces:
            return False
        owed = fees.get(offered.payer, 0) + admitted.fee
        if owed > get_balance(state, offered.payer):
            return False
        fees[offered.payer] = owed
        spent.add(transaction.signatures[0])
        if admitted.nonce is not None:
            nonces.add(transaction.tick)
        return True

    offers = sorted(_offer_all(state, candidates), key=lambda offered: -offered.price)
    work = [offered for offered in offers if offered.worker is not None]
    others = [offered for offered in offers if offered.worker is None]
    room = min(bytes_max, BLOCK_BYTES_MAX)
    return [offered.wire for offered in fill(work, others, room, take)]


def _offer_all(state: State, candidates: Sequence[Candidate]) -> Iterator[_Offered]:
    """The candidates that are transactions with good signatures, and what they offer."""
    for wire, transaction, is_verified, _ in candidates:
        if transaction is None or not is_verified:
            continue
        try:
            price = compute_price(transaction)
        except Void:
            continue
        worker, payer = find_worker(state, transaction), transaction.keys[0]
        yield _Offered(wire, transaction, price, worker, payer, compute_room(wire))


def check_proposal(candidates: Sequence[Candidate]) -> None:
    """Raises EngineFailed for transactions that a correct proposer cannot propose in any state."""
    if len(candidates) > TRANSACTIONS_MAX:
        raise EngineFailed(f"{len(candidates)} transactions in a block; {TRANSACTIONS_MAX} are allowed")
    size = sum(compute_room(candidate.wire) for candidate in candidates)
    if size > BLOCK_BYTES_MAX:
        raise EngineFailed(f"{size} bytes of transactions in a block; {BLOCK_BYTES_MAX} are allowed")
    spent: set[bytes] = set()
    for position, (_, transaction, is_verified, reason) in enumerate(candidates):
        if transaction is None:
            raise EngineFailed(f"transaction {position} is undecodable: {reason}")
        if not is_verified:
            raise EngineFailed(f"transaction {position} has a signature that does not verify")
        if transaction.signatures[0] in spent:
            raise EngineFailed(f"transaction {position} stands twice in the block")
        spent.add(transaction.signatures[0])


def compute_room(wire: bytes) -> int:
    """The bytes that a transaction takes in a block: a protobuf field of its length."""
    size = len(wire)
    return 1 + max(1, (size.bit_length() + 6) // 7) + size


def _decode(wire: bytes) -> Candidate:
    try:
        return Candidate(wire, decode_transaction(wire), False)
    except Undecodable as error:
        return Candidate(wire, None, False, str(error))
