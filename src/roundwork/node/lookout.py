"""What a node sees of its task, slot by slot, and who it is there."""

import logging

import msgspec
from solders.keypair import Keypair

from ..client.operations import patiently, read_task
from ..client.rpc import Client
from ..errors import RemoteError, UnknownTask
from ..participant.parts import RoundParts
from ..participant.plays import HONEST, Play
from ..participant.step import View
from ..views import RoundView, SubmittedRow, TaskHead, TaskView

OVER = ("PayoutSuccessful", "ClosedUnpaid")
"""What is shown of rounds that will not change any more."""

log = logging.getLogger(__name__)


class Identity(msgspec.Struct, frozen=True):
    """Who a node is in a task: the key that pays fees, the one that holds the stake, what to stake."""

    payer: Keypair
    staking: Keypair
    secret: bytes
    stake_target: int
    endpoint: str
    play: Play = HONEST

    @property
    def node(self) -> str:
        """The address that the ledger knows the node by."""
        return str(self.staking.pubkey())


class CurrentTask:
    """The task as the lookout read it last. Others of the node read it here."""

    def __init__(self, task: TaskView) -> None:
        self.task = task


class Lookout:
    """Reads the ledger for one node in one task.

    `slot` is the slot of the last view, -1 before the first; `slot_seconds` how long one takes.
    """

    def __init__(self, client: Client, identity: Identity, current: CurrentTask) -> None:
        self.slot = -1
        self.slot_seconds = 0.0
        self._client = client
        self._identity = identity
        self._current = current
        self._over: dict[int, RoundView] = {}
        self._is_cut_off = False

    async def begin(self) -> None:
        """Learn how long a slot takes."""
        self.slot_seconds = (await patiently(self._client.get_ledger)).slot_ms / 1000

    async def look(self) -> View | None:
        """What the ledger shows in a new slot; None in the same one, or while it does not answer.

        Raises UnknownTask.
        """
        try:
            task = await read_task(self._client, self._current.task.address)
            answer = await self._client.get_head(task.address, self._identity.node)
            if answer is None:
                raise UnknownTask(f"there is no task at {task.address}")
            rounds = {} if answer.head.slot <= self.slot else await self._read_rounds(answer.head)
        except RemoteError as error:
            if not self._is_cut_off:
                log.warning("%s", error)
            self._is_cut_off = True
            return None
        head, own = answer.head, answer.own
        if self._is_cut_off:
            log.info("the ledger answers again, in slot %d", head.slot)
        self._is_cut_off = False
        if head.slot <= self.slot or own is None:
            return None
        self._current.task, self.slot = task, head.slot
        identity = self._identity
        return View(
            identity.node, head, own, rounds, identity.secret, identity.stake_target, identity.endpoint
        )

    async def _read_rounds(self, head: TaskHead) -> dict[int, RoundParts]:
        wanted = [shown.round for shown in head.rounds]
        fresh = await self._client.get_rounds(head.task, [n for n in wanted if n not in self._over])
        rounds = {n: view for n, view in self._over.items() if n in wanted} | fresh
        self._over = {n: view for n, view in rounds.items() if view.status in OVER}
        return {round_number: compose_parts(view) for round_number, view in rounds.items()}


def compose_parts(view: RoundView) -> RoundParts:
    """The parts of a whole round."""
    amounts = [listed.amounts for listed in view.lists if listed.attempt == view.attempt]
    return RoundParts(
        submissions=view.submissions,
        audited=view.submissions,
        submitted=[
            SubmittedRow(each.node, each.value, each.slot)
            for each in sorted(view.submissions, key=lambda each: each.slot)
        ],
        raised={each.node: each.trigger_by for each in view.submissions if each.trigger_by is not None},
        amounts=next(iter(amounts), None),
    )
