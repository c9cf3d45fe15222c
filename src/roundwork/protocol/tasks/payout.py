"""The end of a round: its list is judged and paid in bounded slices; later the round is pruned."""

import msgspec

from ...errors import NotDue, UnknownRound
from ..layout import Call
from ..money import credit
from ..params import NodeKey, TaskKey
from ..records import DistributionList, Payment, QueuedPayout, Record, Task
from ..rules import rule
from ..state import State, u64
from .cursor import RoundCursor
from .distribution import does_stand
from .events import AttemptFailed, ClosedUnpaid, Event, Paid, Pruned, Settled, Slashed
from .heads import add_head
from .instructions import Payout
from .life import compute_reserved, get_rules, get_task
from .pledges import build_release, compute_paid_round, hold
from .pots import pay_out
from .review import schedule_attempt
from .round import RoundEvent, StepKind
from .stakes import add_to, get_stake

SPLIT = b"\xff"
"""The key of the ledger's own split among the lists of a round: no attempt has this number."""


def check_payout(state: State, call: Call, instruction: Payout) -> None:
    """Payout happens by itself; a request for it changes nothing.

    Raises UnknownTask, UnknownRound, NotDue.
    """
    task = get_task(state, instruction.task)
    check_payout_round(state, instruction)
    check_paid(task, instruction.round)


@rule("9.8")
def check_payout_round(state: State, instruction: Payout) -> None:
    """The round was opened by a submission, and is not pruned."""
    if RoundCursor(state, instruction.task, instruction.round).record is None:
        raise UnknownRound(f"round {instruction.round} was never opened, or its records are pruned")


@rule("9.9")
def check_paid(task: Task, round_number: int) -> None:
    """The round is paid or closed."""
    if round_number in task.open_rounds:
        raise NotDue(
            f"round {round_number} is open; it is paid by itself when its list has stood through its audit"
        )


def judge_attempt(cursor: RoundCursor, events: list[Event]) -> None:
    """When AUDIT of an attempt ends: queue the payout, or go on to the next attempt, or close the round."""
    task, attempt = cursor.task, cursor.opened.attempt
    if does_stand(cursor, attempt):
        queue_payout(cursor)
        cursor.move(RoundEvent.LIST_STOOD)
        return

    events.append(AttemptFailed(cursor.task_key, cursor.round_number, attempt))
    if attempt < task.allowed_failed_distributions:
        schedule_attempt(cursor, attempt + 1)
        cursor.move(RoundEvent.LIST_FAILED, attempt=attempt + 1)
    else:
        end_round(cursor)
        cursor.move(RoundEvent.LAST_LIST_FAILED)
        events.append(ClosedUnpaid(cursor.task_key, cursor.round_number, attempt))


def queue_payout(cursor: RoundCursor) -> None:
    """Put the payout of a round at the end of the queue."""
    state, task = cursor.state, cursor.task
    state.put(state.queue, next_place(state), QueuedPayout(cursor.task_key, cursor.round_number))
    state.put(state.tasks, cursor.task_key, msgspec.structs.replace(task, settling=task.settling + 1))
    if get_rules(task).held_rounds:
        state.schedule(build_release(cursor, compute_paid_round(cursor)).encode())


def get_paid_list(cursor: RoundCursor) -> DistributionList:
    """The list that a round pays: the ledger's own split, or that of its attempt."""
    rows = cursor.lists.rows
    return rows.get(SPLIT) or rows[bytes([cursor.opened.attempt])]


def work_queue(state: State, events: list[Event]) -> None:
    """Work off payouts in their order, at most `settle_records_max` records in a block."""
    left = state.genesis.settle_records_max
    for place in sorted(state.queue.rows):
        if left <= 0:
            break
        left -= settle_slice(state, place, left, events)


def settle_slice(state: State, place: bytes, most: int, events: list[Event]) -> int:
    """Pay and slash up to `most` amounts of the payout at a place of the queue; how many were done."""
    queued = state.queue.rows[place]
    cursor = RoundCursor(state, queued.task, queued.round)
    amounts = get_paid_list(cursor).amounts
    end = min(queued.done + most, len(amounts))
    bounty, paid = cursor.task.bounty, cursor.task.paid
    for node, amount in amounts[queued.done : end]:
        taken = settle_amount(cursor, node, amount, events)
        bounty -= taken
        paid += max(taken, 0)

    task = msgspec.structs.replace(cursor.task, bounty=bounty, paid=paid)
    state.put(state.tasks, cursor.task_key, task)
    if end < len(amounts):
        state.put(state.queue, place, msgspec.structs.replace(queued, done=end))
    else:
        state.remove(state.queue, place)
        finish(cursor, events)
    return max(end - queued.done, 1)


