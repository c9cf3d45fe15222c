"""State to the views that a reader may see."""

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from ..hardened_views import HardenedHead, HardenedRound
from ..views import (
    AmountRow,
    LedgerView,
    ListHead,
    ListOpinionRow,
    ListView,
    OpinionRow,
    OwnRound,
    OwnView,
    PartKey,
    PartKind,
    PartView,
    PaymentView,
    RaisedRow,
    RoundHead,
    RoundView,
    Row,
    StakeView,
    SubmissionRow,
    SubmissionView,
    SubmittedRow,
    TaskHead,
    TaskView,
    VerdictRow,
)  # fmt: skip
from ..wire import read_text
from .books import compute_supply
from .params import KOII_1, ROUNDWORK_1, NodeKey, TaskKey, base58_of, key_of
from .read_hardened import Page, cut_page, view_assignments, view_hardened, view_ranks
from .records import Payment, Submission, Task, Vote
from .state import State
from .tasks.commitments import SealKind
from .tasks.cursor import RoundCursor
from .tasks.leaves import name_outcome
from .tasks.life import get_task
from .tasks.review import compute_verdict, compute_votes, get_beacon
from .tasks.round import WINDOWS, Activity, Period, RoundState
from .tasks.sealed import name_seal, read_answers
from .tasks.verdicts import get_verdict


def view_ledger(state: State) -> LedgerView:
    """The ledger as a whole."""
    genesis, head = state.genesis, state.head
    return LedgerView(
        chain=genesis.chain,
        genesis_hash=base58_of(state.genesis_hash),
        kind=genesis.kind,
        symbol=genesis.symbol,
        decimals=genesis.decimals,
        slot_ms=genesis.slot_ms,
        gap_slots_max=genesis.gap_slots_max,
        fee_per_signature=genesis.fee_per_signature,
        faucet=genesis.faucet,
        slot=head.slot,
        height=head.height,
        state_hash=head.state_hash.hex(),
        supply=compute_supply(state),
    )


def view_task(state: State, key: TaskKey) -> TaskView:
    """The view of a task. Raises UnknownTask."""
    task = get_task(state, key)
    table = task.timetable
    slot = state.head.slot
    return TaskView(
        address=base58_of(key),
        program=base58_of(task.program),
        name=read_text(task.name),
        description=read_text(task.description),
        manager=base58_of(task.manager),
        pot=base58_of(task.pot),
        mint=base58_of(task.mint) if task.mint else None,
        audit_program=read_text(task.audit_program),
        executable_network=read_text(task.executable_network),
        metadata=read_text(task.metadata),
        rules=task.rules,
        starting_slot=table.starting_slot,
        round_time=table.round_time,
        submission_window=table.submission_window,
        audit_window=table.audit_window,
        minimum_stake=task.minimum_stake,
        bounty=task.bounty,
        bounty_per_round=task.bounty_per_round,
        allowed_failed_distributions=task.allowed_failed_distributions,
        is_active=task.is_active,
        is_allowlisted=task.is_allowlisted,
        is_closed=task.is_closed,
        migrated_to=base58_of(task.migrated_to) if task.migrated_to else None,
        migrated_from=base58_of(task.migrated_from) if task.migrated_from else None,
        open_rounds=list(task.open_rounds),
        slot=slot,
        seed=get_beacon(state, key, task, table.compute_round(slot)).hex(),
        stakes=[
            StakeView(base58_of(node), stake.amount, stake.available, read_text(stake.endpoint))
            for node, stake in sorted(state.get_stakes(key).rows.items())
        ],
    )


