"""Accusations, juries and verdicts under roundwork-1.

Source: docs/PROTOCOL.md 18.
"""

from collections import Counter
from typing import NamedTuple

from blake3 import blake3

from ...errors import AlreadyAccused, ProofMissing
from ..layout import Call
from ..params import NodeKey, base58_of
from ..records import Duties, Trial
from ..rules import rule
from ..state import State
from .commitments import SealKind, read_content_id
from .cursor import RoundCursor
from .events import Event
from .instructions import Accuse
from .life import get_task
from .pledges import (
    add_bounty,
    check_bond,
    compute_bond,
    compute_duties_max,
    compute_duty,
    compute_lapse,
    compute_slash,
    fine,
    return_bond,
    set_bond,
    share,
    slash,
    take_bond,
)
from .proofs import check_not_missing, drop_unfinished
from .ranked import begin_attempt
from .review import check_candidate, check_not_own
from .round import Activity
from .sealed import (
    check_running,
    check_submitter,
    check_window,
    fine_unrevealed,
    get_ballot,
    read_answers,
)
from .verdicts import Outcome, get_verdict, set_verdict

SEATS = 51
"""The seats of a jury; a round with at most as many submitters has them all in every jury."""


def accuse(state: State, call: Call, instruction: Accuse) -> None:
    """Send a submission to a jury, with a bond.

    Raises UnknownTask, WrongPhase, UnknownRound, NotSubmitter, UnknownSubmission, OwnSubmission,
    SubmissionMissing, ProofMissing, AlreadyAccused, InsufficientFunds.
    """
    task = get_task(state, instruction.task)
    check_window(task, call.slot, instruction.round, Activity.ACCUSE)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_running(cursor)
    check_submitter(cursor, instruction.node)
    check_candidate(cursor, instruction.candidate)
    check_not_own(instruction.node, instruction.candidate)
    check_not_missing(cursor, instruction.candidate)
    check_unaccused(cursor, instruction.candidate)
    check_posted(cursor, instruction.candidate)
    bond = compute_bond(task, cursor.submissions.rows[instruction.candidate].stake)
    check_bond(cursor, instruction.node, bond)

    set_bond(cursor, instruction.candidate, instruction.node, bond)
    state.put(cursor.trials, instruction.candidate, Trial(instruction.node, call.slot, bond))


# Checks


@rule("18.1")
def check_unaccused(cursor: RoundCursor, candidate: NodeKey) -> None:
    """The first accusation of a submission stands."""
    if (trial := cursor.trials.rows.get(candidate)) is not None:
        raise AlreadyAccused(
            f"{base58_of(trial.accuser)} accused {base58_of(candidate)} in slot {trial.slot}"
        )


@rule("18.2")
def check_posted(cursor: RoundCursor, candidate: NodeKey) -> None:
    """A submission that names a proof is accused only if the proof is on the ledger."""
    value = cursor.submissions.rows[candidate].value
    if read_content_id(value) is not None and candidate not in cursor.proofs.rows:
        raise ProofMissing(f"the proof of {base58_of(candidate)} does not lie on the ledger; post it first")


# Juries


def end_accusations(cursor: RoundCursor) -> None:
    """When the fourth eighth ends, each accused submission gets its jury."""
    drop_unfinished(cursor)
    if not cursor.trials.rows:
        return
    state, ballot = cursor.state, get_ballot(cursor)
    jurors: dict[NodeKey, list[NodeKey]] = {}
    for candidate, trial in sorted(cursor.trials.rows.items()):
        if len(ballot.nodes) <= SEATS:
            seats = dict(zip(ballot.nodes, ballot.weights, strict=True))
        else:
            seed = compute_jury_seed(cursor.opened.beacon, state.head.block_hash, candidate)
            seats = Counter(ballot.draw_seats(seed, SEATS))
        for juror in seats.keys() - {candidate, trial.accuser}:
            jurors.setdefault(juror, []).append(candidate)
        drawn = Trial(trial.accuser, trial.slot, trial.bond, tuple(sorted(seats.items())))
        state.put(cursor.trials, candidate, drawn)
    for juror, candidates in sorted(jurors.items()):
        state.put(cursor.jurors, juror, Duties(tuple(sorted(candidates))))


