"""What the nodes of a round under `roundwork-1` said and posted: who may, when, and in which form.

Like `sealed_laws.py`, which calls it, it reads records and uses no check of the law. Source: docs/PROTOCOL.md
15 to 19.
"""

from collections.abc import Iterator
from hashlib import sha256
from itertools import chain

from ..protocol.params import NodeKey
from ..protocol.tasks.commitments import PIECE_BYTES, PIECES_MAX, SealKind, read_content_id
from ..protocol.tasks.configuration import compute_terms
from ..protocol.tasks.cursor import RoundCursor
from ..protocol.tasks.payout import SPLIT
from ..protocol.tasks.round import TURNS, WINDOWS, Activity
from ..protocol.tasks.verdicts import Outcome as Verdict

RULES = "roundwork-1"
BITS_MAX = 6400
"""The most candidates of a receipt or of votes."""

AMOUNTS, AMOUNT_BYTES = 63, 8
"""The amounts of a whole chunk of a list, and the bytes of each."""


def find_evidence_faults(cursor: RoundCursor) -> Iterator[str]:
    """What is wrong in the records of a round after the block of the state's head."""
    for text in chain(
        *(_check_answers_of_juries(cursor), _check_challenges(cursor), _check_chunks(cursor)),
        *(_check_proofs(cursor), _check_juries(cursor), _check_uploads(cursor), _check_ranks(cursor)),
        *(_check_list_votes(cursor), _check_split(cursor)),
    ):
        yield f"round {cursor.round_number}: {text}"


def list_judged(cursor: RoundCursor, verdict: Verdict) -> set[NodeKey]:
    """The submissions with a verdict."""
    return {node for node, each in cursor.verdicts.rows.items() if each.verdict == verdict}


def _is_in(cursor: RoundCursor, activity: Activity, slot: int, attempt: int = 0) -> bool:
    window = WINDOWS[RULES][activity]
    return window.is_open(cursor.task.timetable, slot, cursor.round_number, attempt)


# Receipts, votes and juries


def _check_answers_of_juries(cursor: RoundCursor) -> Iterator[str]:
    """Receipts come from checkers and votes from jurors, with one bit for each candidate."""
    missing = list_judged(cursor, Verdict.MISSING)
    for key, seal in cursor.seals.rows.items():
        kind, node = SealKind(key[0]), NodeKey(key[1:])
        if kind is SealKind.SUBMISSION:
            continue
        drawn = (cursor.checks if kind is SealKind.RECEIPT else cursor.jurors).rows.get(node)
        candidates = [each for each in drawn.candidates if each not in missing] if drawn else []
        if not candidates:
            yield f"a commitment of kind {kind} of a node that has nothing to check or to judge"
        elif seal.is_revealed and not _has_bits(seal.payload, min(len(candidates), BITS_MAX)):
            yield f"{seal.payload.hex()} was revealed, of kind {kind} over {len(candidates)} candidates"


def _has_bits(payload: bytes, count: int) -> bool:
    """Whether a payload has as many bits as needed, in whole bytes, and zeros behind them."""
    bits = "".join(f"{byte:08b}"[::-1] for byte in payload)
    return 0 <= len(bits) - count < 8 and "1" not in bits[count:]


def _check_juries(cursor: RoundCursor) -> Iterator[str]:
    """No party of a trial is a juror of it, and the convicted are not most of the round."""
    submissions = cursor.submissions.rows
    for juror, judged in cursor.jurors.rows.items():
        for candidate in judged.candidates:
            if juror in (candidate, cursor.trials.rows[candidate].accuser):
                yield "a party of a trial is a juror of it"
    convicted = list_judged(cursor, Verdict.CONVICTED)
    lost, stake = (sum(submissions[node].stake for node in nodes) for nodes in (convicted, submissions))
    if 2 * len(convicted) > len(submissions) and 2 * lost > stake:
        yield f"{len(convicted)} of {len(submissions)} submissions are convicted, {lost} of {stake} roe"


# Proofs


def _check_challenges(cursor: RoundCursor) -> Iterator[str]:
    """Submitters challenge submissions of others that name a proof; only what was challenged is missing."""
    submissions, challenges = cursor.submissions.rows, cursor.challenges.rows
    for candidate, challenged in challenges.items():
        if candidate not in submissions or challenged.challenger not in submissions:
            yield "a challenge of a node, or by a node, that did not submit"
        elif challenged.challenger == candidate:
            yield "a node's challenge of its own submission"
        elif read_content_id(submissions[candidate].value) is None:
            yield "a challenge of a submission that names no proof"
        if not _is_in(cursor, Activity.CHALLENGE, challenged.slot):
            yield f"a challenge in slot {challenged.slot}"
    if not list_judged(cursor, Verdict.MISSING) <= challenges.keys():
        yield "a submission is missing that was not challenged"


def _check_chunks(cursor: RoundCursor) -> Iterator[str]:
    """Chunks are of proofs that are challenged, or posted for accusations, and none of a missing one."""
    submissions, slot = cursor.submissions.rows, cursor.state.head.slot
    missing = list_judged(cursor, Verdict.MISSING)
    is_answering = _is_in(cursor, Activity.ANSWER, slot)
    for key, chunk in cursor.answers.rows.items():
        candidate, number = NodeKey(key[:32]), int.from_bytes(key[64:], "big")
        if candidate not in submissions or read_content_id(submissions[candidate].value) is None:
            yield "a chunk of a proof for a submission that names none"
        if candidate in missing:
            yield "a chunk of a proof for a submission that is missing"
        if is_answering and candidate not in cursor.challenges.rows:
            yield "a chunk of a proof that is not challenged"
        if number >= PIECES_MAX or not 1 <= len(chunk.data) <= PIECE_BYTES:
            yield f"chunk {number} of a proof with {len(chunk.data)} bytes"


