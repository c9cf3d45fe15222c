"""A ledger's money as the accounts of a new genesis: each owner has the sum of its accounts.

Only money is carried over between two versions of the law. For a ledger of law version 1 this reads the
checkpoint, by the position of fields, because its blocks cannot be replayed here. For a ledger of this
version it replays the journal.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..errors import BadInput, Malformed, OldLaw, StoreCorrupt
from ..protocol.genesis import FIXED, create_state, encode_genesis, read_old_genesis
from ..protocol.params import (
    LOOKUP_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_MINT,
    Genesis,
    Grant,
    Key,
    NodeKey,
    TaskKey,
    base58_of,
    key_of,
)
from ..protocol.programs.lookups import decode_table
from ..protocol.programs.token_records import SIZES, decode_account, decode_mint, decode_multisig
from ..protocol.records import Account, Bond, Challenge, Held
from ..protocol.state import State
from ..wire import decode_msgpack
from .chain import read_genesis, replay_entry
from .store.agreement import CHECKPOINT_FILE, GENESIS_FILE, JOURNAL_FILE, Files
from .store.journal import JournalReader


class Money(NamedTuple):
    """All that holds money in a ledger, whatever the version of its law."""

    accounts: dict[Key, Account]
    tasks: dict[TaskKey, TaskMoney]
    stakes: dict[TaskKey, dict[NodeKey, tuple[int, int]]]
    """By task and node: the stake and the available balance, with bonds and held-back rewards; in roe or
    in the task's token."""
    time_ms: int
    """When the last block was made."""


class TaskMoney(NamedTuple):
    """A task's manager, and the money that it holds."""

    manager: Key
    pot: Key
    bounty: int
    mint: Key


class Export(NamedTuple):
    """A new genesis, what went into it by kind in roe, and what could not be carried over."""

    genesis: Genesis
    text: bytes
    """The genesis as it lies in a file."""
    sums: dict[str, int]
    left_behind: list[str]


def export(directory: Path, chain: str | None = None) -> Export:
    """The genesis that carries on with the money of the ledger in a directory. Writes nothing.

    Raises BadGenesis, StoreCorrupt, StoreFull, and BadInput if a ledger of law version 1 did not end well.
    """
    path = directory / GENESIS_FILE
    try:
        genesis = read_genesis(directory)
    except OldLaw:
        genesis = read_old_genesis(path.read_bytes(), str(path))
        money = _read_old(directory)
    else:
        money = _replay(directory, genesis)
    grants, sums = _share_out(money, key_of(genesis.producer))
    total = sum(grants.values())
    held = sum(account.balance for account in money.accounts.values())
    held += sum(
        task.bounty + sum(map(sum, money.stakes.get(key, {}).values()))
        for key, task in money.tasks.items()
        if not task.mint
    )
    assert total == held, "what is shared out is not what was there"
    left_behind = [
        f"{supply} of the token {base58_of(mint)}: tokens are not carried over"
        for mint, supply in _find_tokens(money)
    ]
    accounts = tuple(Grant(base58_of(key), amount) for key, amount in sorted(grants.items()) if amount)
    new = msgspec.structs.replace(
        genesis, chain=chain or f"{genesis.chain}-2", time_ms=money.time_ms, accounts=accounts
    )
    return Export(new, encode_genesis(new), sums, left_behind)


# Reading


def _replay(directory: Path, genesis: Genesis) -> Money:
    state = create_state(genesis)
    with closing(Files(directory)) as files:
        files.check(state.genesis_hash)
        for entry in files.journal.read_from(1):
            replay_entry(state, entry, str(files.journal.path))
    tasks = {
        key: TaskMoney(task.manager, task.pot, task.bounty, task.mint)
        for key, task in state.tasks.rows.items()
    }
    stakes = {
        key: {node: (stake.amount, stake.available) for node, stake in state.get_stakes(key).rows.items()}
        for key in tasks
    }
    accounts = dict(state.accounts.rows)
    _give_back(state, accounts, stakes)
    return Money(accounts, tasks, stakes, state.head.time_ms)


def _give_back(
    state: State, accounts: dict[Key, Account], stakes: dict[TaskKey, dict[NodeKey, tuple[int, int]]]
) -> None:
    """Give back what rounds under roundwork-1 have set aside: bonds, held-back rewards, fees for answers."""

    def add(name: bytes, node: NodeKey, amount: int, available: int) -> None:
        of_task = stakes[TaskKey(name[1:33])]
        before = of_task.get(node, (0, 0))
        of_task[node] = before[0] + amount, before[1] + available

    for name, table in state.tables.items():
        for key, record in table.rows.items():
            match record:
                case Bond():
                    add(name, record.node, record.amount, 0)
                case Held():
                    add(name, NodeKey(key), 0, record.amount)
                case Challenge():
                    account = accounts.get(record.challenger, Account(0))
                    balance = account.balance + record.held
                    accounts[record.challenger] = msgspec.structs.replace(account, balance=balance)
                case _:
                    pass


