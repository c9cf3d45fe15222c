"""What a node sees of its task, slot by slot, and its identity there."""

import asyncio
import logging
import math
import sys
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace
from solders.keypair import Keypair

from ..client.heads import watch_heads
from ..client.operations import patiently
from ..client.rpc import Client, Unreachable
from ..errors import RemoteError, UnknownTask
from ..participant.plays import HONEST, Play
from ..participant.reading import (
    OWN_SLOTS,
    find_stakes_slot,
    has_changed,
    has_released,
    list_own_slots,
    pick_slot,
)
from ..participant.sealed_parts import compute_draw_slots
from ..participant.step import View
from ..views import OwnView, StakeView, TaskHead, TaskView, compute_stakes_digest

SILENCE_SECONDS = 2.0
SILENCE_SLOTS = 3
"""A ledger that pushes no head for so many seconds and slots is requested instead."""

RECONNECT_SECONDS = 3.0

NEVER = sys.maxsize
"""A slot that does not come."""

log = logging.getLogger(__name__)


class Identity(msgspec.Struct, frozen=True):
    """A node's identity in a task: the key that pays fees, the key that holds the stake, what to stake."""

    payer: Keypair
    staking: Keypair
    secret: bytes
    stake_target: int
    endpoint: str
    play: Play = HONEST
    claim_least: int = 0
    """The least available balance that the node claims by itself; 0 if it never claims."""
    claim_to: str = ""
    """The address that such a claim pays; empty if it never claims."""

    @property
    def node(self) -> str:
        """The address that the ledger knows the node by."""
        return str(self.staking.pubkey())


class CurrentTask:
    """The task as the lookout read it last, for the other parts of the node.

    Available balances of its stakes are those of the last change of the stake or the endpoint.
    """

    def __init__(self, task: TaskView) -> None:
        self.task = task

    def take_head(self, head: TaskHead) -> None:
        """Take what a head says."""
        self.task = replace(
            self.task,
            slot=head.slot,
            is_active=head.is_active,
            is_closed=head.is_closed,
            migrated_to=head.migrated_to,
            open_rounds=head.open_rounds,
            seed=head.seed,
            bounty=head.bounty,
            bounty_per_round=head.bounty_per_round,
        )

    def take_stakes(self, changed: Sequence[StakeView]) -> None:
        """Take stakes that have changed."""
        stakes = {stake.node: stake for stake in (*self.task.stakes, *changed)}
        self.task = replace(self.task, stakes=[stakes[node] for node in sorted(stakes)])


