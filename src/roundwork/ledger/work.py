"""The place of the rounds' work: half of each pool and of each block is kept for nodes with stake.

Strangers may pay any price, and a round's windows close. So a transaction of a node's work does not compete
with transfers but with other work, and one node or fee payer has a small part of that half only.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Protocol, TypeVar

from ..errors import Rejected
from ..protocol.layout import Call
from ..protocol.params import COMPUTE_BUDGET_PROGRAM, ROUNDWORK_1, Key, NodeKey, TaskKey
from ..protocol.programs.compute_budget import read_budget
from ..protocol.state import State
from ..protocol.tasks.commitments import SealKind
from ..protocol.tasks.cursor import RoundCursor
from ..protocol.tasks.instructions import (
    Accuse,
    Answer,
    AuditDistribution,
    AuditSubmission,
    Challenge,
    Claim,
    ClaimTokens,
    Commit,
    Reveal,
    Stake,
    StakeTokens,
    SubmitDistributionList,
    SubmitTask,
    UploadDistributionList,
    Withdraw,
)
from ..protocol.tasks.layouts import TASK_PROGRAMS, decode_task_call
from ..protocol.tasks.sealed import name_seal
from ..protocol.transaction import Transaction

BY_NODES = (
    SubmitTask,
    AuditSubmission,
    AuditDistribution,
    UploadDistributionList,
    SubmitDistributionList,
    Stake,
    StakeTokens,
    Withdraw,
    Claim,
    ClaimTokens,
    Commit,
    Reveal,
    Challenge,
    Answer,
    Accuse,
)
"""The instructions that a node signs."""

NODE_PART = 64
"""A node, or a fee payer, has at most this part of the half: one of 64."""


def compute_half(room: int) -> int:
    """How much of a pool or a block is kept for work."""
    return room // 2


def compute_part(room: int) -> int:
    """How much of a pool's or a block's half one node, or one fee payer, has at most."""
    return max(1, compute_half(room) // NODE_PART)


def compute_price(transaction: Transaction) -> int:
    """What a transaction pays above the fee for its signatures, in roe. Raises Void."""
    return read_budget(transaction).compute_price()


def find_worker(state: State, transaction: Transaction) -> NodeKey | None:
    """The node whose work a transaction is: it has a stake in each task that it names.

    None if the transaction holds anything but instructions of one such node and a compute budget, or takes
    accounts from lookup tables.
    """
    worker: NodeKey | None = None
    if transaction.lookups:
        return None
    keys = transaction.keys
    for instruction in transaction.instructions:
        key = keys[instruction.program]
        if key == COMPUTE_BUDGET_PROGRAM:
            continue
        program = TASK_PROGRAMS.get(key)
        if program is None:
            return None
        places = instruction.accounts
        named = [keys[at] for at in places]
        call = Call(named, places, transaction.signers, instruction.data, state.head.slot, keys[0])
        try:
            _, [decoded] = decode_task_call(program, call)
        except Rejected:
            return None
        if not isinstance(decoded, BY_NODES) or worker not in (None, decoded.node):
            return None
        if not has_stake(state, decoded.task, decoded.node):
            return None
        worker = decoded.node
    return worker


def has_stake(state: State, task_key: TaskKey, node: NodeKey) -> bool:
    """Whether a node has the stake that a task asks of those who submit, in a task that is allow-listed.

    Where nobody allow-lists tasks, any task will do. Under `roundwork-1` half of the minimum stake is enough,
    and so is a submission in an open round: bonds and fines may have taken the stake, and what its node
    owes in the round is work all the same.
    """
    task = state.tasks.rows.get(task_key)
    if task is None or not (task.is_allowlisted or state.genesis.allowlister is None):
        return False
    stake = state.get_stakes(task_key).rows.get(node)
    amount = stake.amount if stake is not None else 0
    if task.rules != ROUNDWORK_1.name:
        return amount >= max(task.minimum_stake, 1)
    return 2 * amount >= task.minimum_stake or any(
        name_seal(SealKind.SUBMISSION, node) in RoundCursor(state, task_key, number).seals.rows
        for number in task.open_rounds
    )


class Parts:
    """How much of a half each node and each fee payer has."""

    def __init__(self, part: int) -> None:
        self._part = part
        self._taken: Counter[Key] = Counter()

    def has_room(self, worker: NodeKey, payer: Key, size: int = 1) -> bool:
        """Whether a transaction of this size is within the part of its node and of its payer.

        The first one always is.
        """
        taken = max(self._taken[worker], self._taken[payer])
        return not taken or taken + size <= self._part

    def take(self, worker: NodeKey, payer: Key, size: int = 1) -> None:
        """Count a transaction."""
        for key in {worker, payer}:
            self._taken[key] += size

    def give_back(self, worker: NodeKey, payer: Key) -> None:
        """Count a transaction no longer."""
        for key in {worker, payer}:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]


class Offer(Protocol):
    """A transaction that wants a place in a block."""

    @property
    def worker(self) -> NodeKey | None:
        """The node whose work it is; None of what is not work, or is beyond the part of its node."""

    @property
    def payer(self) -> Key:
        """Who pays its fee."""

    @property
    def size(self) -> int:
        """The room that it takes of a block."""


Offered = TypeVar("Offered", bound=Offer)


def fill(
    work: Iterable[Offered], others: Iterable[Offered], room: int, take: Callable[[Offered], bool]
) -> list[Offered]:
    """The transactions of a block with this much room, in their order; both kinds come best first.

    Work has half of the room, then the others have what is left, then further work. `take` says whether a
    transaction may stand behind those that it was called with before.
    """
    chosen: list[Offered] = []
    later: list[Offered] = []
    parts, half = Parts(compute_part(room)), compute_half(room)
    for offer in work:
        assert offer.worker is not None, "work has a worker"
        if offer.size > half or not parts.has_room(offer.worker, offer.payer, offer.size):
            later.append(offer)
        elif take(offer):
            parts.take(offer.worker, offer.payer, offer.size)
            half -= offer.size
            room -= offer.size
            chosen.append(offer)
    for offer in chain(others, later):
        if offer.size > room:
            break
        if take(offer):
            room -= offer.size
            chosen.append(offer)
    return chosen
