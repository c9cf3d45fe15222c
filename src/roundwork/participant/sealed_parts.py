"""A round under roundwork-1 as a node sees it: put together from the head, its own records, and parts.

Nodes read the parts that `list_sealed_parts` names. What the duties of a node do not follow from is left
empty in the round: receipts, seats and votes of juries, amounts that are set aside, payments.
"""

from collections.abc import Mapping
from functools import lru_cache

from ..hardened_views import (
    AssignmentsView,
    ChallengeView,
    HardenedRound,
    HardenedSubmission,
    RanksView,
    TrialView,
)
from ..protocol.params import KOII_1, ROUNDWORK_1
from ..protocol.tasks.round import WINDOWS, Activity, Period
from ..views import ListHead, ListView, OwnRound, PartKey, PartKind, RoundHead, RoundView, TaskHead
from .moment import Moment, compute_moment
from .parts import RoundParts
from .sealed_step import DrawnRound, has_committed, list_rounds_needed
from .step import View

REVIEW_PARTS: dict[Activity, tuple[PartKind, ...]] = {
    Activity.CHALLENGE: (PartKind.SUBMISSIONS, PartKind.CHALLENGED, PartKind.POSTED),
    Activity.ANSWER: (PartKind.SUBMISSIONS, PartKind.CHALLENGED, PartKind.POSTED),
    Activity.CHECK: (PartKind.SUBMISSIONS, PartKind.POSTED),
    Activity.ACCUSE: (PartKind.SUBMISSIONS, PartKind.RAISED, PartKind.POSTED),
    Activity.JUDGE: (PartKind.SUBMISSIONS, PartKind.POSTED),
}
"""What the duties of a window follow from. In all other windows of the review they need no parts."""

DRAWS: dict[str, tuple[tuple[Activity, PartKind], ...]] = {
    KOII_1.name: (),
    ROUNDWORK_1.name: (
        (Activity.CHALLENGE, PartKind.SUBMISSIONS),
        (Activity.CHECK, PartKind.CHALLENGED),
        (Activity.JUDGE, PartKind.RAISED),
    ),
}
"""By rule set, the windows with which a node's assignments change, if that part has rows.

Checkers are drawn when submissions end, missing submissions are left out when answers end, and juries are
drawn when accusations end.
"""

DRAW_SHARE = 4
"""Own records are read within this part of the window with which they change."""


