"""Submissions and their audits: the instructions of a round's review."""

import msgspec

from ...errors import (
    AlreadyAudited,
    AlreadySubmitted,
    BadValue,
    BountyExhausted,
    NoAuditRaised,
    NotStaked,
    OwnSubmission,
    TaskInactive,
    UnknownRound,
    UnknownSubmission,
    WrongPhase,
)  # fmt: skip
from ..clock import REVIEW
from ..layout import Call
from ..params import NodeKey, TaskKey, base58_of
from ..records import Audit, Mark, Round, Stake, Submission, Task, Vote
from ..rules import rule
from ..state import K, State, Table
from .beacon import compute_beacon, compute_first_beacon
from .cursor import RoundCursor
from .instructions import VALUE_BYTES_MAX, AuditSubmission, SubmitTask
from .life import check_living, compute_reserved, get_task, is_active_at_start
from .round import WINDOWS, Activity, RoundEvent, StepKind, compute_pruning_slot
from .stakes import get_stake


def submit(state: State, call: Call, instruction: SubmitTask) -> None:
    """Put a node's proof into its round; the first one opens the round.

    Raises UnknownTask, WrongPhase, TaskClosed, NotStaked, AlreadySubmitted, BadValue,
    BountyExhausted, TaskInactive. Source: docs/PROTOCOL.md 6.
    """
    task = get_task(state, instruction.task)
    check_submit_window(task, call.slot, instruction.round)
    check_living(task)
    stake = get_stake(state, instruction.task, instruction.node)
    check_takes_part(task, stake, instruction.node)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_first_submission(cursor.submissions, instruction.node, instruction.round)
    check_value(instruction.value)
    record = cursor.record
    check_reservable(task, record is not None)
    check_active(task, instruction.round)

    if record is None:
        open_round(cursor)
        submit_end = WINDOWS[task.rules][Activity.SUBMIT].compute_end(task.timetable, instruction.round)
        cursor.schedule(submit_end, StepKind.SUBMIT_END)
        schedule_attempt(cursor, 0)
    state.put(cursor.submissions, instruction.node, Submission(instruction.value, call.slot, stake.amount))
    state.put(
        state.get_stakes(instruction.task),
        instruction.node,
        Stake(stake.amount, stake.available, stake.endpoint, instruction.round),
    )


def audit(state: State, call: Call, instruction: AuditSubmission) -> None:
    """Take a node's opinion of a submission; the first `false` raises the audit.

    Raises UnknownTask, WrongPhase, UnknownRound, NotStaked, OwnSubmission, UnknownSubmission,
    AlreadyAudited, NoAuditRaised. Source: docs/PROTOCOL.md 7.
    """
    task = get_task(state, instruction.task)
    check_audit_window(task, call.slot, instruction.round)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_round(cursor)
    check_staker(task, get_stake(state, instruction.task, instruction.node), instruction.node)
    check_candidate(cursor, instruction.candidate)
    check_not_own(instruction.node, instruction.candidate)
    audits, votes = cursor.audits, cursor.votes
    check_first_opinion(votes, instruction.candidate + instruction.node)
    check_raised(audits.rows.get(instruction.candidate), bool(instruction.is_valid))

    add_opinion(
        state, call.slot, audits, votes, instruction.candidate, instruction.node, bool(instruction.is_valid)
    )
    state.put(cursor.voices, instruction.node, Mark(call.slot))


# Checks


@rule("6.1")
def check_submit_window(task: Task, slot: int, round_number: int) -> None:
    """A round takes submissions in SUBMIT of its review."""
    _check_window(task, slot, round_number, Activity.SUBMIT, "submissions")


@rule("6.2")
def check_active(task: Task, round_number: int) -> None:
    """The task was active when the review began."""
    if not is_active_at_start(task, round_number + REVIEW):
        raise TaskInactive(f"the task was not active when ledger round {round_number + REVIEW} began")


@rule("6.3")
def check_takes_part(task: Task, stake: Stake, node: NodeKey) -> None:
    """A node that submits has at least the minimum stake."""
    _check_minimum(task, stake, node)


@rule("6.4")
def check_first_submission(submissions: Table[NodeKey, Submission], node: NodeKey, round_number: int) -> None:
    """A node submits once in a round."""
    if node in submissions.rows:
        raise AlreadySubmitted(f"{base58_of(node)} submitted in round {round_number} already")


@rule("6.5")
def check_value(value: bytes) -> None:
    """A value is 1 to 512 bytes of UTF-8 after trimming."""
    if not 1 <= len(value) <= VALUE_BYTES_MAX:
        raise BadValue(f"the value has {len(value)} bytes after trimming; 1 to {VALUE_BYTES_MAX} are allowed")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise BadValue(f"the value is not UTF-8: {error.reason} at byte {error.start}") from None


@rule("6.6")
def check_reservable(task: Task, is_open: bool) -> None:
    """The first submission of a round reserves the round's bounty."""
    free = task.bounty - compute_reserved(task)
    if not is_open and free < task.bounty_per_round:
        raise BountyExhausted(f"{free} roe of the bounty are free; a round reserves {task.bounty_per_round}")


@rule("7.1")
def check_audit_window(task: Task, slot: int, round_number: int) -> None:
    """A round's submissions are audited in AUDIT of its review."""
    _check_window(task, slot, round_number, Activity.AUDIT, "audits")


@rule("7.2")
def check_round(cursor: RoundCursor) -> None:
    """The round was opened by a submission, and is not pruned."""
    if cursor.record is None:
        raise UnknownRound(f"round {cursor.round_number} was never opened, or its records are pruned")


