"""RPC methods that only this ledger has: tasks and rounds."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec

from ...errors import UnknownTask
from ...protocol.params import TASK_PROGRAM, TaskKey
from ...protocol.read import read_part, view_ledger, view_own, view_round, view_task
from ...protocol.read_hardened import view_assignments, view_posted_proof, view_round_proof
from ...protocol.records import Account
from ...protocol.state import State
from ...protocol.tasks.cursor import RoundCursor
from ...views import GROWING, ROUND_NODES_MAX, PartKey, PartKind, StakeNews
from ...wire import Json
from .account_forms import AccountData, Form, describe_data, read_form
from .archive import may_be_pruned, recall
from .budget import join
from .errors import InvalidParams
from .ledger import Ledger, LongRead
from .params import Params, field, read_key, show
from .task_forms import ALL_PARTS, count_rows, encode_distributions, encode_submissions, encode_task
from .transactions import wait_for_history

SHORT_ROWS = 500
"""A task with this many records is read on the event loop; a larger one on another thread."""


def get_ledger(ledger: Ledger, params: Params) -> Any:
    params.config(0)
    return view_ledger(ledger.state)


def get_task(ledger: Ledger, params: Params) -> Any:
    params.config(1)
    try:
        return view_task(ledger.state, params.task(0))
    except UnknownTask:
        return None


async def get_task_head(ledger: Ledger, params: Params) -> Any:
    """The head of a task, and the records of the node that the request names."""
    task = params.task(0)
    node = params.node(1) if len(params.values) > 1 and params.values[1] is not None else None
    params.end(2)
    head = await ledger.reads.get_head(task)
    if head is None:
        return None
    with params.budget.work():
        own = None if node is None else view_own(ledger.state, task, node)
        return join(b'{"head":', head, b',"own":', params.budget.encode(own), b"}")


def get_task_stakes(ledger: Ledger, params: Params) -> Any:
    """The nodes of a task whose stake or endpoint changed in a slot or later.

    After a start the ledger does not know what changed before. Readers whose stakes have its digest get none.
    """
    task, slot = params.task(0), params.get(1, int, "the slot", 0)
    digest = params.get(2, str, "the digest", "")
    params.end(3)
    if task not in ledger.state.tasks.rows:
        return None
    changes = ledger.reads.get_stakes(task)
    if digest and slot <= changes.first_slot and digest == changes.get_digest(ledger.state, task):
        return StakeNews(ledger.slot, [])
    return StakeNews(ledger.slot, changes.list_since(ledger.state, task, slot))


def get_round_rows(ledger: Ledger, params: Params) -> Any:
    """The rows of a part that grows, from a slot on."""
    task, round_number = params.task(0), params.get(1, int, "the round")
    kind, slot = params.get(2, str, "the part"), params.get(3, int, "the slot", 0)
    params.end(4)
    if kind not in GROWING:
        kinds = [each.value for each in GROWING]
        raise InvalidParams(f"Invalid params: part {show(kind)}; one of {kinds}")
    if task not in ledger.state.tasks.rows:
        return None
    rows = read_part(ledger.state, task, PartKey(round_number, PartKind(kind)), slot)
    return {"slot": ledger.slot, "rows": rows}


async def get_round(ledger: Ledger, params: Params) -> Any:
    """A page of a round: the records of some nodes, and what is not of a node."""
    task, round_number = params.task(0), params.get(1, int, "the round")
    config = params.config(2, "after", "limit")
    after = read_key(config["after"], "after") if "after" in config else b""
    limit = field(config, "limit", int, ROUND_NODES_MAX)
    if not 1 <= limit <= ROUND_NODES_MAX:
        raise InvalidParams(f"Invalid params: limit is {limit}; a number from 1 to {ROUND_NODES_MAX}")

    def read(state: State, task: TaskKey, round_number: int) -> Any:
        return view_round(state, task, round_number, after, limit)

    return await _read_rounds(ledger, params, read, task, round_number)


async def get_assignments(ledger: Ledger, params: Params) -> Any:
    """What a node was drawn for in a round: the submissions that it checks, and those that it judges."""
    return await _read_of_node(ledger, params, view_assignments)


async def get_round_proof(ledger: Ledger, params: Params) -> Any:
    """The proof of a node's result in a round that is over."""
    return await _read_of_node(ledger, params, view_round_proof)


async def get_posted_proof(ledger: Ledger, params: Params) -> Any:
    """The proof of a node's submission, if it lies on the ledger."""
    return await _read_of_node(ledger, params, view_posted_proof)


async def _read_of_node(ledger: Ledger, params: Params, view: Callable[..., Any]) -> Any:
    task, round_number, node = params.task(0), params.get(1, int, "the round"), params.node(2)
    params.config(3)

    def read(state: State, task: TaskKey, round_number: int) -> Any:
        return view(state, task, round_number, node)

    return await _read_rounds(ledger, params, read, task, round_number)


