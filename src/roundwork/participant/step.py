"""The duties of a node: pure decisions from the views of the ledger and the memory of the node.

A duty either calls one of the author's functions (`Work`, `Decide…`), whose result is remembered before
the node acts on it, or sends a decision (`Send…`). What the ledger already shows is not owed; a
duty that failed is owed again as long as its time has not passed.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from ..protocol.tasks.round import Activity, Period, compute_turn
from ..views import ListView, RoundView, SubmissionView, TaskView
from .decisions import Memory, forget_rounds
from .moment import Moment, compute_moment
from .selection import rank_nodes, select_node

AUDIT_ALL_MAX = 20
"""Up to so many submissions of others are all audited; of more, a sample."""

SAMPLE = 10
"""Submissions that a sample has; those on which an audit is raised come on top."""


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
    """What a node sees at a slot: its task, the rounds that matter, itself.

    `secret` picks the node's sample; `stake_target` is what it wants to have at stake, in roe, 0 if it
    never stakes by itself; `endpoint` is where peers reach it.
    """

    node: str
    task: TaskView
    rounds: Mapping[int, RoundView]
    secret: bytes
    stake_target: int
    endpoint: str = ""


def step(memory: Memory, view: View, slot: int) -> tuple[Memory, list[Duty]]:
    """The duties of the node at a slot, and its memory without closed rounds.

    Source: docs/PROTOCOL.md 2.1, and the table of windows in protocol/tasks/round.py.
    """
    now = compute_moment(view.task, slot)
    if now.ledger_round < 0:
        return memory, []
    memory, duties = _forget_closed(memory, view, now)
    is_staked = get_stake(view) >= view.task.minimum_stake
    topping_up = owe_stake(view)
    duties.extend(topping_up)
    if is_staked or topping_up:
        duties += _owe_work(memory, view, now)
    if not is_staked:
        return memory, duties
    under_review = view.rounds.get(now.compute_round(Period.REVIEW))
    if under_review is not None:
        duties += _owe_submission(memory, view, under_review, now)
        duties += _owe_audits(memory, view, under_review, now)
    for round_number in view.task.open_rounds:
        open_round = view.rounds.get(round_number)
        if open_round is not None:
            duties += _owe_list(memory, view, open_round, now)
    return memory, duties


def compute_rounds(task: TaskView, slot: int) -> list[int]:
    """The rounds that a view needs at a slot: the one under review, open ones, two before each of those."""
    wanted = {compute_moment(task, slot).compute_round(Period.REVIEW), *task.open_rounds}
    for round_number in task.open_rounds:
        wanted |= {round_number - 1, round_number - 2}
    return sorted(round_number for round_number in wanted if round_number >= 0)


def get_stake(view: View) -> int:
    """The node's stake, in roe."""
    return next((stake.amount for stake in view.task.stakes if stake.node == view.node), 0)


# Owing


def owe_stake(view: View) -> list[TopUp]:
    """How much the stake lacks, if the node stakes by itself and the task goes on."""
    task, stake = view.task, get_stake(view)
    if not view.stake_target or not task.is_active or task.is_closed or task.migrated_to is not None:
        return []
    if stake < task.minimum_stake:
        return [TopUp(max(view.stake_target, task.minimum_stake) - stake)]
    known = next(entry.endpoint for entry in task.stakes if entry.node == view.node)
    return [TopUp(1)] if view.endpoint and known != view.endpoint else []


def _forget_closed(memory: Memory, view: View, now: Moment) -> tuple[Memory, list[Duty]]:
    """Memory without the rounds that are closed, and the duty to let go of them if there are any."""
    oldest = min([*view.task.open_rounds, now.compute_round(Period.REVIEW)])
    if oldest <= memory.forgotten:
        return memory, []
    return forget_rounds(memory, oldest), [Forget(oldest)]


def _owe_work(memory: Memory, view: View, now: Moment) -> list[Duty]:
    """The work of this ledger round, and early in it that of the round before, if a crash interrupted it."""
    if not view.task.is_active or view.task.migrated_to is not None:
        return []
    working = now.compute_round(Period.WORK)
    late = view.rounds.get(working - 1)
    seeds = {} if late is None else {late.round: late.seed}
    duties: list[Duty] = []
    for round_number, seed in {**seeds, working: view.task.seed}.items():
        # In the second half of the window the value must be decided and sent.
        until = now.compute_middle(Activity.SUBMIT, round_number)
        is_done = round_number in memory.worked or _has_submitted(view, view.rounds.get(round_number))
        if not is_done and now.slot < until:
            duties.append(Work(round_number, seed, until))
    return duties


