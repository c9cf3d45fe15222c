"""What holds after every block for the life of all native tasks of a ledger: their terms, money and ends.

Like `laws.py`, it reads records and results of messages and uses no check of the law.
Source: docs/PROTOCOL.md 4 and 15.
"""

from collections.abc import Iterator, Sequence

from ..protocol.execute import Kind, Outcome, Receipt
from ..protocol.params import SYSTEM_PROGRAM, TASK_PROGRAM, Genesis, Key, NodeKey, TaskKey
from ..protocol.records import Stake, Task
from ..protocol.state import State
from ..protocol.tasks import instructions
from ..protocol.tasks.cursor import RoundCursor
from ..protocol.tasks.instructions import (
    Accuse,
    Answer,
    Challenge,
    Claim,
    CloseTask,
    Commit,
    FundTask,
    Reveal,
    SetActive,
    UpdateTask,
    Withdraw,
)
from ..protocol.tasks.life import compute_reserved
from . import laws
from .laws import Laws

KOII, ROUNDWORK = "koii-1", "roundwork-1"

WINDOW_MAX = 2**32
STAKE_MIN = 1000
RETRIES_MAX = {KOII: 100, ROUNDWORK: 3}
SLASHES = {str(percent) for percent in range(10, 101)}

TEXTS = ("name", "description", "audit_program", "executable_network", "metadata", "locals")
FIXED = (
    *("program", "manager", "pot", *TEXTS, "rules", "timetable", "minimum_stake", "bounty_per_round"),
    *("allowed_failed_distributions", "mint", "migrated_from"),
)
"""What never changes of a task."""

ENDED = ("is_active", "was_active", "switched_round", "is_closed", "migrated_to")
"""What does not change of a task after its end."""


class LifeLaws(Laws):
    """The invariants of one task under `koii-1`, and of the life of every task beside it."""

    def __init__(self, state: State, task: TaskKey) -> None:
        super().__init__(state, task)
        self._moved_by: dict[TaskKey, set[Key]] = {}
        """The keys whose messages activated, deactivated, updated or closed a task in this block."""
        self._remember()

    def check(self, outcome: Outcome, answers: Sequence[laws.Answer] = ()) -> None:
        """Check the state, and how the block's own instructions were answered. Raises LawBroken."""
        self._moved_by.clear()
        super().check(outcome, answers)
        self._remember()

    def _remember(self) -> None:
        rows = self._state.tasks.rows
        self._tasks = dict(rows)
        self._all_stakes = {key: dict(self._state.get_stakes(key).rows) for key in rows}
        self._vaults = {
            key: account.balance
            for key, account in self._state.accounts.rows.items()
            if key in rows or account.owner not in (SYSTEM_PROGRAM, TASK_PROGRAM)
        }
        """The money of accounts that nothing in these worlds may take from."""

    # Answers

    def _check_answers(self, answers: Sequence[laws.Answer]) -> Iterator[str]:
        """As under `koii-1` for the task of the nodes; and what all tasks accepted."""
        yield from super()._check_answers([each for each in answers if each[0].task == self._task])
        stakes: dict[tuple[TaskKey, NodeKey], int] = {}
        for instruction, receipt in answers:
            is_accepted, task = receipt.kind == Kind.OK, instruction.task
            match instruction:
                case SetActive(manager=mover) | CloseTask(manager=mover) | UpdateTask(payer=mover) if (
                    is_accepted
                ):
                    self._moved_by.setdefault(task, set()).add(mover)
                case FundTask() | Claim() if is_accepted:
                    yield from _check_effect(instruction, receipt)
                case instructions.Stake(node=node, amount=amount) if is_accepted:
                    yield from _check_effect(instruction, receipt)
                    stakes[task, node] = self._get_stake(stakes, task, node) + amount
                case Withdraw(node=node) if is_accepted:
                    if not self._get_stake(stakes, task, node):
                        yield "a withdrawal of a stake of 0 roe was accepted"
                    stakes[task, node] = 0
                case Commit() | Reveal() | Accuse() | Challenge() | Answer():
                    record = self._state.tasks.rows.get(task)
                    is_known = receipt.kind == Kind.VOID or receipt.name == "BadInstruction"
                    if not is_known and (record is None or record.rules != ROUNDWORK):
                        name = type(instruction).__name__
                        yield f"a task that is not under {ROUNDWORK} answered {name}: {receipt.name or 'ok'}"
                case _:
                    pass

    def _get_stake(self, stakes: dict[tuple[TaskKey, NodeKey], int], task: TaskKey, node: NodeKey) -> int:
        """The stake of a node in the course of a block; `stakes` are those that the block has changed."""
        before = self._all_stakes.get(task, {}).get(node, Stake())
        return stakes.get((task, node), before.amount)

    # Tasks

    def _check_task(self) -> Iterator[str]:
        """All tasks: they do not vanish, and change as their manager, their money and their rounds say."""
        rows = self._state.tasks.rows
        yield from self._check_accounts()
        if not self._tasks.keys() <= rows.keys():
            yield "a task has vanished"
        for key, task in rows.items():
            before = self._tasks.get(key)
            if not 0 <= compute_reserved(task) <= task.bounty:
                yield f"open rounds reserve {compute_reserved(task)} roe of a bounty of {task.bounty}"
            if before is None:
                yield from self._check_founding(key, task)
            elif before is not task:
                yield from self._check_change(key, before, task)
            yield from self._check_all_stakes(key, task)

    def _check_accounts(self) -> Iterator[str]:
        accounts = self._state.accounts.rows
        for key in self._state.tasks.rows:
            if key not in accounts or accounts[key].owner != TASK_PROGRAM:
                yield "a task lies at an account that does not belong to the task program"
        for vault, balance in self._vaults.items():
            if vault not in accounts or accounts[vault].balance < balance:
                yield "a task's account, or an account of another program, has paid"

    def _check_founding(self, key: TaskKey, task: Task) -> Iterator[str]:
        """A new task has terms in their bounds, and a bounty for a round."""
        yield from _find_bad_terms(task)
        if task.rules == ROUNDWORK:
            yield from _find_bad_sealed_terms(task, self._state.genesis)
        if task.bounty < task.bounty_per_round and not task.is_closed and not task.migrated_to:
            yield f"a task starts with {task.bounty} roe; a round pays {task.bounty_per_round}"
        predecessor = self._state.tasks.rows.get(task.migrated_from)
        if task.migrated_from and (predecessor is None or predecessor.migrated_to != key):
            yield "a task is the successor of a task that does not name it"
        was_allowed = self._state.genesis.kind == "development"
        if task.is_allowlisted != (predecessor.is_allowlisted if predecessor else was_allowed):
            yield "the allow-listing of a task has changed without the key that genesis names"

    def _check_change(self, key: TaskKey, before: Task, task: Task) -> Iterator[str]:
        for name in FIXED:
            if getattr(before, name) != getattr(task, name):
                yield f"the {name} of a task has changed"
        if before.is_allowlisted != task.is_allowlisted:
            yield "the allow-listing of a task has changed without the key that genesis names"
        is_moved = any(
            getattr(before, name) != getattr(task, name) for name in ("is_active", "is_closed", "migrated_to")
        )
        if is_moved and task.manager not in self._moved_by.get(key, ()):
            yield "a task was activated, deactivated, updated or closed without its manager"
        if task.is_closed and task.open_rounds:
            yield f"a task is closed and its rounds {task.open_rounds} are open"
        if before.is_closed or before.migrated_to:
            yield from self._check_after_end(key, before, task)

    def _check_after_end(self, key: TaskKey, before: Task, task: Task) -> Iterator[str]:
        """After its end a task is not switched, gets no money, and opens no round."""
        for name in ENDED:
            if getattr(before, name) != getattr(task, name):
                yield f"the {name} of a task has changed after its end"
        if task.bounty > before.bounty and not task.settling:  # a payout brings slashes first
            yield "the bounty of a task has grown after its end"
        if not set(task.open_rounds) <= set(before.open_rounds):
            yield "a round was opened after the end of its task"
        for round_number in task.open_rounds:
            submissions = RoundCursor(self._state, key, round_number).submissions.rows
            if any(each.slot == self._state.head.slot for each in submissions.values()):
                yield f"round {round_number}: a submission after the end of the task"

    def _check_all_stakes(self, key: TaskKey, task: Task) -> Iterator[str]:
        known, before = self._all_stakes.get(key, {}), self._tasks.get(key)
        for node, stake in self._state.get_stakes(key).rows.items():
            was = known.get(node, Stake())
            if stake.amount > was.amount:
                if before is not None and (before.is_closed or before.migrated_to):
                    yield "a stake has grown after the end of its task"
                if task.rules == ROUNDWORK and stake.amount < task.minimum_stake:
                    yield f"a stake of {stake.amount} roe; the minimum is {task.minimum_stake}"
            if stake.available < was.available and task.settling:
                yield "an available balance was claimed while a payout is worked off"


