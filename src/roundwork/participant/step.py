"""What a node owes now: pure decisions from what the ledger shows and what the node remembers.

A duty either asks for one of the author's functions (`Work`, `Decide…`), whose answer is remembered before
anything follows from it, or sends what was decided (`Send…`). What the ledger already shows is not owed; a
duty that failed is owed again as long as its time has not passed.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from ..protocol.clock import DISTRIBUTION, REVIEW, Phase, Timetable
from ..views import ListView, RoundView, SubmissionView, TaskView
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
    """Ask the task what to submit."""

    round: int
    seed: str
    until: int


class SendValue(msgspec.Struct, frozen=True, tag=True):
    """Submit what was decided."""

    round: int
    value: str


class DecideVerdict(msgspec.Struct, frozen=True, tag=True):
    """Ask the task about somebody's submission."""

    round: int
    seed: str
    node: str
    value: str
    stake: int
    until: int


class SendVerdict(msgspec.Struct, frozen=True, tag=True):
    """Give the view of a submission."""

    round: int
    node: str
    is_valid: bool


class DecideList(msgspec.Struct, frozen=True, tag=True):
    """Ask the task for a round's distribution list."""

    round: int
    attempt: int
    bounty: int
    until: int


class SendList(msgspec.Struct, frozen=True, tag=True):
    """Upload the list and hand it in."""

    round: int
    attempt: int


class SendListVerdict(msgspec.Struct, frozen=True, tag=True):
    """Give the view of the list that stands."""

    round: int
    attempt: int
    node: str
    is_valid: bool


class TopUp(msgspec.Struct, frozen=True, tag=True):
    """Add to the stake: it is below what the task asks for, or peers are told an endpoint of the past."""

    amount: int


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Let go of what belongs to rounds below this one: they are closed."""

    before_round: int


Duty = (
    Work | DecideValue | SendValue | DecideVerdict | SendVerdict | DecideList | SendList | SendListVerdict
    | TopUp | Forget
)  # fmt: skip


class Memory(msgspec.Struct, frozen=True):
    """What a node has decided, by round. It is on disk before anything follows from it.

    `worked`: rounds whose work came to its end · `values`: what to submit, None for nothing · `verdicts`:
    "valid" or "invalid" by candidate · `lists`: amounts by submitter · `forgotten`: rounds below it are
    closed and gone.
    """

    worked: frozenset[int] = frozenset()
    values: dict[int, str | None] = {}
    verdicts: dict[int, dict[str, str]] = {}
    lists: dict[int, dict[str, int]] = {}
    forgotten: int = 0


class View(msgspec.Struct, frozen=True):
    """What a node sees: its task, the rounds that matter, itself.

    `secret` picks the node's sample; `stake_target` is what it wants to have at stake, in roe, 0 if it
    stakes by itself never; `endpoint` is where peers reach it.
    """

    node: str
    task: TaskView
    rounds: Mapping[int, RoundView]
    secret: bytes
    stake_target: int
    endpoint: str = ""


def step(memory: Memory, view: View, slot: int) -> tuple[Memory, list[Duty]]:
    """What the node owes at a slot, and its memory without what is closed.

    Source: docs/PROTOCOL.md 2.1: in ledger round R a node works on R, submits and audits R - 1, and lists and
    audits the list of R - 2; attempt a of round r has its list in ledger round r + 2 + a.
    """
    table = compute_timetable(view.task)
    ledger_round = table.compute_round(slot)
    if ledger_round < 0:
        return memory, []
    oldest = min([*view.task.open_rounds, ledger_round - REVIEW])
    memory, duties = forget(memory, oldest)
    is_staked = get_stake(view) >= view.task.minimum_stake
    topping_up = owe_stake(view)
    duties.extend(topping_up)
    if is_staked or topping_up:
        duties += _owe_work(memory, view, table, slot)
    if not is_staked:
        return memory, duties
    phase = table.compute_phase(slot)
    if phase is Phase.SUBMIT:
        duties += _owe_submission(memory, view, table, ledger_round - REVIEW)
    if phase is Phase.AUDIT and ledger_round - REVIEW in view.rounds:
        duties += _owe_audits(memory, view, table, ledger_round - REVIEW)
    for number in view.task.open_rounds:
        one = view.rounds.get(number)
        if one is not None and number + DISTRIBUTION + one.attempt == ledger_round:
            duties += _owe_list(memory, view, table, one, slot)
    return memory, duties


def compute_timetable(task: TaskView) -> Timetable:
    """When the rounds of a task are."""
    return Timetable(task.starting_slot, task.round_time, task.submission_window, task.audit_window)


def compute_rounds(task: TaskView, slot: int) -> list[int]:
    """The rounds that a view needs at a slot: the one under review, open ones, two before each of those."""
    ledger_round = compute_timetable(task).compute_round(slot)
    wanted = {ledger_round - REVIEW, *task.open_rounds}
    for number in task.open_rounds:
        wanted |= {number - 1, number - 2}
    return sorted(number for number in wanted if number >= 0)


def get_stake(view: View) -> int:
    """The node's stake, in roe."""
    return next((one.amount for one in view.task.stakes if one.node == view.node), 0)