def _read_old(directory: Path) -> Money:
    """The money of a ledger of law version 1, from its checkpoint. Raises BadInput, StoreCorrupt."""
    path = directory / CHECKPOINT_FILE
    with closing(JournalReader(directory / JOURNAL_FILE)) as journal:
        height = journal.height
    accounts: dict[Key, Account] = {}
    tasks: dict[TaskKey, TaskMoney] = {}
    stakes: dict[TaskKey, dict[NodeKey, tuple[int, int]]] = {}
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT head FROM head").fetchone()
            head: list[Any] = decode_msgpack(row[0], list[Any]) if row else [0]
            if head[0] != height:
                raise BadInput(
                    f"{path} is of block {head[0]}, the journal ends at block {height}: start and stop the "
                    "ledger once with the version of roundwork that made it, then export again"
                )
            for name, key, record in database.execute("SELECT name, key, record FROM records"):
                fields: list[Any] = decode_msgpack(record, list[Any])
                if name == b"A":
                    accounts[key] = Account(*fields)
                elif name == b"T":
                    tasks[key] = TaskMoney(fields[1], fields[2], fields[14], fields[24])
                elif name[:1] == b"K":
                    stakes.setdefault(name[1:], {})[key] = fields[0], fields[1]
    except (sqlite3.DatabaseError, Malformed, IndexError, TypeError) as error:
        raise StoreCorrupt(f"{path} cannot be read as a checkpoint of law version 1: {error}") from error
    return Money(accounts, tasks, stakes, head[3])


# Sharing out


def _share_out(money: Money, producer: Key) -> tuple[dict[Key, int], dict[str, int]]:
    """What each address gets, and the sums by kind, both in roe."""
    grants: Counter[Key] = Counter()
    sums: Counter[str] = Counter()

    def give(kind: str, key: Key, amount: int) -> None:
        if key in FIXED:
            kind, key = "sent to programs, to the producer", producer
        grants[key] += amount
        sums[kind] += amount

    pots = {task.pot: key for key, task in money.tasks.items()}
    for key, account in money.accounts.items():
        if key in pots:
            _give_pot(money, pots[key], account, give)
        elif account.owner == TOKEN_PROGRAM:
            give("of token accounts, to their owners", _find_owner(account) or producer, account.balance)
        elif account.owner == LOOKUP_PROGRAM:
            table = decode_table(account)
            owner = (table.authority if table else None) or producer
            give("of lookup tables, to their authorities", owner, account.balance)
        elif account.balance:
            give("of accounts", key, account.balance)
    for key, task in money.tasks.items():
        if task.mint:
            continue
        give("bounties, to the managers", task.manager, task.bounty)
        for node, (stake, available) in money.stakes.get(key, {}).items():
            give("stakes, to the nodes", node, stake)
            give("to be claimed, to the nodes", node, available)
    return dict(grants), {kind: amount for kind, amount in sums.items() if amount}


def _give_pot(money: Money, key: TaskKey, account: Account, give: Any) -> None:
    """Share out a task's pot: of a task that pays in wrapped money what it owes, the rest to the manager."""
    task = money.tasks[key]
    left = account.balance
    if task.mint == WRAPPED_MINT:
        for node, (stake, available) in money.stakes.get(key, {}).items():
            give("stakes, to the nodes", node, stake)
            give("to be claimed, to the nodes", node, available)
            left -= stake + available
        give("bounties, to the managers", task.manager, task.bounty)
        left -= task.bounty
    give("left in pots, to the managers", task.manager, left)


def _find_owner(account: Account) -> Key | None:
    """The key that may dispose of an account of the token program; None if no key may."""
    if account.space not in SIZES:
        return None
    data = account.data.ljust(account.space, b"\0")
    held, mint, multisig = decode_account(data), decode_mint(data), decode_multisig(data)
    if held is not None:
        return held.owner
    if mint is not None:
        return mint.authority or mint.freezer
    return multisig.signers[0] if multisig is not None else None


def _find_tokens(money: Money) -> list[tuple[Key, int]]:
    """Mints with a supply, without wrapped native money."""
    found_mints = []
    for key, account in sorted(money.accounts.items()):
        is_mint = account.owner == TOKEN_PROGRAM and account.space == 82 and key != WRAPPED_MINT
        mint = decode_mint(account.data.ljust(82, b"\0")) if is_mint else None
        if mint is not None and mint.supply:
            found_mints.append((key, mint.supply))
    return found_mints