def view_round(
    state: State, key: TaskKey, round_number: int, after: bytes = b"", limit: int | None = None
) -> RoundView:
    """The view of a round; a round that is not opened has no submissions. Raises UnknownTask.

    With a limit it has the records of at most so many nodes, in the order of addresses after `after`.
    """
    task = get_task(state, key)
    cursor = RoundCursor(state, key, round_number)
    record = cursor.record
    page = cut_page(cursor, after, limit)
    hardened = view_hardened(cursor, page) if task.rules == ROUNDWORK_1.name else None
    return RoundView(
        task=base58_of(key),
        round=round_number,
        slot=state.head.slot,
        status=_STATUSES[record.state if record else None],
        attempt=record.attempt if record else 0,
        beacon=record.beacon.hex() if record else "",
        seed=(record.seed if record else get_beacon(state, key, task, round_number)).hex(),
        submissions=_view_sealed(cursor, hardened) if hardened else _view_submissions(cursor, page),
        lists=_view_lists(cursor, page),
        payments=[
            PaymentView(base58_of(node), payment.reward, payment.slash)
            for node, payment in page.pick(cursor.payments.rows)
        ],
        hardened=hardened,
        next_after=base58_of(page.last) if page.last else None,
    )


_STATUSES = {
    None: "Unopened",
    RoundState.SUBMITTING: "Open",
    RoundState.REVIEWING: "Open",
    RoundState.RETRYING: "Open",
    RoundState.SETTLING: "Open",
    RoundState.PAID: "PayoutSuccessful",
    RoundState.UNPAID: "ClosedUnpaid",
}


def _view_submissions(cursor: RoundCursor, page: Page) -> list[SubmissionView]:
    task, audits = cursor.task, cursor.audits.rows
    audit_end = WINDOWS[task.rules][Activity.AUDIT].compute_end(task.timetable, cursor.round_number)
    is_final = cursor.state.head.slot >= audit_end
    auditors = _view_auditors({key: vote for key, vote in cursor.votes.rows.items() if page.has(key[:-32])})
    views = []
    for node, submission in page.pick(cursor.submissions.rows):
        audit = audits.get(node)
        views.append(
            SubmissionView(
                node=base58_of(node),
                value=read_text(submission.value),
                slot=submission.slot,
                stake=submission.stake,
                votes=compute_votes(audit),
                verdict=compute_verdict(audit) if is_final else "untried",
                trigger_by=base58_of(audit.trigger_by) if audit else None,
                auditors=auditors.get(node, {}),
            )
        )
    return views


def _view_sealed(cursor: RoundCursor, hardened: HardenedRound) -> list[SubmissionView]:
    """Submissions under roundwork-1; all that was said of them stands in HardenedSubmission."""
    rows = cursor.submissions.rows
    found = [(seen, rows[NodeKey(key_of(seen.node))]) for seen in hardened.submissions]
    return [
        SubmissionView(
            node=seen.node,
            value=read_text(submission.value),
            slot=submission.slot,
            stake=submission.stake,
            votes=seen.votes,
            verdict=seen.verdict,
            trigger_by=seen.trial.accuser if seen.trial else None,
            auditors={},
            audits_assigned=seen.audits_assigned,
            audits_done=seen.audits_done,
        )
        for seen, submission in found
    ]


def _view_lists(cursor: RoundCursor, page: Page) -> list[ListView]:
    audits = cursor.list_audits.rows
    votes = {key: vote for key, vote in cursor.list_votes.rows.items() if page.has(key[-32:])}
    auditors = _view_auditors(votes)
    views = []
    for attempt, record in sorted(cursor.lists.rows.items()):
        audit = audits.get(attempt)
        views.append(
            ListView(
                attempt=attempt[0],
                submitter=base58_of(record.submitter),
                slot=record.slot,
                amounts={base58_of(node): amount for node, amount in record.amounts if page.has(node)},
                votes=compute_votes(audit),
                trigger_by=base58_of(audit.trigger_by) if audit else None,
                auditors=auditors.get(attempt, {}),
            )
        )
    return views


def _view_auditors(votes: dict[bytes, Vote]) -> dict[bytes, dict[str, bool]]:
    """Opinions by candidate and node, in the order they came in."""
    opinions: dict[bytes, dict[str, bool]] = {}
    for key, vote in sorted(votes.items(), key=lambda item: (item[0][:-32], item[1].order)):
        opinions.setdefault(key[:-32], {})[base58_of(key[-32:])] = vote.is_valid
    return opinions


