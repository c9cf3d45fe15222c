"""Commitments and what opens them: submissions, receipts and votes under roundwork-1.

Source: docs/PROTOCOL.md 16.
"""

from collections.abc import Set
from typing import NamedTuple

from blake3 import blake3

from ...errors import (
    AlreadyCommitted,
    AlreadyRevealed,
    BadInstruction,
    BadValue,
    NothingToJudge,
    NotStaked,
    NotSubmitter,
    WrongPhase,
    WrongReveal,
)  # fmt: skip
from ..layout import Call
from ..params import NodeKey, base58_of
from ..records import Duties, Seal, Stake, Submission, Task
from ..rules import rule
from ..state import State, Table
from .beacon import compute_sealed_beacon
from .commitments import SealKind, compute_commitment
from .cursor import RoundCursor
from .draw import Ballot
from .events import ClosedUnpaid, Event
from .heads import add_head
from .instructions import Commit, Reveal
from .life import check_living, get_task
from .payout import end_round
from .pledges import compute_lapse, fine
from .review import (
    check_active,
    check_reservable,
    check_round,
    check_value,
    get_beacon_before,
    keep_beacon,
    open_round,
)
from .round import WINDOWS, Activity, RoundEvent, StepKind
from .stakes import get_stake
from .verdicts import list_missing

CHECKERS = 3
"""The checkers of a submission."""

SUBMISSIONS_MIN = 3
"""A round with fewer submissions closes unpaid."""

BITS_MAX = 6400
"""The most checks or trials of a node that count: as many as one message can answer."""


COMMITS = {
    SealKind.SUBMISSION: Activity.COMMIT,
    SealKind.RECEIPT: Activity.CHECK,
    SealKind.VOTES: Activity.JUDGE,
}
"""The window in which each kind is committed."""

REVEALS = {
    SealKind.SUBMISSION: Activity.REVEAL,
    SealKind.RECEIPT: Activity.DISCLOSE,
    SealKind.VOTES: Activity.DISCLOSE,
}
"""The window in which each kind is revealed."""


def commit(state: State, call: Call, instruction: Commit) -> None:
    """Keep a node's commitment; the first commitment of a submission opens the round.

    Raises UnknownTask, BadInstruction, WrongPhase, TaskClosed, UnknownRound, NotStaked, NotSubmitter,
    NothingToJudge, AlreadyCommitted, BountyExhausted, TaskInactive.
    """
    task = get_task(state, instruction.task)
    kind = check_kind(instruction.kind)
    check_window(task, call.slot, instruction.round, COMMITS[kind])
    cursor = RoundCursor(state, instruction.task, instruction.round)
    if kind is SealKind.SUBMISSION:
        check_living(task)
        check_half_stake(task, get_stake(state, instruction.task, instruction.node), instruction.node)
        check_uncommitted(cursor, kind, instruction.node)
        check_reservable(task, cursor.record is not None)
        check_active(task, instruction.round)
    else:
        check_running(cursor)
        check_submitter(cursor, instruction.node)
        check_duties(cursor, kind, instruction.node)
        check_uncommitted(cursor, kind, instruction.node)

    if cursor.record is None:
        open_round(cursor)
        schedule_halves(cursor)
    state.put(cursor.seals, name_seal(kind, instruction.node), Seal(instruction.commitment, call.slot))


def reveal(state: State, call: Call, instruction: Reveal) -> None:
    """Open a node's commitment.

    Raises UnknownTask, BadInstruction, WrongPhase, UnknownRound, WrongReveal, AlreadyRevealed, BadValue.
    """
    task = get_task(state, instruction.task)
    kind = check_kind(instruction.kind)
    check_window(task, call.slot, instruction.round, REVEALS[kind])
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_running(cursor)
    seal = check_committed(cursor, kind, instruction.node)
    check_unrevealed(seal, instruction.node)
    check_opens(state, seal, kind, instruction)
    value = instruction.payload.rstrip(b" ")
    if kind is SealKind.SUBMISSION:
        check_value(value)
    else:
        check_bits(instruction.payload, len(list_duties(cursor, kind, instruction.node)))

    kept = b"" if kind is SealKind.SUBMISSION else instruction.payload
    new = Seal(seal.commitment, seal.slot, seal.stake, True, instruction.salt, kept)
    state.put(cursor.seals, name_seal(kind, instruction.node), new)
    if kind is SealKind.SUBMISSION:
        state.put(cursor.submissions, instruction.node, Submission(value, call.slot, seal.stake))


# What falls due


def schedule_halves(cursor: RoundCursor) -> None:
    """Have the ends of both halves of SUBMIT fall due for a round that opens."""
    windows, table, round_number = WINDOWS[cursor.task.rules], cursor.task.timetable, cursor.round_number
    cursor.schedule(windows[Activity.COMMIT].compute_end(table, round_number), StepKind.COMMITS_END)
    cursor.schedule(windows[Activity.REVEAL].compute_end(table, round_number), StepKind.REVEALS_END)


