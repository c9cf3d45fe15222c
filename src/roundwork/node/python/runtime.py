"""A node at work on one task: slots in, duties carried out, what they decide remembered first."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import msgspec

from ...client.messages import wrap
from ...client.operations import build_uploads, send
from ...client.rpc import Client
from ...errors import AccountNotFound, InsufficientFundsForFee, RemoteError, RoundworkError, StoreCorrupt
from ...participant import step as duties
from ...participant.step import Duty, View, step
from ...protocol.params import key_of
from ...protocol.tasks import instructions
from ...views import SubmissionView
from ..duties import Postponed, top_up
from ..lookout import CurrentTask, Identity, Lookout
from ..memory import MemoryFile
from ..peers.storage import BlobStore
from .lanes import Lanes

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

log = logging.getLogger(__name__)


class Runtime:
    """One node in one task, from `run` to its cancellation."""

    def __init__(
        self,
        client: Client,
        identity: Identity,
        lanes: Lanes,
        store: BlobStore,
        directory: Path,
        current: CurrentTask,
    ) -> None:
        """Raises StoreFull, StoreCorrupt."""
        self._lookout = Lookout(client, identity, current)
        self._client = client
        self._task = current.task.address
        self._program = key_of(current.task.program)
        self._identity = identity
        self._lanes = lanes
        self._store = store
        self._file = MemoryFile(directory / "memory.db")
        self._memory = self._file.load()
        self._running: dict[Duty, asyncio.Task[None]] = {}
        self._postponed = Postponed()
        self._auditing = asyncio.Lock()

    async def run(self) -> None:
        """Do what is owed, slot by slot. Raises UnknownTask, StoreCorrupt."""
        try:
            await self._lookout.begin()
            while True:
                self._reap()
                view = await self._lookout.look()
                if view is not None:
                    self._do_duties(view)
                await asyncio.sleep(self._lookout.slot_seconds / 2)
        finally:
            for running in self._running.values():
                running.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            self._file.close()

    def _reap(self) -> None:
        """Let go of duties that are done. A view that is read after this shows what came of them."""
        for duty, running in list(self._running.items()):
            if running.done():
                del self._running[duty]
                running.result()

    def _get_running(self) -> list[Duty]:
        return [duty for duty, running in self._running.items() if not running.done()]

    def _do_duties(self, view: View) -> None:
        self._memory, owed = step(self._memory, view, self._lookout.slot)
        self._postponed.keep(owed)
        for duty in owed:
            if duty not in self._running and self._postponed.is_due(duty, self._lookout.slot):
                self._running[duty] = asyncio.create_task(self._do(duty, view))

    async def _do(self, duty: Duty, view: View) -> None:
        try:
            await self._act(duty, view)
        except StoreCorrupt:
            raise
        except (AccountNotFound, InsufficientFundsForFee) as error:
            self._postponed.put(duty, self._lookout.slot)
            payer = self._identity.payer.pubkey()
            log.warning("%s waits: send fee money to the main key %s (%s)", describe(duty), payer, error)
        except (RoundworkError, TimeoutError) as error:
            self._postponed.put(duty, self._lookout.slot)
            warn(duty, error)
        else:
            log.info("%s", describe(duty))

    async def _act(self, duty: Duty, view: View) -> None:
        task, node = key_of(self._task), key_of(self._identity.node)
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
                await top_up(self._client, self._identity, self._task, duty.amount, self._file)
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
        answer = self._lanes.lie if self._identity.is_liar else self._lanes.submit
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
        lookout = self._lookout
        return max((until - lookout.slot) * lookout.slot_seconds * MARGIN, lookout.slot_seconds)

    # Sending

    async def _send_list(self, duty: duties.SendList) -> None:
        task, node = key_of(self._task), key_of(self._identity.node)
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
        async with asyncio.timeout(SEND_SLOTS * self._lookout.slot_seconds):
            asked = wrap(ask, self._program)
            await send(self._client, [asked], [self._identity.payer, self._identity.staking])


def warn(duty: Duty, error: Exception) -> None:
    """Log why a duty failed: in one line, and the traceback of an author's function below it."""
    text = str(error) or "it took too long"
    last = text.rpartition("\n")[2]
    told = f"{describe(duty)}: {type(error).__name__}: {last}"
    log.warning("%s", told if last == text else f"{told}\n{text}")


def describe(duty: Duty) -> str:
    """A duty as a line of the log."""
    fields = {name: getattr(duty, name) for name in duty.__struct_fields__ if name not in _UNTOLD}
    told = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{type(duty).__name__} {told}"


_UNTOLD = frozenset(("seed", "until", "stake", "value"))