def _check_proofs(cursor: RoundCursor) -> Iterator[str]:
    """A proof on the ledger is the one that its submission names."""
    for candidate, proof in cursor.proofs.rows.items():
        prefix, chunks = candidate + proof.poster, cursor.answers.rows
        keys = [prefix + number.to_bytes(2, "big") for number in range(proof.chunks)]
        data = b"".join(chunks[key].data for key in keys if key in chunks)
        if sha256(data).digest() != read_content_id(cursor.submissions.rows[candidate].value):
            yield f"a proof of {len(data)} bytes that its submission does not name"
        is_challenged = _is_in(cursor, Activity.ANSWER, proof.slot) and candidate in cursor.challenges.rows
        if not is_challenged and not _is_in(cursor, Activity.ACCUSE, proof.slot):
            yield f"a proof was posted in slot {proof.slot}"


# Lists


def _list_barred(cursor: RoundCursor) -> set[NodeKey]:
    """The nodes that are convicted, or whose list has failed."""
    attempt = cursor.opened.attempt
    failed = {each.submitter for key, each in cursor.lists.rows.items() if key[0] < attempt}
    return failed | list_judged(cursor, Verdict.CONVICTED)


def _check_uploads(cursor: RoundCursor) -> Iterator[str]:
    """A chunk of a list has the amounts of its submitters; it is of a node that may hand in a list."""
    count, barred = len(cursor.submissions.rows), _list_barred(cursor)
    for key, chunk in cursor.chunks.rows.items():
        node, number = NodeKey(key[:32]), int.from_bytes(key[32:], "big")
        if node not in cursor.submissions.rows:
            yield "a chunk of a list of a node that did not submit"
        if node in barred:
            yield "a chunk of a list of a node that is convicted, or whose list has failed"
        amounts = min(count - AMOUNTS * number, AMOUNTS)
        if amounts <= 0 or len(chunk.data) != AMOUNT_BYTES * amounts:
            yield f"chunk {number} of a list with {len(chunk.data)} bytes for {count} submitters"


def _check_ranks(cursor: RoundCursor) -> Iterator[str]:
    """A node hands in one list at most. Ranks and electorate are of those that are not convicted."""
    submissions, convicted = cursor.submissions.rows, list_judged(cursor, Verdict.CONVICTED)
    listers = [each.submitter for key, each in cursor.lists.rows.items() if key != SPLIT]
    if len(set(listers)) != len(listers) or not set(listers) <= submissions.keys():
        yield "two lists of a node, or a list of a node that did not submit"
    entitled = submissions.keys() - convicted
    for key, ranks in cursor.ranks.rows.items():
        failed = {each.submitter for at, each in cursor.lists.rows.items() if at < key}
        if len(set(ranks.nodes)) != min(TURNS, len(entitled - failed)) or not set(ranks.nodes) <= (
            entitled - failed
        ):
            yield f"{len(ranks.nodes)} ranks of attempt {key[0]} among {len(entitled - failed)} nodes"
        if ranks.electorate != sum(submissions[node].stake for node in entitled):
            yield f"an electorate of {ranks.electorate} roe"


def _check_list_votes(cursor: RoundCursor) -> Iterator[str]:
    """An accused list has the votes of others who are not convicted, with the stakes that are at risk."""
    submissions, convicted = cursor.submissions.rows, list_judged(cursor, Verdict.CONVICTED)
    weights = {key: [0, 0] for key in cursor.list_audits.rows}
    for key, vote in cursor.list_votes.rows.items():
        attempt, voter = key[:1], NodeKey(key[1:])
        listed, raised = cursor.lists.rows.get(attempt), cursor.list_audits.rows.get(attempt)
        if listed is None or raised is None:
            yield "a vote on a list that was not handed in, or not accused"
            continue
        if voter not in submissions or voter == listed.submitter:
            yield "a vote on a list of the node itself, or of a node that did not submit"
            continue
        is_accuser = voter == raised.trigger_by
        if voter in convicted and not is_accuser:
            yield "a vote on a list of a node that is convicted"
        activity = Activity.ACCUSE_LIST if is_accuser else Activity.VOTE_LIST
        if not _is_in(cursor, activity, vote.slot, attempt[0]):
            yield f"a vote on a list in slot {vote.slot}"
        weights[attempt][vote.is_valid] += 0 if voter in convicted else submissions[voter].stake
    for attempt, raised in cursor.list_audits.rows.items():
        against, in_favour = weights[attempt]
        in_favour += submissions[cursor.lists.rows[attempt].submitter].stake
        if (raised.valid, raised.invalid) != (in_favour, against):
            yield f"an accused list counts {raised.valid} to {raised.invalid}, not {in_favour} to {against}"


def _check_split(cursor: RoundCursor) -> Iterator[str]:
    """The ledger's own split gives each submission with votes above zero its part."""
    split = cursor.lists.rows.get(SPLIT)
    if split is None:
        return
    submissions, verdicts, task = cursor.submissions.rows, cursor.verdicts.rows, cursor.task
    parts = dict.fromkeys(submissions, 1)
    if compute_terms(task.locals).is_split_by_stake:
        parts = {node: each.stake for node, each in submissions.items()}
    expected = {
        node: task.bounty_per_round * part // sum(parts.values())
        for node, part in parts.items()
        if node not in verdicts or verdicts[node].votes > 0
    }
    given = {node: amount for node, amount in split.amounts if amount}
    if given != {node: amount for node, amount in expected.items() if amount}:
        yield "the ledger's own split is not the one that the task's terms give"
