"""Whether a run of a network was correct, and why it ends."""

from collections.abc import Iterator
from typing import NamedTuple

from ..client.sealed_standing import explain_too_few
from ..participant.moment import compute_moment
from ..participant.plays import HONEST, PLAYS, WITHHOLDER
from ..protocol.params import ROUNDWORK_1
from ..protocol.tasks.commitments import read_content_id
from ..protocol.tasks.round import Activity
from ..wire import format_count
from .supervisor import Member
from .watch import (
    NAMES_SHOWN,
    OVER,
    PAID,
    UNPAID,
    Failure,
    Watch,
    compute_earned,
    compute_slashed,
    count_ended,
    count_settled,
    find_failure,
    is_late,
    join_names,
    list_failures,
    list_judged,
    list_nodes,
    show_amount,
)

IDLE_ROUNDS = 3
"""A network stops if no proof came for this many rounds."""

IDLE_SECONDS = 10.0
"""And for this many seconds: on a busy machine, short rounds pass before the first proof."""

RACES = ("ListStands", "ListReadAlready", "WrongPhase")
"""Refusals that only mean that another node was faster, or that the window had ended."""


class Judgement(NamedTuple):
    """The outcome of a run."""

    is_good: bool
    conclusion: str
    """A line for people."""
    faults: list[str]
    """The faults of the run, the causes first."""


def find_end(watch: Watch, rounds: int, idle_seconds: float) -> str | None:
    """Why a network stops now, "" if its rounds are over; None if it continues.

    It stops when `rounds` rounds are over, paid or not, with one among them that all nodes took part in; or
    when no proof came for three rounds. `idle_seconds` is how long ago the last proof came.
    """
    if count_ended(watch) >= rounds and (watch.full_round is None or list_judged(watch)):
        return ""
    if idle_seconds < IDLE_SECONDS:
        return None
    expected = compute_expected_round(watch)
    last = expected + IDLE_ROUNDS - 1
    now = compute_moment(watch.task, watch.task.slot)
    if now.slot < now.compute_end(Activity.SUBMIT, last):
        return None
    return f"no proof came for {IDLE_ROUNDS} rounds, {expected} to {last}: {_explain_idleness(watch)}"


def compute_expected_round(watch: Watch) -> int:
    """The first round that no proof has come for, after the last one that has proofs."""
    newest = max((view.round for view in watch.rounds.values() if view.submissions), default=-1)
    return max(newest + 1, watch.full_round or 0)


def judge(watch: Watch) -> Judgement:
    """Whether the run was as it should be: rounds paid, honest nodes paid and not slashed, cheats not paid,
    no audit failed, and no money made or lost."""
    faults = [*([watch.end] if watch.end else []), *_find_faults(watch)]
    if faults:
        return Judgement(False, f"not as it should be: {'; '.join(faults)}", faults)
    ended, settled = count_ended(watch), count_settled(watch)
    paid = "all paid" if ended == settled else f"{settled} paid"
    plays = "; ".join(_describe_play(watch, name) for name in PLAYS if list_nodes(watch, name))
    rounds = format_count(ended, "round")
    return Judgement(True, f"as it should be: {rounds} ended, {paid}; {plays}", [])


def _find_faults(watch: Watch) -> Iterator[str]:
    """The faults of the rounds that all nodes took part in. A fault is counted over all rounds that ended,
    as the table beside it counts."""
    judged, honest = list_judged(watch), list_nodes(watch, HONEST.name)
    ended = [view for view in watch.rounds.values() if view.status in OVER]
    if not watch.is_supply_constant:
        yield "the supply of money is not constant"
    if any(view.status == UNPAID for view in judged):
        unpaid = [view.round for view in ended if view.status == UNPAID]
        rounds = format_count(len(ended), "round")
        yield f"{len(unpaid)} of {rounds} closed unpaid: {_explain_unpaid(watch, unpaid)}"
    if list_failures(watch, "audit", [view.round for view in judged]):
        failed = list_failures(watch, "audit", [view.round for view in ended])
        first = min(failed, key=is_late)
        yield f"{format_count(len(failed), 'audit')} failed, first {_describe_failure(first)}"
    for member in list_nodes(watch):
        if compute_earned(judged, member.address) and not PLAYS[member.role].may_earn:
            paid = show_amount(watch, compute_earned(ended, member.address))
            yield f"{member.name} played {member.role} and was paid {paid}{_explain_pay(watch, member)}"
    slashed = [member for member in honest if compute_slashed(watch.rounds.values(), member.address)]
    if slashed:
        yield f"honest and slashed: {_join(slashed)}"
    never = [member for member in honest if not compute_earned(judged, member.address)]
    if never and any(view.status == PAID for view in judged):
        yield f"honest and never paid: {_join(never)}{_explain_never(watch, never)}"