# What a node reads


def view_head(
    state: State,
    key: TaskKey,
    find_id: Callable[[PartKey], str] = lambda part: "",
    stakes_slot: int = 0,
) -> TaskHead:
    """The head of a task. Raises UnknownTask.

    `find_id` gives the content id of a frozen part's index, `stakes_slot` is the slot of the last change of
    a stake.
    """
    task = get_task(state, key)
    table, slot = task.timetable, state.head.slot
    return TaskHead(
        task=base58_of(key),
        slot=slot,
        rules=task.rules,
        starting_slot=table.starting_slot,
        round_time=table.round_time,
        submission_window=table.submission_window,
        audit_window=table.audit_window,
        minimum_stake=task.minimum_stake,
        bounty=task.bounty,
        bounty_per_round=task.bounty_per_round,
        is_active=task.is_active,
        is_closed=task.is_closed,
        migrated_to=base58_of(task.migrated_to) if task.migrated_to else None,
        seed=get_beacon(state, key, task, table.compute_round(slot)).hex(),
        stakes_slot=stakes_slot,
        open_rounds=list(task.open_rounds),
        rounds=[
            _view_round_head(RoundCursor(state, key, round_number), find_id)
            for round_number in list_head_rounds(task, slot)
        ],
    )


def list_head_rounds(task: Task, slot: int) -> list[int]:
    """The rounds of a head: the one under review, the open ones, and two before each of those."""
    wanted = {task.timetable.compute_round(slot) - Period.REVIEW.later, *task.open_rounds}
    for round_number in task.open_rounds:
        wanted |= {round_number - 1, round_number - 2}
    return sorted(round_number for round_number in wanted if round_number >= 0)


def _view_round_head(cursor: RoundCursor, find_id: Callable[[PartKey], str]) -> RoundHead:
    record = cursor.record
    audits = cursor.list_audits.rows
    lists = [
        ListHead(
            attempt=attempt[0],
            submitter=base58_of(row.submitter),
            slot=row.slot,
            votes=compute_votes(audits.get(attempt)),
            trigger_by=base58_of(audits[attempt].trigger_by) if attempt in audits else None,
        )
        for attempt, row in sorted(cursor.lists.rows.items())
    ]
    return RoundHead(
        round=cursor.round_number,
        status=_STATUSES[record.state if record else None],
        attempt=record.attempt if record else 0,
        beacon=record.beacon.hex() if record else "",
        seed=(
            record.seed
            if record
            else get_beacon(cursor.state, cursor.task_key, cursor.task, cursor.round_number)
        ).hex(),
        submissions=len(cursor.submissions.rows),
        raised=count_rows(cursor, PartKey(cursor.round_number, PartKind.RAISED)),
        lists=lists,
        parts=[
            PartView(part.kind, part.attempt, count_rows(cursor, part), find_id(part))
            for part in list_frozen(cursor)
        ],
        hardened=_view_hardened_head(cursor) if cursor.task.rules == ROUNDWORK_1.name else None,
    )


def _view_hardened_head(cursor: RoundCursor) -> HardenedHead:
    return HardenedHead(
        challenged=len(cursor.challenges.rows),
        posted=len(cursor.proofs.rows),
        ranks=view_ranks(cursor),
    )


_JUDGED = {KOII_1.name: PartKind.AUDITS, ROUNDWORK_1.name: PartKind.VERDICTS}
"""What is frozen when AUDIT ends, by rule set."""


