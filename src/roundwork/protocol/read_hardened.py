"""State to the views of a round under roundwork-1."""

from collections.abc import Mapping, Set
from heapq import nsmallest
from typing import NamedTuple, TypeVar

from ..hardened_views import (
    AssignmentsView,
    ChallengeView,
    HardenedRound,
    HardenedSubmission,
    RanksView,
    RoundProof,
    TrialView,
    WindowView,
)
from .params import NodeKey, TaskKey, base58_of
from .state import State
from .tasks.commitments import SealKind
from .tasks.cursor import RoundCursor
from .tasks.heads import compute_leaf, list_nodes
from .tasks.leaves import Outcome, compute_path, name_outcome
from .tasks.life import get_task
from .tasks.proofs import get_pieces
from .tasks.round import WINDOWS
from .tasks.sealed import Answers, list_duties, read_answers
from .tasks.verdicts import get_verdict

R = TypeVar("R")


class Page(NamedTuple):
    """The nodes whose records a view of a round has."""

    after: bytes = b""
    """They come after this address."""
    last: bytes = b""
    """They end with this one; empty: none comes later."""

    def has(self, node: bytes) -> bool:
        """Whether a node belongs to the page."""
        return self.after < node and (not self.last or node <= self.last)

    def pick(self, rows: Mapping[NodeKey, R]) -> list[tuple[NodeKey, R]]:
        """The rows of the page, in the order of addresses."""
        return sorted([item for item in rows.items() if self.has(item[0])], key=lambda item: item[0])


def cut_page(cursor: RoundCursor, after: bytes, limit: int | None) -> Page:
    """The page of at most `limit` nodes after an address; of all that come after it without a limit."""
    if limit is None:
        return Page(after)
    committed = (NodeKey(key[1:]) for key in cursor.seals.rows if not key[0])
    nodes = {*cursor.submissions.rows, *committed, *cursor.payments.rows, *cursor.nets.rows}
    first = nsmallest(limit + 1, (node for node in nodes if node > after))
    return Page(after, first[limit - 1] if len(first) > limit else b"")


def view_hardened(cursor: RoundCursor, page: Page) -> HardenedRound:
    """What a round under roundwork-1 has beside what every round has."""
    shown = page.pick(cursor.submissions.rows)
    nodes = {node for node, _ in shown}
    receipts = read_answers(cursor, SealKind.RECEIPT, nodes | _list_checkers(cursor, nodes))
    votes = read_answers(cursor, SealKind.VOTES, _list_jurors(cursor, nodes))
    by_candidate: dict[NodeKey, dict[str, bool | None]] = {}
    for checker, receipt in receipts.items():
        for candidate in receipt.candidates:
            if candidate in nodes:
                found = receipt.found.get(candidate)
                by_candidate.setdefault(candidate, {})[base58_of(checker)] = found
    return HardenedRound(
        windows=_view_windows(cursor),
        committed=[
            base58_of(NodeKey(key[1:]))
            for key in sorted(key for key in cursor.seals.rows if not key[0] and page.has(key[1:]))
        ],
        submissions=[
            _view_submission(cursor, node, by_candidate.get(node, {}), receipts.get(node), votes)
            for node, _ in shown
        ],
        ranks=view_ranks(cursor),
        nets={base58_of(node): net.amount for node, net in page.pick(cursor.nets.rows)},
        head="".join([head.digest.hex() for head in cursor.heads.rows.values()]),
    )


def _list_checkers(cursor: RoundCursor, candidates: Set[NodeKey]) -> set[NodeKey]:
    """The nodes that check one of these submissions."""
    drawn = cursor.checks.rows.items()
    return {checker for checker, duties in drawn if not candidates.isdisjoint(duties.candidates)}


def _list_jurors(cursor: RoundCursor, candidates: Set[NodeKey]) -> set[NodeKey]:
    """The nodes that have seats in a trial of one of these submissions."""
    trials = cursor.trials.rows
    return {juror for node in candidates & trials.keys() for juror, _ in trials[node].seats}


def view_ranks(cursor: RoundCursor) -> list[RanksView]:
    """The ranks of all attempts, in order."""
    return [
        RanksView(attempt[0], [base58_of(node) for node in ranks.nodes], ranks.electorate)
        for attempt, ranks in sorted(cursor.ranks.rows.items())
    ]