class Lookout:
    """Reads heads for one node in one task, its own records when they may have changed, and stakes.

    `slot` is the slot of the last view, -1 before the first; `slot_seconds` how long one takes.
    """

    def __init__(
        self, client: Client, identity: Identity, current: CurrentTask, news: asyncio.Event | None = None
    ) -> None:
        """`news` is set when the ledger pushes a head."""
        self.slot = -1
        self.slot_seconds = 0.0
        self._client = client
        self._identity = identity
        self._current = current
        self._news = news or asyncio.Event()
        self._pushed: TaskHead | None = None
        """The newest head that the ledger pushed; None while it pushes none."""
        self._watching: asyncio.Task[None] | None = None
        self._looked_at = -math.inf
        self._head: TaskHead | None = None
        self._own: OwnView | None = None
        self._own_due_slot = 0
        """From this slot on, own records are read again."""
        self._noted: TaskHead | None = None
        """The last head that was read; None before the first."""
        self._has_sent = False
        self.blind_until_slot = -1
        """Heads up to this slot do not show what the node has sent."""
        self._stakes_slot = current.task.slot
        """Stakes that changed in this slot or later are read."""
        self._stakes_due_slot = NEVER
        """From this slot on."""
        self._stakes_free_slot = 0
        """They are read once in a slot: this is the one after the last attempt."""
        self._is_cut_off = False
        self._are_stakes_old = False
        """Whether the last attempt to read the stakes failed."""

    async def begin(self) -> None:
        """Learn how long a slot takes, and have the ledger push heads."""
        self.slot_seconds = (await patiently(self._client.get_ledger)).slot_ms / 1000
        self._watching = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Let the ledger push no more heads."""
        if self._watching is not None:
            self._watching.cancel()

    def note_sent(self) -> None:
        """The node has sent something: no view is given until a head shows what came of it."""
        self._has_sent = True

    @property
    def is_blind(self) -> bool:
        """Whether the last view does not show what the node has sent."""
        return self._has_sent or self.slot <= self.blind_until_slot

    async def look(self) -> View | None:
        """What the ledger shows in a new slot; None in the same one, or while it does not answer.

        Raises UnknownTask.
        """
        try:
            head = await self._read()
        except RemoteError as error:
            if not self._is_cut_off:
                log.warning("%s", error)
            self._is_cut_off = True
            return None
        if self._is_cut_off:
            log.info("the ledger answers again, in slot %d", head.slot)
        self._is_cut_off = False
        if head.slot <= max(self.slot, self.blind_until_slot) or self._own is None:
            return None
        self._current.take_head(head)
        self.slot = head.slot
        identity = self._identity
        return View(
            node=identity.node,
            head=head,
            own=self._own,
            rounds={},
            secret=identity.secret,
            stake_target=identity.stake_target,
            endpoint=identity.endpoint,
            claim_least=identity.claim_least,
            is_early=True,
        )

    async def _watch(self) -> None:
        """Take the heads that the ledger pushes. While it pushes none, they are requested."""
        task, silence = self._current.task.address, SILENCE_SECONDS + SILENCE_SLOTS * self.slot_seconds
        while True:
            try:
                async for head in watch_heads(self._client.url, task, silence):
                    self._pushed = head
                    self._news.set()
            except Unreachable as error:
                log.debug("%s", error)
            self._pushed = None
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _read(self) -> TaskHead:
        """The newest head; own records and stakes are read before, if they may have changed."""
        head = await self._read_newest()
        if self._noted is not None and has_changed(self._noted, head):
            self._note_change(list_own_slots(head.slot))
        self._note_windows(head)
        self._noted = head
        if head.stakes_slot >= self._stakes_slot and self._stakes_due_slot == NEVER:
            first, nodes = max(head.slot, self._stakes_free_slot), len(self._current.task.stakes)
            self._stakes_due_slot = find_stakes_slot(self._identity.secret, first, nodes)
        if head.slot >= self._stakes_due_slot:
            self._stakes_due_slot = NEVER  # if it fails, the next head sets another slot
            self._stakes_free_slot = head.slot + 1
            await self._try_to_read_stakes()
        if self._own is None or self._has_sent or head.slot >= self._own_due_slot:
            head = await self._read_own()
        return head

    def _note_windows(self, head: TaskHead) -> None:
        """Have own records read again, if they are from before a draw or a release."""
        try:
            drawn = compute_draw_slots(head)
            is_released = self._noted is not None and has_released(self._noted, head)
        except (ArithmeticError, LookupError):  # nothing follows from a head that cannot be true
            return
        if is_released:
            self._note_change(list_own_slots(head.slot))
        if self._own is not None and self._own.slot < drawn.start:
            self._note_change(drawn[:OWN_SLOTS])

    def _note_change(self, slots: range) -> None:
        """Have own records read again in one of these slots."""
        self._own_due_slot = min(self._own_due_slot, pick_slot(self._identity.secret, slots))

    async def _read_newest(self) -> TaskHead:
        """The head that was pushed last; without one, the ledger is requested twice in a slot."""
        now = asyncio.get_running_loop().time()
        if self._pushed is not None:
            return self._pushed
        if self._head is None or now >= self._looked_at + self.slot_seconds / 2:
            self._looked_at = now
            self._head = await self._read_head()
        return self._head

    async def _read_head(self, node: str | None = None) -> TaskHead:
        answer = await self._client.get_head(self._current.task.address, node)
        if answer is None:
            raise UnknownTask(f"there is no task at {self._current.task.address}")
        self._own = answer.own or self._own
        return answer.head

    async def _read_own(self) -> TaskHead:
        has_sent, self._has_sent = self._has_sent, False
        try:
            head = await self._read_head(self._identity.node)
        except RemoteError:
            self._has_sent = self._has_sent or has_sent
            raise
        self._own_due_slot = NEVER
        if has_sent and self._own is not None:
            self.blind_until_slot = self._own.slot
        return head

    async def _try_to_read_stakes(self) -> None:
        """A node plays its rounds without the newest stakes, too; its operator reads once that it does."""
        try:
            await self._read_stakes()
        except RemoteError as error:
            if not self._are_stakes_old:
                log.warning("the stakes of other nodes cannot be read, those known before count: %s", error)
            self._are_stakes_old = True
        else:
            if self._are_stakes_old:
                log.info("the stakes of other nodes are read again")
            self._are_stakes_old = False

    async def _read_stakes(self) -> None:
        known = self._current.task
        digest = compute_stakes_digest(known.stakes)
        news = await self._client.get_stakes(known.address, self._stakes_slot, digest)
        if news is None:
            raise UnknownTask(f"there is no task at {self._current.task.address}")
        self._stakes_slot = news.slot
        self._current.take_stakes(news.stakes)
        if any(stake.node == self._identity.node for stake in news.stakes):
            self._own_due_slot = 0
