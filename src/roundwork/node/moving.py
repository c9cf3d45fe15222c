"""A node goes where its task goes: it joins the successor, and gets its stake out of the old task."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import msgspec

from ..client.operations import claim, patiently, withdraw_when_free
from ..client.rpc import Client
from ..errors import (
    BadConfig,
    BadTaskFile,
    NothingToClaim,
    NotStaked,
    RemoteError,
    RoundworkError,
    StoreInUse,
)
from ..host.files import replace_file
from ..participant.moment import compute_moment
from ..protocol.params import RULE_SETS
from ..protocol.tasks.round import Activity, Period
from ..views import TaskView
from .lookout import CurrentTask, Identity
from .prepare import PreparedTask
from .setting import FIRST_TASK_FILE, NodeSetting, find_home, find_task_directory

LOOK_SECONDS = 0.2
"""How often a node looks whether its task has moved. The lookout reads the task in every slot anyway."""

LOOK_AGAIN_SECONDS = 2.0
"""How often a node looks whether its money is out of a closed task."""

RETRY_SECONDS = 2.0
"""After how long a node requests a package again that no node serves yet."""

log = logging.getLogger(__name__)


class JoinedTask(NamedTuple):
    """A task that a node has joined."""

    setting: NodeSetting
    identity: Identity
    current: CurrentTask
    prepared: PreparedTask
    can_move: bool = True
    """Whether a successor can be joined beside it, in the same process."""


Join = Callable[[NodeSetting], Awaitable[JoinedTask]]
"""Makes a task ready to run. Raises BadConfig, BadTaskFile, StoreFull, StoreCorrupt, RemoteError."""


async def work_and_follow(client: Client, joined: JoinedTask, join: Join) -> None:
    """Work on a task, and on every successor that takes it over.

    The open rounds of the old task are worked on to their end; then its stake is withdrawn and claimed. This
    ends when the last successor is closed and has no money of the node. Raises what the work raises.
    """
    working = asyncio.ensure_future(joined.prepared.work())
    following = asyncio.ensure_future(_follow(client, joined, join))
    try:
        await asyncio.wait((working, following), return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
        else:
            await working
    finally:
        for job in (working, following):
            job.cancel()
        await asyncio.gather(working, following, return_exceptions=True)


async def _follow(client: Client, joined: JoinedTask, join: Join) -> None:
    current = joined.current
    await _wait_until(lambda: current.task.migrated_to is not None or current.task.is_closed)
    successor = current.task.migrated_to
    if successor is None:
        await _wait_for_empty(client, joined)
        return
    log.info("task %s has moved to %s", current.task.address, successor)
    if not joined.can_move:
        log.warning("start this node again with --task %s, for it to move there", successor)
        await asyncio.Event().wait()  # the rounds of the old task are worked on until the node is stopped
    setting = joined.setting
    neighbours = [
        entry.endpoint for entry in current.task.stakes if entry.endpoint != joined.identity.endpoint
    ]
    peers = dict.fromkeys([*setting.peers, *filter(None, neighbours)])
    there = await _join_patiently(move(setting, successor, tuple(peers)), join)
    await asyncio.gather(work_and_follow(client, there, join), _leave(client, joined))


def move(setting: NodeSetting, task: str, peers: tuple[str, ...]) -> NodeSetting:
    """The setting of a node for a task that is not the first one of its directory.

    What it remembers of rounds must not be taken for another task's, so each has a directory of its own.
    """
    task_directory = find_task_directory(setting.directory, task)
    return msgspec.structs.replace(
        setting, task=task, task_directory=task_directory, package=None, peers=peers
    )


def settle_directory(setting: NodeSetting) -> NodeSetting:
    """The setting with the directory of its task, if the node's directory was made for another one."""
    path = setting.directory / FIRST_TASK_FILE
    if not path.exists():
        replace_file(path, setting.task.encode())
    if find_home(setting.directory, setting.task) == setting.directory:
        return setting
    return msgspec.structs.replace(move(setting, setting.task, setting.peers), package=setting.package)


async def _join_patiently(setting: NodeSetting, join: Join) -> JoinedTask:
    """Join a task as soon as its package can be had and its operator agrees to it."""
    last_warning = ""
    while True:
        try:
            return await join(setting)
        except (BadConfig, BadTaskFile, RemoteError, StoreInUse) as error:
            if str(error) != last_warning:
                log.warning("cannot move to task %s yet: %s", setting.task, error)
            last_warning = str(error)
        await asyncio.sleep(RETRY_SECONDS)


async def _wait_for_empty(client: Client, joined: JoinedTask) -> None:
    """Wait until a closed task has no money of the node. It never opens again: docs/PROTOCOL.md 4.13."""
    address, node = joined.current.task.address, joined.identity.node
    released = compute_last_release(joined.current.task)
    has_warned = False
    while await _has_money(client, address, node) or joined.current.task.slot < released:
        if not has_warned:
            log.warning(
                "task %s is closed: take your stake out with `node withdraw` and `node claim`; then this node"
                " ends",
                address,
            )
            has_warned = True
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    log.warning("task %s is closed and has no money of this node: the node ends", address)


async def _has_money(client: Client, task: str, node: str) -> bool:
    """Whether a task has a stake or an available balance of a node."""
    answer = await patiently(partial(client.get_head, task, node))
    return answer is not None and answer.own is not None and bool(answer.own.amount or answer.own.available)


async def _leave(client: Client, joined: JoinedTask) -> None:
    """Get the stake out of a task whose last round is over, and its rewards when they are released."""
    identity, task = joined.identity, joined.current.task.address
    await _wait_until(lambda: not joined.current.task.open_rounds)
    released = compute_last_release(joined.current.task)
    try:
        with contextlib.suppress(NotStaked):
            await withdraw_when_free(
                client, identity.payer, identity.staking, task, lambda error: log.debug("%s", error)
            )
        if joined.setting.claim_least == 0:
            log.info("the money that task %s releases is left to `node claim`", task)
            return
        await _claim_all(client, joined)
        await _wait_until(lambda: joined.current.task.slot >= released)
        await _claim_all(client, joined)
    except RoundworkError as error:
        log.warning("the money in task %s is left to `node withdraw` and `node claim`: %s", task, error)
    else:
        log.info("left task %s", task)


async def _claim_all(client: Client, joined: JoinedTask) -> None:
    """Claim what is available, for the address that the operator named."""
    identity = joined.identity
    beneficiary = joined.setting.claim_to or str(identity.payer.pubkey())
    with contextlib.suppress(NothingToClaim):
        await claim(client, identity.payer, identity.staking, joined.current.task.address, beneficiary)


def compute_last_release(task: TaskView) -> int:
    """The slot by which all rewards of a task without open rounds are released.

    Source: docs/PROTOCOL.md 19.
    """
    rules = RULE_SETS[task.rules]
    if not rules.held_rounds:
        return task.slot
    now = compute_moment(task, task.slot)
    return now.compute_end(Activity.AUDIT, now.compute_round(Period.REVIEW) + rules.held_rounds)


async def _wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 # the lookout reads the task slot by slot, without a signal
        await asyncio.sleep(LOOK_SECONDS)
