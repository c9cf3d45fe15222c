"""The duties of a node: pure decisions from the views of the ledger and the memory of the node.

A duty either calls one of the author's functions (`Work`, `Decide…`), whose result is remembered before
the node acts on it, or sends a decision (`Send…`). What the ledger already shows is not owed; a
duty that failed is owed again as long as its time has not passed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from ..protocol.params import KOII_1
from ..protocol.tasks.round import TURNS, Activity, Period, compute_turn
from ..views import (
    ListHead,
    OwnRound,
    OwnView,
    PartKey,
    PartKind,
    RoundHead,
    SubmissionView,
    TaskHead,
)  # fmt: skip
from .decisions import Memory, forget_rounds
from .moment import Moment, compute_moment
from .parts import RoundParts
from .same import Same
from .selection import rank_nodes, select_node

AUDIT_ALL_MAX = 20
"""Up to this many submissions of others are all audited; of more, a sample."""

SAMPLE = 10
"""The size of a sample; submissions on which an audit is raised are added to it."""


class Work(msgspec.Struct, frozen=True, tag=True):
    """Do the work of a round, with its seed (hex), until a slot."""

    round: int
    seed: str
    until: int


class DecideValue(msgspec.Struct, frozen=True, tag=True):
    """Let the task name what to submit."""

    round: int
    seed: str
    until: int


class SendValue(msgspec.Struct, frozen=True, tag=True):
    """Submit what was decided."""

    round: int
    value: str


class DecideOpinion(msgspec.Struct, frozen=True, tag=True):
    """Let the task judge the submission of another node."""

    round: int
    seed: str
    node: str
    value: str
    stake: int
    until: int


class SendOpinion(msgspec.Struct, frozen=True, tag=True):
    """Give the opinion of a submission."""

    round: int
    node: str
    is_valid: bool


class DecideList(msgspec.Struct, frozen=True, tag=True):
    """Let the task compute a round's distribution list."""

    round: int
    attempt: int
    bounty: int
    until: int


class SendList(msgspec.Struct, frozen=True, tag=True):
    """Upload the list and hand it in."""

    round: int
    attempt: int


class SendListOpinion(msgspec.Struct, frozen=True, tag=True):
    """Give the opinion of the list that stands."""

    round: int
    attempt: int
    node: str
    is_valid: bool


class TopUp(msgspec.Struct, frozen=True, tag=True):
    """Add to the stake: it is below the minimum of the task, or its endpoint is not the present one."""

    amount: int


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Forget the rounds below this number: they are closed."""

    before_round: int


Duty = (
    Work | DecideValue | SendValue | DecideOpinion | SendOpinion | DecideList | SendList | SendListOpinion
    | TopUp | Forget
)  # fmt: skip


class View(msgspec.Struct, frozen=True):
    """What a node sees at a slot: its task's head, its own records, the parts of rounds that are at hand.

    Without a part that `list_needed` names, the duties that follow from it are not owed yet.
    """

    node: str
    """The node's address."""
    head: TaskHead
    own: OwnView
    rounds: Mapping[int, RoundParts]
    """By round number."""
    secret: bytes
    """Picks the node's sample of submissions to audit."""
    stake_target: int
    """The stake that the node keeps up, in roe; 0 if it never stakes by itself."""
    endpoint: str = ""
    """Where peers reach the node."""

    def get_parts(self, round_number: int) -> RoundParts:
        """What is at hand of a round."""
        return self.rounds.get(round_number, _NOTHING)

    def get_own(self, round_number: int) -> OwnRound:
        """The node's own records in a round."""
        found = (own for own in self.own.rounds if own.round == round_number)
        return next(found, OwnRound(round=round_number))

    def find_round(self, round_number: int) -> RoundHead | None:
        """The head of a round; None if the task's head has none."""
        return next((head for head in self.head.rounds if head.round == round_number), None)


_NOTHING = RoundParts()