def compute_jury_seed(beacon: bytes, parent_hash: bytes, candidate: NodeKey) -> bytes:
    """The seed by which a jury is drawn, in a block with this parent."""
    return blake3(b"roundwork/jury/1" + beacon + parent_hash + candidate).digest()


# Verdicts


class Tally(NamedTuple):
    """How a trial went, in seats."""

    valid: int
    invalid: int
    seats: int
    """All seats, also those that were not cast."""

    def judge(self) -> Outcome:
        """The verdict of these seats alone."""
        if 3 * self.invalid >= 2 * (self.valid + self.invalid) and 2 * self.invalid > self.seats:
            return Outcome.CONVICTED
        return Outcome.ACQUITTED if self.valid > self.invalid else Outcome.INCONCLUSIVE


class Ballots:
    """What the nodes of a round revealed: receipts by checker, votes by juror, each by candidate."""

    def __init__(self, cursor: RoundCursor) -> None:
        self.receipts = read_answers(cursor, SealKind.RECEIPT)
        self.votes = read_answers(cursor, SealKind.VOTES)
        self.on: dict[NodeKey, dict[NodeKey, bool]] = {node: {} for node in cursor.trials.rows}
        """The receipts over each accused submission, by checker."""
        for checker, receipt in self.receipts.items():
            for candidate in self.on.keys() & receipt.found.keys():
                self.on[candidate][checker] = receipt.found[candidate]

    def tally(self, candidate: NodeKey, trial: Trial) -> Tally:
        """The seats of a trial that were cast, the parties' among them."""
        valid = invalid = 0
        for node, seats in trial.seats:
            vote = (
                node == candidate
                if node in (candidate, trial.accuser)
                else self.votes[node].found.get(candidate)
            )
            valid += seats if vote else 0
            invalid += seats if vote is False else 0
        return Tally(valid, invalid, sum(seats for _, seats in trial.seats))

    def list_jurors(self, candidate: NodeKey, trial: Trial, vote: bool) -> dict[NodeKey, int]:
        """The jurors who voted so, with their seats."""
        return {
            node: seats
            for node, seats in trial.seats
            if node not in (candidate, trial.accuser) and self.votes[node].found.get(candidate) is vote
        }


def end_trials(cursor: RoundCursor) -> None:
    """When AUDIT ends: reach the verdicts, and give bonds back, except for acquitted submissions."""
    if not cursor.trials.rows:  # to read all receipts of a large round takes a second
        return
    ballots, submissions = Ballots(cursor), cursor.submissions.rows
    outcomes = {
        candidate: ballots.tally(candidate, trial).judge()
        for candidate, trial in sorted(cursor.trials.rows.items())
    }
    convicted = [node for node, outcome in outcomes.items() if outcome is Outcome.CONVICTED]
    stake, total = (sum(submissions[node].stake for node in nodes) for nodes in (convicted, submissions))
    if 2 * len(convicted) > len(submissions) and 2 * stake > total:
        outcomes |= dict.fromkeys(convicted, Outcome.INCONCLUSIVE)
    for candidate, outcome in outcomes.items():
        set_verdict(cursor, candidate, outcome, compute_votes(outcome, ballots.on[candidate]))
        if outcome is not Outcome.ACQUITTED:
            return_bond(cursor, candidate)


def compute_votes(outcome: Outcome, receipts: dict[NodeKey, bool]) -> int:
    """The `votes` of a tried submission.

    An inconclusive one is cleared if it has receipts and all of them are "valid".
    """
    if outcome is Outcome.INCONCLUSIVE:
        return int(bool(receipts) and all(receipts.values()))
    return -1 if outcome is Outcome.CONVICTED else 1


