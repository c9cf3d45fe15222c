"""The duties of a node: pure decisions from the views of the ledger and the memory of the node.

A duty either calls one of the author's functions (`Work`, `Decide…`), whose result is remembered before
the node acts on it, or sends a decision (`Send…`). What the ledger already shows is not owed; a
duty that failed is owed again as long as its time has not passed.
"""

import hashlib
import struct
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


class ClaimAvailable(msgspec.Struct, frozen=True, tag=True):
    """Pay out the available balance of the node, which is this many roe, or the token's smallest unit."""

    amount: int


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Forget the rounds below this number: they are closed."""

    before_round: int


Duty = (
    Work | DecideValue | SendValue | DecideOpinion | SendOpinion | DecideList | SendList | SendListOpinion
    | TopUp | ClaimAvailable | Forget
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
    claim_least: int = 0
    """The least available balance that the node claims by itself; 0 if it never claims."""
    is_early: bool = False
    """Whether the task names what to submit under roundwork-1 before its window opens."""

    def get_parts(self, round_number: int) -> RoundParts:
        """What is at hand of a round."""
        return self.rounds.get(round_number, _NOTHING)

    def get_own(self, round_number: int) -> OwnRound:
        """The node's own records in a round."""
        for own in self.own.rounds:
            if own.round == round_number:
                return own
        return OwnRound(round=round_number)

    def find_round(self, round_number: int) -> RoundHead | None:
        """The head of a round; None if the task's head has none."""
        for head in self.head.rounds:
            if head.round == round_number:
                return head
        return None


_NOTHING = RoundParts()


def step(memory: Memory, view: View, slot: int) -> tuple[Memory, list[Duty]]:
    """The duties of the node at a slot, and its memory without closed rounds.

    Source: docs/PROTOCOL.md 2.1, and the table of windows in protocol/tasks/round.py.
    """
    agenda = _compute_agenda(view.head, slot)
    if agenda is None:
        return memory, []
    memory, duties = forget_closed(memory, agenda.oldest)
    is_staked = view.own.amount >= view.head.minimum_stake
    topping_up = owe_stake(view)
    duties.extend(topping_up)
    if is_staked or topping_up:
        duties += owe_work(memory, view, agenda.works)
    if not is_staked:
        return memory, duties
    if agenda.submission is not None:
        duties += _owe_submission(memory, view, agenda.submission)
    if agenda.audited is not None:
        duties += _owe_audits(memory, view, agenda.audited, agenda.audits_until)
    for due in agenda.lists:
        duties += _owe_list(memory, view, due, agenda.now)
    return memory, duties


def list_needed(memory: Memory, view: View, slot: int) -> list[PartKey]:
    """The parts that the duties of a slot follow from, each once. `view.rounds` is not read.

    Nodes with the same needs get the same list: do not change it.
    """
    agenda = _compute_agenda(view.head, slot)
    if agenda is None or view.own.amount < view.head.minimum_stake:
        return []
    needs = tuple(
        (
            due.listed.round not in memory.lists,
            due.standing is not None and _may_audit(view, due.listed, due.standing),
        )
        for due in agenda.lists
    )
    return _list_parts(agenda, needs)


# What a slot holds for every node


class _DueList(msgspec.Struct, frozen=True):
    """The distribution list of an open round, in one of its windows."""

    listed: RoundHead
    activity: Activity
    """LIST or AUDIT_LIST."""
    standing: ListHead | None
    """The list that stands in the present attempt."""
    decision: DecideList