def _view_windows(cursor: RoundCursor) -> list[WindowView]:
    table, record = cursor.task.timetable, cursor.record
    attempt = record.attempt if record else 0
    slots = {
        activity: window.compute_slots(table, cursor.round_number, attempt)
        for activity, window in WINDOWS[cursor.task.rules].items()
    }
    return [WindowView(activity.value, first, last) for activity, (first, last) in slots.items()]


def _view_submission(
    cursor: RoundCursor,
    node: NodeKey,
    receipts: dict[str, bool | None],
    own: Answers | None,
    votes: dict[NodeKey, Answers],
) -> HardenedSubmission:
    outcome, paid = get_verdict(cursor, node)
    challenge, trial = cursor.challenges.rows.get(node), cursor.trials.rows.get(node)
    return HardenedSubmission(
        node=base58_of(node),
        verdict=name_outcome(outcome),
        votes=paid,
        receipts=receipts,
        challenge=ChallengeView(base58_of(challenge.challenger), challenge.slot, challenge.held)
        if challenge
        else None,
        is_posted=node in cursor.proofs.rows,
        trial=TrialView(
            base58_of(trial.accuser),
            trial.slot,
            trial.bond,
            {base58_of(juror): seats for juror, seats in trial.seats},
            {
                base58_of(juror): votes[juror].found[node]
                for juror, _ in trial.seats
                if juror in votes and node in votes[juror].found
            },
        )
        if trial
        else None,
        audits_assigned=len(own.candidates) if own else 0,
        audits_done=len(own.found) if own else 0,
    )


def view_assignments(state: State, key: TaskKey, round_number: int, node: NodeKey) -> AssignmentsView:
    """What a node was drawn for in a round; nothing where the rule set draws nobody. Raises UnknownTask."""
    get_task(state, key)
    cursor = RoundCursor(state, key, round_number)
    seals = {kind: cursor.seals.rows.get(bytes([kind]) + node) for kind in SealKind}
    return AssignmentsView(
        task=base58_of(key),
        round=round_number,
        node=base58_of(node),
        checks=[base58_of(each) for each in list_duties(cursor, SealKind.RECEIPT, node)],
        trials=[base58_of(each) for each in list_duties(cursor, SealKind.VOTES, node)],
        committed=[int(kind) for kind, seal in seals.items() if seal],
        revealed=[int(kind) for kind, seal in seals.items() if seal and seal.is_revealed],
    )


def view_posted_proof(state: State, key: TaskKey, round_number: int, node: NodeKey) -> str | None:
    """The proof of a node's submission that lies on the ledger, hex; None if it does not.

    Raises UnknownTask.
    """
    get_task(state, key)
    cursor = RoundCursor(state, key, round_number)
    proof = cursor.proofs.rows.get(node)
    if proof is None:
        return None
    return b"".join(get_pieces(cursor, node, proof.poster)[: proof.chunks]).hex()


def view_round_proof(state: State, key: TaskKey, round_number: int, node: NodeKey) -> RoundProof | None:
    """What shows what became of a node in a round; None if the round has no head, or no leaf of the node.

    Raises UnknownTask.
    """
    get_task(state, key)
    cursor = RoundCursor(state, key, round_number)
    nodes = list_nodes(cursor)
    if not cursor.heads.rows or node not in nodes:
        return None
    head = next(iter(cursor.heads.rows.values()))
    leaves, place = [compute_leaf(cursor, each) for each in nodes], nodes.index(node)
    is_submitter, net = node in cursor.submissions.rows, cursor.nets.rows.get(node)
    outcome, votes = get_verdict(cursor, node) if is_submitter else (Outcome.NO_SUBMISSION, 0)
    return RoundProof(
        task=base58_of(key),
        round=round_number,
        node=base58_of(node),
        leaf=leaves[place].hex(),
        place=place,
        leaves=len(leaves),
        path=[beside.hex() for beside in compute_path(leaves, place)],
        root=head.root.hex(),
        previous=head.previous.hex(),
        head=head.digest.hex(),
        verdict=name_outcome(outcome),
        votes=votes,
        net=net.amount if net else 0,
    )
