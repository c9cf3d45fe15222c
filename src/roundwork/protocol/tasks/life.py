"""The life of a task: create, fund, activate and deactivate, update, close."""

import msgspec

from ...errors import (
    BadAmount,
    InsufficientFunds,
    NotAllowlister,
    NotManager,
    OpenRounds,
    TaskClosed,
    TaskExists,
    UnknownTask,
    WrongOwner,
)  # fmt: skip
from ..clock import Timetable
from ..layout import Call
from ..money import credit, debit, get_balance, get_owner
from ..params import RULE_SETS, SYSTEM_PROGRAM, TASK_PROGRAM, Key, RuleSet, TaskKey, base58_of
from ..records import Task
from ..rules import rule
from ..state import State
from .configuration import (
    Configuration,
    check_bounty,
    check_configuration,
    check_hardened,
    compute_rules_name,
)
from .instructions import (
    CloseTask,
    CreateTask,
    FundTask,
    SetActive,
    UpdateTask,
    UpdateTokenTask,
    Whitelist,
)  # fmt: skip


def get_task(state: State, key: TaskKey) -> Task:
    """The task at an address. Raises UnknownTask."""
    return check_task(state, key)


def get_rules(task: Task) -> RuleSet:
    """The rule set a task lives under."""
    return RULE_SETS[task.rules]


def is_active_at_start(task: Task, ledger_round: int) -> bool:
    """Whether the task was active when a ledger round began, the present one or an earlier one."""
    return task.was_active if task.switched_round >= ledger_round else task.is_active


def compute_reserved(task: Task) -> int:
    """What open rounds have reserved of the bounty and not paid yet."""
    return len(task.open_rounds) * task.bounty_per_round - task.paid


# Checks


@rule("4.1")
def check_task(state: State, key: TaskKey) -> Task:
    """An instruction names a task that exists."""
    task = state.tasks.rows.get(key)
    if task is None:
        raise UnknownTask(f"there is no task at {base58_of(key)}")
    return task


@rule("13.1")
def check_own_program(state: State, key: TaskKey, program: Key) -> None:
    """A task is spoken to through its own program, so that tokens and native money are never confused."""
    task = state.tasks.rows.get(key)
    if task is not None and task.program != program:
        raise WrongOwner(f"the task {base58_of(key)} lives under {base58_of(task.program)}")


@rule("4.2")
def check_vacant(state: State, key: TaskKey) -> None:
    """A task is created once."""
    if key in state.tasks.rows:
        raise TaskExists(f"{base58_of(key)} is a task already")


@rule("4.3")
def check_owner(state: State, key: TaskKey, program: Key) -> None:
    """A task's account belongs to its task program before it becomes a task."""
    owner = get_owner(state, key)
    if owner != program:
        raise WrongOwner(
            f"{base58_of(key)} belongs to {base58_of(owner)}; create it for {base58_of(program)} first"
        )


@rule("4.10")
def check_funds(state: State, key: Key, amount: int) -> None:
    """An account pays at most its balance."""
    balance = get_balance(state, key)
    if balance < amount:
        raise InsufficientFunds(f"{base58_of(key)} holds {balance} roe; {amount} are needed")


@rule("4.11")
def check_payer(state: State, key: Key) -> None:
    """An account that pays a bounty or a stake is plain, or belongs to the task program and holds no task."""
    owner = get_owner(state, key)
    if owner not in (SYSTEM_PROGRAM, TASK_PROGRAM) or key in state.tasks.rows:
        raise WrongOwner(f"{base58_of(key)} belongs to {base58_of(owner)}; it cannot pay here")


@rule("4.12")
def check_manager(task: Task, key: Key) -> None:
    """Only the manager activates, deactivates, updates and closes a task."""
    if key != task.manager:
        raise NotManager(f"the manager is {base58_of(task.manager)}, not {base58_of(key)}")


@rule("4.13")
def check_living(task: Task) -> None:
    """A task that was closed or has migrated takes no stake, contribution or update, and is not activated."""
    if task.migrated_to:
        raise TaskClosed(f"the task has migrated to {base58_of(task.migrated_to)}")
    if task.is_closed:
        raise TaskClosed("the task is closed")


@rule("4.14")
def check_amount(amount: int) -> None:
    """A stake or a contribution is more than nothing."""
    if amount <= 0:
        raise BadAmount(f"the amount is {amount} roe; it must be at least 1")


@rule("4.15")
def check_no_open_rounds(task: Task) -> None:
    """A task with open rounds is not closed."""
    if task.open_rounds:
        raise OpenRounds(f"rounds {', '.join(map(str, task.open_rounds))} are open")


@rule("4.16")
def check_allowlister(state: State, key: Key) -> None:
    """Only the key that genesis names allow-lists tasks."""
    if base58_of(key) != state.genesis.allowlister:
        raise NotAllowlister(
            f"{base58_of(key)} cannot allow-list tasks; genesis names {state.genesis.allowlister or 'no key'}"
        )


# Changes