def end_commits(cursor: RoundCursor) -> None:
    """When the first half of SUBMIT ends: fix the stake that each node has at risk in the round."""
    state = cursor.state
    seals = cursor.seals
    for key, seal in sorted(seals.rows.items()):
        stake = get_stake(state, cursor.task_key, NodeKey(key[1:])).amount
        state.put(seals, key, Seal(seal.commitment, seal.slot, stake))


def end_reveals(cursor: RoundCursor, events: list[Event]) -> None:
    """When SUBMIT ends: fix the beacon, fine missing reveals, and draw the checkers or close the round."""
    beacon = fix_sealed_beacon(cursor)
    fine_unrevealed(cursor, SealKind.SUBMISSION, events)
    if len(cursor.submissions.rows) < SUBMISSIONS_MIN:
        end_round(cursor)
        cursor.move(RoundEvent.TOO_FEW, beacon=beacon)
        add_head(cursor)
        events.append(ClosedUnpaid(cursor.task_key, cursor.round_number, 0))
        return
    cursor.move(RoundEvent.SUBMIT_ENDED, beacon=beacon)
    draw_checkers(cursor, beacon)
    windows, table, round_number = WINDOWS[cursor.task.rules], cursor.task.timetable, cursor.round_number
    for activity, kind in (
        (Activity.ANSWER, StepKind.ANSWERS_END),
        (Activity.ACCUSE, StepKind.ACCUSATIONS_END),
        (Activity.AUDIT, StepKind.TRIAL_BONDS),
        (Activity.AUDIT, StepKind.VERDICTS),
    ):
        cursor.schedule(windows[activity].compute_end(table, round_number), kind)


def fix_sealed_beacon(cursor: RoundCursor) -> bytes:
    """The beacon of a round whose SUBMIT has ended; the block that runs this is the child of the head."""
    mix = 0
    for key, seal in cursor.seals.rows.items():
        if seal.is_revealed:
            mix ^= int.from_bytes(blake3(seal.salt + key[1:]).digest(), "big")
    before, state = get_beacon_before(cursor), cursor.state
    head = state.genesis_hash + cursor.task_key + before + cursor.round_number.to_bytes(8, "little")
    beacon = compute_sealed_beacon(head, mix.to_bytes(32, "big"), state.head.block_hash)
    keep_beacon(cursor, beacon)
    return beacon


def fine_unrevealed(cursor: RoundCursor, kind: SealKind, events: list[Event]) -> None:
    """A node that committed and did not reveal pays a lapse."""
    lapse, rows = compute_lapse(cursor.task), cursor.seals.rows
    for key in sorted([key for key, seal in rows.items() if not seal.is_revealed and key[0] == kind]):
        fine(cursor, NodeKey(key[1:]), lapse, events)


def draw_checkers(cursor: RoundCursor, beacon: bytes) -> None:
    """Draw the checkers of every submission, and keep for each checker what it checks."""
    ballot, state, table = get_ballot(cursor), cursor.state, cursor.checks
    checks: dict[NodeKey, list[NodeKey]] = {node: [] for node in ballot.nodes}
    for candidate in ballot.nodes:
        for checker in ballot.draw(compute_checkers_seed(beacon, candidate), CHECKERS, [candidate]):
            checks[checker].append(candidate)
    for checker, candidates in checks.items():
        if candidates:
            state.put(table, checker, Duties(tuple(candidates)))


def compute_checkers_seed(beacon: bytes, candidate: NodeKey) -> bytes:
    """The seed by which the checkers of a submission are drawn."""
    return blake3(b"roundwork/checkers/1" + beacon + candidate).digest()


# Records


def get_ballot(cursor: RoundCursor) -> Ballot:
    """The submitters of a round with the stakes that they have at risk in it."""
    return Ballot({node: submission.stake for node, submission in cursor.submissions.rows.items()})


def name_seal(kind: int, node: NodeKey) -> bytes:
    """The key of a commitment."""
    return bytes([kind]) + node


def list_duties(cursor: RoundCursor, kind: SealKind, node: NodeKey) -> tuple[NodeKey, ...]:
    """The candidates that a receipt or votes of a node give a bit for, in their order.

    A large node may have all submissions of a large round, and refused messages pay one fee each: it is
    found out once in a block. This is for transactions and readers: due steps change it.
    """
    table = get_drawn(cursor, kind)
    drawn = table.rows.get(node)
    if drawn is None:
        return ()
    key = table.name + node
    duties = cursor.state.duties.get(key)
    if duties is None:
        duties = cursor.state.duties[key] = _leave_out(drawn.candidates, list_missing(cursor))
    return duties


class Answers(NamedTuple):
    """The candidates of a checker or a juror; if it revealed, whether it found each of them valid."""

    candidates: tuple[NodeKey, ...]
    found: dict[NodeKey, bool]


def read_answers(
    cursor: RoundCursor, kind: SealKind, of: Set[NodeKey] | None = None
) -> dict[NodeKey, Answers]:
    """What checkers or jurors of a round answered, in the order of their addresses: all, or some of them."""
    missing, seals, prefix = list_missing(cursor), cursor.seals.rows, bytes([kind])
    rows, answers = get_drawn(cursor, kind).rows, {}
    for node in sorted(rows if of is None else rows.keys() & of):
        candidates = _leave_out(rows[node].candidates, missing)
        seal, found = seals.get(prefix + node), {}
        if seal is not None and seal.is_revealed:
            bits = int.from_bytes(seal.payload, "little")
            found = {candidate: bool(bits >> at & 1) for at, candidate in enumerate(candidates)}
        answers[node] = Answers(candidates, found)
    return answers