# Remembering


def learn_work(memory: Memory, number: int) -> Memory:
    """The work of a round is done."""
    return msgspec.structs.replace(memory, worked=memory.worked | {number})


def learn_value(memory: Memory, number: int, value: str | None) -> Memory:
    """The task said what to submit."""
    return msgspec.structs.replace(memory, values={**memory.values, number: value})


def learn_verdict(memory: Memory, number: int, node: str, kind: str) -> Memory:
    """The task said what it thinks of a submission."""
    verdicts = {**memory.verdicts.get(number, {}), node: kind}
    return msgspec.structs.replace(memory, verdicts={**memory.verdicts, number: verdicts})


def learn_list(memory: Memory, number: int, amounts: dict[str, int]) -> Memory:
    """The task said who is paid and who is slashed."""
    return msgspec.structs.replace(memory, lists={**memory.lists, number: amounts})


def forget(memory: Memory, oldest: int) -> tuple[Memory, list[Duty]]:
    """Memory without the rounds below `oldest`, and the duty to let go of them if there is anything."""
    if oldest <= memory.forgotten:
        return memory, []
    kept = Memory(
        worked=frozenset(n for n in memory.worked if n >= oldest),
        values={n: one for n, one in memory.values.items() if n >= oldest},
        verdicts={n: one for n, one in memory.verdicts.items() if n >= oldest},
        lists={n: one for n, one in memory.lists.items() if n >= oldest},
        forgotten=oldest,
    )
    return kept, [Forget(oldest)]


# Owing


def owe_stake(view: View) -> list[TopUp]:
    """What is missing at stake, if the node stakes by itself and the task goes on."""
    task, stake = view.task, get_stake(view)
    if not view.stake_target or not task.is_active or task.is_closed or task.migrated_to is not None:
        return []
    if stake < task.minimum_stake:
        return [TopUp(max(view.stake_target, task.minimum_stake) - stake)]
    told = next(one.endpoint for one in task.stakes if one.node == view.node)
    return [TopUp(1)] if view.endpoint and told != view.endpoint else []


def _owe_work(memory: Memory, view: View, table: Timetable, slot: int) -> list[Duty]:
    """The work of this ledger round; early in it also that of the last one, if a crash cut it short."""
    if not view.task.is_active or view.task.migrated_to is not None:
        return []
    number = table.compute_round(slot)
    late = view.rounds.get(number - 1)
    seeds = {number: view.task.seed} if late is None else {number - 1: late.seed, number: view.task.seed}
    owed: list[Duty] = []
    for each, seed in seeds.items():
        until = table.compute_start(each + REVIEW) + (table.submission_window + 1) // 2
        if each not in memory.worked and slot < until and not _has_submitted(view, each):
            owed.append(Work(each, seed, until))
    return owed


def _owe_submission(memory: Memory, view: View, table: Timetable, number: int) -> list[Duty]:
    one = view.rounds.get(number)
    if one is None or number not in memory.worked or _has_submitted(view, number):
        return []
    if number not in memory.values:
        return [DecideValue(number, one.seed, table.compute_end(number + REVIEW, Phase.SUBMIT))]
    value = memory.values[number]
    return [] if value is None else [SendValue(number, value)]