def create(state: State, call: Call, instruction: CreateTask) -> None:
    """Found a task; its manager, the payer, pays the bounty in.

    Raises TaskExists, WrongOwner, WrongRules, BadTask, InsufficientFunds.
    """
    check_vacant(state, instruction.task)
    check_owner(state, instruction.task, TASK_PROGRAM)
    check_configuration(instruction)
    check_hardened(state.genesis, instruction)
    check_bounty(instruction.total_bounty, instruction.bounty_per_round)
    check_payer(state, instruction.payer)
    check_funds(state, instruction.payer, instruction.total_bounty)

    debit(state, instruction.payer, instruction.total_bounty)
    task = build_task(state, call.slot, instruction, instruction.pot, instruction.total_bounty)
    state.put(state.tasks, instruction.task, task)


def update(state: State, call: Call, instruction: UpdateTask) -> None:
    """Found a successor: it takes over what no open round has reserved of the bounty, and the activity.

    Raises UnknownTask, NotManager, TaskClosed, TaskExists, WrongOwner, WrongRules, BadTask.
    """
    old = get_task(state, instruction.task)
    check_manager(old, instruction.payer)
    check_living(old)
    check_vacant(state, instruction.successor)
    check_owner(state, instruction.successor, TASK_PROGRAM)
    check_configuration(instruction)
    check_hardened(state.genesis, instruction)
    moved = old.bounty - compute_reserved(old)
    check_bounty(moved, instruction.bounty_per_round)

    create_successor(
        state, instruction, old, build_task(state, call.slot, instruction, instruction.successor_pot, moved)
    )


def create_successor(state: State, instruction: UpdateTask | UpdateTokenTask, old: Task, new: Task) -> None:
    """Store a successor, which took over its bounty, and let the old task point at it."""
    new = msgspec.structs.replace(
        new, migrated_from=instruction.task, is_active=old.is_active, is_allowlisted=old.is_allowlisted
    )
    state.put(state.tasks, instruction.successor, new)
    old = msgspec.structs.replace(old, bounty=old.bounty - new.bounty, migrated_to=instruction.successor)
    state.put(state.tasks, instruction.task, old)


def build_task(state: State, slot: int, instruction: Configuration, pot: Key, bounty: int) -> Task:
    """The record of a task that begins now."""
    return Task(
        program=TASK_PROGRAM,
        manager=instruction.payer,
        pot=pot,
        name=instruction.name,
        description=instruction.description,
        audit_program=instruction.audit_program,
        executable_network=instruction.executable_network,
        metadata=instruction.metadata,
        locals=instruction.locals,
        rules=compute_rules_name(instruction.locals),
        timetable=Timetable(
            slot, instruction.round_time, instruction.submission_window, instruction.audit_window
        ),
        minimum_stake=instruction.minimum_stake,
        bounty_per_round=instruction.bounty_per_round,
        allowed_failed_distributions=instruction.allowed_failed_distributions,
        bounty=bounty,
        is_allowlisted=state.genesis.kind == "development",
    )


def allow(state: State, call: Call, instruction: Whitelist) -> None:
    """Allow-list a task, or take it off. Raises UnknownTask, NotAllowlister."""
    task = get_task(state, instruction.task)
    check_allowlister(state, instruction.program)

    state.put(
        state.tasks, instruction.task, msgspec.structs.replace(task, is_allowlisted=bool(instruction.flag))
    )


def fund(state: State, call: Call, instruction: FundTask) -> None:
    """Add to the bounty. The rest of a throw-away account goes back to the fee payer.

    Raises UnknownTask, TaskClosed, BadAmount, WrongOwner, InsufficientFunds.
    """
    task = get_task(state, instruction.task)
    check_living(task)
    check_amount(instruction.amount)
    check_payer(state, instruction.funder)
    check_funds(state, instruction.funder, instruction.amount)

    debit(state, instruction.funder, instruction.amount)
    state.put(
        state.tasks, instruction.task, msgspec.structs.replace(task, bounty=task.bounty + instruction.amount)
    )
    if (
        get_owner(state, instruction.funder) == TASK_PROGRAM
        and instruction.funder not in state.get_stakes(instruction.task).rows
    ):
        left = get_balance(state, instruction.funder)
        state.remove(state.accounts, instruction.funder)  # first: the fee payer may be the same account
        credit(state, call.payer, left)


def set_active(state: State, call: Call, instruction: SetActive) -> None:
    """Let the task take submissions or not, from the next ledger round on.

    Raises UnknownTask, NotManager, TaskClosed.
    """
    task = get_task(state, instruction.task)
    check_manager(task, instruction.manager)
    check_living(task)

    ledger_round = task.timetable.compute_round(call.slot)
    was_active = is_active_at_start(task, ledger_round)
    state.put(
        state.tasks,
        instruction.task,
        msgspec.structs.replace(
            task, is_active=bool(instruction.active), was_active=was_active, switched_round=ledger_round
        ),
    )


def close(state: State, call: Call, instruction: CloseTask) -> None:
    """End a task: the bounty goes to the manager. Stakes and balances stay.

    Raises UnknownTask, NotManager, TaskClosed, OpenRounds.
    """
    task = get_task(state, instruction.task)
    check_manager(task, instruction.manager)
    check_living(task)
    check_no_open_rounds(task)

    credit(state, task.manager, task.bounty)
    state.put(
        state.tasks,
        instruction.task,
        msgspec.structs.replace(task, bounty=0, is_active=False, was_active=False, is_closed=True),
    )