def list_frozen(cursor: RoundCursor) -> list[PartKey]:
    """The parts of a round whose rows do not change any more."""
    if cursor.record is None:
        return []
    task, round_number, slot = cursor.task, cursor.round_number, cursor.state.head.slot
    windows, table = WINDOWS[task.rules], task.timetable
    frozen = []
    if slot >= windows[Activity.SUBMIT].compute_end(table, round_number):
        frozen.append(PartKey(round_number, PartKind.SUBMISSIONS))
    if slot >= windows[Activity.AUDIT].compute_end(table, round_number):
        frozen.append(PartKey(round_number, _JUDGED[task.rules]))
    for attempt in (key[0] for key in sorted(cursor.lists.rows)):
        frozen.append(PartKey(round_number, PartKind.LIST, attempt))
        if slot >= windows[Activity.AUDIT_LIST].compute_end(table, round_number, attempt):
            frozen.append(PartKey(round_number, PartKind.LIST_AUDITS, attempt))
    return frozen


def count_rows(cursor: RoundCursor, part: PartKey) -> int:
    """The number of rows of a part."""
    match part.kind:
        case PartKind.SUBMISSIONS | PartKind.SUBMITTED | PartKind.VERDICTS:
            return len(cursor.submissions.rows)
        case PartKind.AUDITS:
            return len(cursor.votes.rows)
        case PartKind.LIST:
            listed = cursor.lists.rows.get(bytes([part.attempt]))
            return len(listed.amounts) if listed else 0
        case PartKind.LIST_AUDITS:
            return sum(key[0] == part.attempt for key in cursor.list_votes.rows)
        case PartKind.RAISED:
            return len(cursor.audits.rows) + len(cursor.trials.rows)
        case PartKind.CHALLENGED:
            return len(cursor.challenges.rows)
        case PartKind.POSTED:
            return len(cursor.proofs.rows)
        case _:
            assert_never(part.kind)


def read_part(state: State, key: TaskKey, part: PartKey, since_slot: int = 0) -> Sequence[Row]:
    """The rows of a part, in their order; those of a part that grows from a slot on."""
    cursor = RoundCursor(state, key, part.round)
    match part.kind:
        case PartKind.SUBMISSIONS:
            return [
                SubmissionRow(node, row.value, row.slot, row.stake)
                for node, row in sorted(cursor.submissions.rows.items())
            ]
        case PartKind.AUDITS:
            return [
                OpinionRow(place[:-32], place[-32:], row.is_valid, row.slot, row.order)
                for place, row in sorted(
                    cursor.votes.rows.items(), key=lambda item: (item[0][:-32], item[1].order)
                )
            ]
        case PartKind.VERDICTS:
            return _read_verdicts(cursor)
        case PartKind.LIST:
            listed = cursor.lists.rows.get(bytes([part.attempt]))
            return [AmountRow(node, amount) for node, amount in sorted(listed.amounts if listed else ())]
        case PartKind.LIST_AUDITS:
            cast = [item for item in cursor.list_votes.rows.items() if item[0][0] == part.attempt]
            return [
                ListOpinionRow(place[-32:], row.is_valid, row.slot, row.order)
                for place, row in sorted(cast, key=lambda item: item[1].order)
            ]
        case PartKind.SUBMITTED:
            rows = cursor.submissions.rows
            since = sorted((row.slot, node) for node, row in rows.items() if row.slot >= since_slot)
            return [SubmittedRow(base58_of(node), read_text(rows[node].value), slot) for slot, node in since]
        case PartKind.RAISED:
            raised = {candidate: (row.trigger_by, row.slot) for candidate, row in cursor.audits.rows.items()}
            accused = {candidate: (row.accuser, row.slot) for candidate, row in cursor.trials.rows.items()}
            return _list_since({**raised, **accused}, since_slot)
        case PartKind.CHALLENGED:
            challenges = cursor.challenges.rows
            said = {candidate: (row.challenger, row.slot) for candidate, row in challenges.items()}
            return _list_since(said, since_slot)
        case PartKind.POSTED:
            proofs = cursor.proofs.rows
            posted = {candidate: (row.poster, row.slot) for candidate, row in proofs.items()}
            return _list_since(posted, since_slot)
        case _:
            assert_never(part.kind)


