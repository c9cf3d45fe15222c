"""Submissions and their audits: what a node may say about a round while it is reviewed."""

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
    WrongRules,
)  # fmt: skip
from ..clock import DISTRIBUTION, REVIEW, Phase
from ..params import Key, base58_of
from ..records import Audit, Mark, Round, Stake, Submission, Task, Vote
from ..rules import rule
from ..state import State, Table, u64
from .beacon import compute_beacon, compute_first_beacon
from .instructions import AuditSubmission, SubmitTask
from .life import check_living, compute_reserved, get_rules, get_task, is_active_at_start
from .stakes import get_stake

VALUE_BYTES_MAX = 512

STEP_BEACON = b"\x02"
STEP_ATTEMPT = b"\x03"
STEP_PRUNE = b"\x04"
"""Steps that fall due; in one slot and task they come in this order, of one kind by round."""


def submit(state: State, slot: int, ask: SubmitTask) -> None:
    """Put a node's proof into its round; the first one opens the round.

    Raises UnknownTask, WrongRules, WrongPhase, TaskClosed, NotStaked, AlreadySubmitted, BadValue,
    BountyExhausted, TaskInactive. Source: docs/PROTOCOL.md 6.
    """
    task = get_task(state, ask.task)
    check_open_rules(task)
    check_phase(task, slot, ask.round, Phase.SUBMIT)
    check_living(task)
    stake = get_stake(state, ask.task, ask.node)
    check_takes_part(task, stake, ask.node)
    submissions = state.get_submissions(ask.task, ask.round)
    check_first_submission(submissions, ask.node, ask.round)
    check_value(ask.value)
    rounds = state.get_rounds(ask.task)
    key = u64(ask.round)
    check_reservable(task, key in rounds.rows)
    check_active(task, ask.round)

    if key not in rounds.rows:
        open_round(state, slot, ask.task, task, ask.round)
    state.put(submissions, ask.node, Submission(ask.value, slot, stake.amount))
    state.put(
        state.get_stakes(ask.task),
        ask.node,
        Stake(stake.amount, stake.available, stake.endpoint, ask.round),
    )


def audit(state: State, slot: int, ask: AuditSubmission) -> None:
    """Take a node's view of a submission; the first `false` raises the audit.

    Raises UnknownTask, WrongRules, WrongPhase, UnknownRound, NotStaked, OwnSubmission, UnknownSubmission,
    AlreadyAudited, NoAuditRaised. Source: docs/PROTOCOL.md 7.
    """
    task = get_task(state, ask.task)
    check_open_rules(task)
    check_phase(task, slot, ask.round, Phase.AUDIT)
    check_round(state, ask.task, ask.round)
    check_staker(task, get_stake(state, ask.task, ask.node), ask.node)
    check_candidate(state, ask.task, ask.round, ask.candidate)
    check_not_own(ask.node, ask.candidate)
    audits = state.get_audits(ask.task, ask.round)
    votes = state.get_votes(ask.task, ask.round)
    raised = audits.rows.get(ask.candidate)
    check_first_view(votes, ask.candidate + ask.node)
    check_raised(raised, bool(ask.is_valid))

    add_view(state, slot, audits, votes, ask.candidate, ask.node, bool(ask.is_valid))
    state.put(state.get_voices(ask.task, ask.round), ask.node, Mark(slot))


def refuse_sealed(state: State, key: Key) -> None:
    """Instructions of rule sets that seal, under one that does not. Raises UnknownTask, WrongRules."""
    check_sealed_rules(get_task(state, key))


# Checks


@rule("5.1")
def check_open_rules(task: Task) -> None:
    """Open submissions, views and lists of any keys belong to rule sets that do not seal."""
    rules = get_rules(task)
    if rules.sealed:
        raise WrongRules(f"{rules.name} seals submissions: commit, then reveal")


@rule("5.2")
def check_sealed_rules(task: Task) -> None:
    """Sealed messages, accusations, reports and canaries belong to rule sets that seal; none is built yet."""
    raise WrongRules(f"{task.rules} has no sealed messages, accusations, reports or canaries")


def check_phase(task: Task, slot: int, number: int, phase: Phase) -> None:
    """A round is submitted to and audited in the ledger round after its work."""
    if phase is Phase.SUBMIT:
        check_submit_phase(task, slot, number)
    else:
        check_audit_phase(task, slot, number)


@rule("6.1")
def check_submit_phase(task: Task, slot: int, number: int) -> None:
    """A round takes submissions in SUBMIT of its review."""
    check_clock(task, slot, number, Phase.SUBMIT, "submissions")


@rule("6.2")
def check_active(task: Task, number: int) -> None:
    """The task was active when the review began."""
    if not is_active_at_start(task, number + REVIEW):
        raise TaskInactive(f"the task was not active when ledger round {number + REVIEW} began")


@rule("6.3")
def check_takes_part(task: Task, stake: Stake, node: Key) -> None:
    """Who submits has at least the minimum stake."""
    _check_minimum(task, stake, node)


@rule("6.4")
def check_first_submission(submissions: Table[Submission], node: Key, number: int) -> None:
    """A node submits once in a round."""
    if node in submissions.rows:
        raise AlreadySubmitted(f"{base58_of(node)} submitted in round {number} already")


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
def check_audit_phase(task: Task, slot: int, number: int) -> None:
    """A round's submissions are audited in AUDIT of its review."""
    check_clock(task, slot, number, Phase.AUDIT, "audits")


