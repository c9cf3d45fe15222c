"""Tasks that pay in a token (KPL): what of a task's life touches money, done between token accounts.

Everything else is the one state machine; rent and fees stay native. Source: docs/PROTOCOL.md 13.
"""

import msgspec

from ...errors import BadAmount
from ..layout import Call
from ..params import KPL_PROGRAM, MONEY_MAX, NodeKey
from ..programs.token import move
from ..programs.token_checks import check_not_frozen, check_same_mint, get_account, get_mint
from ..rules import rule
from ..state import State
from .configuration import check_bounty, check_configuration, check_hardened
from .instructions import (
    ClaimTokens,
    CreateTokenTask,
    DeleteTask,
    FundTokens,
    StakeTokens,
    UpdateTokenTask,
)  # fmt: skip
from .life import (
    build_task,
    check_amount,
    check_living,
    check_manager,
    check_no_open_rounds,
    check_owner,
    check_vacant,
    compute_reserved,
    create_successor,
    get_task,
)
from .pots import (
    check_authority_named,
    check_derived_pot,
    check_new_pot,
    check_payable,
    check_payment,
    check_pot,
    open_pot,
    pay_out,
)  # fmt: skip
from .stakes import add_stake, add_to, check_claimable, check_not_settling, check_whole_stake, get_stake


def create(state: State, call: Call, instruction: CreateTokenTask) -> None:
    """Found a task and its pot; its manager, the payer, pays the bounty into the pot.

    Raises TaskExists, WrongOwner, WrongRules, BadTask, SeedMismatch, AccountInUse, BalanceTooLow, Token….
    """
    check_vacant(state, instruction.task)
    check_owner(state, instruction.task, KPL_PROGRAM)
    check_configuration(instruction)
    check_hardened(state.genesis, instruction)
    check_bounty(instruction.total_bounty, instruction.bounty_per_round)
    get_mint(state, instruction.mint)
    check_derived_pot(instruction.pot, instruction.seed, instruction.authority)
    check_new_pot(state, instruction.payer, instruction.pot)
    spent = check_payment(
        state,
        instruction.source,
        instruction.mint,
        instruction.pot,
        instruction.payer,
        instruction.total_bounty,
    )

    open_pot(state, instruction.payer, instruction.pot, instruction.mint)
    move(state, instruction.source, spent, instruction.pot, instruction.total_bounty)
    task = build_task(state, call.slot, instruction, instruction.pot, instruction.total_bounty)
    state.put(
        state.tasks,
        instruction.task,
        msgspec.structs.replace(task, program=KPL_PROGRAM, mint=instruction.mint),
    )


def update(state: State, call: Call, instruction: UpdateTokenTask) -> None:
    """Found a successor in the same token; what no open round has reserved moves to its pot.

    Raises UnknownTask, NotManager, TaskClosed, TaskExists, WrongOwner, WrongRules, BadTask, WrongPot,
    SeedMismatch, AccountInUse, BalanceTooLow, Token….
    """
    old = get_task(state, instruction.task)
    check_manager(old, instruction.payer)
    check_living(old)
    check_vacant(state, instruction.successor)
    check_owner(state, instruction.successor, KPL_PROGRAM)
    check_configuration(instruction)
    check_hardened(state.genesis, instruction)
    moved = old.bounty - compute_reserved(old)
    check_bounty(moved, instruction.bounty_per_round)
    check_pot(old, instruction.pot)
    check_authority_named(old, instruction.authority)
    check_same_mint(old.mint, instruction.mint)
    check_derived_pot(instruction.successor_pot, instruction.seed, instruction.successor_authority)
    check_new_pot(state, instruction.payer, instruction.successor_pot)
    check_not_frozen(get_account(state, old.pot), old.pot)

    open_pot(state, instruction.payer, instruction.successor_pot, instruction.mint)
    pay_out(state, old.pot, instruction.successor_pot, moved)
    new = build_task(state, call.slot, instruction, instruction.successor_pot, moved)
    create_successor(
        state, instruction, old, msgspec.structs.replace(new, program=KPL_PROGRAM, mint=old.mint)
    )


def fund(state: State, call: Call, instruction: FundTokens) -> None:
    """Add to the bounty.

    Raises UnknownTask, TaskClosed, BadAmount, WrongPot, Token….
    """
    task = get_task(state, instruction.task)
    check_living(task)
    check_amount(instruction.amount)
    check_pot(task, instruction.pot)
    check_not_frozen(get_account(state, task.pot), task.pot)
    spent = check_payment(
        state, instruction.source, task.mint, task.pot, instruction.funder, instruction.amount
    )

    move(state, instruction.source, spent, task.pot, instruction.amount)
    state.put(
        state.tasks, instruction.task, msgspec.structs.replace(task, bounty=task.bounty + instruction.amount)
    )


def stake(state: State, call: Call, instruction: StakeTokens) -> None:
    """Add to a node's stake.

    Raises UnknownTask, TaskClosed, BadAmount, WrongPot, Token….
    """
    task = get_task(state, instruction.task)
    check_living(task)
    check_amount(instruction.amount)
    check_whole_stake(task, get_stake(state, instruction.task, instruction.node), instruction.amount)
    check_stake_size(get_stake(state, instruction.task, instruction.node).amount + instruction.amount)
    check_pot(task, instruction.pot)
    check_not_frozen(get_account(state, task.pot), task.pot)
    spent = check_payment(
        state, instruction.source, task.mint, task.pot, instruction.node, instruction.amount
    )

    move(state, instruction.source, spent, task.pot, instruction.amount)
    add_stake(state, instruction.task, instruction.node, instruction.amount, instruction.endpoint)


def claim(state: State, call: Call, instruction: ClaimTokens) -> None:
    """Pay the whole available balance to the beneficiary, a token account.

    Raises UnknownTask, NothingToClaim, PayoutPending, WrongPot, Token….
    """
    task = get_task(state, instruction.task)
    old = get_stake(state, instruction.task, instruction.node)
    check_claimable(old)
    check_not_settling(task)
    check_pot(task, instruction.pot)
    check_authority_named(task, instruction.authority)
    check_payable(state, task, instruction.beneficiary)

    pay_out(state, task.pot, instruction.beneficiary, old.available)
    add_to(state, instruction.task, instruction.node, 0, -old.available)


def delete(state: State, call: Call, instruction: DeleteTask) -> None:
    """End a task: the bounty becomes the manager's available balance. Stakes and balances stay.

    The instruction names no account of the manager's that the tokens could go to.
    Raises UnknownTask, NotManager, TaskClosed, OpenRounds, WrongPot, TokenMintMismatch.
    """
    task = get_task(state, instruction.task)
    check_manager(task, instruction.manager)
    check_living(task)
    check_no_open_rounds(task)
    check_pot(task, instruction.pot)
    check_authority_named(task, instruction.authority)
    check_same_mint(task.mint, instruction.mint)

    add_to(state, instruction.task, NodeKey(task.manager), 0, task.bounty)
    ended = msgspec.structs.replace(task, bounty=0, is_active=False, was_active=False, is_closed=True)
    state.put(state.tasks, instruction.task, ended)


# Checks


@rule("13.6")
def check_stake_size(amount: int) -> None:
    """A stake is a signed number of 64 bits, like the amounts of a list."""
    if amount > MONEY_MAX:
        raise BadAmount(f"the stake would be {amount}; at most {MONEY_MAX} is possible")
