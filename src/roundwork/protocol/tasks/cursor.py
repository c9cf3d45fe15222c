"""A round of a task in a state: its record, its tables, and the method that changes its state."""

from typing import Any

import msgspec

from ..params import NodeKey, TaskKey
from ..records import (
    Audit,
    Bond,
    Challenge,
    Chunk,
    DistributionList,
    Duties,
    Held,
    Mark,
    Net,
    Payment,
    Proof,
    Ranks,
    Record,
    Round,
    RoundDigest,
    Seal,
    Submission,
    Task,
    Trial,
    Verdict,
    Vote,
)
from ..state import ROUND_TABLES, TABLE_KINDS, State, Table, u64
from .instructions import NO_ROUND
from .round import RoundEvent, Step, StepKind, compute_next_state

_ROUNDS = TABLE_KINDS["rounds"].letter
_SUBMISSIONS = TABLE_KINDS["submissions"].letter
_AUDITS = TABLE_KINDS["audits"].letter
_VOTES = TABLE_KINDS["votes"].letter
_VOICES = TABLE_KINDS["voices"].letter
_LISTS = TABLE_KINDS["lists"].letter
_LIST_AUDITS = TABLE_KINDS["list_audits"].letter
_LIST_VOTES = TABLE_KINDS["list_votes"].letter
_PAYMENTS = TABLE_KINDS["payments"].letter
_SEALS = TABLE_KINDS["seals"].letter
_CHECKS = TABLE_KINDS["checks"].letter
_CHALLENGES = TABLE_KINDS["challenges"].letter
_ANSWERS = TABLE_KINDS["answers"].letter
_PROOFS = TABLE_KINDS["proofs"].letter
_TRIALS = TABLE_KINDS["trials"].letter
_JURORS = TABLE_KINDS["jurors"].letter
_VERDICTS = TABLE_KINDS["verdicts"].letter
_RANKS = TABLE_KINDS["ranks"].letter
_NETS = TABLE_KINDS["nets"].letter
_HEADS = TABLE_KINDS["heads"].letter
_BONDS = TABLE_KINDS["bonds"].letter
_HELD = TABLE_KINDS["held"].letter
_LAST_HEADS = TABLE_KINDS["last_heads"].letter
_CHUNKS = TABLE_KINDS["chunks"].letter