def _owe_audits(memory: Memory, view: View, table: Timetable, number: int) -> list[Duty]:
    one = view.rounds[number]
    until = table.compute_end(number + REVIEW, Phase.AUDIT)
    decided = memory.verdicts.get(number, {})
    duties: list[Duty] = []
    for each in choose_audits(one, view.node, view.secret):
        verdict = decided.get(each.node)
        if verdict is None:
            duties.append(DecideVerdict(number, one.seed, each.node, each.value, each.stake, until))
        elif view.node in each.auditors:
            continue
        elif verdict == "invalid":
            duties.append(SendVerdict(number, each.node, False))
        elif verdict == "valid" and each.trigger_by is not None:
            duties.append(SendVerdict(number, each.node, True))
    return duties


def choose_audits(one: RoundView, node: str, secret: bytes) -> list[SubmissionView]:
    """The submissions of others that a node audits; nobody without its secret foresees a sample."""
    others = [each for each in one.submissions if each.node != node]
    if len(others) <= AUDIT_ALL_MAX:
        return others

    def place(each: SubmissionView) -> bytes:
        return hashlib.blake2b(f"{one.task}/{one.round}/{each.node}".encode(), key=secret).digest()

    sampled = {each.node for each in sorted(others, key=place)[:SAMPLE]}
    return [each for each in others if each.node in sampled or each.trigger_by is not None]


def _owe_list(memory: Memory, view: View, table: Timetable, one: RoundView, slot: int) -> list[Duty]:
    phase = table.compute_phase(slot)
    number, attempt = one.round, one.attempt
    if phase is Phase.SETTLE:
        return []
    if number not in memory.lists:
        until = table.compute_end(number + DISTRIBUTION + attempt, phase)
        return [DecideList(number, attempt, view.task.bounty_per_round, until)]
    listed = next((each for each in one.lists if each.attempt == attempt), None)
    if phase is Phase.AUDIT:
        return [] if listed is None else _owe_list_verdict(view, number, listed, memory.lists[number])
    return [SendList(number, attempt)] if listed is None and is_my_turn(view, table, one, slot) else []


def _owe_list_verdict(view: View, number: int, listed: ListView, mine: dict[str, int]) -> list[Duty]:
    if view.node == listed.submitter or view.node in listed.auditors:
        return []
    is_valid = {node: amount for node, amount in listed.amounts.items() if amount} == mine
    if is_valid and listed.trigger_by is None:
        return []
    return [SendListVerdict(number, listed.attempt, listed.submitter, is_valid)]


def is_my_turn(view: View, table: Timetable, one: RoundView, slot: int) -> bool:
    """Whether the node may hand in the list at a slot: the selected one at once, each of the next two a
    quarter of the window later, then everybody."""
    turns = rank_nodes(_get_listers(view, one), one.round, one.attempt, _select(view, one))
    if view.node not in turns:
        return False
    quarter = (table.submission_window + 1) // 4
    return table.compute_offset(slot) >= min(turns.index(view.node), 3) * quarter


def _get_listers(view: View, one: RoundView) -> list[str]:
    """Who can hand in a list: nodes with stake; if any of these took part in the round, they alone."""
    submitted = {each.node for each in one.submissions}
    able = [each.node for each in view.task.stakes if each.amount >= view.task.minimum_stake]
    return [node for node in able if node in submitted] or able


def _select(view: View, one: RoundView) -> str | None:
    before = [view.rounds[n] for n in (one.round - 1, one.round - 2) if n in view.rounds]
    failed = [each.submitter for each in one.lists if each.attempt < one.attempt]
    shown = [_show_submissions(each) for each in before]
    return select_node(_show_submissions(one), shown, failed, is_retry=one.attempt > 0)


def _show_submissions(one: RoundView) -> dict[str, dict[str, str | int]]:
    """Submissions as clients see them, whose text the published rule hashes."""
    return {
        each.node: {"submission_value": each.value, "slot": each.slot, "round": one.round}
        for each in sorted(one.submissions, key=lambda each: each.node)
    }


def _has_submitted(view: View, number: int) -> bool:
    one = view.rounds.get(number)
    return one is not None and any(each.node == view.node for each in one.submissions)