@rule("7.3")
def check_staker(task: Task, stake: Stake, node: NodeKey) -> None:
    """A node that audits has at least the minimum stake."""
    _check_minimum(task, stake, node)


@rule("7.5")
def check_not_own(node: NodeKey, candidate: NodeKey) -> None:
    """A node does not audit its own submission."""
    if node == candidate:
        raise OwnSubmission(f"{base58_of(node)} cannot audit its own submission")


@rule("7.4")
def check_candidate(cursor: RoundCursor, candidate: NodeKey) -> None:
    """The candidate submitted in the round."""
    if candidate not in cursor.submissions.rows:
        raise UnknownSubmission(f"{base58_of(candidate)} submitted nothing in round {cursor.round_number}")


@rule("7.6")
def check_first_opinion(votes: Table[bytes, Vote], key: bytes) -> None:
    """A node gives one opinion of a candidate; raising the audit counts."""
    if key in votes.rows:
        raise AlreadyAudited(
            f"{base58_of(key[-32:])} gave its opinion in slot {votes.rows[key].slot} already"
        )


@rule("7.7")
def check_raised(raised: Audit | None, is_valid: bool) -> None:
    """An opinion of `valid` needs an audit that was raised; silence is consent."""
    if is_valid and raised is None:
        raise NoAuditRaised("no audit is raised yet; only an opinion of invalid raises an audit")


def _check_window(task: Task, slot: int, round_number: int, activity: Activity, what: str) -> None:
    window = WINDOWS[task.rules][activity]
    if not window.is_open(task.timetable, slot, round_number):
        first, last = window.compute_slots(task.timetable, round_number)
        raise WrongPhase(f"round {round_number} takes {what} in slots {first} to {last}; this is slot {slot}")


def _check_minimum(task: Task, stake: Stake, node: NodeKey) -> None:
    if stake.amount < task.minimum_stake:
        raise NotStaked(
            f"{base58_of(node)} has a stake of {stake.amount} roe; {task.minimum_stake} are needed"
        )


# Changes


def open_round(cursor: RoundCursor) -> None:
    """Begin a round's record: its bounty is reserved, and its pruning is scheduled."""
    state, task, round_number = cursor.state, cursor.task, cursor.round_number
    open_rounds = tuple(sorted((*task.open_rounds, round_number)))
    state.put(state.tasks, cursor.task_key, msgspec.structs.replace(task, open_rounds=open_rounds))
    cursor.open(Round(seed=get_beacon(state, cursor.task_key, task, round_number)))
    retries = task.allowed_failed_distributions
    cursor.schedule(compute_pruning_slot(task.timetable, round_number, retries), StepKind.PRUNING)


def schedule_attempt(cursor: RoundCursor, attempt: int) -> None:
    """Have an attempt of a round judged when AUDIT of its ledger round ends."""
    task = cursor.task
    window = WINDOWS[task.rules][Activity.AUDIT_LIST]
    cursor.schedule(window.compute_end(task.timetable, cursor.round_number, attempt), StepKind.ATTEMPT_END)


def get_beacon(state: State, key: TaskKey, task: Task, ledger_round: int) -> bytes:
    """The last beacon that was fixed when a ledger round began, the current or the previous ledger round."""
    for fixed, beacon in reversed(task.beacons):
        if fixed < ledger_round:
            return beacon
    return compute_first_beacon(state.genesis_hash, key)


def fix_beacon(cursor: RoundCursor) -> None:
    """When SUBMIT of its review ends, a round's beacon is fixed."""
    before = get_beacon_before(cursor)
    beacon = compute_beacon(cursor.state.genesis_hash, cursor.task_key, before, cursor.round_number)
    keep_beacon(cursor, beacon)
    cursor.move(RoundEvent.SUBMIT_ENDED, beacon=beacon)


def get_beacon_before(cursor: RoundCursor) -> bytes:
    """The last beacon of the task before that of a round whose SUBMIT has just ended."""
    reviewed_in = cursor.round_number + REVIEW
    return get_beacon(cursor.state, cursor.task_key, cursor.task, reviewed_in + 1)


def keep_beacon(cursor: RoundCursor, beacon: bytes) -> None:
    """Let a round's beacon be the last one of its task."""
    task = cursor.task
    beacons = (*task.beacons[-1:], (cursor.round_number + REVIEW, beacon))
    cursor.state.put(cursor.state.tasks, cursor.task_key, msgspec.structs.replace(task, beacons=beacons))


def add_opinion(
    state: State,
    slot: int,
    audits: Table[K, Audit],
    votes: Table[bytes, Vote],
    candidate: K,
    node: NodeKey,
    is_valid: bool,
) -> None:
    """Raise an audit with this opinion, or count the opinion in the raised audit.

    `candidate` is a node, or the attempt of a list.
    """
    raised = audits.rows.get(candidate)
    if raised is None:
        new, order = Audit(node, slot), 0
    else:
        order = raised.valid + raised.invalid + 1
        valid, invalid = raised.valid + is_valid, raised.invalid + (not is_valid)
        new = Audit(raised.trigger_by, raised.slot, valid, invalid)
    state.put(audits, candidate, new)
    state.put(votes, candidate + node, Vote(is_valid, slot, order))


def compute_votes(raised: Audit | None) -> int:
    """The `votes` of a candidate: +1 if no audit was raised, otherwise the sum of the votes after it."""
    return 1 if raised is None else raised.valid - raised.invalid


def compute_verdict(raised: Audit | None) -> str:
    """The verdict that the votes amount to when AUDIT has ended."""
    if raised is None:
        return "untried"
    votes = compute_votes(raised)
    return "acquitted" if votes > 0 else "inconclusive" if votes == 0 else "convicted"
