"""The records of the state. They are frozen: a change replaces a record by a new one.

They are stored and hashed as MessagePack arrays in field order, so fields are only ever appended.
"""

import msgspec

from .clock import Timetable
from .params import SYSTEM_PROGRAM, Key, NodeKey, TaskKey
from .tasks.round import RoundState


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of the records of tables."""


class Account(Record, frozen=True, array_like=True, gc=False):
    """Money at an address. `space` is the size of its data in bytes; `data` leaves trailing zeros out."""

    balance: int
    """In roe."""
    owner: Key = SYSTEM_PROGRAM
    """The program that may change the account."""
    space: int = 0
    """The size of its data in bytes; bytes beyond `data` are zeros."""
    data: bytes = b""
    is_executable: bool = False


class Task(Record, frozen=True, array_like=True, gc=False):
    """A task's configuration and its money. `bounty` includes what open rounds have reserved."""

    program: Key
    manager: Key
    """The address that created the task and may change it."""
    pot: Key
    """The account that holds the tokens of a token task; for a native task an address without meaning."""
    name: bytes
    description: bytes
    audit_program: bytes
    executable_network: bytes
    metadata: bytes
    locals: bytes
    """The text that may name the rule set."""
    rules: str
    """The name of the rule set."""
    timetable: Timetable
    minimum_stake: int
    """In roe, or the smallest unit of the mint, like all money here."""
    bounty_per_round: int
    allowed_failed_distributions: int
    bounty: int
    """The money that pays rounds, with the reserve of open rounds."""
    is_active: bool = False
    is_allowlisted: bool = False
    is_closed: bool = False
    migrated_to: TaskKey = TaskKey(b"")
    """The successor after an update; empty if it was not updated."""
    migrated_from: TaskKey = TaskKey(b"")
    """The task that this one succeeds; empty if it succeeds no task."""
    open_rounds: tuple[int, ...] = ()
    """The numbers of rounds that are neither paid nor closed."""
    was_active: bool = False
    """Whether it was active when ledger round `switched_round` began."""
    switched_round: int = -1
    """The ledger round of the last switch."""
    beacons: tuple[tuple[int, bytes], ...] = ()
    """The last two beacons, each with the ledger round it was fixed in."""
    mint: Key = b""
    """The token of bounty and stakes; empty for native money."""
    settling: int = 0
    """Payouts of this task that wait in the queue."""
    paid: int = 0
    """How much of its round's reserve the current payout has paid, in roe."""


class Stake(Record, frozen=True, array_like=True, gc=False):
    """A node in a task: its stake, its available balance, the endpoint where peers reach it."""

    amount: int = 0
    """In roe, or the smallest unit of the task's mint."""
    available: int = 0
    """Money that the node can claim, in the same unit."""
    endpoint: bytes = b""
    """The URL where peers reach the node."""
    last_round: int = -1
    """The last round it submitted in."""


class Round(Record, frozen=True, array_like=True, gc=False):
    """One round that a submission opened."""

    state: RoundState = RoundState.SUBMITTING
    attempt: int = 0
    """The attempt to settle it that is under way, or was the last; 0 is the first."""
    beacon: bytes = b""
    """Empty until SUBMIT of its review ends."""
    seed: bytes = b""
    """The beacon that the round's work was seeded with."""


class Submission(Record, frozen=True, array_like=True, gc=False):
    """A node's proof for a round, with the stake it was accepted with."""

    value: bytes
    """The proof, trimmed: 1 to 512 bytes."""
    slot: int
    stake: int
    """The submitter's stake when its submission was accepted."""


class Audit(Record, frozen=True, array_like=True, gc=False):
    """An audit that was raised: by whom, and how the votes stand."""

    trigger_by: NodeKey
    """The node that raised the audit."""
    slot: int
    """The slot in which it was raised."""
    valid: int = 0
    """The number of votes for the candidate."""
    invalid: int = 0
    """The number of votes against the candidate."""


class Vote(Record, frozen=True, array_like=True, gc=False):
    """A node's opinion of a candidate. `order` counts a candidate's opinions; 0 raised the audit."""

    is_valid: bool
    slot: int
    order: int


