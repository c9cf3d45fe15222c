"""The transactions of a proposed block, and the checks of proposals of others."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from ...errors import EngineFailed, Undecodable, Void
from ...protocol.admission import admit
from ...protocol.money import get_balance
from ...protocol.params import Key
from ...protocol.state import State
from ...protocol.transaction import Transaction, decode_transaction

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


def choose(state: State, slot: int, candidates: Sequence[Candidate], bytes_max: int) -> list[bytes]:
    """The transactions of a proposal, in their order: those that will run, as far as there is room.

    A payer may not owe more fees than it holds, and a nonce may be named once. So a payer with the fee of one
    transaction cannot fill a block.
    """
    chosen: list[bytes] = []
    spent: set[bytes] = set()
    fees: dict[Key, int] = {}
    for wire, transaction, is_verified, _ in candidates:
        if transaction is None or not is_verified or transaction.signatures[0] in spent:
            continue
        try:
            admitted = admit(state, slot, transaction)
        except Void:
            continue
        if admitted.nonce is not None and transaction.tick in spent:
            continue
        payer = transaction.keys[0]
        owed = fees.get(payer, 0) + admitted.fee
        if owed > get_balance(state, payer):
            continue
        bytes_max -= compute_room(wire)
        if bytes_max < 0 or len(chosen) == TRANSACTIONS_MAX:
            break
        fees[payer] = owed
        spent.add(transaction.signatures[0])
        if admitted.nonce is not None:
            spent.add(transaction.tick)
        chosen.append(wire)
    return chosen


def check_proposal(candidates: Sequence[Candidate]) -> None:
    """Raises EngineFailed for transactions that a correct proposer cannot propose in any state."""
    if len(candidates) > TRANSACTIONS_MAX:
        raise EngineFailed(f"{len(candidates)} transactions in a block; {TRANSACTIONS_MAX} are allowed")
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