def _owe_submission(memory: Memory, view: View, reviewed: RoundView, now: Moment) -> list[Duty]:
    round_number = reviewed.round
    if not now.is_open(Activity.SUBMIT, round_number):
        return []
    if round_number not in memory.worked or _has_submitted(view, reviewed):
        return []
    if round_number not in memory.values:
        until = now.compute_end(Activity.SUBMIT, round_number)
        return [DecideValue(round_number, reviewed.seed, until)]
    value = memory.values[round_number]
    return [] if value is None else [SendValue(round_number, value)]


def _owe_audits(memory: Memory, view: View, reviewed: RoundView, now: Moment) -> list[Duty]:
    round_number = reviewed.round
    if not now.is_open(Activity.AUDIT, round_number):
        return []
    until = now.compute_end(Activity.AUDIT, round_number)
    decided = memory.opinions.get(round_number, {})
    duties: list[Duty] = []
    for candidate in choose_audits(reviewed, view.node, view.secret):
        node, opinion = candidate.node, decided.get(candidate.node)
        if opinion is None:
            duties.append(
                DecideOpinion(round_number, reviewed.seed, node, candidate.value, candidate.stake, until)
            )
        elif view.node in candidate.auditors:
            continue
        elif opinion == "invalid":
            duties.append(SendOpinion(round_number, node, False))
        elif opinion == "valid" and candidate.trigger_by is not None:
            duties.append(SendOpinion(round_number, node, True))
    return duties


def choose_audits(reviewed: RoundView, node: str, secret: bytes) -> list[SubmissionView]:
    """The submissions of others that a node audits; without its secret the sample cannot be foreseen."""
    others = [submission for submission in reviewed.submissions if submission.node != node]
    if len(others) <= AUDIT_ALL_MAX:
        return others

    def place(submission: SubmissionView) -> bytes:
        text = f"{reviewed.task}/{reviewed.round}/{submission.node}"
        return hashlib.blake2b(text.encode(), key=secret).digest()

    sampled = {submission.node for submission in sorted(others, key=place)[:SAMPLE]}
    return [each for each in others if each.node in sampled or each.trigger_by is not None]


def _owe_list(memory: Memory, view: View, listed: RoundView, now: Moment) -> list[Duty]:
    round_number, attempt = listed.round, listed.attempt
    activities = (Activity.LIST, Activity.AUDIT_LIST)
    activity = next((each for each in activities if now.is_open(each, round_number, attempt)), None)
    if activity is None:
        return []
    if round_number not in memory.lists:
        until = now.compute_end(activity, round_number, attempt)
        return [DecideList(round_number, attempt, view.task.bounty_per_round, until)]
    standing = next((each for each in listed.lists if each.attempt == attempt), None)
    if standing is None:
        is_mine = activity is Activity.LIST and is_my_turn(view, listed, now)
        return [SendList(round_number, attempt)] if is_mine else []
    if activity is Activity.LIST:
        return []
    return _owe_list_opinion(view, round_number, standing, memory.lists[round_number])


def _owe_list_opinion(view: View, round_number: int, standing: ListView, mine: dict[str, int]) -> list[Duty]:
    if view.node == standing.submitter or view.node in standing.auditors:
        return []
    is_valid = {node: amount for node, amount in standing.amounts.items() if amount} == mine
    if is_valid and standing.trigger_by is None:
        return []
    return [SendListOpinion(round_number, standing.attempt, standing.submitter, is_valid)]


def is_my_turn(view: View, listed: RoundView, now: Moment) -> bool:
    """Whether the node may hand in the list now: the nodes take turns, one after the other."""
    turns = rank_nodes(_get_listers(view, listed), listed.round, listed.attempt, _select(view, listed))
    if view.node not in turns:
        return False
    return now.table.compute_offset(now.slot) >= compute_turn(now.table, turns.index(view.node))


def _get_listers(view: View, listed: RoundView) -> list[str]:
    """The nodes that can hand in a list: those with stake, or those of them that took part in the round."""
    submitted = {submission.node for submission in listed.submissions}
    able = [stake.node for stake in view.task.stakes if stake.amount >= view.task.minimum_stake]
    return [node for node in able if node in submitted] or able


def _select(view: View, listed: RoundView) -> str | None:
    before = [view.rounds[n] for n in (listed.round - 1, listed.round - 2) if n in view.rounds]
    failed = [each.submitter for each in listed.lists if each.attempt < listed.attempt]
    shown = [_show_submissions(each) for each in before]
    return select_node(_show_submissions(listed), shown, failed, is_retry=listed.attempt > 0)


def _show_submissions(view: RoundView) -> dict[str, dict[str, str | int]]:
    """Submissions as clients see them, whose text the published rule hashes."""
    return {
        each.node: {"submission_value": each.value, "slot": each.slot, "round": view.round}
        for each in sorted(view.submissions, key=lambda each: each.node)
    }


def _has_submitted(view: View, round_view: RoundView | None) -> bool:
    return round_view is not None and any(each.node == view.node for each in round_view.submissions)