def _list_since(rows: Mapping[NodeKey, tuple[NodeKey, int]], since_slot: int) -> list[RaisedRow]:
    """Who did something about a candidate from a slot on; `rows` has node and slot by candidate."""
    since = [(slot, candidate, node) for candidate, (node, slot) in rows.items() if slot >= since_slot]
    return [RaisedRow(base58_of(candidate), base58_of(node), slot) for slot, candidate, node in sorted(since)]


def _read_verdicts(cursor: RoundCursor) -> list[VerdictRow]:
    receipts, trials, rows = read_answers(cursor, SealKind.RECEIPT), cursor.trials.rows, []
    for node in sorted(cursor.submissions.rows):
        (outcome, votes), own = get_verdict(cursor, node), receipts.get(node)
        accuser = trials[node].accuser if node in trials else b""
        assigned, done = (len(own.candidates), len(own.found)) if own else (0, 0)
        rows.append(VerdictRow(node, name_outcome(outcome), votes, accuser, assigned, done))
    return rows


def view_own(state: State, key: TaskKey, node: NodeKey) -> OwnView:
    """The records of a node in a task. Raises UnknownTask."""
    return OwnReader(state, key).view(node, base58_of(node))


class OwnReader:
    """Reads the records of one node after another: what is the same for all is found once for each block."""

    def __init__(self, state: State, key: TaskKey) -> None:
        """Raises UnknownTask."""
        task, self._slot = get_task(state, key), state.head.slot
        self._stakes = state.get_stakes(key).rows
        cursors = [RoundCursor(state, key, number) for number in list_head_rounds(task, self._slot)]
        self._rounds = [
            (cursor, cursor.submissions.rows, cursor.payments.rows, cursor.voices.rows, cursor.seals.rows)
            for cursor in cursors
        ]

    def view(self, node: NodeKey, address: str) -> OwnView:
        """The records of a node, after the block for which the reader was made."""
        stake, seal = self._stakes.get(node), name_seal(SealKind.SUBMISSION, node)
        rounds = []
        for cursor, submissions, payments, voices, seals in self._rounds:
            submission, payment = submissions.get(node), payments.get(node)
            if node in voices or seal in seals:
                rounds.append(_view_own_round(cursor, node, submission, payment))
            elif submission is not None or payment is not None:
                rounds.append(_view_quiet_round(cursor.round_number, submission, payment))
        return OwnView(
            node=address,
            slot=self._slot,
            amount=stake.amount if stake else 0,
            available=stake.available if stake else 0,
            endpoint=read_text(stake.endpoint) if stake else "",
            rounds=[own for own in rounds if own != OwnRound(round=own.round)],
        )


def _view_quiet_round(round_number: int, submission: Submission | None, payment: Payment | None) -> OwnRound:
    """The records of a node that has committed nothing in a round, and has given no opinion."""
    return OwnRound(
        round=round_number,
        value=read_text(submission.value) if submission else None,
        reward=payment.reward if payment else 0,
        slash=payment.slash if payment else 0,
    )


def _view_own_round(
    cursor: RoundCursor, node: NodeKey, submission: Submission | None, payment: Payment | None
) -> OwnRound:
    votes, seal = cursor.votes.rows, name_seal(SealKind.SUBMISSION, node)
    opinions = {
        base58_of(candidate): votes[candidate + node].is_valid
        for candidate in cursor.audits.rows
        if candidate + node in votes
    }
    list_opinion = cursor.list_votes.rows.get(bytes([cursor.opened.attempt]) + node)
    return OwnRound(
        round=cursor.round_number,
        value=read_text(submission.value) if submission else None,
        opinions=opinions,
        list_opinion=list_opinion.is_valid if list_opinion else None,
        reward=payment.reward if payment else 0,
        slash=payment.slash if payment else 0,
        assignments=(
            view_assignments(cursor.state, cursor.task_key, cursor.round_number, node)
            if seal in cursor.seals.rows
            else None
        ),
    )