def compute_draw_slots(head: TaskHead) -> range:
    """The slots in which own records that were read before are read again; empty if nothing has changed."""
    now = compute_moment(head, head.slot)
    reviewed = _find_reviewed(head, now)
    if reviewed is None:
        return range(0)
    begun = range(0)
    for activity, kind in DRAWS[head.rules]:
        window = WINDOWS[head.rules][activity]
        first, last = window.compute_slots(now.table, reviewed.round)
        if first <= now.slot and count_rows(reviewed, kind):
            begun = range(first, first + max((last - first + 1) // DRAW_SHARE, 1))
    return begun


def count_rows(shown: RoundHead, kind: PartKind) -> int:
    """The rows that a head counts for a part that grows, or for the submissions."""
    match kind:
        case PartKind.RAISED:
            return shown.raised
        case PartKind.CHALLENGED:
            return shown.hardened.challenged if shown.hardened else 0
        case PartKind.POSTED:
            return shown.hardened.posted if shown.hardened else 0
        case _:
            return shown.submissions


def list_sealed_parts(view: View, slot: int) -> list[PartKey]:
    """The parts that the duties of a slot follow from. `view.rounds` is not read."""
    now = compute_moment(view.head, slot)
    if now.ledger_round < 0 or not (view.own.amount or has_committed(view)):
        return []
    needed: list[PartKey] = []
    for round_number in list_rounds_needed(view, slot):
        shown = view.find_round(round_number)
        if shown is not None and shown.submissions:
            needed += [
                PartKey(round_number, kind, shown.attempt if kind is PartKind.LIST else 0)
                for kind in _list_kinds(view, shown, now)
            ]
    return needed


def compose_drawn(view: View, slot: int) -> dict[int, DrawnRound]:
    """The rounds by number whose parts are at hand, with what the node was drawn for in them."""
    now = compute_moment(view.head, slot)
    if now.ledger_round < 0:
        return {}
    drawn, stale_before = {}, compute_draw_slots(view.head).start
    for round_number in list_rounds_needed(view, slot):
        shown = view.find_round(round_number)
        is_reviewed = round_number == now.compute_round(Period.REVIEW)
        if shown is None or (is_reviewed and view.own.slot < stale_before):
            continue
        parts = view.get_parts(round_number)
        if all(_is_at_hand(shown, parts, kind) for kind in _list_kinds(view, shown, now)):
            own = view.get_own(round_number)
            nothing = AssignmentsView(
                task=view.head.task,
                round=round_number,
                node=view.node,
                checks=[],
                trials=[],
                committed=[],
                revealed=[],
            )
            drawn[round_number] = DrawnRound(
                _compose_round(view, shown, parts, own), own.assignments or nothing
            )
    return drawn


def _find_reviewed(head: TaskHead, now: Moment) -> RoundHead | None:
    reviewing = now.compute_round(Period.REVIEW)
    return next((shown for shown in head.rounds if shown.round == reviewing), None)


def _list_kinds(view: View, shown: RoundHead, now: Moment) -> tuple[PartKind, ...]:
    """The parts of a round that the duties of a slot follow from."""
    round_number, attempt = shown.round, shown.attempt
    if round_number == now.compute_round(Period.REVIEW):
        kinds = (parts for window, parts in REVIEW_PARTS.items() if now.is_open(window, round_number))
        return next(kinds, ())
    is_due = now.is_due(Activity.LIST, round_number, attempt) and not now.is_open(
        Activity.PAY, round_number, attempt
    )
    if not is_due or view.get_own(round_number).value is None:
        return ()
    judged = (PartKind.SUBMISSIONS, PartKind.VERDICTS)
    is_standing = any(listed.attempt == attempt for listed in shown.lists)
    if is_standing and now.is_open(Activity.AUDIT_LIST, round_number, attempt):
        return (*judged, PartKind.LIST)
    return judged


def _is_at_hand(shown: RoundHead, parts: RoundParts, kind: PartKind) -> bool:
    growing: Mapping[str, str] | None
    match kind:
        case PartKind.SUBMISSIONS:
            return parts.submissions is not None
        case PartKind.VERDICTS:
            return parts.audited is not None
        case PartKind.LIST:
            return parts.amounts is not None
        case PartKind.RAISED:
            growing = parts.raised
        case PartKind.CHALLENGED:
            growing = parts.challenged
        case _:
            growing = parts.posted
    return len(growing or ()) >= count_rows(shown, kind)


def _compose_round(view: View, shown: RoundHead, parts: RoundParts, own: OwnRound) -> RoundView:
    submissions = parts.audited or parts.submissions or []
    ranks: list[RanksView] = shown.hardened.ranks if shown.hardened else []
    return RoundView(
        task=view.head.task,
        round=shown.round,
        slot=view.head.slot,
        status=shown.status,
        attempt=shown.attempt,
        beacon=shown.beacon,
        seed=shown.seed,
        submissions=list(submissions),
        lists=[_compose_list(view, shown, listed, parts, own) for listed in shown.lists],
        payments=[],
        hardened=HardenedRound(
            windows=[],
            committed=[],
            submissions=_compose_submissions(parts),
            ranks=ranks,
            nets={},
            head="",
        ),
    )


def _compose_list(
    view: View, shown: RoundHead, listed: ListHead, parts: RoundParts, own: OwnRound
) -> ListView:
    """A list; the current one with the node's own vote and, if they are at hand, its amounts."""
    is_current, opinion = listed.attempt == shown.attempt, own.list_opinion
    return ListView(
        attempt=listed.attempt,
        submitter=listed.submitter,
        slot=listed.slot,
        amounts=dict(parts.amounts or {}) if is_current else {},
        votes=listed.votes,
        trigger_by=listed.trigger_by,
        auditors={view.node: opinion} if is_current and opinion is not None else {},
    )


@lru_cache(maxsize=8)
def _compose_submissions(parts: RoundParts) -> list[HardenedSubmission]:
    """What was said of the submissions. All that changes with a slot is made once for each change."""
    submissions = parts.audited or parts.submissions or ()
    challenged, posted, raised = parts.challenged or {}, parts.posted or {}, parts.raised or {}
    seen = []
    for each in submissions:
        accuser = raised.get(each.node, each.trigger_by)
        challenger = challenged.get(each.node)
        seen.append(
            HardenedSubmission(
                node=each.node,
                verdict=each.verdict,
                votes=each.votes,
                receipts={},
                challenge=None if challenger is None else ChallengeView(challenger, slot=0, held=0),
                is_posted=each.node in posted,
                trial=None if accuser is None else TrialView(accuser, slot=0, bond=0, seats={}, votes={}),
                audits_assigned=each.audits_assigned,
                audits_done=each.audits_done,
            )
        )
    return seen
