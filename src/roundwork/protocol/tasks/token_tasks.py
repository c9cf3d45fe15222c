"""Tasks that pay in a token (KPL): what of a task's life touches money, done between token accounts.

Everything else is the one state machine; rent and fees stay native. Source: docs/PROTOCOL.md 13.
"""

import msgspec

from ...errors import BadAmount
from ..params import KPL_PROGRAM, MONEY_MAX
from ..programs.token import move
from ..programs.token_checks import check_not_frozen, check_same_mint, get_account, get_mint
from ..rules import rule
from ..state import State
from .configuration import check_bounty, check_configuration
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
    found_successor,
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
from .stakes import add_stake, add_to, check_claimable, check_not_settling, get_stake


def create(state: State, slot: int, ask: CreateTokenTask) -> None:
    """Found a task and its pot; its manager, the payer, pays the bounty into the pot.

    Raises TaskExists, WrongOwner, WrongRules, BadTask, SeedMismatch, AccountInUse, BalanceTooLow, Token….
    """
    check_vacant(state, ask.task)
    check_owner(state, ask.task, KPL_PROGRAM)
    check_configuration(ask)
    check_bounty(ask.total_bounty, ask.bounty_per_round)
    get_mint(state, ask.mint)
    check_derived_pot(ask.pot, ask.seed, ask.authority)
    check_new_pot(state, ask.payer, ask.pot)
    spent = check_payment(state, ask.source, ask.mint, ask.pot, ask.payer, ask.total_bounty)

    open_pot(state, ask.payer, ask.pot, ask.mint)
    move(state, ask.source, spent, ask.pot, ask.total_bounty)
    task = build_task(state, slot, ask, ask.pot, ask.total_bounty)
    state.put(state.tasks, ask.task, msgspec.structs.replace(task, program=KPL_PROGRAM, mint=ask.mint))


def update(state: State, slot: int, ask: UpdateTokenTask) -> None:
    """Found a successor in the same token; what no open round has reserved moves to its pot.

    Raises UnknownTask, NotManager, TaskClosed, TaskExists, WrongOwner, WrongRules, BadTask, WrongPot,
    SeedMismatch, AccountInUse, BalanceTooLow, Token….
    """
    old = get_task(state, ask.task)
    check_manager(old, ask.payer)
    check_living(old)
    check_vacant(state, ask.successor)
    check_owner(state, ask.successor, KPL_PROGRAM)
    check_configuration(ask)
    moved = old.bounty - compute_reserved(old)
    check_bounty(moved, ask.bounty_per_round)
    check_pot(old, ask.pot)
    check_authority_named(old, ask.authority)
    check_same_mint(old.mint, ask.mint)
    check_derived_pot(ask.successor_pot, ask.seed, ask.successor_authority)
    check_new_pot(state, ask.payer, ask.successor_pot)
    check_not_frozen(get_account(state, old.pot), old.pot)

    open_pot(state, ask.payer, ask.successor_pot, ask.mint)
    pay_out(state, old.pot, ask.successor_pot, moved)
    new = build_task(state, slot, ask, ask.successor_pot, moved)
    found_successor(state, ask, old, msgspec.structs.replace(new, program=KPL_PROGRAM, mint=old.mint))


def fund(state: State, ask: FundTokens) -> None:
    """Add to the bounty.

    Raises UnknownTask, TaskClosed, BadAmount, WrongPot, Token….
    """
    task = get_task(state, ask.task)
    check_living(task)
    check_amount(ask.amount)
    check_pot(task, ask.pot)
    check_not_frozen(get_account(state, task.pot), task.pot)
    spent = check_payment(state, ask.source, task.mint, task.pot, ask.funder, ask.amount)

    move(state, ask.source, spent, task.pot, ask.amount)
    state.put(state.tasks, ask.task, msgspec.structs.replace(task, bounty=task.bounty + ask.amount))


def stake(state: State, ask: StakeTokens) -> None:
    """Add to a node's stake.

    Raises UnknownTask, TaskClosed, BadAmount, WrongPot, Token….
    """
    task = get_task(state, ask.task)
    check_living(task)
    check_amount(ask.amount)
    check_stake_size(get_stake(state, ask.task, ask.node).amount + ask.amount)
    check_pot(task, ask.pot)
    check_not_frozen(get_account(state, task.pot), task.pot)
    spent = check_payment(state, ask.source, task.mint, task.pot, ask.node, ask.amount)

    move(state, ask.source, spent, task.pot, ask.amount)
    add_stake(state, ask.task, ask.node, ask.amount, ask.endpoint)


def claim(state: State, ask: ClaimTokens) -> None:
    """Pay the whole available balance to the beneficiary, a token account.

    Raises UnknownTask, NothingToClaim, PayoutPending, WrongPot, Token….
    """
    task = get_task(state, ask.task)
    old = get_stake(state, ask.task, ask.node)
    check_claimable(old)
    check_not_settling(task)
    check_pot(task, ask.pot)
    check_authority_named(task, ask.authority)
    check_payable(state, task, ask.beneficiary)

    pay_out(state, task.pot, ask.beneficiary, old.available)
    add_to(state, ask.task, ask.node, 0, -old.available)


def delete(state: State, ask: DeleteTask) -> None:
    """End a task: the bounty becomes what the manager can claim. Stakes and balances stay.

    The instruction names no account of the manager's that the tokens could go to.
    Raises UnknownTask, NotManager, TaskClosed, OpenRounds, WrongPot, TokenMintMismatch.
    """
    task = get_task(state, ask.task)
    check_manager(task, ask.manager)
    check_living(task)
    check_no_open_rounds(task)
    check_pot(task, ask.pot)
    check_authority_named(task, ask.authority)
    check_same_mint(task.mint, ask.mint)

    add_to(state, ask.task, task.manager, 0, task.bounty)
    ended = msgspec.structs.replace(task, bounty=0, is_active=False, was_active=False, is_closed=True)
    state.put(state.tasks, ask.task, ended)


# Checks


@rule("13.6")
def check_stake_size(amount: int) -> None:
    """A stake is a signed number of 64 bits, like the amounts of a list."""
    if amount > MONEY_MAX:
        raise BadAmount(f"the stake would be {amount}; at most {MONEY_MAX} is possible")
