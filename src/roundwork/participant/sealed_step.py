"""All duties of a node in a task under roundwork-1: those of its rounds, its work and its stake."""

from collections.abc import Mapping

import msgspec

from ..hardened_views import AssignmentsView
from ..protocol.tasks.commitments import SealKind
from ..protocol.tasks.round import Activity, Period
from ..views import RoundView
from .decisions import Memory
from .moment import Moment, compute_moment, compute_timetable
from .sealed import (
    DecideSealedValue,
    SealedDuty,
    SealedMemory,
    SealedView,
    SendCommitment,
    list_sealed_duties,
)
from .step import (
    DecideValue,
    Duty,
    View,
    find_oldest,
    forget_closed,
    list_works,
    owe_claim,
    owe_stake,
    owe_work,
)


class Bounds(msgspec.Struct, frozen=True):
    """How often a node pays by itself in a round."""

    challenges_max: int = 10
    """Challenges: each sets 20 fees of a signature aside."""
    accusations_max: int = 10
    """Accusations of submissions and lists: each puts a bond of at most half of the minimum stake at risk."""


class DrawnRound(msgspec.Struct, frozen=True):
    """A round as the ledger shows it, and what the node was drawn for in it."""

    round: RoundView
    own: AssignmentsView


def list_rounds_needed(view: View, slot: int) -> list[int]:
    """The rounds that decide the duties of a slot: the round under review, and the open ones before it."""
    reviewed = compute_moment(view.head, slot).compute_round(Period.REVIEW)
    rounds = {reviewed, *view.head.open_rounds}
    return sorted(round_number for round_number in rounds if 0 <= round_number <= reviewed)


def step_sealed(
    memory: Memory,
    view: View,
    drawn: Mapping[int, DrawnRound],
    fetched: Mapping[int, frozenset[str]],
    bounds: Bounds,
    slot: int,
) -> tuple[Memory, list[Duty | SealedDuty]]:
    """The duties of the node at a slot, and its memory without closed rounds.

    `drawn` has the rounds that are at hand; the duties of the others are not owed yet. The duties of a round
    are those of the slot that its view shows: what the end of a window brings about is never judged by a view
    from before that end. `fetched` has, by round, the nodes whose proof the node has.
    """
    now = compute_moment(view.head, slot)
    if now.ledger_round < 0:
        return memory, []
    memory, closing = forget_closed(memory, find_oldest(view.head, now))
    lacking, may_hold_bonds = owe_stake(view), _may_hold_bonds(view, now)
    duties: list[Duty | SealedDuty] = [*closing]
    if not may_hold_bonds:
        duties += lacking
    duties += owe_claim(view)
    if 2 * view.own.amount >= view.head.minimum_stake or lacking or may_hold_bonds:
        duties += owe_work(memory, view, list_works(view.head, now))
    duties += _owe_early_value(memory, view, now)
    for round_number, shown in sorted(drawn.items()):
        sealed_view = look_at(view, shown, bounds)
        recalled = recall(memory, round_number, fetched.get(round_number, frozenset()))
        owed = list_sealed_duties(recalled, sealed_view, shown.round.slot)
        duties += [duty for duty in owed if _can_begin(memory, view, duty)]
    return memory, duties


def has_committed(view: View) -> bool:
    """Whether the node committed a submission in one of the head's rounds."""
    return any(own.assignments is not None for own in view.own.rounds)


def _may_hold_bonds(view: View, now: Moment) -> bool:
    """Whether bonds of the node may be set aside in what it sees of its stake, which is then too small.

    They are while AUDIT lasts, and may be all of the stake. Own records may be older than the head.
    """
    moments = (now, compute_moment(view.head, view.own.slot))
    is_audited = any(each.is_open(Activity.AUDIT, each.compute_round(Period.REVIEW)) for each in moments)
    return is_audited and (view.own.amount > 0 or has_committed(view))


def _owe_early_value(memory: Memory, view: View, now: Moment) -> list[DecideValue]:
    """Let the task name what to submit when its work has ended, so that the window begins with sending.

    Not before the audits of the round under review are over: submission and audit run one after the other.
    """
    round_number, reviewed = now.compute_round(Period.WORK), now.compute_round(Period.REVIEW)
    is_worked = round_number in memory.worked and round_number not in memory.values
    if not view.is_early or not is_worked or now.slot < now.compute_end(Activity.JUDGE, reviewed):
        return []
    return [DecideValue(round_number, view.head.seed, now.compute_end(Activity.COMMIT, round_number))]


def look_at(view: View, shown: DrawnRound, bounds: Bounds) -> SealedView:
    """What the node sees of a round."""
    return SealedView(
        node=view.node,
        table=compute_timetable(view.head),
        round=shown.round,
        own=shown.own,
        challenges_max=bounds.challenges_max,
        accusations_max=bounds.accusations_max,
    )


def recall(memory: Memory, round_number: int, fetched: frozenset[str]) -> SealedMemory:
    """The decisions of the node in a round."""
    opinions = memory.opinions.get(round_number, {})
    return SealedMemory(
        value=memory.values.get(round_number),
        sealed=memory.sealed.get(round_number, {}),
        fetched=fetched,
        found={node: opinion == "valid" for node, opinion in opinions.items()},
        amounts=memory.lists.get(round_number),
    )


def _can_begin(memory: Memory, view: View, duty: SealedDuty) -> bool:
    """Whether the node has done the work that a duty needs, and has the stake for it."""
    match duty:
        case DecideSealedValue():  # a value of None that is decided says that there is nothing to submit
            return duty.round in memory.worked and duty.round not in memory.values
        case SendCommitment(kind=SealKind.SUBMISSION):
            return 2 * view.own.amount >= view.head.minimum_stake
        case _:
            return True