def step(memory: Memory, view: View, slot: int) -> tuple[Memory, list[Duty]]:
    """The duties of the node at a slot, and its memory without closed rounds.

    Source: docs/PROTOCOL.md 2.1, and the table of windows in protocol/tasks/round.py.
    """
    now = compute_moment(view.head, slot)
    if now.ledger_round < 0:
        return memory, []
    memory, duties = forget_closed(memory, view, now)
    is_staked = view.own.amount >= view.head.minimum_stake
    topping_up = owe_stake(view)
    duties.extend(topping_up)
    if is_staked or topping_up:
        duties += owe_work(memory, view, now)
    if not is_staked:
        return memory, duties
    under_review = view.find_round(now.compute_round(Period.REVIEW))
    if under_review is not None:
        duties += _owe_submission(memory, view, under_review, now)
        duties += _owe_audits(memory, view, under_review, now)
    for open_round in _find_open(view):
        duties += _owe_list(memory, view, open_round, now)
    return memory, duties


def list_needed(memory: Memory, view: View, slot: int) -> list[PartKey]:
    """The parts that the duties of a slot follow from, each once. `view.rounds` is not read."""
    now = compute_moment(view.head, slot)
    if now.ledger_round < 0 or view.own.amount < view.head.minimum_stake:
        return []
    needed: list[PartKey] = []
    under_review = view.find_round(now.compute_round(Period.REVIEW))
    if under_review is not None and now.is_open(Activity.AUDIT, under_review.round):
        if under_review.submissions:
            needed.append(PartKey(under_review.round, PartKind.SUBMISSIONS))
        if under_review.raised:
            needed.append(PartKey(under_review.round, PartKind.RAISED))
    for open_round in _find_open(view):
        needed += _list_needed_for_list(memory, view, open_round, now)
    return list(dict.fromkeys(needed))


def _list_needed_for_list(memory: Memory, view: View, listed: RoundHead, now: Moment) -> list[PartKey]:
    round_number, attempt = listed.round, listed.attempt
    activity = _find_list_activity(listed, now)
    if activity is None:
        return []
    needed = []
    if round_number not in memory.lists:
        needed += [PartKey(round_number, PartKind.SUBMISSIONS), PartKey(round_number, PartKind.AUDITS)]
    standing = find_list(listed)
    if standing is None and activity is Activity.LIST:
        before = [view.find_round(round_number - 1), view.find_round(round_number - 2)]
        needed += [
            PartKey(each.round, PartKind.SUBMISSIONS)
            for each in (listed, *before)
            if each is not None and each.submissions
        ]
    if standing is not None and activity is Activity.AUDIT_LIST and _may_audit(view, listed, standing):
        needed.append(PartKey(round_number, PartKind.LIST, attempt))
    return needed


# Owing


def owe_stake(view: View) -> list[TopUp]:
    """How much the stake lacks, if the node stakes by itself and the task continues.

    A stake that was made without an endpoint gets it with the least amount. An endpoint that has changed is
    not sent: the node signs the new one for its peers, which costs nothing.
    """
    head, stake = view.head, view.own.amount
    if not view.stake_target or not head.is_active or head.is_closed or head.migrated_to is not None:
        return []
    if stake < head.minimum_stake:
        return [TopUp(max(view.stake_target, head.minimum_stake) - stake)]
    return [TopUp(1)] if view.endpoint and not view.own.endpoint else []


def forget_closed(memory: Memory, view: View, now: Moment) -> tuple[Memory, list[Duty]]:
    """Memory without the rounds that are closed, and the duty to let go of them if there are any."""
    oldest = min([*view.head.open_rounds, now.compute_round(Period.REVIEW)])
    if oldest <= memory.forgotten:
        return memory, []
    return forget_rounds(memory, oldest), [Forget(oldest)]


