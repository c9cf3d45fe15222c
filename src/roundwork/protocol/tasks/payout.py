"""The end of a round: its list is judged, paid in bounded slices, and pruned when nobody needs it."""

from typing import Any

import msgspec

from ...errors import NotDue, UnknownRound
from ..money import credit
from ..params import Key
from ..records import Payment, Round, Settlement, Status, Task
from ..rules import rule
from ..state import ROUND_TABLES, State, u64
from .distribution import does_stand
from .instructions import Payout
from .life import compute_reserved, get_task
from .pots import pay_out
from .review import schedule_attempt
from .stakes import add_to, get_stake


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that happened to money or to a round by itself.

    Kinds: "paid" and "slashed" (a node, an amount in roe); "settled", "closed_unpaid" and
    "attempt_failed" (a round, the number of the attempt as amount); "pruned" (a round, with the records that
    the state lets go of: tables by name, each by key).
    """

    kind: str
    task: Key
    round: int
    node: Key
    amount: int
    records: dict[bytes, dict[bytes, Any]] = {}


def ask_payout(state: State, ask: Payout) -> None:
    """Payout happens by itself; asking for it changes nothing.

    Raises UnknownTask, UnknownRound, NotDue.
    """
    task = get_task(state, ask.task)
    check_payout_round(state, ask)
    check_paid(task, ask.round)


@rule("9.8")
def check_payout_round(state: State, ask: Payout) -> None:
    """The round was opened by a submission, and is not pruned."""
    if u64(ask.round) not in state.get_rounds(ask.task).rows:
        raise UnknownRound(f"round {ask.round} was never opened, or its records are pruned")


@rule("9.9")
def check_paid(task: Task, number: int) -> None:
    """The round is paid or closed."""
    if number in task.open_rounds:
        raise NotDue(
            f"round {number} is open; it is paid by itself when its list has stood through its audit"
        )


def judge_attempt(state: State, key: Key, number: int, events: list[Event]) -> None:
    """When AUDIT of an attempt ends: queue the payout, or go on to the next attempt, or close the round."""
    task = state.tasks.rows[key]
    rounds = state.get_rounds(key)
    one = rounds.rows[u64(number)]
    if does_stand(state, key, number, one.attempt):
        state.put(state.queue, next_place(state), Settlement(key, number))
        state.put(state.tasks, key, msgspec.structs.replace(task, settling=task.settling + 1))
        return

    events.append(Event("attempt_failed", key, number, b"", one.attempt))
    if one.attempt < task.allowed_failed_distributions:
        schedule_attempt(state, key, task, number, one.attempt + 1)
        new = msgspec.structs.replace(one, status=Status.PAYOUT_FAILED, attempt=one.attempt + 1)
    else:
        end_round(state, key, task, number)
        new = msgspec.structs.replace(one, status=Status.PAYOUT_FAILED, is_open=False)
        events.append(Event("closed_unpaid", key, number, b"", one.attempt))
    state.put(rounds, u64(number), new)


def work_queue(state: State, events: list[Event]) -> None:
    """Work off payouts in their order, at most `settle_records_max` records in a block."""
    left = state.genesis.settle_records_max
    while state.queue.rows and left > 0:
        place = min(state.queue.rows)
        left -= settle_slice(state, place, left, events)


def settle_slice(state: State, place: bytes, most: int, events: list[Event]) -> int:
    """Pay and slash up to `most` amounts of the payout at a place of the queue; how many were done."""
    settlement = state.queue.rows[place]
    key, number = settlement.task, settlement.round
    one = state.get_rounds(key).rows[u64(number)]
    amounts = state.get_lists(key, number).rows[bytes([one.attempt])].amounts
    end = min(settlement.done + most, len(amounts))
    bounty = state.tasks.rows[key].bounty
    for node, amount in amounts[settlement.done : end]:
        bounty -= settle_one(state, key, number, node, amount, events)

    task = msgspec.structs.replace(state.tasks.rows[key], bounty=bounty)
    state.put(state.tasks, key, task)
    if end < len(amounts):
        state.put(state.queue, place, Settlement(key, number, end))
    else:
        finish(state, place, key, number, one, events)
    return max(end - settlement.done, 1)


def settle_one(state: State, key: Key, number: int, node: Key, amount: int, events: list[Event]) -> int:
    """Credit one reward or take one slash; what the bounty loses by it (negative: gains)."""
    if amount > 0:
        add_to(state, key, node, 0, amount)
        state.put(state.get_payments(key, number), node, Payment(amount, 0))
        events.append(Event("paid", key, number, node, amount))
        return amount
    slash = min(-amount, get_stake(state, key, node).amount)
    if slash:
        add_to(state, key, node, -slash, 0)
        state.put(state.get_payments(key, number), node, Payment(0, slash))
        events.append(Event("slashed", key, number, node, slash))
    return -slash


def finish(state: State, place: bytes, key: Key, number: int, one: Round, events: list[Event]) -> None:
    """The last slice is paid: the round closes."""
    state.remove(state.queue, place)
    end_round(state, key, state.tasks.rows[key], number, settled=1)
    new = msgspec.structs.replace(one, status=Status.PAYOUT_SUCCESSFUL, is_open=False)
    state.put(state.get_rounds(key), u64(number), new)
    events.append(Event("settled", key, number, b"", one.attempt))


def end_round(state: State, key: Key, task: Task, number: int, settled: int = 0) -> None:
    """Take a round off the open ones; what it reserved and did not pay is free again."""
    rounds = tuple(n for n in task.open_rounds if n != number)
    new = msgspec.structs.replace(task, open_rounds=rounds, settling=task.settling - settled)
    state.put(state.tasks, key, new)
    if new.migrated_to:
        pass_on(state, key)


def pass_on(state: State, key: Key) -> None:
    """Move what a migrated task has not reserved to its last successor; to the manager if that is closed.

    A manager is given tokens to claim at the old task. A frozen pot does not hold up what is due.
    """
    old = state.tasks.rows[key]
    moved = old.bounty - compute_reserved(old)
    end, last = key, old
    while last.migrated_to:
        end, last = last.migrated_to, state.tasks.rows[last.migrated_to]
    state.put(state.tasks, key, msgspec.structs.replace(old, bounty=old.bounty - moved))
    if last.is_closed and old.mint:
        add_to(state, key, last.manager, 0, moved)
    elif last.is_closed:
        credit(state, last.manager, moved)
    else:
        if old.mint:
            pay_out(state, old.pot, last.pot, moved)
        state.put(state.tasks, end, msgspec.structs.replace(last, bounty=last.bounty + moved))


def next_place(state: State) -> bytes:
    """The place behind the last one in the queue."""
    return u64(int.from_bytes(max(state.queue.rows, default=bytes(8)), "big") + 1)


def prune(state: State, slot: int, step: bytes, key: Key, number: int, events: list[Event]) -> None:
    """Hand a closed round's records over to history, which keeps them for readers. `step` is what is due."""
    if number in state.tasks.rows[key].open_rounds:  # its payout still waits in the queue
        state.schedule(u64(slot + 1) + step[8:])
        return
    rounds, at = state.get_rounds(key), u64(number)
    records: dict[bytes, dict[bytes, Any]] = {rounds.name: {at: rounds.rows[at]}}
    state.remove(rounds, at)
    state.drop(state.get_chunks(key, number))  # what was uploaded and never handed in
    for kind in ROUND_TABLES:
        table = state.get_table(kind + key + at)
        if table.rows:
            records[table.name] = dict(sorted(table.rows.items()))  # equal wherever the state came from
        state.drop(table)
    events.append(Event("pruned", key, number, b"", 0, records))