def get_drawn(cursor: RoundCursor, kind: SealKind) -> Table[NodeKey, Duties]:
    """The table of what nodes were drawn to check, or to judge."""
    return cursor.checks if kind is SealKind.RECEIPT else cursor.jurors


def _leave_out(candidates: tuple[NodeKey, ...], missing: set[NodeKey]) -> tuple[NodeKey, ...]:
    if missing:
        candidates = tuple([candidate for candidate in candidates if candidate not in missing])
    return candidates[:BITS_MAX]


# Checks


@rule("16.1")
def check_kind(kind: int) -> SealKind:
    """A commitment is of one of three kinds."""
    if kind not in set(SealKind):
        raise BadInstruction(f"kind {kind} is unknown; 0 is a submission, 1 a receipt, 2 votes")
    return SealKind(kind)


@rule("16.2")
def check_window(task: Task, slot: int, round_number: int, activity: Activity) -> None:
    """A message of a round's review comes in its window."""
    window = WINDOWS[task.rules][activity]
    if not window.is_open(task.timetable, slot, round_number):
        first, last = window.compute_slots(task.timetable, round_number)
        raise WrongPhase(
            f"{window.doing} for round {round_number} in slots {first} to {last}; this is slot {slot}"
        )


def check_running(cursor: RoundCursor) -> None:
    """The round was opened, and is not over. Raises UnknownRound, WrongPhase."""
    check_round(cursor)
    check_not_over(cursor)


@rule("16.3")
def check_not_over(cursor: RoundCursor) -> None:
    """A round that is over takes no message."""
    if not cursor.opened.state.is_open:
        raise WrongPhase(
            f"round {cursor.round_number} had fewer than {SUBMISSIONS_MIN} submissions and is over"
        )


@rule("16.4")
def check_half_stake(task: Task, stake: Stake, node: NodeKey) -> None:
    """A node that commits a submission has half of the minimum stake, so that a few fines do not evict it."""
    if 2 * stake.amount < task.minimum_stake:
        raise NotStaked(
            f"{base58_of(node)} has a stake of {stake.amount} roe; half of {task.minimum_stake} is needed"
        )


@rule("16.5")
def check_uncommitted(cursor: RoundCursor, kind: SealKind, node: NodeKey) -> None:
    """A node commits once in a round for each kind."""
    if (seal := cursor.seals.rows.get(name_seal(kind, node))) is not None:
        raise AlreadyCommitted(f"{base58_of(node)} committed its {kind.name.lower()} in slot {seal.slot}")


@rule("16.6")
def check_submitter(cursor: RoundCursor, node: NodeKey) -> None:
    """Only submitters of the round take part in what follows."""
    if node not in cursor.submissions.rows:
        raise NotSubmitter(f"{base58_of(node)} submitted nothing in round {cursor.round_number}")


@rule("16.7")
def check_duties(cursor: RoundCursor, kind: SealKind, node: NodeKey) -> None:
    """A node that commits a receipt is a checker of a submission that is not missing.

    A node that commits votes is a juror.
    """
    if not list_duties(cursor, kind, node):
        raise NothingToJudge(
            f"{base58_of(node)} has nothing to check or to judge in round {cursor.round_number}"
        )


@rule("16.8")
def check_committed(cursor: RoundCursor, kind: SealKind, node: NodeKey) -> Seal:
    """A node reveals what it has committed."""
    if (seal := cursor.seals.rows.get(name_seal(kind, node))) is None:
        raise WrongReveal(
            f"{base58_of(node)} has committed nothing of kind {kind} in round {cursor.round_number}"
        )
    return seal


@rule("16.9")
def check_unrevealed(seal: Seal, node: NodeKey) -> None:
    """A node reveals once."""
    if seal.is_revealed:
        raise AlreadyRevealed(f"{base58_of(node)} has revealed this already")


@rule("16.10")
def check_opens(state: State, seal: Seal, kind: SealKind, instruction: Reveal) -> None:
    """A reveal opens its node's commitment."""
    opened = compute_commitment(
        state.genesis_hash, instruction.task, instruction.round, kind, instruction.node, instruction.salt,
        instruction.payload,
    )  # fmt: skip
    if opened != seal.commitment:
        raise WrongReveal(f"salt and payload give {opened.hex()}; {seal.commitment.hex()} was committed")


@rule("16.11")
def check_bits(payload: bytes, count: int) -> None:
    """A receipt and votes have a bit for each candidate and zeros behind them, in whole bytes."""
    size = (count + 7) // 8
    if len(payload) != size or int.from_bytes(payload, "little") >> count:
        raise BadValue(
            f"{len(payload)} bytes came; {size} hold a bit for each of {count} and zeros behind them"
        )
