"""A node at work on one task: slots in, duties carried out, what they decide remembered first."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import msgspec
from solders.keypair import Keypair

from .. import participant as duties
from ..client import Client
from ..errors import Rejected, RemoteError, RoundworkError, StoreCorrupt, Void
from ..operations import build_stake, build_uploads, deliver, patiently, read_task, send, sign, wrap
from ..participant import Duty, View, compute_rounds, step
from ..protocol import instructions
from ..protocol.params import key_of
from ..protocol.views import RoundView, SubmissionView, TaskView
from .lanes import Lanes
from .memory import MemoryFile
from .postponed import Postponed
from .storage import BlobStore

KEEP_BLOBS_ROUNDS = 3
"""Proofs are kept so many rounds beyond the one that is closed."""

MARGIN = 0.9
"""Of the time that is left for a function of the author's, so much is given."""

AUDIT_SECONDS_MIN = 0.5
"""What an audit gets at least if there is so much time: a lane that was killed has to start, too."""

SEND_SLOTS = 20
"""A message that is not durable after so many slots is owed again; the law takes each only once."""

UPLOADS_MAX = 16
"""Chunks of a list that are under way at a time."""

OVER = ("PayoutSuccessful", "ClosedUnpaid")
"""What is shown of rounds that will not change any more."""

log = logging.getLogger(__name__)


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


class Seen:
    """The task as it was last read, for whoever else wants to know."""

    def __init__(self, task: TaskView) -> None:
        self.task = task


