"""A network of nodes under roundwork-1: the real law, the node's own duties, the author's real functions.

It is the sibling of `world.py`, for the rule set whose duties `participant/sealed.py` lists. Everything
follows from the setting and its seed, so two runs of one setting have the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, assert_never

import msgspec
from solders.keypair import Keypair

from ..errors import TaskFailed
from ..participant import sealed as duties
from ..participant.sealed import SealedDuty, SealedMemory, SealedView, keep_payments, list_sealed_duties
from ..participant.sealed_messages import (
    Sender,
    compose_answers,
    compose_list,
    compose_message,
    compose_seal,
)
from ..protocol.clock import DISTRIBUTION, REVIEW, Timetable
from ..protocol.execute import Outcome
from ..protocol.tasks import instructions
from ..protocol.tasks.commitments import PIECE_BYTES, PIECES_MAX
from ..protocol.tasks.round import TURNS, WINDOWS, Activity, Period, compute_turn
from ..sdk.task import Task
from ..sealed_strategies import HONEST, SealedMember, SealedStrategy
from .functions import Functions
from .sealed_sight import SealedSight
from .services import Network
from .simulation import Failure, Job, NetworkNode, NodeSetting, Simulation, Trace, WorldSetting

RULES = "roundwork-1"

CHALLENGES_MAX = 10
ACCUSATIONS_MAX = 10
"""How many challenges and accusations a node pays for in a round."""

RETRY_SLOTS = 2
"""The slots that a refused or failed duty waits."""

RACES = frozenset({"AlreadyAccused", "AlreadyChallenged", "ProofStands", "ListStands", "NotChallenged"})
"""Refusals that say that another node was faster. They are no failures."""


STEPS = (duties.PostProof, duties.SendAccusation)
"""Duties that are followed by others when the ledger has taken them."""


class Owed(NamedTuple):
    """A duty of a round, or None for the stake that a node adds to."""

    round: int
    duty: SealedDuty | None


class SealedNode(NetworkNode[Owed]):
    """A node of a world under roundwork-1: its decisions by round, and its strategy."""

    def __init__(
        self,
        setting: NodeSetting,
        keypair: Keypair,
        address: str,
        functions: Functions,
        member: SealedMember,
        strategy: SealedStrategy,
    ) -> None:
        super().__init__(setting, keypair, address, functions)
        self.member = member
        self.strategy = strategy
        self.memories: dict[int, SealedMemory] = {}
        """What it decided in each round; on disk before it acts."""
        self.saved: dict[int, SealedMemory] = {}
        """What was on its disk before the last write, if its disk is slow."""
        self.waits: dict[Owed, int] = {}
        """The slot from which a duty that failed is due again."""


class SealedWorld(Simulation[SealedNode]):
    """A seeded network of nodes in a task under roundwork-1."""

    def __init__(
        self,
        setting: WorldSetting,
        task: Task,
        network: Network | None = None,
        trace: Trace | None = None,
        watch: Callable[["SealedWorld", Outcome], None] | None = None,
        strategies: Mapping[str, SealedStrategy] | None = None,
    ) -> None:
        """`strategies` are by the name of a node; nodes without one are honest.

        `network` answers `ctx.http`; `trace` takes each slot; `watch` sees the world after each block.
        Raises BadConfig for a network or faults that cannot be.
        """
        super().__init__(setting, network, trace)
        self._watch = watch
        self._sight = SealedSight(self.ledger.state, self.task)
        known = strategies or {}
        self._take_nodes(
            [self._make_node(node, task, known.get(node.name, HONEST)) for node in setting.list_present()]
        )
        self._by_address = {node.address: node for node in self.nodes}
        self._awake: dict[SealedNode, set[int]] = {node: {0} for node in self.nodes}
        """The rounds in which a node may owe something now, other than all nodes do."""
        self._watchful = [
            node for node in self.nodes if setting.is_thorough or node.strategy.is_watchful or node.skew
        ]
        self._table = self.timetable
        self._beginnings = {period: compute_beginnings(self._table, period) for period in Period}
        first, last = WINDOWS[RULES][Activity.COMMIT].compute_slots_in(self._table, 0)
        self._committing = range(first - self._table.starting_slot, last - self._table.starting_slot + 1)
        """The offsets in a ledger round at which submissions are committed."""

    def advance(self) -> None:
        """One slot: a block of what has arrived, then what each node does about it."""
        before = self.slot
        sent, outcome = self._make_block()
        self._break_and_mend()
        stirred = self._sight.notice(outcome)
        self._take_receipts(sent, outcome.receipts)
        self._keep_rounds(outcome.events)
        if self._trace is not None and (sent or outcome.events):
            self._trace(self._describe(sent, outcome))
        if self._watch is not None:
            self._watch(self, outcome)
        stirred |= self._list_begun(range(before + 1, self.slot + 1))
        for node in self._watchful:
            self._wake(node, *self._list_rounds())
        awake, self._awake = self._awake, {}
        for node in self.nodes if stirred else [node for node in self.nodes if node in awake]:
            rounds = stirred | awake.get(node, set())
            if node.is_up and node.busy_until > self.slot:
                self._wake(node, *rounds)
            elif node.is_up:
                self._step(node, rounds)

    def is_over(self) -> bool:
        """Whether the simulated rounds are over."""
        rounds, table = self.setting.rounds, self.timetable
        if self.slot < table.compute_start(rounds - 1 + REVIEW) + table.submission_window + 1:
            return False
        return not self.ledger.state.tasks.rows[self.task].open_rounds

    def _make_node(self, node: NodeSetting, task: Task, strategy: SealedStrategy) -> SealedNode:
        keypair, address = self.ledger.keypairs[node.name], self.ledger.addresses[node.name]
        coalition = [self.ledger.addresses[name] for name in node.coalition]
        member = SealedMember(address, coalition, self.setting.seed)
        return SealedNode(node, keypair, address, self._make_functions(node, task), member, strategy)

    # The ledger's side of a slot

    def _end(self, node: SealedNode, job: Job[Owed]) -> None:
        if job.failed is not None or isinstance(job.owed.duty, STEPS):
            self._wake(node, job.owed.round)
        if job.failed is not None:
            self._fail(node, job.owed, job.failed.text, job.failed.name)

    def _forget(self, node: SealedNode) -> None:
        # A stake that was sent is on a node's disk, so it is not sent twice.
        node.jobs = {owed: job for owed, job in node.jobs.items() if owed.duty is None}
        node.waits = {}
        if node.busy_until > self.slot:  # the last write was not done
            node.memories, node.busy_until = node.saved, 0

    def _restart(self, node: SealedNode) -> None:
        self._wake(node, self._table.compute_round(self.slot), *self._list_rounds())

    # The node's side of a slot

    def _list_begun(self, slots: range) -> set[int]:
        """The rounds in which every node may owe something new because a window begins in these slots."""
        begun: set[int] = set()
        for slot in slots:
            ledger_round, offset = self._table.compute_round(slot), self._table.compute_offset(slot)
            reviewed = ledger_round - REVIEW
            if offset in self._beginnings[Period.REVIEW]:
                begun |= {ledger_round, reviewed}  # the work of a round begins with its ledger round
            if offset in self._beginnings[Period.DISTRIBUTION]:
                begun |= {each for each in self._list_open() if each < reviewed}
        return begun

    def _wake(self, node: SealedNode, *rounds: int) -> None:
        """Have a node look at these rounds after the next block."""
        self._awake.setdefault(node, set()).update(rounds)

    def _step(self, node: SealedNode, rounds: set[int]) -> None:
        """Decide and send what is owed in these rounds, until nothing new is decided in this slot."""
        ledger_round = self._table.compute_round(self.slot)
        if node.name in self._write_slots:
            node.saved = dict(node.memories)
        self._keep_stake(node)
        if self._work(node, ledger_round):
            self._write(node)
        for round_number in self._list_rounds():
            if round_number not in rounds:
                continue
            if node.busy_until > self.slot:
                self._wake(node, round_number)
            else:
                self._step_in(node, round_number)
        oldest = ledger_round - DISTRIBUTION - self.setting.terms.allowed_failed_distributions
        if oldest > min(node.memories, default=oldest):
            self._sight.forget(oldest)
            node.functions.forget(oldest)
            node.memories = {
                round_number: each for round_number, each in node.memories.items() if round_number >= oldest
            }

    def _list_open(self) -> tuple[int, ...]:
        return self.ledger.state.tasks.rows[self.task].open_rounds

    def _list_rounds(self) -> list[int]:
        """The rounds in which nodes may have duties now: the one under review, and those that are listed."""
        reviewed = self._table.compute_round(self.slot) - REVIEW
        listed = [round_number for round_number in self._list_open() if round_number < reviewed]
        return [*listed, reviewed] if 0 <= reviewed < self.setting.rounds else listed

    def _step_in(self, node: SealedNode, round_number: int) -> None:
        slot = self.slot + node.skew
        while True:
            memory = node.memories.get(round_number) or SealedMemory()
            view = self._look(node, round_number)
            owed: Sequence[SealedDuty] = list_sealed_duties(memory, view, slot)
            owed = node.strategy.change_duties(node.member, memory, view, slot, owed)
            is_new = False
            for duty in owed:
                each = Owed(round_number, duty)
                if each not in node.jobs and node.waits.get(each, 0) <= self.slot:
                    is_new |= self._act(node, each, duty, view)
            if not is_new or self._write(node):
                break
        if node.busy_until > self.slot or any(Owed(round_number, duty) not in node.jobs for duty in owed):
            self._wake(node, round_number)  # something could not be done yet

    def _look(self, node: SealedNode, round_number: int) -> SealedView:
        """What a node sees: its view is built here and nowhere else."""
        return SealedView(
            node=node.address,
            table=self._table,
            round=self._sight.look(round_number),
            own=self._sight.look_own(round_number, node.key),
            challenges_max=CHALLENGES_MAX,
            accusations_max=ACCUSATIONS_MAX,
        )

    def _keep_stake(self, node: SealedNode) -> None:
        """Stake up to what the setting says, if less than the minimum is left when submissions begin.

        Not later: while a bond is set aside the stake is smaller for a while, and nothing is lost.
        """
        owed = Owed(-1, None)
        is_time = self._table.compute_offset(self.slot) in self._committing
        if not is_time or owed in node.jobs or node.waits.get(owed, 0) > self.slot:
            return
        stakes = self.ledger.state.get_stakes(self.task).rows
        amount = stakes[node.key].amount if node.key in stakes else 0
        task = self.ledger.state.tasks.rows[self.task]
        if amount < task.minimum_stake <= node.setting.stake:
            add = instructions.Stake(self.task, node.key, task.pot, node.setting.stake - amount)
            self._send(node, owed, [[add]])

    def _work(self, node: SealedNode, round_number: int) -> bool:
        """Do the work of the ledger round, once; whether the node remembers something new."""
        is_due = 0 <= round_number < self.setting.rounds and round_number not in node.memories
        if not is_due:
            return False
        node.memories[round_number] = SealedMemory()
        if not node.strategy.is_working(node.member, round_number):
            return True
        seed = self._sight.look(round_number).seed
        try:
            node.functions.work(round_number, seed, self._compute_seconds_of(Activity.WORK, round_number))
        except TaskFailed as error:
            self._fail(node, Owed(round_number, None), str(error))
        node.worked[round_number] += 1
        return True

    def _act(self, node: SealedNode, owed: Owed, duty: SealedDuty, view: SealedView) -> bool:
        """Do a duty; whether the node remembers something new."""
        try:
            learnt = self._decide(node, duty, view)
        except TaskFailed as error:
            self._fail(node, owed, str(error))
            return False
        if learnt is not None:
            before = node.memories.get(owed.round) or SealedMemory()
            node.memories[owed.round] = msgspec.structs.replace(before, **learnt)
            return True
        waves = self._compose(node, duty, view)
        if waves:
            self._send(node, owed, waves)
        return False

    def _decide(self, node: SealedNode, duty: SealedDuty, view: SealedView) -> dict[str, Any] | None:
        """The fields of the memory that a duty changes; None if it decides nothing. Raises TaskFailed."""
        memory = node.memories.get(duty.round) or SealedMemory()
        strategy, member = node.strategy, node.member
        match duty:
            case duties.DecideSealedValue(round_number):
                honest = partial(self._submit, node, view)
                value = strategy.choose_value(member, round_number, honest, partial(self._lie, node, view))
                return None if value is None else {"value": value}
            case duties.Seal(_, kind, payload):
                return {"sealed": {**memory.sealed, kind: payload}}
            case duties.FetchProof(_, owner):
                return {"fetched": memory.fetched | {owner}} if self._fetch(node, owner, view) else None
            case duties.CheckSubmission(_, candidate):
                audit = partial(self._audit, node, candidate, view)
                found = strategy.choose_finding(member, view, candidate, audit)
                return None if found is None else {"found": {**memory.found, candidate: found}}
            case duties.DecideSealedList():
                return {"amounts": strategy.choose_list(member, view, partial(self._list, node, view))}
            case _:
                return None

    # The author's functions. All raise TaskFailed.

    def _submit(self, node: SealedNode, view: SealedView) -> str | None:
        seconds = self._compute_seconds_of(Activity.COMMIT, view.round.round)
        return node.functions.submit(view.round.round, view.round.seed, seconds)

    def _lie(self, node: SealedNode, view: SealedView) -> str | None:
        seconds = self._compute_seconds_of(Activity.COMMIT, view.round.round)
        return node.functions.lie(view.round.round, view.round.seed, seconds)

    def _audit(self, node: SealedNode, candidate: str, view: SealedView) -> bool | None:
        """What the task's audit says; None if it cannot say yet."""
        shown = view.round
        submission = next(each for each in shown.submissions if each.node == candidate)
        seconds = self._compute_seconds_of(Activity.CHECK, shown.round)
        kind, _ = node.functions.audit(
            shown.round, shown.seed, candidate, submission.value, submission.stake, seconds
        )
        node.audited[shown.round] += 1
        return None if kind == "unavailable" else kind == "valid"

    def _list(self, node: SealedNode, view: SealedView) -> dict[str, int]:
        bounty = self.ledger.state.tasks.rows[self.task].bounty_per_round
        return keep_payments(node.functions.distribute(view.round.round, bounty, view.round.submissions))

    # Proofs

    def _fetch(self, node: SealedNode, owner: str, view: SealedView) -> bool:
        """Get a proof from the ledger, or from a node that has it and serves it; whether it was there."""
        content_id = view.get_value(owner)[:59]
        holders = self.commons.holders.setdefault(content_id, set())
        if content_id not in self.commons.blobs:
            return False
        if node.address in holders or view.find(owner).is_posted:
            holders.add(node.address)
            return True
        for holder in sorted(holders - self.commons.dark):
            other = self._by_address[holder]
            if other.is_up and other.strategy.is_serving(other.member, view, owner, node.address):
                holders.add(node.address)
                return True
        return False

    # Sending

    def _compose(
        self, node: SealedNode, duty: SealedDuty, view: SealedView
    ) -> list[list[instructions.Instruction]]:
        """The transactions of a duty, in waves; none for a duty that decides or cannot be done yet."""
        sender = Sender(
            self.ledger.state.genesis_hash,
            self.task,
            node.key,
            self._task_address,
            node.functions.setting.secret,
        )
        match duty:
            case duties.SendCommitment() | duties.SendReveal():
                return [[compose_seal(sender, duty)]]
            case duties.PostProof(_, candidate):
                proof = self.commons.blobs.get(view.get_value(candidate)[:59])
                is_short = proof is not None and 1 <= len(proof) <= PIECE_BYTES * PIECES_MAX
                return compose_answers(sender, duty, proof) if proof is not None and is_short else []
            case duties.SendAmounts():
                submitters = [each.node for each in view.round.submissions]
                amounts = node.memories[duty.round].amounts or {}
                return compose_list(sender, duty.round, submitters, amounts)
            case duties.SendChallenge() | duties.SendAccusation() | duties.AccuseList() | duties.VoteOnList():
                return [[compose_message(sender, duty)]]
            case (
                duties.DecideSealedValue()
                | duties.Seal()
                | duties.FetchProof()
                | duties.CheckSubmission()
                | duties.DecideSealedList()
            ):
                return []
            case _:
                assert_never(duty)

    def _send(self, node: SealedNode, owed: Owed, waves: list[list[instructions.Instruction]]) -> None:
        job = node.jobs[owed] = Job(owed, waves)
        self._send_wave(node, job)

    def _fail(self, node: SealedNode, owed: Owed, text: str, name: str = "") -> None:
        node.waits[owed] = self.slot + RETRY_SLOTS
        if name not in RACES:
            doing = "Stake" if owed.round < 0 else type(owed.duty).__name__ if owed.duty else "Work"
            said = f"{name}: {text}" if name else text
            self.failures.append(Failure(self.slot, node.name, f"{doing} {max(owed.round, 0)}", said))

    def _compute_seconds_of(self, activity: Activity, round_number: int) -> float:
        """How long a function may take that must end with a window."""
        return self._compute_seconds(WINDOWS[RULES][activity].compute_end(self._table, round_number))


def compute_beginnings(table: Timetable, period: Period) -> frozenset[int]:
    """The offsets in a ledger round at which a node may owe something new although nothing has changed."""
    windows = [window for window in WINDOWS[RULES].values() if window.period is period]
    begun = {window.compute_slots_in(table, 0)[0] for window in windows}
    if period is Period.REVIEW:  # nodes take turns in answering: the node itself, its checkers, all others
        first, last = WINDOWS[RULES][Activity.ANSWER].compute_slots_in(table, 0)
        begun |= {first + (last - first + 1) * 3 // 4, last - 1}
    turns = range(TURNS + 1) if period is Period.DISTRIBUTION else ()
    return frozenset(
        {slot - table.starting_slot for slot in begun} | {compute_turn(table, rank) for rank in turns}
    )
