"""The stakes in a task: staked, withdrawn, claimed; locked while there is something they answer for."""

from ...errors import BadAmount, NothingToClaim, NotStaked, PayoutPending, StakeLocked
from ..layout import Call
from ..money import credit, debit
from ..params import ROUNDWORK_1, NodeKey, TaskKey
from ..records import Stake, Task
from ..rules import rule
from ..state import State
from .cursor import RoundCursor
from .instructions import Claim, Withdraw
from .instructions import Stake as StakeIn
from .life import check_amount, check_funds, check_living, check_payer, get_rules, get_task

NOBODY = Stake()


def stake(state: State, call: Call, instruction: StakeIn) -> None:
    """Add to a node's stake.

    Raises UnknownTask, TaskClosed, BadAmount, WrongOwner, InsufficientFunds.
    """
    task = get_task(state, instruction.task)
    check_living(task)
    check_amount(instruction.amount)
    check_whole_stake(task, get_stake(state, instruction.task, instruction.node), instruction.amount)
    check_payer(state, instruction.node)
    check_funds(state, instruction.node, instruction.amount)

    debit(state, instruction.node, instruction.amount)
    add_stake(state, instruction.task, instruction.node, instruction.amount, instruction.endpoint)


def withdraw(state: State, call: Call, instruction: Withdraw) -> None:
    """Move the whole stake to the available balance.

    Raises UnknownTask, NotStaked, PayoutPending, StakeLocked.
    """
    task = get_task(state, instruction.task)
    old = get_stake(state, instruction.task, instruction.node)
    check_has_stake(old)
    check_not_settling(task)
    check_no_part(state, instruction.task, task, instruction.node)
    check_not_recent(task, old, call.slot)

    new = Stake(0, old.available + old.amount, old.endpoint, old.last_round)
    state.put(state.get_stakes(instruction.task), instruction.node, new)


def claim(state: State, call: Call, instruction: Claim) -> None:
    """Pay the whole available balance to the beneficiary.

    Raises UnknownTask, NothingToClaim, PayoutPending.
    """
    task = get_task(state, instruction.task)
    old = get_stake(state, instruction.task, instruction.node)
    check_claimable(old)
    check_not_settling(task)

    credit(state, instruction.beneficiary, old.available)
    new = Stake(old.amount, 0, old.endpoint, old.last_round)
    state.put(state.get_stakes(instruction.task), instruction.node, new)


# Records


def get_stake(state: State, task: TaskKey, node: NodeKey) -> Stake:
    """A node's stake in a task; an empty record if it never had one."""
    return state.get_stakes(task).rows.get(node, NOBODY)


def add_stake(state: State, key: TaskKey, node: NodeKey, amount: int, endpoint: bytes) -> None:
    """Add to a node's stake; an endpoint replaces the endpoint before."""
    old = get_stake(state, key, node)
    new = Stake(old.amount + amount, old.available, endpoint or old.endpoint, old.last_round)
    state.put(state.get_stakes(key), node, new)


def add_to(state: State, key: TaskKey, node: NodeKey, amount: int, available: int) -> None:
    """Move a node's stake and available balance by these amounts."""
    old = get_stake(state, key, node)
    new = Stake(old.amount + amount, old.available + available, old.endpoint, old.last_round)
    state.put(state.get_stakes(key), node, new)


def has_part(cursor: RoundCursor, node: NodeKey) -> bool:
    """Whether a round holds a submission, its commitment, an opinion or a list of a node."""
    return (
        node in cursor.submissions.rows
        or b"\0" + node in cursor.seals.rows  # kind 0: the commitment of a submission
        or node in cursor.voices.rows
        or any(listed.submitter == node for listed in cursor.lists.rows.values())
    )


# Checks


@rule("15.6")
def check_whole_stake(task: Task, stake: Stake, amount: int) -> None:
    """Under `roundwork-1` a node does not stake less than the minimum."""
    if task.rules == ROUNDWORK_1.name and stake.amount + amount < task.minimum_stake:
        raise BadAmount(
            f"the stake would be {stake.amount + amount} roe; at least {task.minimum_stake} are needed"
        )


@rule("4.17")
def check_has_stake(stake: Stake) -> None:
    """Only a stake that is there is withdrawn."""
    if not stake.amount:
        raise NotStaked("No stake available on this task: the node's stake is 0 roe")


@rule("4.18")
def check_no_part(state: State, key: TaskKey, task: Task, node: NodeKey) -> None:
    """A stake is locked while an open round holds a submission, an opinion or a list of its node."""
    for round_number in task.open_rounds:
        if has_part(RoundCursor(state, key, round_number), node):
            raise StakeLocked(
                f"submission cannot withdraw: round {round_number} is open and the node took part in it"
            )


@rule("4.19")
def check_not_recent(task: Task, stake: Stake, slot: int) -> None:
    """Under some rule sets a stake is also locked for a few rounds after a submission."""
    ledger_round = task.timetable.compute_round(slot)
    free = stake.last_round + get_rules(task).locked_rounds + 1
    if stake.last_round >= 0 and ledger_round < free:
        raise StakeLocked(
            f"submission cannot withdraw: the node submitted in round {stake.last_round}; "
            f"its stake is free in ledger round {free}, this is {ledger_round}"
        )


@rule("4.20")
def check_not_settling(task: Task) -> None:
    """While a payout of the task is being worked off, nothing is withdrawn or claimed."""
    if task.settling:
        raise PayoutPending(
            f"{task.settling} payouts of this task are being worked off; try again in a few blocks"
        )


@rule("4.21")
def check_claimable(stake: Stake) -> None:
    """Only a balance that is there is claimed."""
    if not stake.available:
        raise NothingToClaim(
            "The provided claimer account doesn't have any balance on task state: 0 roe are available"
        )