def apply_verdicts(cursor: RoundCursor, events: list[Event]) -> None:
    """When AUDIT ends, after all bonds and lists: slashes, lapses, duties, shares; then the first attempt."""
    ballots = Ballots(cursor)
    trials = [
        (node, trial, get_verdict(cursor, node)[0]) for node, trial in sorted(cursor.trials.rows.items())
    ]
    convicted = [(node, trial) for node, trial, outcome in trials if outcome is Outcome.CONVICTED]
    taken = {
        node: slash(cursor, node, compute_slash(cursor.task, cursor.submissions.rows[node].stake), events)
        for node, _ in convicted
    }
    fine_lapses(cursor, ballots, [node for node, _ in convicted], events)
    fine_duties(cursor, ballots, events)
    for node, trial in convicted:
        share_slash(cursor, ballots, node, trial, taken[node], events)
    for node, trial, outcome in trials:
        if outcome is Outcome.ACQUITTED:
            jurors = ballots.list_jurors(node, trial, True)
            add_bounty(cursor, share(cursor, jurors, take_bond(cursor, node), events))
    begin_attempt(cursor, 0)


def fine_lapses(cursor: RoundCursor, ballots: Ballots, convicted: list[NodeKey], events: list[Event]) -> None:
    """Lapses: what was committed and not revealed, and a receipt "valid" on a convicted node."""
    fine_unrevealed(cursor, SealKind.RECEIPT, events)
    fine_unrevealed(cursor, SealKind.VOTES, events)
    lapse = compute_lapse(cursor.task)
    for node in convicted:
        for checker, is_valid in sorted(ballots.on[node].items()):
            if is_valid:
                fine(cursor, checker, lapse, events)


def fine_duties(cursor: RoundCursor, ballots: Ballots, events: list[Event]) -> None:
    """Duties: checks and trials that were not answered, or answered against what was found."""
    failed: Counter[NodeKey] = Counter()
    for node, receipt in ballots.receipts.items():
        wrong = [
            each for each, is_valid in receipt.found.items() if not is_valid and not is_guilty(cursor, each)
        ]
        failed[node] += len(wrong) if receipt.found else len(receipt.candidates)
    tallies = {node: ballots.tally(node, trial) for node, trial in cursor.trials.rows.items()}
    for node, votes in ballots.votes.items():
        for candidate in votes.candidates:
            vote, tally = votes.found.get(candidate), tallies[candidate]
            is_against = tally.valid != tally.invalid and vote is not (tally.valid > tally.invalid)
            failed[node] += vote is None or is_against
    duty = compute_duty(cursor.task)
    for node, count in sorted(failed.items()):
        if count:
            most = compute_duties_max(cursor.submissions.rows[node].stake)
            fine(cursor, node, min(count * duty, most), events)


def is_guilty(cursor: RoundCursor, candidate: NodeKey) -> bool:
    """Whether a receipt "invalid" on a candidate costs its checker nothing.

    The candidate is neither untried nor acquitted.
    """
    return get_verdict(cursor, candidate)[0] not in (Outcome.UNTRIED, Outcome.ACQUITTED)


def share_slash(
    cursor: RoundCursor, ballots: Ballots, node: NodeKey, trial: Trial, taken: int, events: list[Event]
) -> None:
    """Divide a slash among the nodes that found the fault, the jurors who saw it, and the bounty."""
    finders = [checker for checker, is_valid in ballots.on[node].items() if not is_valid]
    for_finders = taken // 4
    for_jurors = min(compute_lapse(cursor.task), taken - for_finders)
    left = share(cursor, dict.fromkeys(finders or [trial.accuser], 1), for_finders, events)
    left += share(cursor, ballots.list_jurors(node, trial, False), for_jurors, events)
    add_bounty(cursor, left + taken - for_finders - for_jurors)
