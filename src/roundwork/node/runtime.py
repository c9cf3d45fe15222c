"""A node at work on one task: slots in, duties carried out, what they decide remembered first."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar, assert_never

import msgspec
from solders.keypair import Keypair

from .. import participant as duties
from ..client import Client
from ..errors import RemoteError, RoundworkError, TaskFailed
from ..operations import build_uploads, read_task, send, stake, wrap
from ..participant import Duty, Memory, View, compute_rounds, step
from ..protocol import instructions
from ..protocol.params import key_of
from ..protocol.views import LedgerView, SubmissionView, TaskView
from .lanes import Lanes, Verdict
from .memory import MemoryFile
from .storage import BlobStore

KEEP_BLOBS_ROUNDS = 3
"""Proofs are kept so many rounds beyond the one that is closed."""

MARGIN = 0.9
"""Of the time that is left for a function of the author's, so much is given."""

RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)

T = TypeVar("T")


class Me(msgspec.Struct, frozen=True):
    """Who a node is in a task: the key that pays fees, the key that holds the stake, what it wants there."""

    payer: Keypair
    staking: Keypair
    secret: bytes
    stake_target: int
    endpoint: str
    is_liar: bool = False

    @property
    def node(self) -> str:
        """The address that the ledger knows the node by."""
        return str(self.staking.pubkey())