class DistributionList(Record, frozen=True, array_like=True, gc=False):
    """The list of one attempt, amounts by submitter's address: positive rewards, negative slashes."""

    submitter: NodeKey
    """The node that handed in the list."""
    slot: int
    """The slot in which it was handed in."""
    amounts: tuple[tuple[NodeKey, int], ...]


class Payment(Record, frozen=True, array_like=True, gc=False):
    """The amounts that a round paid to a node and took from it."""

    reward: int
    """In roe, or the smallest unit of the task's mint."""
    slash: int
    """In the same unit."""


class QueuedPayout(Record, frozen=True, array_like=True, gc=False):
    """A payout that waits in the queue."""

    task: TaskKey
    round: int
    done: int = 0
    """The number of amounts of its list that are paid."""


class Chunk(Record, frozen=True, array_like=True, gc=False):
    """A piece of an uploaded list."""

    data: bytes


class Mark(Record, frozen=True, array_like=True, gc=False):
    """A slot, or 32 bytes, under a key: due steps, spent signatures, ticks."""

    slot: int = 0
    digest: bytes = b""


# Of rounds under roundwork-1


class Seal(Record, frozen=True, array_like=True, gc=False):
    """A node's commitment of one kind, and what opened it."""

    commitment: bytes
    slot: int
    """The slot in which it was committed."""
    stake: int = 0
    """Of a submission: its node's stake when the first half of SUBMIT ended; 0 before."""
    is_revealed: bool = False
    salt: bytes = b""
    payload: bytes = b""
    """What was revealed, as it was sent; the value of a submission lies in its `Submission`."""


class Duties(Record, frozen=True, array_like=True, gc=False):
    """The candidates that a node was drawn to check or to judge, in the order of their addresses."""

    candidates: tuple[NodeKey, ...]


class Challenge(Record, frozen=True, array_like=True, gc=False):
    """A challenge of a proof."""

    challenger: NodeKey
    slot: int
    held: int
    """Native money that is set aside for it, in roe; 0 once it has ended."""


class Proof(Record, frozen=True, array_like=True, gc=False):
    """A proof that lies on the ledger: whose chunks hold it, and how many they are."""

    poster: NodeKey
    slot: int
    """The slot in which it was whole."""
    chunks: int


class Trial(Record, frozen=True, array_like=True, gc=False):
    """An accused submission: its accuser and its jury."""

    accuser: NodeKey
    slot: int
    bond: int
    """What the accuser put at stake, in roe or the smallest unit of the task's mint."""
    seats: tuple[tuple[NodeKey, int], ...] = ()
    """The seats of each node that has some, by address; empty until the jury is drawn."""


class Verdict(Record, frozen=True, array_like=True, gc=False):
    """What became of a submission that was challenged in vain, or accused."""

    verdict: int
    """A number of `tasks.verdicts.Outcome`."""
    votes: int
    """+1, 0 or -1: what the distribution function reads."""


class Bond(Record, frozen=True, array_like=True, gc=False):
    """Money that is set aside from a node's stake until its accusation is decided."""

    node: NodeKey
    amount: int
    """In roe, or the smallest unit of the task's mint."""


class Ranks(Record, frozen=True, array_like=True, gc=False):
    """The nodes that may hand in the list of an attempt before all others."""

    nodes: tuple[NodeKey, ...]
    """The first rank first."""
    electorate: int
    """The stake of all nodes that may vote on the list."""


class Held(Record, frozen=True, array_like=True, gc=False):
    """A reward that is paid and held back."""

    amount: int
    """In roe, or the smallest unit of the task's mint."""


class Net(Record, frozen=True, array_like=True, gc=False):
    """What a round gave a node less what it took from it."""

    amount: int
    """In roe, or the smallest unit of the task's mint."""


class RoundDigest(Record, frozen=True, array_like=True, gc=False):
    """The head of a round that is over: a hash over what became of every node in it."""

    previous: bytes
    """The head of the round of this task that ended before it; 32 zero bytes for the first."""
    root: bytes
    """The root of the tree over the nodes of the round."""
    digest: bytes
    """The head itself."""
