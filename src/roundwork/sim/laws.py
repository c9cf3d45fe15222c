"""What holds after every block of a task under `koii-1`, checked from records and results of messages alone.

The checks of the law are not used here. So a check that the law lost is noticed by what the law then let
through. Source: docs/PROTOCOL.md 4 and 6 to 9.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from ..errors import ListBadNode, ListBadSlash, ListMalformed, ListOverBounty, Malformed
from ..protocol.books import compute_supply, find_token_faults
from ..protocol.clock import DISTRIBUTION, REVIEW, Timetable
from ..protocol.execute import Outcome, Receipt
from ..protocol.params import RULE_SETS, NodeKey, TaskKey
from ..protocol.records import Audit, Record, Stake, Submission, Task, Vote
from ..protocol.state import State
from ..protocol.tasks.cursor import RoundCursor
from ..protocol.tasks.events import Slashed
from ..protocol.tasks.instructions import (
    NO_ROUND,
    AuditDistribution,
    AuditSubmission,
    Instruction,
    Payout,
    SetActive,
    SubmitDistributionList,
    UploadDistributionList,
)
from ..protocol.tasks.life import compute_reserved
from ..wire import decode_text

VALUE_BYTES_MAX = 512
CHUNK_BYTES = 508
MONEY_MAX = 2**63
LIST_BYTES, ENTRY_BYTES = 2048, 128
"""The most bytes of a list, and for each submission of its round."""

LISTS_READ = frozenset(error.__name__ for error in (ListBadNode, ListBadSlash, ListMalformed, ListOverBounty))
"""Errors of a list that was read."""

Place = tuple[int, bytes, int]
"""Of a chunk of a list: its round, who uploaded it, its number."""

Answer = tuple[Instruction, Receipt]
"""An instruction of a transaction that has no other, and its result."""


class LawBroken(Exception):
    """An invariant does not hold. The text says which, and in which slot."""


class Laws:
    """The invariants of one task. Call `check` after each block."""

    def __init__(self, state: State, task: TaskKey) -> None:
        self._state = state
        self._task = task
        self._supply = compute_supply(state)
        self._first = state.tasks.rows[task]
        self._stakes: dict[NodeKey, Stake] = dict(state.get_stakes(task).rows)
        self._kept: dict[tuple[bytes, bytes], Record] = {}
        """Records that may never change, by the name of their table and their key."""
        self._switches = [(-1, self._first.is_active)]
        """The slots in which the manager switched the task, and to what."""
        self._uploads: dict[Place, int] = {}
        """The bytes of each uploaded chunk of a list, as far as it was not handed in."""

    def check(self, outcome: Outcome, answers: Sequence[Answer] = ()) -> None:
        """Check the state, and how the block's own instructions were answered. Raises LawBroken."""
        faults = chain(self._check_answers(answers), self._find_faults(outcome))
        fault = next(faults, None)
        if fault is not None:
            raise LawBroken(f"slot {self._state.head.slot}: {fault}")
        self._stakes = dict(self._state.get_stakes(self._task).rows)
        self._uploads = self._list_uploads()

    def _find_faults(self, outcome: Outcome) -> Iterator[str]:
        yield from self._check_money()
        yield from self._check_task()
        yield from self._check_stakes(outcome)
        for key in RoundCursor(self._state, self._task, 0).rounds.rows:
            yield from self._check_round(RoundCursor(self._state, self._task, int.from_bytes(key, "big")))
        yield from self._check_chunks(outcome)
        yield from self._check_kept(outcome)

    # Answers

    def _check_answers(self, answers: Sequence[Answer]) -> Iterator[str]:
        """What was accepted was in order, where no record would show it."""
        reads = set[tuple[int, bytes]]()
        for instruction, receipt in answers:
            is_accepted = receipt.kind == 0
            match instruction:
                case SetActive(manager=manager, active=active) if (
                    is_accepted and manager == self._first.manager
                ):
                    self._switches.append((self._state.head.slot, bool(active)))
                case AuditDistribution(round=round_number, candidate=candidate) if is_accepted:
                    cursor = RoundCursor(self._state, self._task, round_number)
                    listed = cursor.lists.rows.get(bytes([cursor.opened.attempt]))
                    if listed is None or listed.submitter != candidate:
                        yield f"round {round_number}: an opinion of a list of a node that handed in none"
                case Payout(round=round_number) if is_accepted:
                    if RoundCursor(self._state, self._task, round_number).record is None:
                        yield f"round {round_number}: a payout of a round that was never opened"
                    if round_number in self._state.tasks.rows[self._task].open_rounds:
                        yield f"round {round_number}: a payout of a round that is open"
                case AuditSubmission(round=round_number):
                    is_unopened = RoundCursor(self._state, self._task, round_number).record is None
                    if receipt.name == "UnknownSubmission" and is_unopened:
                        yield f"round {round_number}: submissions were searched in a round without records"
                case UploadDistributionList(round=round_number, node=node, chunk=chunk, size=size) if (
                    is_accepted
                ):
                    self._uploads[round_number, node, chunk] = size
                case SubmitDistributionList(round=round_number, account=account):
                    if is_accepted or receipt.name in LISTS_READ:
                        if (round_number, account) in reads:
                            yield f"round {round_number}: a list was read twice in a block"
                        reads.add((round_number, account))
                        yield from self._check_reading(round_number, account)
                    if is_accepted:
                        number = round_number if (round_number, account, 0) in self._uploads else NO_ROUND
                        self._uploads.pop((number, account, 0), None)
                case _:
                    pass

    def _check_reading(self, round_number: int, account: bytes) -> Iterator[str]:
        """A list that was read had been uploaded, and was not too long."""
        number = round_number if (round_number, account, 0) in self._uploads else NO_ROUND
        sizes: list[int] = []
        while (size := self._uploads.get((number, account, len(sizes)))) is not None:
            sizes.append(size)
            if size < CHUNK_BYTES:
                break
        if not sizes:
            yield f"round {round_number}: a list was read that nobody had uploaded"
        submissions = RoundCursor(self._state, self._task, round_number).submissions.rows
        if sum(sizes) > LIST_BYTES + ENTRY_BYTES * len(submissions):
            yield f"round {round_number}: a list of {sum(sizes)} bytes was read"

    def _list_uploads(self) -> "dict[Place, int]":
        uploads: dict[Place, int] = {}
        for name, table in self._state.tables.items():
            if name[:33] == b"C" + self._task:
                round_number = int.from_bytes(name[33:], "big")
                for key, chunk in table.rows.items():
                    uploads[round_number, key[:32], int.from_bytes(key[32:], "big")] = len(chunk.data)
        return uploads

    # Money and the task

    def _check_money(self) -> Iterator[str]:
        state = self._state
        if (supply := compute_supply(state)) != self._supply:
            yield f"the supply is {supply} roe and was {self._supply}"
        yield from find_token_faults(state)
        if not all(0 <= account.balance < MONEY_MAX for account in state.accounts.rows.values()):
            yield "a balance is negative or has more than 63 bits"

    def _check_task(self) -> Iterator[str]:
        task, first = self._state.tasks.rows[self._task], self._first
        if not 0 <= compute_reserved(task) <= task.bounty:
            yield f"open rounds reserve {compute_reserved(task)} roe of a bounty of {task.bounty}"
        # In these worlds the manager signs nothing after the task is opened, but switches.
        if task.is_active != self._switches[-1][1]:
            yield "the task's is_active has changed without its manager"
        fixed = ("manager", "is_closed", "migrated_to", "timetable", "minimum_stake")
        for name in (*fixed, "bounty_per_round", "rules", "program"):
            if getattr(task, name) != getattr(first, name):
                yield f"the task's {name} has changed without its manager"

    def _check_stakes(self, outcome: Outcome) -> Iterator[str]:
        slashed: dict[bytes, int] = {}
        for event in outcome.events:
            if isinstance(event, Slashed) and event.task == self._task:
                slashed[event.node] = slashed.get(event.node, 0) + event.amount
        for node, stake in self._state.get_stakes(self._task).rows.items():
            before = self._stakes.get(node, Stake())
            if not (0 <= stake.amount < MONEY_MAX and 0 <= stake.available < MONEY_MAX):
                yield "a stake or an available balance is out of bounds"
            if before.amount - slashed.get(node, 0) > stake.amount:
                yield from self._check_withdrawal(node, before)

    def _check_withdrawal(self, node: NodeKey, before: Stake) -> Iterator[str]:
        task, slot = self._state.tasks.rows[self._task], self._state.head.slot
        for round_number in task.open_rounds:
            cursor = RoundCursor(self._state, self._task, round_number)
            listed = any(each.submitter == node for each in cursor.lists.rows.values())
            voted = any(key[-32:] == node for key in (*cursor.votes.rows, *cursor.list_votes.rows))
            if node in cursor.submissions.rows or listed or voted:
                yield f"a stake was withdrawn although its node has a part in round {round_number}"
        free = before.last_round + RULE_SETS[task.rules].locked_rounds + 1
        if before.last_round >= 0 and task.timetable.compute_round(slot) < free:
            yield f"a stake was withdrawn that is locked up to ledger round {free}"
        if task.settling:
            yield "a stake was withdrawn while a payout is worked off"

    # Rounds

    def _check_round(self, cursor: RoundCursor) -> Iterator[str]:
        task, table, round_number = cursor.task, cursor.task.timetable, cursor.round_number
        record = cursor.opened
        if record.state.is_open != (round_number in task.open_rounds):
            state = record.state.name
            yield f"round {round_number} is {state} and the task's open rounds are {task.open_rounds}"
        if not cursor.submissions.rows:
            yield f"round {round_number} is opened without a submission"
        start = table.compute_start(round_number + REVIEW)
        for node, submission in cursor.submissions.rows.items():
            yield from self._check_submission(round_number, task, node, submission, start)
        audit_first = start + table.submission_window + 1
        audit_last = min(start + table.submission_window + table.audit_window, start + table.round_time - 1)
        for key, vote in cursor.votes.rows.items():
            candidate, voter = key[:-32], key[-32:]
            if candidate not in cursor.submissions.rows:
                yield f"round {round_number}: an opinion of a node that did not submit"
            if candidate == voter:
                yield f"round {round_number}: a node's opinion of its own submission"
            if not audit_first <= vote.slot <= audit_last:
                window = f"{audit_first} to {audit_last}"
                yield f"round {round_number}: an opinion in slot {vote.slot}, not in {window}"
            yield from self._check_voter(round_number, NodeKey(voter), vote)
        yield from _check_tally(f"round {round_number}", cursor.audits.rows, cursor.votes.rows)
        yield from self._check_lists(cursor, table)

    def _check_submission(
        self, round_number: int, task: Task, node: NodeKey, submission: Submission, start: int
    ) -> Iterator[str]:
        last = start + task.timetable.submission_window
        if not start <= submission.slot <= last:
            yield f"round {round_number}: a submission in slot {submission.slot}, not in {start} to {last}"
        if not [is_active for slot, is_active in self._switches if slot < start][-1]:
            yield f"round {round_number}: a submission although the task was not active in slot {start}"
        if submission.stake < task.minimum_stake:
            yield f"round {round_number}: a submission with a stake of {submission.stake} roe"
        if not 1 <= len(submission.value) <= VALUE_BYTES_MAX:
            yield f"round {round_number}: a proof of {len(submission.value)} bytes"
        try:
            decode_text(submission.value)
        except Malformed:
            yield f"round {round_number}: a proof that is not UTF-8"

    def _check_voter(self, round_number: int, voter: NodeKey, vote: Vote) -> Iterator[str]:
        if vote.slot != self._state.head.slot:
            return  # its stake was checked in the slot of the vote, and may have been slashed since
        task = self._state.tasks.rows[self._task]
        stake = self._state.get_stakes(self._task).rows.get(voter, Stake())
        if stake.amount < task.minimum_stake:
            yield f"round {round_number}: an opinion of a node with a stake of {stake.amount} roe"

    def _check_lists(self, cursor: RoundCursor, table: Timetable) -> Iterator[str]:
        round_number, task = cursor.round_number, cursor.task
        for key, listed in cursor.lists.rows.items():
            start = table.compute_start(round_number + DISTRIBUTION + key[0])
            if key[0] > task.allowed_failed_distributions:
                yield f"round {round_number}: a list of attempt {key[0]}"
            if not start <= listed.slot <= start + table.submission_window:
                yield f"round {round_number}: a list in slot {listed.slot}, its window begins in {start}"
            if listed.slot == self._state.head.slot:
                stake = self._state.get_stakes(self._task).rows.get(listed.submitter, Stake())
                if stake.amount < task.minimum_stake:
                    yield f"round {round_number}: a list of a node with a stake of {stake.amount} roe"
            if sum(amount for _, amount in listed.amounts if amount > 0) > task.bounty_per_round:
                yield f"round {round_number}: a list that pays more than the bounty"
            for node, amount in listed.amounts:
                if node not in cursor.submissions.rows:
                    yield f"round {round_number}: a list with a node that did not submit"
                elif amount < 0 and _count_votes(cursor.audits.rows.get(node)) > 0:
                    yield f"round {round_number}: a list that slashes a node whose votes are above 0"
            first = start + table.submission_window + 1
            last = min(first + table.audit_window - 1, start + table.round_time - 1)
            for vote_key, vote in cursor.list_votes.rows.items():
                if vote_key[:1] != key:
                    continue
                if vote_key[1:] == listed.submitter:
                    yield f"round {round_number}: a node's opinion of its own list"
                if not first <= vote.slot <= last:
                    yield f"round {round_number}: an opinion of a list in slot {vote.slot}"
                yield from self._check_voter(round_number, NodeKey(vote_key[1:]), vote)
        if any(key[:1] not in cursor.lists.rows for key in cursor.list_votes.rows):
            yield f"round {round_number}: an opinion of a list that was never handed in"
        yield from _check_tally(
            f"list of round {round_number}", cursor.list_audits.rows, cursor.list_votes.rows
        )
        yield from self._check_payments(cursor)

    def _check_payments(self, cursor: RoundCursor) -> Iterator[str]:
        round_number, record, payments = cursor.round_number, cursor.opened, cursor.payments.rows
        if not payments:
            return
        attempt = bytes([record.attempt])
        listed = cursor.lists.rows.get(attempt)
        if listed is None or _count_votes(cursor.list_audits.rows.get(attempt)) <= 0:
            yield f"round {round_number}: payments without a list that stands"
            return
        amounts = dict(listed.amounts)
        for node, payment in payments.items():
            amount = amounts.get(node, 0)
            if payment.reward != max(amount, 0) or payment.slash > max(-amount, 0):
                paid = f"{payment.reward} less {payment.slash}"
                yield f"round {round_number}: it paid {paid}, listed is {amount}"

    # Records

    def _check_chunks(self, outcome: Outcome) -> Iterator[str]:
        state, task = self._state, self._state.tasks.rows[self._task]
        table, slot = task.timetable, state.head.slot
        for change in outcome.changes:
            if change.name[:33] != b"C" + self._task:
                continue
            for key, chunk in change.rows:
                if chunk is None:
                    continue
                data: bytes = getattr(chunk, "data", b"")
                if (
                    int.from_bytes(key[-2:], "big") >= state.genesis.list_chunks_max
                    or len(data) > CHUNK_BYTES
                ):
                    yield "a chunk of a list that is too large or has too high a number"
                if table.compute_offset(slot) > table.submission_window:
                    yield "a chunk that was uploaded after SUBMIT"

    def _check_kept(self, outcome: Outcome) -> Iterator[str]:
        """Submissions, opinions and lists do not change until their round is pruned."""
        for change in outcome.changes:
            if change.name[:1] not in b"SVLW" or change.name[1:33] != self._task:
                continue
            for key, record in change.rows:
                place = change.name, key
                if record is None:
                    self._kept.pop(place, None)
                elif place in self._kept and self._kept[place] != record:
                    yield f"a record of table {chr(change.name[0])} was replaced by another one"
                else:
                    self._kept[place] = record


def _check_tally(name: str, audits: Any, votes: Any) -> Iterator[str]:
    """Each audit has the votes that were given.

    The opinion that raised it is "invalid" and does not count as a vote.
    """
    valid: dict[bytes, int] = {}
    invalid: dict[bytes, int] = {}
    for key, vote in votes.items():
        candidate = key[:-32]
        if vote.order == 0:
            if vote.is_valid:
                yield f"{name}: an audit was raised by an opinion of valid"
            continue
        counts = valid if vote.is_valid else invalid
        counts[candidate] = counts.get(candidate, 0) + 1
    for candidate, audit in audits.items():
        if (audit.valid, audit.invalid) != (valid.get(candidate, 0), invalid.get(candidate, 0)):
            yield f"{name}: an audit counts {audit.valid} to {audit.invalid}"
    if not {key[:-32] for key in votes} <= set(audits):
        yield f"{name}: an opinion without an audit"


def _count_votes(audit: Audit | None) -> int:
    return 1 if audit is None else audit.valid - audit.invalid
