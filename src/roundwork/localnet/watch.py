"""The state of a network on this machine, as `up` reads it again and again, and what follows from it."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from ..ledger.moves import Moves
from ..participant.plays import HONEST, PLAYS
from ..shown import plain
from ..views import LedgerView, RoundView, TaskView
from ..wire import format_money
from .supervisor import Member

PAID, UNPAID = OVER = ("PayoutSuccessful", "ClosedUnpaid")
NAMES_SHOWN = 3
"""Of a longer list of names, this many are shown."""

_DIGITS = re.compile(r"(\d+)")


class Failure(NamedTuple):
    """A function of the task that failed on a node, or a transaction of the node that the law refused."""

    node: str
    """The name of the node."""
    kind: str
    """ "work", "submission", "audit", "distribution" or "sending"."""
    subject: str
    """The duty in words, such as "work of round 3"."""
    reason: str


class Watch(msgspec.Struct, frozen=True):
    """The state of a network for its watchers: the task, its rounds, its processes, the ended ones."""

    ledger: LedgerView
    task: TaskView
    rounds: dict[int, RoundView]
    members: list[Member]
    ended: dict[str, str] = {}
    warnings: tuple[tuple[str, str], ...] = ()
    """The warnings of nodes so far: the node's name, and the text."""

    failures: tuple[Failure, ...] = ()
    """The failures that no later attempt has made good, in the order of time."""

    reasons: dict[tuple[int, str], str] = {}
    """By round and submitter: the first reason that an auditor gave against the proof."""

    full_round: int | None = None
    """The first round that began when all nodes had their stake; None before that."""

    end: str = ""
    """Why the network stopped before enough rounds were over."""

    is_supply_constant: bool = True
    """Of native money, and of the token that the task pays in."""
    token_supply: int = 0
    moves: Moves | None = None
    """Of a task under roundwork-1, once everything has stopped."""
    state_hash: str = ""
    """Of the last block on disk, once everything has stopped."""


def is_node(member: Member) -> bool:
    """Whether a process is a node."""
    return member.role in PLAYS


def list_nodes(watch: Watch, *plays: str) -> list[Member]:
    """The nodes that play this way; all nodes if no play is given."""
    return [member for member in watch.members if member.role in (plays or PLAYS)]


def list_judged(watch: Watch) -> list[RoundView]:
    """The rounds that are over and in which all nodes could take part from the beginning."""
    first = watch.full_round or 0
    return [view for view in watch.rounds.values() if view.status in OVER and view.round >= first]


def count_ended(watch: Watch) -> int:
    """The number of rounds that are over, paid or not."""
    return sum(view.status in OVER for view in watch.rounds.values())


def count_settled(watch: Watch) -> int:
    """The number of rounds that are paid."""
    return sum(view.status == PAID for view in watch.rounds.values())


def compute_earned(views: Iterable[RoundView], node: str) -> int:
    """The rewards of a node in rounds."""
    return sum(payment.reward for view in views for payment in view.payments if payment.node == node)


def compute_slashed(views: Iterable[RoundView], node: str) -> int:
    """The slashes of a node in rounds."""
    return sum(payment.slash for view in views for payment in view.payments if payment.node == node)


def find_failure(watch: Watch, *kinds: str, round_numbers: Iterable[int] | None = None) -> Failure | None:
    """The first failure of an honest node, of the first of these kinds that has any.

    A function that was late comes last: a busy machine makes functions late, and this must not hide another
    reason.
    """
    honest = {member.name for member in list_nodes(watch, HONEST.name)}
    found = [
        failure
        for kind in kinds
        for failure in list_failures(watch, kind, round_numbers)
        if failure.node in honest
    ]
    return min(found, key=is_late, default=None)


def is_late(failure: Failure) -> bool:
    """Whether a function of the task had not ended when its time was over."""
    return "still running after" in failure.reason


def list_failures(watch: Watch, kind: str, round_numbers: Iterable[int] | None = None) -> list[Failure]:
    """The failures of a kind, in some rounds only if they are given."""
    failures = [failure for failure in watch.failures if failure.kind == kind]
    if round_numbers is None:
        return failures
    ends = tuple(f" round {round_number}" for round_number in round_numbers)
    return [failure for failure in failures if failure.subject.endswith(ends)]


def get_name(watch: Watch, address: str) -> str:
    """The name of the node at an address."""
    return next((member.name for member in watch.members if member.address == address), address)


def show_amount(watch: Watch, amount: int) -> str:
    """An amount of what the task pays in."""
    return format_money(amount, get_symbol(watch), watch.ledger.decimals)


def get_symbol(watch: Watch) -> str:
    """The symbol of what the task pays in."""
    return "tokens" if watch.task.mint else plain(watch.ledger.symbol)


def join_names(names: Iterable[str], shown: int | None = None) -> str:
    """Names in natural order, node-2 before node-10. Of more than `shown` and one, the first and a number."""
    ordered = sorted(names, key=_split_digits)
    if shown is not None and len(ordered) > shown + 1:  # the name of one more is as short as "and 1 more"
        return f"{', '.join(ordered[:shown])} and {len(ordered) - shown} more"
    return ", ".join(ordered)


def _split_digits(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in _DIGITS.split(name)]
