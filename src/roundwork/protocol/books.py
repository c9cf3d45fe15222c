"""Whether all money is there: the supply of native money, and of each token."""

from .params import WRAPPED_MINT, Key, TaskKey, base58_of
from .programs.token_checks import get_data
from .programs.token_records import decode_account, decode_mint
from .state import TABLE_KINDS, State

_BONDS = TABLE_KINDS["bonds"].letter
_HELD = TABLE_KINDS["held"].letter
_CHALLENGES = TABLE_KINDS["challenges"].letter


def compute_supply(state: State) -> int:
    """All native money there is, in roe: balances, bounties, stakes, available balances. Constant."""
    total = sum(account.balance for account in state.accounts.rows.values())
    owed = sum(compute_owed(state, key) for key, task in state.tasks.rows.items() if not task.mint)
    return total + owed + compute_challenged(state)


def compute_owed(state: State, key: TaskKey) -> int:
    """The money that a task holds for others: its bounty, stakes, available balances, bonds, held rewards."""
    stakes = state.get_stakes(key).rows.values()
    pledged: int = sum(
        record.amount
        for letter in (_BONDS, _HELD)
        for name, table in state.tables.items()
        if name[:33] == letter + key
        for record in table.rows.values()
    )
    return state.tasks.rows[key].bounty + pledged + sum(stake.amount + stake.available for stake in stakes)


def compute_challenged(state: State) -> int:
    """The native money that is set aside for challenges, in roe."""
    tables = [table for name, table in state.tables.items() if name[:1] == _CHALLENGES]
    held: int = sum(challenge.held for table in tables for challenge in table.rows.values())
    return held


def find_token_faults(state: State) -> list[str]:
    """The faults in the sums of tokens, as sentences; there is never one.

    The accounts of a mint hold its supply (wrapped native money has no supply of its own, it lies in the
    account), and a task's pot holds what the task does. Tokens that were sent straight to a pot
    belong to no account.
    """
    held: dict[Key, int] = {}
    mints, pots, faults = {}, {}, []
    for key, account in state.accounts.rows.items():
        data = get_data(state, key)
        token_account, mint = decode_account(data), decode_mint(data)
        if token_account is not None:
            held[token_account.mint] = held.get(token_account.mint, 0) + token_account.amount
            pots[key] = token_account
            if (
                token_account.reserve is not None
                and account.balance < token_account.reserve + token_account.amount
            ):
                faults.append(
                    f"{base58_of(key)} holds {account.balance} roe and wraps {token_account.amount}"
                )
        elif mint is not None and key != WRAPPED_MINT:
            mints[key] = mint
    faults += [
        f"mint {base58_of(key)} has a supply of {mint.supply}, its accounts hold {held.get(key, 0)}"
        for key, mint in mints.items()
        if mint.supply != held.get(key, 0)
    ]
    for key, task in state.tasks.rows.items():
        if task.mint and pots[task.pot].amount < compute_owed(state, key):
            faults.append(
                f"the pot of task {base58_of(key)} holds {pots[task.pot].amount}, "
                f"the task owes {compute_owed(state, key)}"
            )
    return faults