def get_task_account_info(ledger: Ledger, params: Params) -> Json:
    key, config = params.task(0), params.config(1, "encoding", *sorted(ALL_PARTS))
    read_form(config, default="base64")
    parts = frozenset(part for part in ALL_PARTS if field(config, part, bool, False))
    try:
        text = encode_task(ledger.state, key, parts)
    except UnknownTask:
        return ledger.with_context(None)
    account = ledger.state.accounts.rows.get(key) or Account(0, TASK_PROGRAM)
    value = describe_data(ledger.state, key, account, AccountData(b"", 0), Form("base64"))
    return ledger.with_context(
        {**value, "data": [base64.b64encode(text).decode(), "base64"], "space": len(text)}
    )


async def get_task_submissions(ledger: Ledger, params: Params) -> Any:
    return await _read_info(ledger, params, encode_submissions)


async def get_task_distributions(ledger: Ledger, params: Params) -> Any:
    return await _read_info(ledger, params, encode_distributions)


async def get_my_submission_round(ledger: Ledger, params: Params) -> Json:
    """The last round in which a node submitted, as a number in `data`; null if it never did."""
    task, node, round_number = params.task(0), params.node(1), _read_round(params, 2)
    if round_number is not None:
        state = await _recall_round(ledger, params, task, round_number) or ledger.state
        has = node in RoundCursor(state, task, round_number).submissions.rows
        return ledger.with_context({"data": round_number} if has else None)
    stake = ledger.state.get_stakes(task).rows.get(node)
    return ledger.with_context({"data": stake.last_round} if stake and stake.last_round >= 0 else None)


def get_my_stake(ledger: Ledger, params: Params) -> Json:
    """A node's stake in a task, as a number in `data`; null if it never had any."""
    task, node = params.task(0), params.node(1)
    params.config(2)
    stake = ledger.state.get_stakes(task).rows.get(node)
    return ledger.with_context({"data": stake.amount} if stake else None)


async def _read_info(ledger: Ledger, params: Params, encode: Callable[..., bytes]) -> Any:
    """A part of a task's state, in the shape of getTaskAccountInfo; null if there is no such task."""
    task, round_number = params.task(0), _read_round(params, 1)

    def read(state: State, task: TaskKey, only: int | None) -> Json:
        return {"data": [base64.b64encode(encode(state, task, only)).decode(), "base64"]}

    value = await _read_rounds(ledger, params, read, task, round_number)
    if isinstance(value, msgspec.Raw):
        return ledger.encode_with_context(value)
    return ledger.with_context(value)


async def _read_rounds(
    ledger: Ledger, params: Params, read: Callable[..., Any], task: TaskKey, round_number: int | None
) -> Any:
    """What `read` returns for one round, or for all that the state holds; None if there is no such task.

    A long read runs on another thread and returns JSON. A round that is pruned is read from the archive.
    """
    if round_number is not None:
        recalled = await _recall_round(ledger, params, task, round_number)
        if recalled is not None:
            return await ledger.read_encoded(params.budget, read, recalled, task, round_number)
    if count_rows(ledger.state, task) > SHORT_ROWS:
        return await ledger.read_state(params.budget, _read_view, read, task, round_number)
    with params.budget.work():
        return _read_view(ledger, read, task, round_number)


async def _recall_round(ledger: Ledger, params: Params, task: TaskKey, round_number: int) -> State | None:
    """A state that holds a pruned round; None if the round is not pruned."""
    if not may_be_pruned(ledger.state, task, round_number):
        return None
    await wait_for_history(ledger)
    return await ledger.read(params.budget, recall, ledger.chain, task, round_number)


def _read_view(ledger: Ledger, read: Callable[..., Any], task: TaskKey, *args: Any) -> Any:
    try:
        return read(ledger.state, task, *args)
    except UnknownTask:
        return None


def _is_small_task(ledger: Ledger, params: Params) -> bool:
    return count_rows(ledger.state, params.task(0)) <= SHORT_ROWS


def _is_small_ledger(ledger: Ledger, params: Params) -> bool:
    """All money of a small ledger is summed up on the event loop."""
    tables = ledger.state.tables
    return len(tables) <= SHORT_ROWS and sum(len(table.rows) for table in tables.values()) <= 10 * SHORT_ROWS


def _read_round(params: Params, at: int) -> int | None:
    """The round that a configuration names; None for all rounds, which it writes as −1.

    Raises InvalidParams.
    """
    config = params.config(at, "encoding", "round")
    read_form(config, default="base64")
    round_number = field(config, "round", int, -1)
    return None if round_number == -1 else round_number


OWN_METHODS: dict[str, Any] = {
    "getLedger": LongRead(get_ledger, _is_small_ledger),
    "getTaskHead": get_task_head,
    "getTaskStakes": get_task_stakes,
    "getRoundRows": get_round_rows,
    "getTask": LongRead(get_task, _is_small_task),
    "getRound": get_round,
    "getAssignments": get_assignments,
    "getRoundProof": get_round_proof,
    "getPostedProof": get_posted_proof,
}
"""The methods that nodes read. They are of the last block unless a commitment is named."""

METHODS: dict[str, Any] = {
    "getTaskAccountInfo": LongRead(get_task_account_info, _is_small_task),
    "getTaskSubmissionInfo": get_task_submissions,
    "getTaskDistributionInfo": get_task_distributions,
    "getMyTaskSubmissionRoundInfo": get_my_submission_round,
    "getMyTaskStakeInfo": get_my_stake,
}