class Runtime:
    """One node in one task, from `run` to its cancellation."""

    def __init__(
        self,
        client: Client,
        task: str,
        me: Me,
        lanes: Lanes,
        store: BlobStore,
        directory: Path,
        seen: list[TaskView],
    ) -> None:
        """`seen` holds the task as it was last read, for whoever else wants to know."""
        self._seen = seen
        self._client = client
        self._task = task
        self._me = me
        self._lanes = lanes
        self._store = store
        self._file = MemoryFile(directory / "memory.db")
        self._memory: Memory = self._file.load()
        self._running: dict[Duty, asyncio.Task[None]] = {}
        self._refused: set[Duty] = set()
        self._ledger: LedgerView | None = None

    async def run(self) -> None:
        """Do what is owed, slot by slot. Raises UnknownTask, StoreFull, StoreCorrupt."""
        slot = -1
        try:
            while True:
                view = await self._read_view()
                if view is not None and view.task.slot > slot:
                    slot = view.task.slot
                    self._do_duties(view, slot)
                await asyncio.sleep(self._slot_seconds / 2)
        finally:
            for running in self._running.values():
                running.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            self._file.close()

    @property
    def _slot_seconds(self) -> float:
        return self._ledger.slot_ms / 1000 if self._ledger else RETRY_SECONDS

    async def _read_view(self) -> View | None:
        """What the ledger shows now; None while it does not answer."""
        try:
            if self._ledger is None:
                self._ledger = await self._client.get_ledger()
            task = self._seen[0] = await read_task(self._client, self._task)
            rounds = await self._client.get_rounds(self._task, compute_rounds(task, task.slot))
        except RemoteError as error:
            log.debug("%s", error)
            return None
        return View(self._me.node, task, rounds, self._me.secret, self._me.stake_target)

    def _do_duties(self, view: View, slot: int) -> None:
        self._memory, owed = step(self._memory, view, slot)
        for duty in owed:
            if duty not in self._running and duty not in self._refused:
                self._running[duty] = asyncio.create_task(self._do(duty, view, slot))

    async def _do(self, duty: Duty, view: View, slot: int) -> None:
        try:
            await self._act(duty, view, slot)
        except RoundworkError as error:
            self._refused.add(duty)
            log.warning("%s: %s: %s", describe(duty), type(error).__name__, error)
        else:
            log.info("%s", describe(duty))
        finally:
            del self._running[duty]

    async def _act(self, duty: Duty, view: View, slot: int) -> None:
        match duty:
            case duties.Work():
                await self._work(duty, self._seconds(duty.until, slot))
            case duties.DecideValue():
                await self._decide_value(duty, self._seconds(duty.until, slot))
            case duties.DecideVerdict():
                await self._decide_verdict(duty, self._seconds(duty.until, slot))
            case duties.DecideList():
                submissions = view.rounds[duty.round].submissions
                await self._decide_list(duty, submissions, self._seconds(duty.until, slot))
            case duties.SendValue():
                ask = instructions.SubmitTask(self._key, self._node, duty.value.encode(), duty.round)
                await self._send(ask)
            case duties.SendVerdict():
                candidate = key_of(duty.node)
                await self._send(
                    instructions.AuditSubmission(self._key, self._node, candidate, duty.is_valid, duty.round)
                )
            case duties.SendList():
                await self._send_list(duty)
            case duties.SendListVerdict():
                lister = key_of(duty.node)
                await self._send(
                    instructions.AuditDistribution(self._key, self._node, lister, duty.is_valid, duty.round)
                )
            case duties.TopUp():
                me = self._me
                await stake(self._client, me.payer, me.staking, self._task, duty.amount, me.endpoint)
            case duties.Forget():
                self._file.forget(duty.before_round)
                await self._lanes.forget(duty.before_round)
                self._store.drop(self._task, duty.before_round - KEEP_BLOBS_ROUNDS)
            case _:
                assert_never(duty)

    # Deciding: the task is asked, its answer is on disk, then it counts

    async def _work(self, duty: duties.Work, seconds: float) -> None:
        is_done = await self._ask(_finish(self._lanes.work(duty.round, duty.seed, seconds)), False)
        self._file.write("work", duty.round, "", is_done)
        self._memory = duties.learn_work(self._memory, duty.round, is_done)

    async def _decide_value(self, duty: duties.DecideValue, seconds: float) -> None:
        decide = self._lanes.lie if self._me.is_liar else self._lanes.submit
        value = await self._ask(decide(duty.round, duty.seed, seconds), None)
        self._file.write("value", duty.round, "", value)
        self._memory = duties.learn_value(self._memory, duty.round, value)

    async def _decide_verdict(self, duty: duties.DecideVerdict, seconds: float) -> None:
        asked = self._lanes.audit(duty.round, duty.seed, duty.node, duty.value, duty.stake, seconds)
        verdict = await self._ask(asked, Verdict("unavailable"))
        self._file.write("verdict", duty.round, duty.node, verdict.kind)
        self._memory = duties.learn_verdict(self._memory, duty.round, duty.node, verdict.kind)

    async def _decide_list(
        self, duty: duties.DecideList, submissions: Sequence[SubmissionView], seconds: float
    ) -> None:
        asked = self._lanes.distribute(duty.round, duty.bounty, submissions, seconds)
        amounts = await self._ask(asked, None)
        self._file.write("list", duty.round, "", amounts)
        self._memory = duties.learn_list(self._memory, duty.round, amounts)

    async def _ask(self, asked: Awaitable[T], otherwise: T) -> T:
        """What a function of the author's answers; `otherwise` if it fails, which costs this step only."""
        try:
            return await asked
        except TaskFailed as error:
            log.error("the task failed: %s", error)
            return otherwise

    # Sending

    async def _send_list(self, duty: duties.SendList) -> None:
        amounts = self._memory.lists[duty.round]
        text = msgspec.json.encode(amounts, order="sorted")
        for upload in build_uploads(self._key, self._node, duty.round, text):
            await self._send(upload)
        await self._send(instructions.SubmitDistributionList(self._key, self._node, self._node, duty.round))

    async def _send(self, ask: instructions.Instruction) -> None:
        await send(self._client, [wrap(ask)], [self._me.payer, self._me.staking])

    @property
    def _key(self) -> bytes:
        return key_of(self._task)

    @property
    def _node(self) -> bytes:
        return bytes(self._me.staking.pubkey())

    def _seconds(self, until: int, slot: int) -> float:
        """How long a function may take that must be done before slot `until`."""
        return max((until - slot) * self._slot_seconds * MARGIN, self._slot_seconds)


def describe(duty: Duty) -> str:
    """A duty as a line of the log."""
    fields = {name: getattr(duty, name) for name in duty.__struct_fields__ if name not in _UNTOLD}
    told = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{type(duty).__name__} {told}"


_UNTOLD = frozenset(("seed", "until", "stake"))


async def _finish(work: Awaitable[None]) -> bool:
    await work
    return True
