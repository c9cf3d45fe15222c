"""Proofs under roundwork-1: a challenge makes the ledger hold a proof, answers bring it there.

Source: docs/PROTOCOL.md 17.
"""

from hashlib import sha256

from ...errors import (
    AlreadyChallenged,
    BadUpload,
    NamesNoProof,
    NotChallenged,
    ProofStands,
    SubmissionMissing,
)
from ..layout import Call
from ..money import credit, debit
from ..params import NodeKey, base58_of
from ..records import Challenge, Chunk, Proof
from ..rules import rule
from ..state import State
from .commitments import PIECE_BYTES, PIECES_MAX, read_content_id
from .cursor import RoundCursor
from .events import Event
from .instructions import Answer
from .instructions import Challenge as ChallengeIn
from .life import check_funds, check_payer, get_task
from .pledges import compute_lapse, fine
from .review import check_candidate, check_not_own
from .round import WINDOWS, Activity
from .sealed import check_running, check_submitter, check_window
from .verdicts import Outcome, is_missing, set_verdict


def challenge(state: State, call: Call, instruction: ChallengeIn) -> None:
    """Demand that a proof be posted; if it is not, its submission is missing.

    Fees for the answer are set aside. Raises UnknownTask, WrongPhase, UnknownRound, NotSubmitter,
    UnknownSubmission, OwnSubmission, NamesNoProof, AlreadyChallenged, WrongOwner, InsufficientFunds.
    """
    task = get_task(state, instruction.task)
    check_window(task, call.slot, instruction.round, Activity.CHALLENGE)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_running(cursor)
    check_submitter(cursor, instruction.node)
    check_candidate(cursor, instruction.candidate)
    check_not_own(instruction.node, instruction.candidate)
    check_names_proof(cursor, instruction.candidate)
    check_unchallenged(cursor, instruction.candidate)
    held = PIECES_MAX * state.genesis.fee_per_signature
    check_payer(state, instruction.node)
    check_funds(state, instruction.node, held)

    debit(state, instruction.node, held)
    state.put(cursor.challenges, instruction.candidate, Challenge(instruction.node, call.slot, held))


def answer(state: State, call: Call, instruction: Answer) -> None:
    """Take a chunk of a proof; with the last one that was missing, the proof lies on the ledger.

    Raises UnknownTask, WrongPhase, UnknownRound, UnknownSubmission, SubmissionMissing, NamesNoProof,
    NotChallenged, ProofStands, BadUpload.
    """
    task = get_task(state, instruction.task)
    is_posting = WINDOWS[task.rules][Activity.ACCUSE].is_open(task.timetable, call.slot, instruction.round)
    check_window(task, call.slot, instruction.round, Activity.ACCUSE if is_posting else Activity.ANSWER)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_running(cursor)
    check_candidate(cursor, instruction.candidate)
    check_not_missing(cursor, instruction.candidate)
    digest = check_names_proof(cursor, instruction.candidate)
    if not is_posting:
        check_challenged(cursor, instruction.candidate)
    check_not_whole(cursor, instruction.candidate)
    check_piece(instruction)

    prefix = instruction.candidate + instruction.node
    state.put(cursor.answers, prefix + instruction.chunk.to_bytes(2, "big"), Chunk(instruction.data))
    pieces = get_pieces(cursor, instruction.candidate, instruction.node)
    if pieces and sha256(b"".join(pieces)).digest() == digest:  # no proof has no bytes
        proof = Proof(instruction.node, call.slot, len(pieces))
        state.put(cursor.proofs, instruction.candidate, proof)
        pay_answer(cursor, instruction.candidate, proof)


def pay_answer(cursor: RoundCursor, candidate: NodeKey, proof: Proof) -> None:
    """Pay the chunks of a whole proof from what its challenge set aside; the rest returns."""
    challenged = cursor.challenges.rows.get(candidate)
    if challenged is not None:
        fees = proof.chunks * cursor.state.genesis.fee_per_signature
        credit(cursor.state, proof.poster, fees)
        end_challenge(cursor, candidate, challenged, challenged.held - fees)


def end_challenge(cursor: RoundCursor, candidate: NodeKey, challenged: Challenge, returned: int) -> None:
    """Give back what is left of a challenge."""
    credit(cursor.state, challenged.challenger, returned)
    ended = Challenge(challenged.challenger, challenged.slot, 0)
    cursor.state.put(cursor.challenges, candidate, ended)


