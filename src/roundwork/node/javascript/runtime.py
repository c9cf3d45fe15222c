"""A node at work on a task that is a main.js: slots in, calls to the task out; the task does the rest."""

import logging
from pathlib import Path
from typing import Literal, get_args

from ...client.rpc import Client
from ...errors import BadConfig, RoundworkError
from ...participant.moment import compute_moment
from ...participant.plays import HONEST, LAZY, LIAR, SILENT, Play
from ...participant.step import TopUp, View, find_list, owe_stake
from ...protocol.tasks.round import Activity
from ...wire import format_stake
from ..duties import log_done, log_failure, top_up
from ..lookout import CurrentTask, Identity
from ..loop import Loop
from ..peers.parts import PartBook
from ..peers.reasons import SlashNotices
from .process import JavascriptTask
from .standing import Standing, forget_standing, write_standing
from .steps import Function, Step, compute_steps

ENDPOINT_ROE = 1
"""On top of the stake: a stake that was made without an endpoint gets it with 1 roe."""

log = logging.getLogger(__name__)


NOT_SENT: dict[str, frozenset[Function]] = {
    HONEST.name: frozenset(),
    LIAR.name: frozenset(),
    LAZY.name: frozenset(("auditPayload", "distributionListAudit")),
    SILENT.name: frozenset(get_args(Function)),
}
"""By way to play: the steps that the program never gets. The namespace changes what a liar submits."""


def check_javascript_play(play: Play) -> None:
    """Raises BadConfig for a way to play that a main.js cannot be made to play."""
    if play.name not in NOT_SENT:
        raise BadConfig(f"a main.js cannot play {play.name}: it plays {', '.join(NOT_SENT)}")


class JavascriptRuntime:
    """One node in one JavaScript task, from `run` to its cancellation.

    The program starts when the node has its stake and gets each step once; after a restart it gets again the
    steps that are still due. When it ends itself with exit code 1 (it cannot go on), the node stays, but
    sends no more steps and adds no more stake.
    """

    def __init__(
        self,
        client: Client,
        identity: Identity,
        program: JavascriptTask,
        directory: Path,
        current: CurrentTask,
        notices: SlashNotices,
        parts: PartBook,
    ) -> None:
        """Raises StoreFull, StoreCorrupt."""
        self._client = client
        self._identity = identity
        self._program = program
        self._task = current.task.address
        self._mint = current.task.mint
        self._directory = directory
        self._loop: Loop[Literal["program", "stake"]] = Loop(
            client, identity, current, directory, notices, parts
        )
        self._sent: set[Step] = set()
        self._starts = 0
        self._is_over = False

    async def run(self) -> None:
        """Send what is due, slot by slot. Raises UnknownTask, StoreFull, StoreCorrupt."""
        try:
            await self._loop.run(self._act)
        finally:
            forget_standing(self._directory)

    def _act(self, view: View) -> None:
        if self._is_over:
            return
        self._loop.show_parts(view, ())  # what the task requests is read by this head
        owed = owe_stake(view)
        self._loop.postponed.keep(owed)
        due = [duty for duty in owed if self._loop.postponed.is_due(duty, self._loop.slot)]
        if due and not self._loop.has("stake"):
            self._loop.start("stake", self._stake(view, due))
        stake = view.own.amount
        if stake < view.head.minimum_stake:
            return
        if not self._loop.has("program"):
            self._loop.start("program", self._run_program(stake))
        if self._program.is_running:
            self._send_steps(view)

    async def _run_program(self, stake: int) -> None:
        await self._program.run(stake, self._report)
        self._is_over = True

    def _report(self, standing: Standing) -> None:
        """Keep the program's standing, and log a warning when it has ended."""
        write_standing(self._directory, standing)
        if standing.state != "runs":
            log.warning("task %s: its main.js %s", self._task, standing.end)

    def _send_steps(self, view: View) -> None:
        if self._program.starts != self._starts:
            self._starts, self._sent = self._program.starts, set()
        due = list_due(view, self._loop.slot)
        not_sent = NOT_SENT[self._identity.play.name]
        for step in due:
            if step not in self._sent and step.function not in not_sent:
                self._program.send(step)
                again = " again" if step.is_second_look or step.turn else ""
                log.info("%s round=%d%s", step.function, step.round, again)
        self._sent = set(due)

    async def _stake(self, view: View, due: list[TopUp]) -> None:
        """Top up the stake, but never beyond the sum that the operator gave.

        The task holds the key to its stake and can take the stake out. This must not bring it more money.
        """
        budget = max(self._identity.stake_target, view.head.minimum_stake) + ENDPOINT_ROE
        for duty in due:
            is_new = self._loop.file.on_its_way is None
            if is_new and self._loop.file.staked + duty.amount > budget:
                self._loop.postponed.put(duty, self._loop.slot)
                missing = format_stake(duty.amount, self._mint)
                log.warning("the stake lacks %s; they are yours to add: `roundwork node stake`", missing)
                continue
            if is_new:
                self._loop.file.staked += duty.amount
            await self._top_up(duty)

    async def _top_up(self, duty: TopUp) -> None:
        try:
            with self._loop.sending():
                await top_up(self._client, self._identity, self._task, duty.amount, self._loop.file)
        except RoundworkError as error:
            self._loop.postponed.put(duty, self._loop.slot)
            if self._loop.file.on_its_way is None:
                self._loop.file.staked -= duty.amount
            log_failure(duty, error)
        else:
            log_done(duty, format_stake(duty.amount, self._mint))


def list_due(view: View, slot: int) -> list[Step]:
    """The steps that are due for a task, from what the node sees."""
    head = view.head
    attempts = {shown.round: shown.attempt for shown in head.rounds if shown.round in head.open_rounds}
    contested = {(Activity.AUDIT, shown.round) for shown in head.rounds if shown.raised} | {
        (Activity.AUDIT_LIST, shown.round)
        for shown in head.rounds
        if any(each.trigger_by for each in shown.lists if each.attempt == shown.attempt)
    }
    unlisted = {shown.round for shown in head.rounds if find_list(shown) is None}
    return compute_steps(compute_moment(head, slot), attempts, frozenset(contested), frozenset(unlisted))