def _check_effect(instruction: instructions.Instruction, receipt: Receipt) -> Iterator[str]:
    """An accepted message about money has moved some between the accounts and the task."""
    if sum(receipt.pre) - receipt.fee == sum(receipt.post):
        yield f"a {type(instruction).__name__} was accepted that moved 0 roe"


def _find_bad_terms(task: Task) -> Iterator[str]:
    """What is out of bounds in the terms of a task of any rule set."""
    first = task.locals.split(b" ")[0]
    named = first[len(b"rules:") :] if first.startswith(b"rules:") else KOII.encode()
    if task.rules not in RETRIES_MAX or named != task.rules.encode():
        yield f"a task under the rule set {task.rules!a}"
    table = task.timetable
    windows = (table.round_time, table.submission_window, table.audit_window)
    if not all(1 <= window <= WINDOW_MAX for window in windows) or windows[0] < windows[1] + windows[2]:
        yield f"a task with windows of {windows} slots"
    if task.minimum_stake < STAKE_MIN:
        yield f"a task with a minimum stake of {task.minimum_stake} roe"
    if not 0 <= task.allowed_failed_distributions <= RETRIES_MAX.get(task.rules, 0):
        yield f"a task under {task.rules} with {task.allowed_failed_distributions} retries"
    for name in TEXTS:
        text: bytes = getattr(task, name)
        if text.decode(errors="ignore").encode() != text:
            yield f"a task whose {name} is not UTF-8"


def _find_bad_sealed_terms(task: Task, genesis: Genesis) -> Iterator[str]:
    """What is out of bounds in the terms of a task under `roundwork-1` beyond those of all tasks."""
    words = task.locals.split(b" ")[1:]
    if words and words[0].startswith(b"slash:") and words[0][6:].decode(errors="replace") in SLASHES:
        del words[0]
    if words not in ([], [b"split:stake"]):
        yield f"a task with the task_locals {task.locals!a}"
    table, gap = task.timetable, genesis.gap_slots_max + 1
    needed = table.submission_window + table.audit_window + 1
    is_long = table.submission_window >= 4 * gap - 1 and table.audit_window >= 16 * gap
    if not is_long or table.round_time < needed:
        yield f"a task under {ROUNDWORK} whose windows an outage can take whole"
    if task.minimum_stake < 1000 * genesis.fee_per_signature:
        yield f"a task under {ROUNDWORK} with a minimum stake of {task.minimum_stake} roe"