def end_answers(cursor: RoundCursor, events: list[Event]) -> None:
    """When the second eighth ends: a submission is missing if its proof was challenged and is not whole."""
    drop_unfinished(cursor)
    submissions = cursor.submissions.rows
    challenges = sorted(cursor.challenges.rows.items())
    proofs = cursor.proofs.rows
    missing = [candidate for candidate, _ in challenges if candidate not in proofs]
    for candidate, challenged in challenges:
        if candidate not in proofs:
            end_challenge(cursor, candidate, challenged, challenged.held)
    total = sum(submission.stake for submission in submissions.values())
    is_overrun = 2 * sum(submissions[candidate].stake for candidate in missing) > total
    for candidate in missing:
        set_verdict(cursor, candidate, Outcome.MISSING, 0)
        if not is_overrun:
            fine(cursor, candidate, compute_lapse(cursor.task), events)


def drop_unfinished(cursor: RoundCursor) -> None:
    """Drop the chunks that belong to no whole proof."""
    proofs = cursor.proofs.rows
    for key in sorted(cursor.answers.rows):
        candidate, poster, chunk = NodeKey(key[:32]), key[32:64], int.from_bytes(key[64:], "big")
        proof = proofs.get(candidate)
        if proof is None or proof.poster != poster or chunk >= proof.chunks:
            cursor.state.remove(cursor.answers, key)


# Records


def get_pieces(cursor: RoundCursor, candidate: NodeKey, poster: NodeKey) -> list[bytes]:
    """A poster's chunks of a proof, from number 0 to the first short or missing one."""
    pieces: list[bytes] = []
    rows, prefix = cursor.answers.rows, candidate + poster
    while (chunk := rows.get(prefix + len(pieces).to_bytes(2, "big"))) is not None:
        pieces.append(chunk.data)
        if len(chunk.data) < PIECE_BYTES:
            break
    return pieces


# Checks


@rule("17.1")
def check_not_missing(cursor: RoundCursor, candidate: NodeKey) -> None:
    """A missing submission takes no further messages."""
    if is_missing(cursor, candidate):
        raise SubmissionMissing(f"nobody brought the proof of {base58_of(candidate)} when it was challenged")


@rule("17.2")
def check_names_proof(cursor: RoundCursor, candidate: NodeKey) -> bytes:
    """The candidate's value names a proof."""
    digest = read_content_id(cursor.submissions.rows[candidate].value)
    if digest is None:
        raise NamesNoProof(
            f"the value of {base58_of(candidate)} begins with no content id; it is the proof itself"
        )
    return digest


@rule("17.3")
def check_unchallenged(cursor: RoundCursor, candidate: NodeKey) -> None:
    """A submission is challenged once."""
    if (challenged := cursor.challenges.rows.get(candidate)) is not None:
        raise AlreadyChallenged(
            f"{base58_of(challenged.challenger)} challenged {base58_of(candidate)} in slot {challenged.slot}"
        )


@rule("17.4")
def check_challenged(cursor: RoundCursor, candidate: NodeKey) -> None:
    """Before the fourth eighth, only a challenged proof is posted."""
    if candidate not in cursor.challenges.rows:
        raise NotChallenged(
            f"no challenge of {base58_of(candidate)} stands; its proof is posted with accusations"
        )


@rule("17.5")
def check_not_whole(cursor: RoundCursor, candidate: NodeKey) -> None:
    """A proof that is on the ledger is not posted again."""
    if (proof := cursor.proofs.rows.get(candidate)) is not None:
        raise ProofStands(f"the proof of {base58_of(candidate)} lies on the ledger since slot {proof.slot}")


@rule("17.6")
def check_piece(instruction: Answer) -> None:
    """A chunk's number and size are in bounds."""
    if instruction.chunk >= PIECES_MAX or not 1 <= len(instruction.data) <= PIECE_BYTES:
        raise BadUpload(
            f"chunk {instruction.chunk} of {len(instruction.data)} bytes; numbers 0 to {PIECES_MAX - 1} and "
            f"1 to {PIECE_BYTES} bytes are allowed"
        )