def owe_work(memory: Memory, view: View, now: Moment) -> list[Duty]:
    """The work of this ledger round, and early in it that of the round before, if a crash interrupted it."""
    if not view.head.is_active or view.head.migrated_to is not None:
        return []
    working = now.compute_round(Period.WORK)
    late = view.find_round(working - 1)
    seeds = {} if late is None else {late.round: late.seed}
    window = Activity.SUBMIT if view.head.rules == KOII_1.name else Activity.COMMIT
    duties: list[Duty] = []
    for round_number, seed in {**seeds, working: view.head.seed}.items():
        # In the second half of the window the value must be decided and sent.
        until = now.compute_middle(window, round_number)
        is_done = round_number in memory.worked or _has_submitted(view, round_number)
        if not is_done and now.slot < until:
            duties.append(Work(round_number, seed, until))
    return duties


def _owe_submission(memory: Memory, view: View, reviewed: RoundHead, now: Moment) -> list[Duty]:
    round_number = reviewed.round
    if not now.is_open(Activity.SUBMIT, round_number):
        return []
    if round_number not in memory.worked or _has_submitted(view, round_number):
        return []
    if round_number not in memory.values:
        until = now.compute_end(Activity.SUBMIT, round_number)
        return [DecideValue(round_number, reviewed.seed, until)]
    value = memory.values[round_number]
    return [] if value is None else [SendValue(round_number, value)]


def _owe_audits(memory: Memory, view: View, reviewed: RoundHead, now: Moment) -> list[Duty]:
    round_number, parts = reviewed.round, view.get_parts(reviewed.round)
    if not now.is_open(Activity.AUDIT, round_number) or parts.submissions is None:
        return []
    until = now.compute_end(Activity.AUDIT, round_number)
    decided = memory.opinions.get(round_number, {})
    raised, given = parts.raised or {}, view.get_own(round_number).opinions
    duties: list[Duty] = []
    for candidate in choose_audits(view, round_number, parts.submissions, raised):
        node, opinion = candidate.node, decided.get(candidate.node)
        if opinion is None:
            duties.append(
                DecideOpinion(round_number, reviewed.seed, node, candidate.value, candidate.stake, until)
            )
        elif node in given:
            continue
        elif opinion == "invalid":
            duties.append(SendOpinion(round_number, node, False))
        elif opinion == "valid" and node in raised:
            duties.append(SendOpinion(round_number, node, True))
    return duties


def choose_audits(
    view: View, round_number: int, submissions: Sequence[SubmissionView], raised: Mapping[str, str]
) -> list[SubmissionView]:
    """The submissions of others that a node audits; without its secret the sample cannot be foreseen.

    `raised` has the candidates on which an audit is raised.
    """
    if len(submissions) <= AUDIT_ALL_MAX + 1:
        others = [submission for submission in submissions if submission.node != view.node]
        if len(others) <= AUDIT_ALL_MAX:
            return others
    places = _draw_sample(view, round_number, submissions)
    if raised:
        place_of = _find_places(Same(submissions))
        places |= {place_of[node] for node in raised if node != view.node}
    return [submissions[place] for place in sorted(places)]


def _draw_sample(view: View, round_number: int, submissions: Sequence[SubmissionView]) -> set[int]:
    """The places of SAMPLE submissions of others, all with equal probability."""
    places: set[int] = set()
    count = 0
    while True:
        text = f"{view.head.task}/{round_number}/{count}"
        digest = hashlib.blake2b(text.encode(), key=view.secret).digest()
        for at in range(0, len(digest), 8):
            place = int.from_bytes(digest[at : at + 8], "big") % len(submissions)
            if submissions[place].node != view.node:
                places.add(place)
            if len(places) == SAMPLE:
                return places
        count += 1


@lru_cache(maxsize=8)
def _find_places(submissions: Same[Sequence[SubmissionView]]) -> dict[str, int]:
    return {submission.node: place for place, submission in enumerate(submissions.value)}


