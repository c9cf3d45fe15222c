"""A node goes where its task goes: a successor takes over, the node settles there and gets its stake out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from ..client.operations import claim, withdraw_when_free
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
from .lookout import Me, Seen
from .setting import NodeSetting
from .tenants import Tenant

LOOK_SECONDS = 0.2
"""How often a node looks whether its task has moved: what it looks at is read slot by slot anyway."""

RETRY_SECONDS = 2.0
"""How soon a node asks again for a package that nobody serves yet."""

FIRST_TASK_FILE = "first-task"
"""Names the task whose memory and files lie in the node's directory itself."""

log = logging.getLogger(__name__)


class Resident(NamedTuple):
    """A task that a node has settled in."""

    setting: NodeSetting
    me: Me
    seen: Seen
    tenant: Tenant
    can_move: bool = True
    """Whether a successor can be settled in beside it, in the same process."""


Settle = Callable[[NodeSetting], Awaitable[Resident]]
"""Makes a task ready to run. Raises BadConfig, BadTaskFile, StoreFull, StoreCorrupt, RemoteError."""


async def live(client: Client, resident: Resident, settle: Settle) -> None:
    """Work on a task, and on every successor that takes it over, until this is cancelled.

    The open rounds of the old task are worked on to their end; then its stake is withdrawn and claimed.
    Raises what the work raises.
    """
    lives = [
        asyncio.ensure_future(resident.tenant.work()),
        asyncio.ensure_future(_follow(client, resident, settle)),
    ]
    try:
        await asyncio.gather(*lives)
    finally:
        for one in lives:
            one.cancel()
        await asyncio.gather(*lives, return_exceptions=True)


async def _follow(client: Client, resident: Resident, settle: Settle) -> None:
    seen = resident.seen
    await _wait_until(lambda: seen.task.migrated_to is not None)
    successor = seen.task.migrated_to
    assert successor is not None
    log.info("task %s has moved to %s", seen.task.address, successor)
    if not resident.can_move:
        log.warning("start this node again with --task %s, for it to move there", successor)
        return
    setting = resident.setting
    neighbours = [one.endpoint for one in seen.task.stakes if one.endpoint != resident.me.endpoint]
    peers = dict.fromkeys([*setting.peers, *filter(None, neighbours)])
    there = await _settle_patiently(move(setting, successor, tuple(peers)), settle)
    await asyncio.gather(live(client, there, settle), _leave(client, resident))


def move(setting: NodeSetting, task: str, peers: tuple[str, ...]) -> NodeSetting:
    """The setting of a node for a task that is not the first one of its directory.

    What it remembers of rounds must not be taken for another task's, so each has a room of its own.
    """
    room = setting.directory / task[:8]  # the path of a socket lies in it, and must be short
    return msgspec.structs.replace(setting, task=task, room=room, package=None, peers=peers)


def find_room(setting: NodeSetting) -> NodeSetting:
    """The setting with the room that its task has in the directory, which was made for the first one's."""
    path = setting.directory / FIRST_TASK_FILE
    if not path.exists():
        replace_file(path, setting.task.encode())
    if path.read_text() == setting.task:
        return setting
    return msgspec.structs.replace(move(setting, setting.task, setting.peers), package=setting.package)


async def _settle_patiently(setting: NodeSetting, settle: Settle) -> Resident:
    """Settle in a task as soon as its package can be had and its operator agrees to it."""
    told = ""
    while True:
        try:
            return await settle(setting)
        except (BadConfig, BadTaskFile, RemoteError, StoreInUse) as error:
            if str(error) != told:
                log.warning("cannot move to task %s yet: %s", setting.task, error)
            told = str(error)
        await asyncio.sleep(RETRY_SECONDS)


async def _leave(client: Client, resident: Resident) -> None:
    """Get the stake out of a task whose last round is over."""
    me, task = resident.me, resident.seen.task.address
    await _wait_until(lambda: not resident.seen.task.open_rounds)
    try:
        await withdraw_when_free(client, me.payer, me.staking, task, lambda error: log.debug("%s", error))
        await claim(client, me.payer, me.staking, task, str(me.payer.pubkey()))
    except (NotStaked, NothingToClaim):
        pass
    except RoundworkError as error:
        log.warning("the stake in task %s is left to `node withdraw` and `node claim`: %s", task, error)
    else:
        log.info("left task %s", task)


async def _wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 # nobody signals what is read slot by slot
        await asyncio.sleep(LOOK_SECONDS)