@rule("7.2")
def check_round(state: State, task: Key, number: int) -> None:
    """The round was opened by a submission, and is not pruned."""
    if u64(number) not in state.get_rounds(task).rows:
        raise UnknownRound(f"round {number} was never opened, or its records are pruned")


@rule("7.3")
def check_staker(task: Task, stake: Stake, node: Key) -> None:
    """Who audits has at least the minimum stake."""
    _check_minimum(task, stake, node)


@rule("7.4")
def check_not_own(node: Key, candidate: Key) -> None:
    """Nobody audits its own submission."""
    if node == candidate:
        raise OwnSubmission(f"{base58_of(node)} cannot audit its own submission")


@rule("7.5")
def check_candidate(state: State, task: Key, number: int, candidate: Key) -> None:
    """The candidate submitted in the round."""
    if candidate not in state.get_submissions(task, number).rows:
        raise UnknownSubmission(f"{base58_of(candidate)} submitted nothing in round {number}")


@rule("7.6")
def check_first_view(votes: Table[Vote], key: bytes) -> None:
    """A node gives one view of a candidate; raising the audit counts."""
    if key in votes.rows:
        raise AlreadyAudited(f"{base58_of(key[-32:])} gave its view in slot {votes.rows[key].slot} already")


@rule("7.7")
def check_raised(raised: Audit | None, is_valid: bool) -> None:
    """A view that all is well needs an audit that was raised; silence is consent."""
    if is_valid and raised is None:
        raise NoAuditRaised("no audit is raised; only a view of invalid raises one")


def check_clock(task: Task, slot: int, number: int, phase: Phase, what: str) -> None:
    """The slot is in the phase of the round's review."""
    table = task.timetable
    if table.compute_round(slot) != number + REVIEW or table.compute_phase(slot) is not phase:
        first, last = table.compute_window(number + REVIEW, phase)
        raise WrongPhase(f"round {number} takes {what} in slots {first} to {last}; this is slot {slot}")


def _check_minimum(task: Task, stake: Stake, node: Key) -> None:
    if stake.amount < task.minimum_stake:
        raise NotStaked(
            f"{base58_of(node)} has a stake of {stake.amount} roe; {task.minimum_stake} are needed"
        )


# Changes


def open_round(state: State, slot: int, key: Key, task: Task, number: int) -> None:
    """Begin a round's record: its bounty is reserved and its steps are scheduled."""
    table = task.timetable
    rounds = tuple(sorted((*task.open_rounds, number)))
    state.put(state.tasks, key, msgspec.structs.replace(task, open_rounds=rounds))
    seed = get_beacon(state, key, task, number)
    state.put(state.get_rounds(key), u64(number), Round(slot, seed=seed))
    state.schedule(u64(table.compute_end(number + REVIEW, Phase.SUBMIT)) + key + STEP_BEACON + u64(number))
    schedule_attempt(state, key, task, number, 0)
    pruned = number + 3 + task.allowed_failed_distributions + 1
    state.schedule(u64(table.compute_start(pruned)) + key + STEP_PRUNE + u64(number))


def schedule_attempt(state: State, key: Key, task: Task, number: int, attempt: int) -> None:
    """Have an attempt of a round judged when AUDIT of its ledger round ends."""
    end = task.timetable.compute_end(number + DISTRIBUTION + attempt, Phase.AUDIT)
    state.schedule(u64(end) + key + STEP_ATTEMPT + u64(number))


def get_beacon(state: State, key: Key, task: Task, ledger_round: int) -> bytes:
    """The last beacon that was fixed when a ledger round began, the present one or the one before."""
    for fixed, beacon in reversed(task.beacons):
        if fixed < ledger_round:
            return beacon
    return compute_first_beacon(state.genesis_hash, key)


def fix_beacon(state: State, key: Key, number: int) -> None:
    """When SUBMIT of its review ends, a round's beacon is fixed."""
    task = state.tasks.rows[key]
    rounds = state.get_rounds(key)
    before = get_beacon(state, key, task, number + REVIEW + 1)
    beacon = compute_beacon(state.genesis_hash, key, before, number)
    beacons = (*task.beacons[-1:], (number + REVIEW, beacon))
    state.put(state.tasks, key, msgspec.structs.replace(task, beacons=beacons))
    state.put(rounds, u64(number), msgspec.structs.replace(rounds.rows[u64(number)], beacon=beacon))


def add_view(
    state: State,
    slot: int,
    audits: Table[Audit],
    votes: Table[Vote],
    candidate: bytes,
    node: Key,
    is_valid: bool,
) -> None:
    """Raise an audit with this view, or count the view in the one that is raised."""
    raised = audits.rows.get(candidate)
    if raised is None:
        new, number = Audit(node, slot), 0
    else:
        number = raised.valid + raised.invalid + 1
        valid, invalid = raised.valid + is_valid, raised.invalid + (not is_valid)
        new = Audit(raised.trigger_by, raised.slot, valid, invalid)
    state.put(audits, candidate, new)
    state.put(votes, candidate + node, Vote(is_valid, slot, number))


def compute_votes(raised: Audit | None) -> int:
    """The `votes` of a candidate: +1 if nobody raised an audit, else the sum of the votes after it."""
    return 1 if raised is None else raised.valid - raised.invalid


def compute_verdict(raised: Audit | None) -> str:
    """The verdict that the votes amount to when AUDIT has ended."""
    if raised is None:
        return "untried"
    votes = compute_votes(raised)
    return "acquitted" if votes > 0 else "inconclusive" if votes == 0 else "convicted"