def settle_amount(cursor: RoundCursor, node: NodeKey, amount: int, events: list[Event]) -> int:
    """Credit a reward or take a slash. Returns the roe that the bounty loses (negative: gains)."""
    state, task_key, round_number = cursor.state, cursor.task_key, cursor.round_number
    if amount > 0:
        if get_rules(cursor.task).held_rounds:
            hold(cursor, node, amount)
        else:
            add_to(state, task_key, node, 0, amount)
            state.put(cursor.payments, node, Payment(amount, 0))
        events.append(Paid(task_key, round_number, node, amount))
        return amount
    slash = min(-amount, get_stake(state, task_key, node).amount)
    if slash:
        add_to(state, task_key, node, -slash, 0)
        state.put(cursor.payments, node, Payment(0, slash))
        events.append(Slashed(task_key, round_number, node, slash))
    return -slash


def finish(cursor: RoundCursor, events: list[Event]) -> None:
    """The last slice is paid: the round closes."""
    end_round(cursor, settled=True)
    cursor.move(RoundEvent.PAYOUT_DONE)
    if get_rules(cursor.task).has_heads:
        add_head(cursor)
    events.append(Settled(cursor.task_key, cursor.round_number, cursor.opened.attempt))


def end_round(cursor: RoundCursor, settled: bool = False) -> None:
    """Remove a round from the open rounds; the unpaid part of its reserve is free again."""
    task = cursor.task
    open_rounds = tuple(each for each in task.open_rounds if each != cursor.round_number)
    paid = 0 if settled else task.paid
    new = msgspec.structs.replace(task, open_rounds=open_rounds, settling=task.settling - settled, paid=paid)
    cursor.state.put(cursor.state.tasks, cursor.task_key, new)
    if new.migrated_to:
        pass_on(cursor.state, cursor.task_key)


def pass_on(state: State, key: TaskKey) -> None:
    """Move a migrated task's unreserved bounty to its last successor, or to the manager if that is closed.

    A manager gets tokens as its available balance at the old task. A frozen pot does not stop this.
    """
    old = state.tasks.rows[key]
    moved = old.bounty - compute_reserved(old)
    end, last = find_last_successor(state, key)
    state.put(state.tasks, key, msgspec.structs.replace(old, bounty=old.bounty - moved))
    if last.is_closed and old.mint:
        add_to(state, key, NodeKey(last.manager), 0, moved)
    elif last.is_closed:
        credit(state, last.manager, moved)
    else:
        if old.mint:
            pay_out(state, old.pot, last.pot, moved)
        state.put(state.tasks, end, msgspec.structs.replace(last, bounty=last.bounty + moved))


def find_last_successor(state: State, key: TaskKey) -> tuple[TaskKey, Task]:
    """The task at the end of a chain of successors, and its address.

    A chain may be long, and rounds of all its tasks may end at once: each task is passed once only. This
    is for due steps: what a transaction changed may be undone.
    """
    passed: list[TaskKey] = []
    while after := state.successors.get(key) or state.tasks.rows[key].migrated_to:
        passed.append(key)
        key = after
    state.successors.update(dict.fromkeys(passed, key))
    return key, state.tasks.rows[key]


def next_place(state: State) -> bytes:
    """The first free place of the queue. Many payouts may join it in a block, so it is searched seldom."""
    rows = state.queue.rows
    last = state.last_place if state.last_place in rows else max(rows, default=bytes(8))
    state.last_place = u64(int.from_bytes(last, "big") + 1)
    return state.last_place


def prune(cursor: RoundCursor, slot: int, events: list[Event]) -> None:
    """Hand a closed round's records over to history, which keeps them for readers."""
    state, record = cursor.state, cursor.opened
    if record.state.is_open:  # its payout still waits in the queue
        cursor.schedule(slot + 1, StepKind.PRUNING)
        return
    cursor.remove(RoundEvent.PRUNING_DUE)
    state.drop(cursor.chunks)  # what was uploaded and never handed in
    records: dict[bytes, dict[bytes, Record]] = {cursor.rounds.name: {u64(cursor.round_number): record}}
    for table in cursor.list_tables():
        if table.rows:
            records[table.name] = dict(sorted(table.rows.items()))  # equal wherever the state came from
        state.drop(table)
    events.append(Pruned(cursor.task_key, cursor.round_number, records))