def _describe_play(watch: Watch, play: str) -> str:
    """The nodes that play this way, what they earned and what they lost."""
    nodes = list_nodes(watch, play)
    rounds = watch.rounds.values()
    earned = sum(compute_earned(rounds, member.address) for member in nodes)
    slashed = sum(compute_slashed(rounds, member.address) for member in nodes)
    lost = f" and lost {show_amount(watch, slashed)}" if slashed else ""
    who = f"{len(nodes)} honest" if play == HONEST.name and len(nodes) > 1 else f"{_join(nodes)} ({play})"
    return f"{who} earned {show_amount(watch, earned) if earned else 'nothing'}{lost}"


def _describe_failure(failure: Failure) -> str:
    """A failure as a part of a line; for a function that was late, also how to give it more time."""
    advice = " (on a busy machine, a larger --slot-ms gives more time)" if is_late(failure) else ""
    return f"{failure.node}: {failure.subject}: {failure.reason}{advice}"


def _explain_idleness(watch: Watch) -> str:
    failure = find_failure(watch, "work", "submission", "sending")
    if failure is not None:
        return _describe_failure(failure)
    nodes = list_nodes(watch)
    ended = [member for member in nodes if member.name in watch.ended]
    if ended:
        return f"{ended[0].name} {watch.ended[ended[0].name]}"
    staked = {stake.node for stake in watch.task.stakes if stake.amount >= watch.task.minimum_stake}
    without = [member for member in nodes if member.address not in staked]
    if without:
        return f"without a stake: {_join(without)}"
    if watch.warnings:
        name, text = watch.warnings[0]
        return f"{name}: {text}"
    return "the nodes had nothing to submit; their logs say more"


def _explain_unpaid(watch: Watch, round_numbers: list[int]) -> str:
    few = [explain_too_few(watch.rounds[each]) for each in round_numbers if each in watch.rounds]
    if any(few):
        return next(filter(None, few))
    failure = find_failure(watch, "distribution", round_numbers=round_numbers)
    if failure is None or is_late(failure):
        subjects = {f"sending the list of round {each}" for each in round_numbers}
        refusals = (each for each in watch.failures if each.subject in subjects)
        failure = next((each for each in refusals if not each.reason.startswith(RACES)), failure)
    if failure is not None:
        return _describe_failure(failure)
    listed = [view for view in watch.rounds.values() if view.round in round_numbers and view.lists]
    return "its lists did not stand" if listed else "no list came"


def _explain_pay(watch: Watch, member: Member) -> str:
    """Why a node that hides its proofs is paid: under roundwork-1 only the bytes behind a content id hide."""
    if member.role != WITHHOLDER.name or watch.task.rules != ROUNDWORK_1.name:
        return ""
    proofs = [each for view in watch.rounds.values() for each in view.submissions]
    values = [each.value for each in proofs if each.node == member.address]
    if any(read_content_id(value.encode()) for value in values):
        return ""
    return " (its proofs are text on the ledger, which nobody can withhold)"


def _explain_never(watch: Watch, members: list[Member]) -> str:
    names = {member.name for member in members}
    failure = next((each for each in watch.failures if each.node in names), None)
    if failure is not None:
        return f" ({failure.subject}: {failure.reason})"
    ended = next((name for name in watch.ended if name in names), None)
    return f" ({ended} {watch.ended[ended]})" if ended else ""


def _join(members: list[Member]) -> str:
    return join_names((member.name for member in members), NAMES_SHOWN)
