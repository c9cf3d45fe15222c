"""A node at work on a task: it reads slots and carries out duties; decisions are remembered first."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import assert_never

import msgspec
from solders.instruction import Instruction as SignedInstruction

from ...client.messages import build_uploads, wrap
from ...client.operations import claim_from, send
from ...client.rpc import Client
from ...errors import (
    AccountNotFound,
    AlreadyAccused,
    AlreadyChallenged,
    InsufficientFundsForFee,
    ListStands,
    NotChallenged,
    NothingToClaim,
    ProofStands,
    RemoteError,
    RoundworkError,
    StoreCorrupt,
)  # fmt: skip
from ...participant import sealed
from ...participant import step as duties
from ...participant.decisions import (
    Decision,
    ListDecided,
    OpinionDecided,
    Sealed,
    ValueDecided,
    Worked,
    learn,
)
from ...participant.moment import compute_moment
from ...participant.plays import list_parts, play_sealed_step, play_step
from ...participant.postponed import Postponed
from ...participant.sealed import SealedDuty, keep_payments
from ...participant.sealed_parts import compose_drawn, list_sealed_parts
from ...participant.sealed_step import Bounds, DrawnRound
from ...participant.spread import compute_sending_slot
from ...participant.step import Duty, View
from ...protocol.params import ROUNDWORK_1, NodeKey, TaskKey, key_of
from ...protocol.tasks import instructions
from ...protocol.tasks.commitments import SealKind
from ...protocol.tasks.round import Activity
from ...views import SubmissionView
from ...wire import format_stake
from ..duties import check_list, describe_failure, log_done, log_failure, name_duty, top_up
from ..lookout import CurrentTask, Identity
from ..loop import Loop
from ..peers.parts import PartBook
from ..peers.proofs import Proofs
from ..peers.reasons import SlashNotices, shorten
from ..peers.storage import BlobStore
from ..standing import StandingFile
from .lanes import Lanes
from .sealed import SealedSending, get_value

KEEP_BLOBS_ROUNDS = 3
"""Proofs are kept this many rounds beyond the round that is closed."""

MARGIN = 0.9
"""The part of the time left that a function of the author's gets."""

AUDIT_SECONDS_MIN = 0.5
"""An audit gets at least this long if the window allows it: a killed lane has to start first."""

SEND_SLOTS = 20
"""A transaction that is not durable after this many slots is owed again; the law takes each only once."""

UPLOADS_MAX = 16
"""Chunks of a list that are under way at a time."""

