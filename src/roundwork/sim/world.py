"""A network of nodes in this process: the real law, the real participant, the author's real functions.

Time is the slot of the last block. Everything else follows from the setting and its seed, so two runs of one
setting have the same bytes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import assert_never

import msgspec
from solders.keypair import Keypair

from ..client.messages import build_uploads
from ..errors import TaskFailed
from ..package.terms import Terms
from ..participant import step as duties
from ..participant.decisions import (
    Decision,
    ListDecided,
    Memory,
    ValueDecided,
    Worked,
    learn,
    learn_opinions,
)  # fmt: skip
from ..participant.plays import HONEST, LIAR, Play, list_parts, play_step
from ..participant.postponed import Postponed
from ..participant.step import Duty, View
from ..protocol.clock import DISTRIBUTION, Timetable
from ..protocol.execute import Outcome
from ..protocol.params import NodeKey, key_of
from ..protocol.tasks import instructions
from ..protocol.tasks.round import TURNS, WINDOWS, Activity, compute_turn
from ..sdk.task import Task
from ..strategies import Member, Strategy
from .functions import Functions
from .services import Network
from .sight import Sight
from .simulation import (
    Failure,
    Job,
    NetworkNode,
    NodeSetting,
    Simulation,
    Trace,
    WorldSetting,
)

HONEST_STRATEGY = Strategy()

STAKE_FACTOR = 10
"""A node's stake, as a multiple of the task's minimum, as `up` has it."""

SPARE_ROUNDS = 20
"""Rounds that the bounty lasts beyond those that are simulated."""


class SimulatedNode(NetworkNode[Duty]):
    """A node of a world under koii-1, with its decisions."""

    __slots__ = ("member", "memory", "postponed", "saved")

    def __init__(
        self, setting: NodeSetting, keypair: Keypair, address: str, functions: Functions, member: Member
    ) -> None:
        super().__init__(setting, keypair, address, functions)
        self.memory = self.saved = Memory()
        """Its decisions, and those that were on its disk before the last write."""
        self.postponed = Postponed()
        self.member = member


class World(Simulation[SimulatedNode]):
    """A seeded network of nodes in a task under koii-1."""

    def __init__(
        self,
        setting: WorldSetting,
        task: Task,
        network: Network | None = None,
        trace: Trace | None = None,
        watch: Callable[["World", Outcome], None] | None = None,
    ) -> None:
        """`network` answers `ctx.http`; `trace` takes each slot; `watch` sees the world after each block.

        Raises BadConfig for a network or faults that cannot be.
        """
        super().__init__(setting, network, trace)
        self._watch = watch
        self._sight = Sight(self.ledger.state, self.task)
        self._honest = Member("", (), setting.seed)
        """What the honest strategy sees, which never deviates; thousands of nodes share it."""
        self._take_nodes([self._make_node(node, task) for node in setting.list_present()])
        self._waking: set[SimulatedNode] = set(self.nodes)
        self._watchful = frozenset(node for node in self.nodes if node.setting.is_watchful or node.skew)
        self._postponing: set[SimulatedNode] = set()
        """The nodes with a duty that failed and is to be tried again."""
        self._beginnings = compute_beginnings(self.timetable, setting.terms.rules)
        self._turns = frozenset(compute_turn(self.timetable, rank) for rank in range(1, TURNS + 1))

    def advance(self) -> None:
        """One slot: a block of what has arrived, then what each node does about it."""
        before = self.slot
        sent, outcome = self._make_block()
        self._break_and_mend()
        self._take_receipts(sent, outcome.receipts)
        self._keep_rounds(outcome.events)
        self._choose_waking(outcome, range(before + 1, self.slot + 1))
        if self._trace is not None and (sent or outcome.events):
            self._trace(self._describe(sent, outcome))
        if self._watch is not None:
            self._watch(self, outcome)
        if self._waking:
            waking, self._waking = self._waking, set()
            for node in [node for node in self.nodes if node in waking]:
                if node.is_up and node.busy_until > self.slot:
                    self._waking.add(node)
                elif node.is_up:
                    self._step(node)

    def is_over(self) -> bool:
        """Whether the simulated rounds are over, or cannot be opened any more."""
        rounds, table = self.setting.rounds, self.timetable
        if self.slot < table.compute_start(rounds + DISTRIBUTION - 1) + table.submission_window + 1:
            return False
        task = self.ledger.state.tasks.rows[self.task]
        return all(round_number >= rounds for round_number in task.open_rounds)

    def _make_node(self, node: NodeSetting, task: Task) -> SimulatedNode:
        keypair, address = self.ledger.keypairs[node.name], self.ledger.addresses[node.name]
        member = self._honest
        if node.strategy is not None:
            coalition = [self.ledger.addresses[name] for name in node.coalition]
            member = Member(address, coalition, self.setting.seed)
        return SimulatedNode(node, keypair, address, self._make_functions(node, task), member)

    # The ledger's side of a slot

    def _end(self, node: SimulatedNode, job: Job[Duty]) -> None:
        if job.failed is not None:
            self._fail(node, job.owed, f"{job.failed.name}: {job.failed.text}")

    def _forget(self, node: SimulatedNode) -> None:
        # A stake that was sent is on a node's disk, so it is not sent twice.
        node.jobs = {duty: job for duty, job in node.jobs.items() if isinstance(duty, duties.TopUp)}
        node.postponed = Postponed()
        if node.busy_until > self.slot:  # the last write was not done
            node.memory, node.busy_until = node.saved, 0

    def _restart(self, node: SimulatedNode) -> None:
        self._waking.add(node)

    def _choose_waking(self, outcome: Outcome, slots: range) -> None:
        """The nodes whose duties may differ from those of the last block, which was before these slots."""
        changed, is_new_to_all = self._sight.notice(outcome)
        is_boundary = any(self._is_boundary(slot) for slot in slots)
        if is_boundary or is_new_to_all or self.setting.is_thorough:
            self._waking |= set(self.nodes)
            return
        self._waking |= {self._by_key[key] for key in changed if key in self._by_key}
        self._waking |= self._watchful | self._postponing

    def _is_boundary(self, slot: int) -> bool:
        """Whether every node may owe something new in a slot although nothing has changed."""
        table = self.timetable
        offset = table.compute_offset(slot)
        is_turn = offset in self._turns and self._sight.is_list_missing(table.compute_round(slot))
        return offset in self._beginnings or is_turn

    # The node's side of a slot

    def _step(self, node: SimulatedNode) -> None:
        """Decide and send what is owed, until nothing new is decided in this slot."""
        setting, slot = node.setting, self.slot + node.skew
        bare = self._look(node)
        while True:
            view = self._sight.add_parts(bare, setting.list_needed(node.memory, bare, slot))
            node.saved = node.memory
            owed: Sequence[Duty]
            node.memory, owed = setting.step(node.memory, view, slot)
            if setting.strategy is not None:
                owed = setting.strategy.change_duties(node.member, node.memory, view, slot, owed)
            if node in self._postponing:
                node.postponed.keep(owed)
                owed = [duty for duty in owed if node.postponed.is_due(duty, slot)]
            if node.jobs:
                owed = [duty for duty in owed if duty not in node.jobs]
            before = node.memory
            self._judge(node, [duty for duty in owed if type(duty) is duties.DecideOpinion])
            for duty in owed:
                if type(duty) is not duties.DecideOpinion:
                    self._act(node, duty, view)
            if node.memory is before:
                break
            if self._write(node):
                self._waking.add(node)
                break
        if node in self._postponing and not node.postponed:
            self._postponing.remove(node)

    def _look(self, node: SimulatedNode) -> View:
        """What a node sees, without parts of rounds: its view is built here and nowhere else."""
        return self._sight.look(node.address, node.key, node.functions.setting.secret, node.setting.stake)

    def _judge(self, node: SimulatedNode, owed: Sequence[duties.DecideOpinion]) -> None:
        """Decide the opinions that are owed, and remember them together."""
        if not owed:
            return
        strategy, opinions, round_number = node.setting.strategy, dict[str, str](), owed[0].round
        seconds = self._compute_seconds(owed[0].until)
        shared = node.functions.get_shared(round_number)
        for duty in owed:
            try:
                if strategy is None:
                    answer = shared.get((duty.node, duty.value, duty.stake))
                    if answer is None:
                        opinions[duty.node] = self._audit(node, duty, seconds)
                    else:
                        opinions[duty.node] = answer[0]
                        node.audited[round_number] += 1
                else:
                    honest = partial(self._audit, node, duty, seconds)
                    opinions[duty.node] = strategy.choose_opinion(node.member, duty, honest)
            except TaskFailed as error:
                self._fail(node, duty, str(error))
        if opinions:
            node.memory = learn_opinions(node.memory, round_number, opinions)

    def _act(self, node: SimulatedNode, duty: Duty, view: View) -> None:
        try:
            decision = self._decide(node, duty, view)
        except TaskFailed as error:
            self._fail(node, duty, str(error))
            return
        if decision is not None:
            node.memory = learn(node.memory, decision)
            return
        waves = self._compose(node, duty)
        if waves:
            job = node.jobs[duty] = Job(duty, waves)
            self._send_wave(node, job)

    def _decide(self, node: SimulatedNode, duty: Duty, view: View) -> Decision | None:
        """What is decided; None for a duty that decides nothing. Raises TaskFailed."""
        strategy, member = node.setting.strategy or HONEST_STRATEGY, node.member
        match duty:
            case duties.Work():
                if strategy.is_working(member, duty):
                    self._work(node, duty)
                return Worked(duty.round)
            case duties.DecideValue():
                honest, lie = partial(self._submit, node, duty), partial(self._lie, node, duty)
                value = strategy.choose_value(member, duty, lie if node.setting.is_liar else honest, lie)
                return ValueDecided(duty.round, value)
            case duties.DecideList():
                amounts = strategy.choose_list(member, duty, view, partial(self._list, node, duty, view))
                return ListDecided(duty.round, amounts)
            case _:
                return None

    # The author's functions. All raise TaskFailed.

    def _work(self, node: SimulatedNode, duty: duties.Work) -> None:
        node.functions.work(duty.round, duty.seed, self._compute_seconds(duty.until))
        node.worked[duty.round] += 1

    def _submit(self, node: SimulatedNode, duty: duties.DecideValue) -> str | None:
        return node.functions.submit(duty.round, duty.seed, self._compute_seconds(duty.until))

    def _lie(self, node: SimulatedNode, duty: duties.DecideValue) -> str | None:
        return node.functions.lie(duty.round, duty.seed, self._compute_seconds(duty.until))

    def _audit(self, node: SimulatedNode, duty: duties.DecideOpinion, seconds: float) -> str:
        kind, reason = node.functions.audit(duty.round, duty.seed, duty.node, duty.value, duty.stake, seconds)
        node.audited[duty.round] += 1
        if kind == "unavailable":
            raise TaskFailed(f"no opinion yet, the proof cannot be had: {reason}")
        return kind

    def _list(self, node: SimulatedNode, duty: duties.DecideList, view: View) -> dict[str, int]:
        audited = view.get_parts(duty.round).audited or ()
        return node.functions.distribute(duty.round, duty.bounty, audited)

    # Sending

    def _compose(self, node: SimulatedNode, duty: Duty) -> list[list[instructions.Instruction]]:
        """The transactions of a duty, in waves; none for a duty that the ledger does not see."""
        task, key = self.task, node.key
        match duty:
            case duties.SendValue(round_number, value):
                return [[instructions.SubmitTask(task, key, value.encode(), round_number)]]
            case duties.SendOpinion(round_number, candidate, is_valid):
                of = NodeKey(key_of(candidate))
                return [[instructions.AuditSubmission(task, key, of, is_valid, round_number)]]
            case duties.SendList(round_number):
                text = msgspec.json.encode(node.memory.lists[round_number], order="sorted")
                uploads: list[instructions.Instruction] = list(build_uploads(task, key, round_number, text))
                return [uploads, [instructions.SubmitDistributionList(task, key, key, round_number)]]
            case duties.SendListOpinion(round_number, _, submitter, is_valid):
                of = NodeKey(key_of(submitter))
                return [[instructions.AuditDistribution(task, key, of, is_valid, round_number)]]
            case duties.TopUp(amount):
                pot = self.ledger.state.tasks.rows[task].pot
                return [[instructions.Stake(task, key, pot, amount)]]
            case duties.ClaimAvailable():
                pot = self.ledger.state.tasks.rows[task].pot
                return [[instructions.Claim(task, key, pot, key)]]
            case duties.Forget(before_round):
                node.functions.forget(before_round)
                return []
            case duties.Work() | duties.DecideValue() | duties.DecideOpinion() | duties.DecideList():
                raise AssertionError(f"{duty} is decided, not sent")
            case _:
                assert_never(duty)

    def _fail(self, node: SimulatedNode, duty: Duty, text: str) -> None:
        node.postponed.put(duty, self.slot + node.skew)
        self._postponing.add(node)
        doing = f"{type(duty).__name__} {getattr(duty, 'round', '')}".rstrip()
        self.failures.append(Failure(self.slot, node.name, doing, text))


def compute_beginnings(table: Timetable, rules: str) -> frozenset[int]:
    """The offsets in a ledger round at which a window begins in which a node acts."""
    windows = WINDOWS[rules]
    acts = (Activity.WORK, Activity.SUBMIT, Activity.AUDIT, Activity.LIST, Activity.AUDIT_LIST)
    return frozenset(
        windows[activity].compute_slots_in(table, 0)[0] - table.starting_slot for activity in acts
    )


def make_nodes(plays: Sequence[Play], stakes: Sequence[int]) -> tuple[NodeSetting, ...]:
    """Nodes named node-1 and so on, one for each way to play; the stakes, in roe, are taken in turn."""
    steps = {play: partial(play_step, play) for play in plays}
    needs = {play: partial(list_parts, play) for play in plays}
    return tuple(
        NodeSetting(
            name=f"node-{at + 1}",
            role=play.name,
            stake=stakes[at % len(stakes)],
            step=steps[play],
            list_needed=needs[play],
            is_liar=play is LIAR,
            is_watchful=play is not HONEST,
        )
        for at, play in enumerate(plays)
    )


def fit_bounty(terms: Terms, rounds: int) -> Terms:
    """The terms with a bounty that lasts for the rounds."""
    bounty = terms.bounty_per_round * (rounds + SPARE_ROUNDS)
    return msgspec.structs.replace(terms, total_bounty=bounty)