class _Agenda(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a slot holds for every node: its duties are those that the node has not fulfilled."""

    now: Moment
    oldest: int
    """Rounds below this number are closed."""
    works: list[Work]
    submission: DecideValue | None
    """Of the round under review, while SUBMIT is open."""
    audited: RoundHead | None
    """The round under review, while AUDIT is open."""
    audits_until: int
    """The slot at which AUDIT ends; 0 if it is not open."""
    lists: list[_DueList]
    before: dict[int, list[RoundHead]]
    """By round whose list is due: that round and the two before it, as far as they have submissions."""


@lru_cache(maxsize=8)
def _compute_agenda(head: TaskHead, slot: int) -> _Agenda | None:
    """What a slot holds; None before the task has begun. All nodes of a simulation share it."""
    now = compute_moment(head, slot)
    if now.ledger_round < 0:
        return None
    heads = {shown.round: shown for shown in head.rounds}
    reviewing = now.compute_round(Period.REVIEW)
    reviewed = heads.get(reviewing)
    submission = audited = None
    audits_until = 0
    if reviewed is not None and now.is_open(Activity.SUBMIT, reviewing):
        submission = DecideValue(reviewing, reviewed.seed, now.compute_end(Activity.SUBMIT, reviewing))
    if reviewed is not None and now.is_open(Activity.AUDIT, reviewing):
        audited, audits_until = reviewed, now.compute_end(Activity.AUDIT, reviewing)
    lists = _find_lists(head, now)
    numbers = [due.listed.round for due in lists]
    before = {number: [heads.get(each) for each in (number, number - 1, number - 2)] for number in numbers}
    return _Agenda(
        now=now,
        oldest=find_oldest(head, now),
        works=list_works(head, now),
        submission=submission,
        audited=audited,
        audits_until=audits_until,
        lists=lists,
        before={
            number: [each for each in shown if each is not None and each.submissions]
            for number, shown in before.items()
        },
    )


def find_oldest(head: TaskHead, now: Moment) -> int:
    """The oldest round that is not closed."""
    return min([*head.open_rounds, now.compute_round(Period.REVIEW)])


def list_works(head: TaskHead, now: Moment) -> list[Work]:
    """The work of this ledger round, and early in it that of the round before, if a crash interrupted it."""
    if not head.is_active or head.migrated_to is not None:
        return []
    working = now.compute_round(Period.WORK)
    seeds = {shown.round: shown.seed for shown in head.rounds if shown.round == working - 1}
    window = Activity.SUBMIT if head.rules == KOII_1.name else Activity.COMMIT
    works = [
        # In the second half of the window the value must be decided and sent.
        Work(round_number, seed, now.compute_middle(window, round_number))
        for round_number, seed in {**seeds, working: head.seed}.items()
    ]
    return [work for work in works if now.slot < work.until]


def _find_lists(head: TaskHead, now: Moment) -> list[_DueList]:
    """The open rounds whose list can be handed in or audited now."""
    lists = []
    for listed in head.rounds:
        activity = _find_list_activity(listed, now)
        if listed.round in head.open_rounds and activity is not None:
            until = now.compute_end(activity, listed.round, listed.attempt)
            decision = DecideList(listed.round, listed.attempt, head.bounty_per_round, until)
            lists.append(_DueList(listed, activity, find_list(listed), decision))
    return lists


@lru_cache(maxsize=64)
def _list_parts(agenda: _Agenda, needs: tuple[tuple[bool, bool], ...]) -> list[PartKey]:
    """The parts that a node needs; for each list whether it is to be decided, and whether to be audited."""
    needed: list[PartKey] = []
    audited = agenda.audited
    if audited is not None and audited.submissions:
        needed.append(PartKey(audited.round, PartKind.SUBMISSIONS))
    if audited is not None and audited.raised:
        needed.append(PartKey(audited.round, PartKind.RAISED))
    for due, (is_undecided, may_audit) in zip(agenda.lists, needs, strict=True):
        round_number = due.listed.round
        if is_undecided:
            needed += [PartKey(round_number, PartKind.SUBMISSIONS), PartKey(round_number, PartKind.AUDITS)]
        if due.standing is None and due.activity is Activity.LIST:
            shown = agenda.before[round_number]
            needed += [PartKey(each.round, PartKind.SUBMISSIONS) for each in shown]
        if may_audit and due.activity is Activity.AUDIT_LIST:
            needed.append(PartKey(round_number, PartKind.LIST, due.listed.attempt))
    return list(dict.fromkeys(needed))


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


def owe_claim(view: View) -> list[ClaimAvailable]:
    """The available balance, if it is enough to be claimed."""
    available = view.own.available
    if not view.claim_least or available < view.claim_least:
        return []
    return [ClaimAvailable(available)]


def forget_closed(memory: Memory, oldest: int) -> tuple[Memory, list[Duty]]:
    """Memory without the closed rounds, those below `oldest`, and the duty to let go of them."""
    if oldest <= memory.forgotten:
        return memory, []
    return forget_rounds(memory, oldest), [Forget(oldest)]


def owe_work(memory: Memory, view: View, works: Sequence[Work]) -> list[Duty]:
    """The works of a slot that the node has not done."""
    return [
        work for work in works if work.round not in memory.worked and not _has_submitted(view, work.round)
    ]


def _owe_submission(memory: Memory, view: View, decision: DecideValue) -> list[Duty]:
    round_number = decision.round
    if round_number not in memory.worked or _has_submitted(view, round_number):
        return []
    if round_number not in memory.values:
        return [decision]
    value = memory.values[round_number]
    return [] if value is None else [SendValue(round_number, value)]


def _owe_audits(memory: Memory, view: View, reviewed: RoundHead, until: int) -> list[Duty]:
    round_number, parts = reviewed.round, view.get_parts(reviewed.round)
    if parts.submissions is None:
        return []
    decided = memory.opinions.get(round_number, {})
    raised, given = parts.raised or {}, view.get_own(round_number).opinions
    if not raised and len(decided) == SAMPLE < AUDIT_ALL_MAX < len(parts.submissions) - 1:
        # The whole sample is decided: it is not drawn again. With no audit raised, only doubts are sent.
        doubted = [node for node, opinion in decided.items() if opinion == "invalid" and node not in given]
        return [SendOpinion(round_number, node, False) for node in doubted]
    decisions = _list_decisions(parts, round_number, reviewed.seed, until)
    places = choose_audits(view, round_number, parts)
    if not decided:
        return [decisions[place] for place in places]
    duties: list[Duty] = []
    for decision in [decisions[place] for place in places]:
        node, opinion = decision.node, decided.get(decision.node)
        if opinion is None:
            duties.append(decision)
        elif node in given:
            continue
        elif opinion == "invalid":
            duties.append(SendOpinion(round_number, node, False))
        elif opinion == "valid" and node in raised:
            duties.append(SendOpinion(round_number, node, True))
    return duties


@lru_cache(maxsize=8)
def _list_decisions(parts: RoundParts, round_number: int, seed: str, until: int) -> list[DecideOpinion]:
    """The decision about each submission of a round, in their order. All nodes of a simulation share them."""
    return [
        DecideOpinion(round_number, seed, each.node, each.value, each.stake, until)
        for each in parts.submissions or ()
    ]


def choose_audits(view: View, round_number: int, parts: RoundParts) -> list[int]:
    """The places of the submissions of others that a node audits, in order.

    Without its secret the sample cannot be foreseen.
    """
    place_of, count = _find_places(parts), len(parts.submissions or ())
    own_place = place_of.get(view.node)
    if count - (own_place is not None) <= AUDIT_ALL_MAX:
        return [place for place in range(count) if place != own_place]
    places = _draw_sample(view, round_number, count, own_place)
    places.update(place_of[node] for node in parts.raised or () if node != view.node)
    return sorted(places)


def _draw_sample(view: View, round_number: int, count: int, own_place: int | None) -> set[int]:
    """The places of SAMPLE of `count` submissions, all others with equal probability."""
    prefix = f"{view.head.task}/{round_number}/"
    drawn: list[int] = []
    while True:
        for _ in range(2):  # digests: most often they suffice
            text = f"{prefix}{len(drawn) // 8}".encode()
            digest = hashlib.blake2b(text, key=view.secret).digest()
            drawn += _DIGEST_NUMBERS.unpack(digest)
        places = [place for place in dict.fromkeys([each % count for each in drawn]) if place != own_place]
        if len(places) >= SAMPLE:
            return set(places[:SAMPLE])


_DIGEST_NUMBERS = struct.Struct(">8Q")
"""A digest of 64 bytes as eight numbers, the first byte the highest."""


@lru_cache(maxsize=8)
def _find_places(parts: RoundParts) -> dict[str, int]:
    """The place of each submission of a round, by node."""
    return _find_places_in(Same(parts.submissions or ()))


@lru_cache(maxsize=8)
def _find_places_in(submissions: Same[Sequence[SubmissionView]]) -> dict[str, int]:
    return {submission.node: place for place, submission in enumerate(submissions.value)}


def _owe_list(memory: Memory, view: View, due: _DueList, now: Moment) -> list[Duty]:
    listed, standing = due.listed, due.standing
    round_number = listed.round
    if round_number not in memory.lists:
        is_ready = view.get_parts(round_number).audited is not None
        return [due.decision] if is_ready else []
    if standing is None:
        is_mine = due.activity is Activity.LIST and is_my_turn(view, listed, now)
        return [SendList(round_number, listed.attempt)] if is_mine else []
    if due.activity is Activity.LIST:
        return []
    return _owe_list_opinion(view, listed, standing, memory.lists[round_number])


def _owe_list_opinion(
    view: View, listed: RoundHead, standing: ListHead, mine: Mapping[str, int]
) -> list[Duty]:
    parts = view.get_parts(listed.round)
    if parts.amounts is None or not _may_audit(view, listed, standing):
        return []
    is_valid = _is_same_list(parts, Same(mine))
    if is_valid and standing.trigger_by is None:
        return []
    return [SendListOpinion(listed.round, standing.attempt, standing.submitter, is_valid)]


def is_my_turn(view: View, listed: RoundHead, now: Moment) -> bool:
    """Whether the node may hand in the list now: the nodes take turns, one after the other.

    A node that did not submit in the round follows when every node may.
    """
    if view.get_parts(listed.round).submissions is None:
        return False
    parts = [view.get_parts(number) for number in range(listed.round, listed.round - 3, -1)]
    ranks = _find_ranks(view.head, listed.round, *parts)
    rank = ranks.get(view.node, len(ranks) + TURNS)
    return now.table.compute_offset(now.slot) >= compute_turn(now.table, rank)


@lru_cache(maxsize=8)
def _find_ranks(
    head: TaskHead, round_number: int, parts: RoundParts, before: RoundParts, second: RoundParts
) -> dict[str, int]:
    """The ranks for a round's list, from its parts and those of the two rounds before it."""
    heads = {each.round: each for each in head.rounds}
    earlier = ((round_number - 1, before), (round_number - 2, second))
    attempt, lists = heads[round_number].attempt, heads[round_number].lists
    return _compute_ranks(
        round_number,
        attempt,
        Same(parts.submissions or ()),
        tuple((number, Same(each.submissions or ())) for number, each in earlier if number in heads),
        tuple(each.submitter for each in lists if each.attempt < attempt),
    )


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
def _is_same_list(parts: RoundParts, mine: Same[Mapping[str, int]]) -> bool:
    """Whether the list of a round equals another list, which leaves zeros out."""
    return {node: amount for node, amount in (parts.amounts or {}).items() if amount} == mine.value


def _show_submissions(
    round_number: int, submissions: Sequence[SubmissionView]
) -> dict[str, dict[str, str | int]]:
    """Submissions as clients see them, whose text the published rule hashes."""
    return {
        each.node: {"submission_value": each.value, "slot": each.slot, "round": round_number}
        for each in sorted(submissions, key=lambda each: each.node)
    }


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
