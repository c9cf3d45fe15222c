"""What money moved in rounds under roundwork-1, event by event: the ledger's views have only the net."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..client.sealed_standing import compute_release
from ..protocol.params import base58_of, key_of
from ..protocol.tasks.events import Event, Fined, Paid, Shared, Slashed
from ..views import RoundView, TaskView
from .store.agreement import Files

Amounts = dict[tuple[int, str], int]
"""By round and node."""


class Moves(msgspec.Struct, frozen=True):
    """Sums of events. Money in roe, or in the smallest unit of the task's token."""

    shared: Amounts = {}
    """Shares of slashes and bonds."""

    fined: Amounts = {}
    """Fines, and what went with a slash."""

    forfeited: Amounts = {}
    """Of `fined`: held-back rewards that went with a slash."""

    held_back: dict[str, int] = {}
    """By node: the rewards that are paid and not available yet."""

    released: dict[str, int] = {}
    """By node: the rewards that became available."""


class _Held(NamedTuple):
    """A reward that is held back until a slot."""

    until_slot: int
    amount: int


def read_moves(directory: Path, task: TaskView, views: Mapping[int, RoundView]) -> Moves:
    """The moves in the journal of a ledger's directory, up to the slot of the task's view.

    Raises StoreCorrupt.
    """
    with closing(Files(directory)) as files:
        blocks = ((entry.block.slot, entry.events) for entry in files.journal.read_from(1))
        return collect_moves(blocks, task, views)


def collect_moves(
    blocks: Iterable[tuple[int, Sequence[Event]]], task: TaskView, views: Mapping[int, RoundView]
) -> Moves:
    """The moves in blocks, each its slot and its events.

    A fine takes held-back rewards first, the oldest first. A block releases rewards after its fines: so a
    fine leaves alone what was due for release at the slot of the block before.
    """
    moves, held, before = Moves(), dict[str, list[_Held]](), 0
    key = key_of(task.address)
    for slot, events in blocks:
        if slot > task.slot:
            break
        own = [event for event in events if event.task == key]
        for at, event in enumerate(own):
            match event:
                case Paid(_, round_number, paid, amount):
                    view = views.get(round_number)  # None: it was never seen, so nothing else is said of it
                    until = compute_release(task, view) if view else slot
                    held.setdefault(base58_of(paid), []).append(_Held(until, amount))
                case Fined(_, round_number, fined, amount):
                    node = base58_of(fined)
                    _add(moves.fined, (round_number, node), amount)
                    if _is_forfeit(event, own[at + 1 : at + 2]):
                        _add(moves.forfeited, (round_number, node), amount)
                    held[node] = _take(held.get(node, []), amount, before)
                case Shared(_, round_number, shared, amount):
                    _add(moves.shared, (round_number, base58_of(shared)), amount)
                case _:
                    pass
        before = slot
    for node, rewards in held.items():
        moves.held_back[node] = sum(each.amount for each in rewards if each.until_slot > task.slot)
        moves.released[node] = sum(each.amount for each in rewards if each.until_slot <= task.slot)
    return moves


def _is_forfeit(fined: Fined, following: Sequence[Event]) -> bool:
    """Whether a fine is what went with the slash that follows it; after the last event nothing follows."""
    return any(
        isinstance(each, Slashed) and (each.round, each.node) == (fined.round, fined.node)
        for each in following
    )


def _take(rewards: list[_Held], amount: int, before: int) -> list[_Held]:
    """The rewards that are left when a fine has taken what was held back after a slot."""
    left = []
    for each in sorted(rewards):
        taken = min(amount, each.amount) if each.until_slot > before else 0
        amount -= taken
        left.append(_Held(each.until_slot, each.amount - taken))
    return left


def _add(amounts: Amounts, place: tuple[int, str], amount: int) -> None:
    amounts[place] = amounts.get(place, 0) + amount
