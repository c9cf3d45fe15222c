"""A node at work on a task that is a main.js: slots in, steps told; what it does about them is its own."""

import asyncio
import logging
from pathlib import Path

from ...client.rpc import Client
from ...errors import RoundworkError
from ...participant.step import TopUp, View, compute_timetable, get_stake, owe_stake
from ..duties import Postponed, top_up
from ..lookout import CurrentTask, Identity, Lookout
from ..memory import MemoryFile
from .process import JavascriptTask
from .steps import Step, compute_steps

ENDPOINTS_MAX = 1000
"""Roe on top of the stake: telling peers a new endpoint costs one."""

log = logging.getLogger(__name__)


class JavascriptRuntime:
    """One node in one JavaScript task, from `run` to its cancellation.

    The program is started once the node has its stake, and told each step once; a process that was started
    anew is told again what is still due. When it says that it cannot go on (exit code 1), the node stays,
    but tells and stakes nothing more.
    """

    def __init__(
        self,
        client: Client,
        identity: Identity,
        program: JavascriptTask,
        directory: Path,
        current: CurrentTask,
    ) -> None:
        """Raises StoreFull, StoreCorrupt."""
        self._client = client
        self._identity = identity
        self._program = program
        self._task = current.task.address
        self._lookout = Lookout(client, identity, current)
        self._file = MemoryFile(directory / "memory.db")
        self._running: asyncio.Task[None] | None = None
        self._staking: asyncio.Task[None] | None = None
        self._postponed = Postponed()
        self._told: set[Step] = set()
        self._starts = 0

    async def run(self) -> None:
        """Tell what is due, slot by slot. Raises UnknownTask, StoreFull, StoreCorrupt."""
        try:
            await self._lookout.begin()
            while True:
                self._reap()
                view = await self._lookout.look()
                if view is not None:
                    self._act(view)
                await asyncio.sleep(self._lookout.slot_seconds / 2)
        finally:
            jobs = [job for job in (self._running, self._staking) if job is not None]
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            self._file.close()

    def _reap(self) -> None:
        """Let go of a top-up that is done. A view that is read after this shows what came of it."""
        if self._staking is not None and self._staking.done():
            self._staking.result()
            self._staking = None

    def _act(self, view: View) -> None:
        if self._running is not None and self._running.done():
            self._running.result()
            return
        if self._staking is None:
            self._staking = asyncio.create_task(self._stake(view))
        stake = get_stake(view)
        if stake < view.task.minimum_stake:
            return
        if self._running is None:
            self._running = asyncio.create_task(self._program.run(stake))
        if self._program.is_running:
            self._tell(view)

    def _tell(self, view: View) -> None:
        if self._program.starts != self._starts:
            self._starts, self._told = self._program.starts, set()
        due = list_due(view, self._lookout.slot)
        for step in due:
            if step not in self._told:
                self._program.tell(step)
                log.info("%s round=%d%s", step.function, step.round, " again" * step.is_second_look)
        self._told = set(due)

    async def _stake(self, view: View) -> None:
        """Top the stake up, but never beyond what the operator gave in all.

        The task holds the key to its stake and can take it out: it must not be given more for that.
        """
        budget = max(self._identity.stake_target, view.task.minimum_stake) + ENDPOINTS_MAX
        owed = owe_stake(view)
        self._postponed.keep(owed)
        for duty in owed:
            if not self._postponed.is_due(duty, self._lookout.slot):
                continue
            is_new = self._file.on_its_way is None
            if is_new and self._file.staked + duty.amount > budget:
                self._postponed.put(duty, self._lookout.slot)
                log.warning(
                    "stake: %d roe are missing; they are yours to add: roundwork node stake", duty.amount
                )
                continue
            if is_new:
                self._file.staked += duty.amount
            await self._top_up(duty)

    async def _top_up(self, duty: TopUp) -> None:
        try:
            await top_up(self._client, self._identity, self._task, duty.amount, self._file)
        except RoundworkError as error:
            self._postponed.put(duty, self._lookout.slot)
            if self._file.on_its_way is None:
                self._file.staked -= duty.amount
            log.warning("stake %d: %s: %s", duty.amount, type(error).__name__, error)
        else:
            log.info("stake %d", duty.amount)


def list_due(view: View, slot: int) -> list[Step]:
    """What a task is to be told by now, from what the node sees."""
    rounds = view.rounds.values()
    attempts = {
        number: view.rounds[number].attempt for number in view.task.open_rounds if number in view.rounds
    }
    submissions = {(one.round, False) for one in rounds if any(each.trigger_by for each in one.submissions)}
    lists = {
        (one.round, True)
        for one in rounds
        if any(each.trigger_by for each in one.lists if each.attempt == one.attempt)
    }
    return compute_steps(compute_timetable(view.task), slot, attempts, frozenset(submissions | lists))