def _owe_list(memory: Memory, view: View, listed: RoundHead, now: Moment) -> list[Duty]:
    round_number, attempt = listed.round, listed.attempt
    activity = _find_list_activity(listed, now)
    if activity is None:
        return []
    if round_number not in memory.lists:
        until = now.compute_end(activity, round_number, attempt)
        is_ready = view.get_parts(round_number).audited is not None
        return [DecideList(round_number, attempt, view.head.bounty_per_round, until)] if is_ready else []
    standing = find_list(listed)
    if standing is None:
        is_mine = activity is Activity.LIST and is_my_turn(view, listed, now)
        return [SendList(round_number, attempt)] if is_mine else []
    if activity is Activity.LIST:
        return []
    return _owe_list_opinion(view, listed, standing, memory.lists[round_number])


def _owe_list_opinion(
    view: View, listed: RoundHead, standing: ListHead, mine: Mapping[str, int]
) -> list[Duty]:
    amounts = view.get_parts(listed.round).amounts
    if amounts is None or not _may_audit(view, listed, standing):
        return []
    is_valid = _are_equal(Same(amounts), Same(mine))
    if is_valid and standing.trigger_by is None:
        return []
    return [SendListOpinion(listed.round, standing.attempt, standing.submitter, is_valid)]


def is_my_turn(view: View, listed: RoundHead, now: Moment) -> bool:
    """Whether the node may hand in the list now: the nodes take turns, one after the other.

    A node that did not submit in the round follows when every node may.
    """
    submissions = view.get_parts(listed.round).submissions
    if submissions is None:
        return False
    before = tuple(
        (round_number, Same(view.get_parts(round_number).submissions or ()))
        for round_number in (listed.round - 1, listed.round - 2)
        if view.find_round(round_number) is not None
    )
    failed = tuple(each.submitter for each in listed.lists if each.attempt < listed.attempt)
    ranks = _compute_ranks(listed.round, listed.attempt, Same(submissions), before, failed)
    rank = ranks.get(view.node, len(ranks) + TURNS)
    return now.table.compute_offset(now.slot) >= compute_turn(now.table, rank)


@lru_cache(maxsize=8)
def _compute_ranks(
    round_number: int,
    attempt: int,
    submissions: Same[Sequence[SubmissionView]],
    before: tuple[tuple[int, Same[Sequence[SubmissionView]]], ...],
    failed: tuple[str, ...],
) -> dict[str, int]:
    """The rank of each submitter. `before` are the submissions of the rounds before, by round."""
    selected = select_node(
        _show_submissions(round_number, submissions.value),
        [_show_submissions(other, shown.value) for other, shown in before],
        failed,
        is_retry=attempt > 0,
    )
    nodes = [submission.node for submission in submissions.value]
    return {node: rank for rank, node in enumerate(rank_nodes(nodes, round_number, attempt, selected))}


@lru_cache(maxsize=64)
def _are_equal(amounts: Same[Mapping[str, int]], mine: Same[Mapping[str, int]]) -> bool:
    """Whether a list equals another list, which leaves zeros out."""
    return {node: amount for node, amount in amounts.value.items() if amount} == mine.value


def _show_submissions(
    round_number: int, submissions: Sequence[SubmissionView]
) -> dict[str, dict[str, str | int]]:
    """Submissions as clients see them, whose text the published rule hashes."""
    return {
        each.node: {"submission_value": each.value, "slot": each.slot, "round": round_number}
        for each in sorted(submissions, key=lambda each: each.node)
    }


def _find_open(view: View) -> list[RoundHead]:
    return [head for head in view.head.rounds if head.round in view.head.open_rounds]


def _find_list_activity(listed: RoundHead, now: Moment) -> Activity | None:
    activities = (Activity.LIST, Activity.AUDIT_LIST)
    return next((each for each in activities if now.is_open(each, listed.round, listed.attempt)), None)


def find_list(listed: RoundHead) -> ListHead | None:
    """The list that stands in the current attempt."""
    return next((each for each in listed.lists if each.attempt == listed.attempt), None)


def _may_audit(view: View, listed: RoundHead, standing: ListHead) -> bool:
    return view.node != standing.submitter and view.get_own(listed.round).list_opinion is None


def _has_submitted(view: View, round_number: int) -> bool:
    return view.get_own(round_number).value is not None