RACES = (AlreadyAccused, AlreadyChallenged, ListStands, NotChallenged, ProofStands)
"""Refusals under roundwork-1 that say that another node was faster."""

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
        notices: SlashNotices,
        parts: PartBook,
        proofs: Proofs,
        bounds: Bounds,
    ) -> None:
        """Raises StoreFull, StoreCorrupt."""
        self._client = client
        self._current = current
        self._task = current.task.address
        self._program = key_of(current.task.program)
        self._mint = current.task.mint
        self._identity = identity
        self._lanes = lanes
        self._store = store
        self._bounds = bounds
        self._is_sealed = current.task.rules == ROUNDWORK_1.name
        self._sealed = SealedSending(client, identity, current, proofs, self._deliver)
        self._loop: Loop[Duty | SealedDuty] = Loop(client, identity, current, directory, notices, parts)
        if self._is_sealed:
            self._loop.postponed = Postponed(1)  # its windows are parts of the others'
        self._standing = StandingFile(directory, identity.claim_least, identity.claim_to)
        self._memory = self._loop.file.load()
        self._auditing = asyncio.Lock()

    def get_reasons(self, round_number: int) -> dict[str, str]:
        """Why this node found proofs of a round invalid, by candidate. Raises StoreFull, StoreCorrupt."""
        return self._loop.file.get_reasons(round_number)

    async def run(self) -> None:
        """Carry out the duties, slot by slot. Raises UnknownTask, StoreCorrupt."""
        self._standing.open()
        try:
            await self._loop.run(self._do_duties)
        finally:
            self._standing.close()

    def _do_duties(self, view: View) -> None:
        loop, play, drawn = self._loop, self._identity.play, dict[int, DrawnRound]()
        owed: Sequence[Duty | SealedDuty]
        if self._is_sealed:
            view = loop.show_parts(view, list_sealed_parts(view, loop.slot))
            drawn = compose_drawn(view, loop.slot)
            self._memory, owed = play_sealed_step(
                play, self._memory, view, drawn, self._sealed.fetched, self._bounds, loop.slot
            )
        else:
            view = loop.show_parts(view, list_parts(play, self._memory, view, loop.slot))
            self._memory, owed = play_step(play, self._memory, view, loop.slot)
        loop.postponed.keep(owed)
        self._standing.keep(owed)
        for duty in owed:
            starts_at = compute_sending_slot(view.head, view.secret, duty)
            is_due = loop.slot >= starts_at and loop.postponed.is_due(duty, loop.slot)
            if is_due and not self._is_under_way(duty):
                loop.start(duty, self._do(duty, view, drawn))

    def _is_under_way(self, duty: Duty | SealedDuty) -> bool:
        """Whether a job does a duty already. A value that is decided early is not decided a second time."""
        if isinstance(duty, sealed.DecideSealedValue):
            values = [each for each in self._loop.list_running() if isinstance(each, duties.DecideValue)]
            if any(each.round == duty.round for each in values):
                return True
        return self._loop.has(duty)

    async def _do(self, duty: Duty | SealedDuty, view: View, drawn: Mapping[int, DrawnRound]) -> None:
        try:
            if isinstance(duty, SealedDuty):
                outcome = await self._act_sealed(duty, view, drawn[duty.round])
            else:
                outcome = await self._act(duty, view)
        except StoreCorrupt:
            raise
        except NothingToClaim:
            self._loop.postponed.put(duty, self._loop.slot)
            log_done(duty, "nothing was left to claim: an earlier claim took it")
        except RACES as error:
            self._loop.postponed.put(duty, self._loop.slot)
            log_done(duty, f"another node was faster: {error}")
        except (RoundworkError, TimeoutError) as error:
            self._loop.postponed.put(duty, self._loop.slot)
            self._report_failure(duty, error)
        else:
            self._standing.note_done(duty)
            log_done(duty, outcome)

    def _report_failure(self, duty: Duty | SealedDuty, error: Exception) -> None:
        """Say in the log, and in `node status`, why a duty failed."""
        _, subject = name_duty(duty)
        if isinstance(error, AccountNotFound | InsufficientFundsForFee):
            reason = f"send fee money to the main key {self._identity.payer.pubkey()} ({error})"
            log.warning("%s waits: %s", subject, reason)
        else:
            reason = describe_failure(error)
            log_failure(duty, error)
        self._standing.note_failure(duty, subject, reason)

    async def _act(self, duty: Duty, view: View) -> str:
        """Carry out a duty; its result in words."""
        task, node = TaskKey(key_of(self._task)), NodeKey(key_of(self._identity.node))
        match duty:
            case duties.Work():
                await self._work(duty)
            case duties.DecideValue():
                return await self._decide_value(duty)
            case duties.DecideOpinion():
                return await self._decide_opinion(duty)
            case duties.DecideList():
                await self._decide_list(duty, view.get_parts(duty.round).audited or ())
            case duties.SendValue():
                await self._send(instructions.SubmitTask(task, node, duty.value.encode(), duty.round))
            case duties.SendOpinion():
                of = NodeKey(key_of(duty.node))
                await self._send(instructions.AuditSubmission(task, node, of, duty.is_valid, duty.round))
            case duties.SendList():
                await self._send_list(duty, view.head.bounty_per_round)
            case duties.SendListOpinion():
                of = NodeKey(key_of(duty.node))
                await self._send(instructions.AuditDistribution(task, node, of, duty.is_valid, duty.round))
            case duties.TopUp():
                with self._loop.sending():
                    await top_up(self._client, self._identity, self._task, duty.amount, self._loop.file)
                return format_stake(duty.amount, self._mint)
            case duties.ClaimAvailable():
                await self._claim()
                return f"{format_stake(duty.amount, self._mint)} for {self._identity.claim_to}"
            case duties.Forget():
                self._loop.file.forget(duty.before_round)
                await self._lanes.forget(duty.before_round)
                self._store.drop(self._task, duty.before_round - KEEP_BLOBS_ROUNDS)
                self._sealed.forget(duty.before_round)
            case _:
                assert_never(duty)
        return "done"

    async def _act_sealed(self, duty: SealedDuty, view: View, shown: DrawnRound) -> str:
        """The same for a duty of roundwork-1."""
        round_number, seed = duty.round, shown.round.seed
        now = compute_moment(view.head, self._loop.slot)
        match duty:
            case sealed.DecideSealedValue():
                until = now.compute_end(Activity.COMMIT, round_number)
                return await self._decide_value(duties.DecideValue(round_number, seed, until))
            case sealed.Seal():
                self._decide(Sealed(round_number, duty.kind, duty.payload))
            case sealed.FetchProof():
                await self._sealed.fetch(duty, shown)
            case sealed.CheckSubmission():
                is_trial = now.is_open(Activity.JUDGE, round_number)
                until = now.compute_middle(Activity.JUDGE if is_trial else Activity.CHECK, round_number)
                [stake] = [each.stake for each in shown.round.submissions if each.node == duty.node]
                value = get_value(shown, duty.node)
                return await self._decide_opinion(
                    duties.DecideOpinion(round_number, seed, duty.node, value, stake, until)
                )
            case sealed.DecideSealedList():
                until = now.compute_end(Activity.AUDIT_LIST, round_number, duty.attempt)
                bounty = view.head.bounty_per_round
                await self._decide_list(
                    duties.DecideList(round_number, duty.attempt, bounty, until), shown.round.submissions
                )
            case _:
                amounts = self._memory.lists.get(round_number, {})
                if isinstance(duty, sealed.SendAmounts):
                    check_list(round_number, amounts, view.head.bounty_per_round)
                await self._sealed.send(duty, shown, amounts)
        return "done"

    # Deciding: a function of the task returns a value, the decision is on disk, then it counts. A function
    # that raises, hangs or returns nonsense is called again later, if there is time. All raise TaskFailed.

    async def _work(self, duty: duties.Work) -> None:
        await self._lanes.work(duty.round, duty.seed, self._compute_seconds(duty.until))
        self._decide(Worked(duty.round))

    async def _decide_value(self, duty: duties.DecideValue) -> str:
        answer = self._lanes.lie if self._identity.play.is_lying else self._lanes.submit
        value = await answer(duty.round, duty.seed, self._compute_seconds(duty.until))
        self._decide(ValueDecided(duty.round, value))
        if self._is_sealed and value is not None:
            self._decide(Sealed(duty.round, SealKind.SUBMISSION, value.encode()))
        return "done" if value is not None else "the task has nothing to submit"

    async def _decide_opinion(self, duty: duties.DecideOpinion) -> str:
        async with self._auditing:
            # A proof that hangs its auditors must not use up the time of the other proofs.
            audits = duties.DecideOpinion | sealed.CheckSubmission
            waiting = sum(isinstance(each, audits) for each in self._loop.list_running())
            left = self._compute_seconds(duty.until)
            seconds = min(left, max(left * 2 / (waiting + 1), AUDIT_SECONDS_MIN))
            opinion = await self._lanes.audit(
                duty.round, duty.seed, duty.node, duty.value, duty.stake, seconds
            )
        if opinion.kind == "unavailable":
            raise RemoteError(f"no opinion yet, the proof cannot be had: {opinion.reason}")
        if opinion.kind == "invalid":
            self._loop.file.keep_reason(duty.round, duty.node, shorten(opinion.reason))
        self._decide(OpinionDecided(duty.round, duty.node, opinion.kind))
        return f"{opinion.kind}: {shorten(opinion.reason)}" if opinion.reason else opinion.kind

    async def _decide_list(self, duty: duties.DecideList, submissions: Sequence[SubmissionView]) -> None:
        seconds = self._compute_seconds(duty.until)
        amounts = await self._lanes.distribute(duty.round, duty.bounty, submissions, seconds)
        if self._is_sealed:
            amounts = keep_payments(amounts)
        self._decide(ListDecided(duty.round, amounts))

    def _decide(self, decision: Decision) -> None:
        """Remember a decision; of two decisions about the same matter the first stands."""
        self._memory = learn(self._memory, self._loop.file.decide(decision))

    def _compute_seconds(self, until: int) -> float:
        """How long a function may take that must end before slot `until`."""
        loop = self._loop
        return max((until - loop.slot) * loop.slot_seconds * MARGIN, loop.slot_seconds)

    # Sending

    async def _send_list(self, duty: duties.SendList, bounty: int) -> None:
        task, node = TaskKey(key_of(self._task)), NodeKey(key_of(self._identity.node))
        text = msgspec.json.encode(self._memory.lists[duty.round], order="sorted")
        uploads = build_uploads(task, node, duty.round, text)
        check_list(duty.round, self._memory.lists[duty.round], bounty, len(uploads))
        for at in range(0, len(uploads), UPLOADS_MAX):
            some = uploads[at : at + UPLOADS_MAX]
            for failure in await asyncio.gather(*map(self._send, some), return_exceptions=True):
                if failure is not None:
                    raise failure
        await self._send(instructions.SubmitDistributionList(task, node, node, duty.round))

    async def _send(self, instruction: instructions.Instruction) -> None:
        """Raises Rejected, Void, RemoteError, TimeoutError."""
        await self._deliver([wrap(instruction, self._program)])

    async def _claim(self) -> None:
        """Raises Rejected, Void, RemoteError, TimeoutError."""
        identity, task = self._identity, self._current.task
        with self._loop.sending():
            async with asyncio.timeout(SEND_SLOTS * self._loop.slot_seconds):
                await claim_from(self._client, identity.payer, identity.staking, task, identity.claim_to)

    async def _deliver(self, instructions: list[SignedInstruction]) -> None:
        """Raises Rejected, Void, RemoteError, TimeoutError."""
        signers = [self._identity.payer, self._identity.staking]
        with self._loop.sending():
            async with asyncio.timeout(SEND_SLOTS * self._loop.slot_seconds):
                await send(self._client, instructions, signers)
