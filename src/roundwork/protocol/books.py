"""Whether all money is there: the supply of native money, and of each token."""

from .params import WRAPPED_MINT, Key, TaskKey, base58_of
from .programs.token_checks import get_data
from .programs.token_records import decode_account, decode_mint
from .records import Stake
from .state import TABLE_KINDS, State

_OWED = tuple(TABLE_KINDS[kind].letter for kind in ("stakes", "bonds", "held"))
_CHALLENGES = TABLE_KINDS["challenges"].letter


def compute_supply(state: State) -> int:
    """All native money there is, in roe: balances, bounties, stakes, available balances. Constant."""
    total = sum(account.balance for account in state.accounts.rows.values())
    owed = compute_all_owed(state)
    total += sum(owed[key] for key, task in state.tasks.rows.items() if not task.mint)
    return total + compute_challenged(state)


def compute_owed(state: State, key: TaskKey) -> int:
    """The money that a task holds for others: its bounty, stakes, available balances, bonds, held rewards."""
    return compute_all_owed(state)[key]


def compute_all_owed(state: State) -> dict[TaskKey, int]:
    """The same of every task. Each table is looked at once: there are many more tables than tasks."""
    owed = {key: task.bounty for key, task in state.tasks.rows.items()}
    for name, table in state.tables.items():
        if name[:1] in _OWED and table.rows:
            owed[TaskKey(name[1:33])] += sum(
                record.amount + (record.available if isinstance(record, Stake) else 0)
                for record in table.rows.values()
            )
    return owed


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
    owed = compute_all_owed(state)
    for key, task in state.tasks.rows.items():
        if task.mint and pots[task.pot].amount < owed[key]:
            faults.append(
                f"the pot of task {base58_of(key)} holds {pots[task.pot].amount}, the task owes {owed[key]}"
            )
    return faults