class RoundCursor:
    """The place of a round's records. `round_number` may be a round that is not opened."""

    __slots__ = ("_suffix", "round_number", "state", "task_key")

    def __init__(self, state: State, task_key: TaskKey, round_number: int) -> None:
        self.state = state
        self.task_key = task_key
        self.round_number = round_number
        self._suffix = task_key + u64(round_number)

    # Records

    @property
    def task(self) -> Task:
        """The task's record; it exists."""
        return self.state.tasks.rows[self.task_key]

    @property
    def record(self) -> Round | None:
        """The round's record; None if the round is not opened, or is pruned."""
        return self.rounds.rows.get(u64(self.round_number))

    @property
    def opened(self) -> Round:
        """The record of a round that is known to be opened and not pruned."""
        return self.rounds.rows[u64(self.round_number)]

    @property
    def rounds(self) -> Table[bytes, Round]:
        """The records of all rounds of the task, by round number."""
        return self.state.get_table(_ROUNDS + self.task_key)

    # Tables

    @property
    def submissions(self) -> Table[NodeKey, Submission]:
        """By node."""
        return self.state.get_table(_SUBMISSIONS + self._suffix)

    @property
    def audits(self) -> Table[NodeKey, Audit]:
        """By candidate."""
        return self.state.get_table(_AUDITS + self._suffix)

    @property
    def votes(self) -> Table[bytes, Vote]:
        """By candidate and voter."""
        return self.state.get_table(_VOTES + self._suffix)

    @property
    def voices(self) -> Table[NodeKey, Mark]:
        """By node: the nodes that gave an opinion of a submission or a list."""
        return self.state.get_table(_VOICES + self._suffix)

    @property
    def lists(self) -> Table[bytes, DistributionList]:
        """By attempt, a byte."""
        return self.state.get_table(_LISTS + self._suffix)

    @property
    def list_audits(self) -> Table[bytes, Audit]:
        """By attempt, a byte."""
        return self.state.get_table(_LIST_AUDITS + self._suffix)

    @property
    def list_votes(self) -> Table[bytes, Vote]:
        """By attempt, a byte, and voter."""
        return self.state.get_table(_LIST_VOTES + self._suffix)

    @property
    def payments(self) -> Table[NodeKey, Payment]:
        """By node."""
        return self.state.get_table(_PAYMENTS + self._suffix)

    @property
    def chunks(self) -> Table[bytes, Chunk]:
        """By node and chunk number: lists that were uploaded for the round and not handed in."""
        return self.state.get_table(_CHUNKS + self._suffix)

    @property
    def chunks_of_no_round(self) -> Table[bytes, Chunk]:
        """The same for uploads in the older layout, which names no round."""
        return self.state.get_table(_CHUNKS + self.task_key + u64(NO_ROUND))

    # Tables of roundwork-1

    @property
    def seals(self) -> Table[bytes, Seal]:
        """By kind, a byte, and node."""
        return self.state.get_table(_SEALS + self._suffix)

    @property
    def checks(self) -> Table[NodeKey, Duties]:
        """By checker."""
        return self.state.get_table(_CHECKS + self._suffix)

    @property
    def challenges(self) -> Table[NodeKey, Challenge]:
        """By candidate."""
        return self.state.get_table(_CHALLENGES + self._suffix)

    @property
    def answers(self) -> Table[bytes, Chunk]:
        """By candidate, poster and chunk number."""
        return self.state.get_table(_ANSWERS + self._suffix)

    @property
    def proofs(self) -> Table[NodeKey, Proof]:
        """By candidate: the proofs that lie on the ledger."""
        return self.state.get_table(_PROOFS + self._suffix)

    @property
    def trials(self) -> Table[NodeKey, Trial]:
        """By candidate."""
        return self.state.get_table(_TRIALS + self._suffix)

    @property
    def jurors(self) -> Table[NodeKey, Duties]:
        """By juror."""
        return self.state.get_table(_JURORS + self._suffix)

    @property
    def verdicts(self) -> Table[NodeKey, Verdict]:
        """By candidate: those that are not untried."""
        return self.state.get_table(_VERDICTS + self._suffix)

    @property
    def ranks(self) -> Table[bytes, Ranks]:
        """By attempt, a byte."""
        return self.state.get_table(_RANKS + self._suffix)

    @property
    def nets(self) -> Table[NodeKey, Net]:
        """By node: those whose money the round moved."""
        return self.state.get_table(_NETS + self._suffix)

    @property
    def heads(self) -> Table[bytes, RoundDigest]:
        """The round's head, by its number, once it is over."""
        return self.state.get_table(_HEADS + self._suffix)

    @property
    def bonds(self) -> Table[bytes, Bond]:
        """By candidate, or by attempt, a byte: bonds that are set aside now."""
        return self.state.get_table(_BONDS + self._suffix)

    @property
    def last_heads(self) -> Table[TaskKey, Mark]:
        """By task: the head of the round that ended last."""
        return self.state.get_table(_LAST_HEADS)

    def get_held(self, paid: int) -> Table[NodeKey, Held]:
        """By node: rewards of the task that were paid in a ledger round and are held back."""
        return self.state.get_table(_HELD + self.task_key + u64(paid))

    def find_held(self, paid: int) -> Table[NodeKey, Held] | None:
        """The same; None if there are none."""
        return self.state.tables.get(_HELD + self.task_key + u64(paid)) if paid >= 0 else None

    def list_tables(self) -> list[Table[Any, Record]]:
        """The tables that belong to this round alone and are pruned with it, in the order of their kinds."""
        return [self.state.get_table(kind + self._suffix) for kind in ROUND_TABLES]

    # Changes

    def open(self, record: Round) -> None:
        """Store the record of a round that its first submission opens."""
        self.state.put(self.rounds, u64(self.round_number), record)

    def move(self, event: RoundEvent, **changes: object) -> None:
        """Move the round to the state that the event leads to, with changes of other fields."""
        record = self.opened
        after = compute_next_state(record.state, event)
        assert after is not None, "a round that loses its record is removed"
        self.open(msgspec.structs.replace(record, state=after, **changes))

    def remove(self, event: RoundEvent) -> None:
        """Take the record of a round away that the event ends."""
        assert compute_next_state(self.opened.state, event) is None, f"{event} leaves a record"
        self.state.remove(self.rounds, u64(self.round_number))

    def schedule(self, slot: int, kind: StepKind) -> None:
        """Have a step of the round fall due at a slot."""
        self.state.schedule(Step(slot, self.task_key, kind, self.round_number).encode())