class Runtime:
    """One node in one task, from `run` to its cancellation."""

    def __init__(
        self, client: Client, me: Me, lanes: Lanes, store: BlobStore, directory: Path, seen: Seen
    ) -> None:
        """Raises StoreFull, StoreCorrupt."""
        self._seen = seen
        self._client = client
        self._task = seen.task.address
        self._me = me
        self._lanes = lanes
        self._store = store
        self._file = MemoryFile(directory / "memory.db")
        self._memory = self._file.load()
        self._slot = -1
        self._slot_seconds = 0.0
        self._running: dict[Duty, asyncio.Task[None]] = {}
        self._postponed = Postponed()
        self._auditing = asyncio.Lock()
        self._over: dict[int, RoundView] = {}
        self._is_cut_off = False

    async def run(self) -> None:
        """Do what is owed, slot by slot. Raises UnknownTask, StoreCorrupt."""
        try:
            self._slot_seconds = (await patiently(self._client.get_ledger)).slot_ms / 1000
            while True:
                self._reap()
                view = await self._read_view()
                if view is not None:
                    self._do_duties(view)
                await asyncio.sleep(self._slot_seconds / 2)
        finally:
            for running in self._running.values():
                running.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            self._file.close()

    async def _read_view(self) -> View | None:
        """What the ledger shows in a new slot; None in the same one, or while it does not answer."""
        try:
            task = await read_task(self._client, self._task)
            rounds = {} if task.slot <= self._slot else await self._read_rounds(task)
        except RemoteError as error:
            if not self._is_cut_off:
                log.warning("%s", error)
            self._is_cut_off = True
            return None
        if self._is_cut_off:
            log.info("the ledger answers again, in slot %d", task.slot)
        self._is_cut_off = False
        if task.slot <= self._slot:
            return None
        self._seen.task, self._slot = task, task.slot
        return View(self._me.node, task, rounds, self._me.secret, self._me.stake_target, self._me.endpoint)

    async def _read_rounds(self, task: TaskView) -> dict[int, RoundView]:
        wanted = compute_rounds(task, task.slot)
        fresh = await self._client.get_rounds(self._task, [n for n in wanted if n not in self._over])
        rounds = {n: one for n, one in self._over.items() if n in wanted} | fresh
        self._over = {n: one for n, one in rounds.items() if one.status in OVER}
        return rounds

    def _reap(self) -> None:
        """Let go of duties that are done. A view that is read after this shows what came of them."""
        for duty, running in list(self._running.items()):
            if running.done():
                del self._running[duty]
                running.result()

    def _get_running(self) -> list[Duty]:
        return [duty for duty, running in self._running.items() if not running.done()]

    def _do_duties(self, view: View) -> None:
        self._memory, owed = step(self._memory, view, self._slot)
        self._postponed.keep(owed)
        for duty in owed:
            if duty not in self._running and self._postponed.is_due(duty, self._slot):
                self._running[duty] = asyncio.create_task(self._do(duty, view))

    async def _do(self, duty: Duty, view: View) -> None:
        try:
            await self._act(duty, view)
        except StoreCorrupt:
            raise
        except (RoundworkError, TimeoutError) as error:
            self._postponed.put(duty, self._slot)
            log.warning("%s: %s: %s", describe(duty), type(error).__name__, error)
        else:
            log.info("%s", describe(duty))

    async def _act(self, duty: Duty, view: View) -> None:
        task, node = key_of(self._task), key_of(self._me.node)
        match duty:
            case duties.Work():
                await self._work(duty)
            case duties.DecideValue():
                await self._decide_value(duty)
            case duties.DecideVerdict():
                await self._decide_verdict(duty)
            case duties.DecideList():
                await self._decide_list(duty, view.rounds[duty.round].submissions)
            case duties.SendValue():
                await self._send(instructions.SubmitTask(task, node, duty.value.encode(), duty.round))
            case duties.SendVerdict():
                of = key_of(duty.node)
                await self._send(instructions.AuditSubmission(task, node, of, duty.is_valid, duty.round))
            case duties.SendList():
                await self._send_list(duty)
            case duties.SendListVerdict():
                of = key_of(duty.node)
                await self._send(instructions.AuditDistribution(task, node, of, duty.is_valid, duty.round))
            case duties.TopUp():
                await self._top_up(duty)
            case duties.Forget():
                self._file.forget(duty.before_round)
                await self._lanes.forget(duty.before_round)
                self._store.drop(self._task, duty.before_round - KEEP_BLOBS_ROUNDS)
            case _:
                assert_never(duty)

    # Deciding: the task is asked, its answer is on disk, then it counts. A function that raises, hangs or
    # answers nonsense is asked again later, if there is time. All raise TaskFailed.

    async def _work(self, duty: duties.Work) -> None:
        await self._lanes.work(duty.round, duty.seed, self._compute_seconds(duty.until))
        self._file.decide("work", duty.round, True)
        self._memory = duties.learn_work(self._memory, duty.round)

    async def _decide_value(self, duty: duties.DecideValue) -> None:
        answer = self._lanes.lie if self._me.is_liar else self._lanes.submit
        asked = await answer(duty.round, duty.seed, self._compute_seconds(duty.until))
        value = self._file.decide("value", duty.round, asked)
        self._memory = duties.learn_value(self._memory, duty.round, value)

    async def _decide_verdict(self, duty: duties.DecideVerdict) -> None:
        async with self._auditing:
            # A proof made to hang its auditors must not keep them from the other proofs.
            waiting = sum(isinstance(each, duties.DecideVerdict) for each in self._get_running())
            left = self._compute_seconds(duty.until)
            seconds = min(left, max(left * 2 / (waiting + 1), AUDIT_SECONDS_MIN))
            verdict = await self._lanes.audit(
                duty.round, duty.seed, duty.node, duty.value, duty.stake, seconds
            )
        if verdict.kind == "unavailable":
            raise RemoteError(f"no view yet, the proof cannot be had: {verdict.reason}")
        kind = self._file.decide("verdict", duty.round, verdict.kind, duty.node)
        self._memory = duties.learn_verdict(self._memory, duty.round, duty.node, kind)

    async def _decide_list(self, duty: duties.DecideList, submissions: Sequence[SubmissionView]) -> None:
        seconds = self._compute_seconds(duty.until)
        asked = await self._lanes.distribute(duty.round, duty.bounty, submissions, seconds)
        amounts = self._file.decide("list", duty.round, asked)
        self._memory = duties.learn_list(self._memory, duty.round, amounts)

    def _compute_seconds(self, until: int) -> float:
        """How long a function may take that must be done before slot `until`."""
        return max((until - self._slot) * self._slot_seconds * MARGIN, self._slot_seconds)

    # Sending

    async def _send_list(self, duty: duties.SendList) -> None:
        task, node = key_of(self._task), key_of(self._me.node)
        text = msgspec.json.encode(self._memory.lists[duty.round], order="sorted")
        uploads = build_uploads(task, node, duty.round, text)
        for at in range(0, len(uploads), UPLOADS_MAX):
            some = uploads[at : at + UPLOADS_MAX]
            for failure in await asyncio.gather(*map(self._send, some), return_exceptions=True):
                if failure is not None:
                    raise failure
        await self._send(instructions.SubmitDistributionList(task, node, node, duty.round))

    async def _send(self, ask: instructions.Instruction) -> None:
        """Raises Rejected, Void, RemoteError, TimeoutError."""
        async with asyncio.timeout(SEND_SLOTS * self._slot_seconds):
            await send(self._client, [wrap(ask)], [self._me.payer, self._me.staking])

    async def _top_up(self, duty: duties.TopUp) -> None:
        """Add to the stake. It is money, so it is on disk before it is sent: a node that is killed in
        between sends the same transaction again, and it runs once."""
        me, signed = self._me, self._file.on_its_way
        if signed is None:
            asked = await build_stake(
                self._client, me.payer, me.staking, self._task, duty.amount, me.endpoint
            )
            signed = await sign(self._client, asked, [me.payer, me.staking])
            self._file.on_its_way = signed
        try:
            await deliver(self._client, signed)
        except (Rejected, Void):
            self._file.on_its_way = None
            raise
        self._file.on_its_way = None


def describe(duty: Duty) -> str:
    """A duty as a line of the log."""
    fields = {name: getattr(duty, name) for name in duty.__struct_fields__ if name not in _UNTOLD}
    told = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{type(duty).__name__} {told}"


_UNTOLD = frozenset(("seed", "until", "stake"))
