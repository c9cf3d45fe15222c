"""A network of nodes in this process: the real law, the real participant, the author's real functions.

Time is the slot of the last block. Everything else follows from the setting and its seed, so two runs of one
setting have the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, assert_never

import msgspec
from solders.keypair import Keypair

from ..client.messages import wrap
from ..client.operations import build_uploads
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
from ..participant.step import Duty, View, list_needed, step
from ..protocol.clock import DISTRIBUTION, Timetable
from ..protocol.execute import Outcome, Receipt
from ..protocol.params import KOII, NodeKey, TaskKey, key_of
from ..protocol.read import view_round, view_task
from ..protocol.tasks import instructions
from ..protocol.tasks.events import ClosedUnpaid, Event, Paid, Settled, Slashed
from ..protocol.tasks.round import TURNS, WINDOWS, Activity, compute_turn
from ..sdk.task import Task
from ..strategies import Member, Strategy
from ..views import PartKey, RoundView, TaskView
from .faults import Faults, check_faults
from .functions import Functions, FunctionsSetting, Timings
from .ledger import MANAGER, MemoryLedger, Party, found_task
from .network import Delivery, NetworkModel
from .services import Commons, Network, Services
from .sight import Sight

HONEST_STRATEGY = Strategy()

STAKE_FACTOR = 10
"""A node's stake, as a multiple of the task's minimum, as `up` has it."""

NODE_MONEY = 1_000 * KOII
MANAGER_MONEY = 1_000 * KOII
"""Beyond stakes and bounty, in roe: for fees."""

SPARE_ROUNDS = 20
"""Rounds that the bounty lasts beyond those that are simulated."""

MARGIN = 0.9
"""The part of the time left that a function of the author's gets, as on a node."""

SIGNED_NODES_MAX = 100
"""Up to so many nodes sign for real, unless the setting says otherwise."""

Step = Callable[[Memory, View, int], tuple[Memory, list[Duty]]]
"""How a node plays: a function that gives its duties, such as `participant.step.step` or a strategy."""


ListNeeded = Callable[[Memory, View, int], list[PartKey]]
"""The parts of rounds that such a node reads, as `participant.step.list_needed` gives them."""


class NodeSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a world."""

    name: str
    role: str = "honest"
    """How it plays, for people."""
    stake: int
    """In roe."""
    step: Step = step
    list_needed: ListNeeded = list_needed
    is_liar: bool = False
    """Whether it submits what `@task.lie` gives."""
    strategy: Strategy | None = None
    """What replaces a decision of the node, which then plays with `coalition`."""
    coalition: tuple[str, ...] = ()
    """The names of the nodes that play together."""
    is_watchful: bool = False
    """Whether it is stepped in every slot, as strategies need that act at their own times."""


class WorldSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A world. All that happens in it follows from this and from the author's functions."""

    terms: Terms
    """The task's terms; its bounty is enough for the rounds."""
    nodes: tuple[NodeSetting, ...]
    rounds: int
    """The world ends when rounds 0 to `rounds` - 1 are over."""
    seed: int = 0
    slot_ms: int = 400
    content_id: str = ""
    """Of the task's package."""
    params: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    files: str = "files"
    """The directory of `ctx.files`."""
    network: NetworkModel = NetworkModel()
    faults: Faults = Faults()
    are_signatures_real: bool | None = None
    """None: in worlds of at most 100 nodes."""
    is_thorough: bool = False
    """Whether every node is stepped in every slot. The results are the same, and take longer."""


class Failure(msgspec.Struct, frozen=True):
    """A function of the author's that failed, or a transaction that the law refused."""

    slot: int
    node: str
    """The node's name."""
    doing: str
    """The kind of duty, and its round."""
    text: str


class Job:
    """A duty on its way to the ledger: its transactions are sent wave by wave, those of a wave together."""

    __slots__ = ("duty", "failed", "waiting", "waves")

    def __init__(self, duty: Duty, waves: list[list[instructions.Instruction]]) -> None:
        self.duty = duty
        self.waves = waves
        self.waiting = 0
        """Transactions of the present wave without a receipt."""
        self.failed = ""
        """Why the ledger refused one of them."""


class Sent(msgspec.Struct, frozen=True):
    """A transaction on its way."""

    node: "SimulatedNode"
    job: Job
    instruction: instructions.Instruction
    wire: bytes
    is_copy: bool
    """Whether this is the later copy of a transaction that the network doubled."""


class SimulatedNode:
    """A node of a world: its setting, its decisions, its functions."""

    __slots__ = (
        "address", "audited", "functions", "is_up", "jobs", "key", "keypair", "member", "memory", "postponed",
        "pubkey", "setting", "worked",
    )  # fmt: skip

    def __init__(self, setting: NodeSetting, keypair: Keypair, functions: Functions, member: Member) -> None:
        self.setting = setting
        self.keypair = keypair
        self.pubkey = keypair.pubkey()
        self.address = str(self.pubkey)
        self.key = NodeKey(bytes(self.pubkey))
        self.functions = functions
        self.memory = Memory()
        self.postponed = Postponed()
        self.jobs: dict[Duty, Job] = {}
        """The duties that are on their way to the ledger."""
        self.member = member
        self.is_up = True
        self.worked: Counter[int] = Counter()
        """How often it did the work of each round."""
        self.audited: Counter[int] = Counter()
        """How often it audited a submission of each round."""

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self.setting.name


class Result(msgspec.Struct, frozen=True):
    """What became of a world."""

    rounds: dict[int, RoundView]
    """Every round that was opened, as it was when it ended, or at the end of the world."""
    task: TaskView
    state_hash: str
    slot: int
    """The slot of the last block."""
    transactions: int
    failures: list[Failure]


Trace = Callable[[dict[str, Any]], None]
"""Takes what happened in a slot: the transactions with their results, the events, the state hash."""


class World:
    """A seeded network of nodes."""

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
        check_faults(setting.faults, {node.name for node in setting.nodes})
        self.setting = setting
        self.timings = Timings()
        self.commons = Commons(network)
        self.failures: list[Failure] = []
        self.rounds: dict[int, RoundView] = {}
        self.transactions = 0
        self.arrived: list[Sent] = []
        """The transactions of the last block, in its order."""
        self._trace = trace
        self._watch = watch
        self.ledger = self._make_ledger()
        self.task: TaskKey = found_task(self.ledger, setting.seed, setting.terms, setting.content_id)
        self._task_address = view_task(self.ledger.state, self.task).address
        self._sight = Sight(self.ledger.state, self.task)
        shared: dict[int, dict[object, Any]] = {}
        self.nodes = [self._make_node(node, task, shared) for node in setting.nodes]
        self._by_key = {node.key: node for node in self.nodes}
        self._waking: set[SimulatedNode] = set(self.nodes)
        self._watchful = frozenset(node for node in self.nodes if node.setting.is_watchful)
        self._postponing: set[SimulatedNode] = set()
        """The nodes with a duty that failed and is to be tried again."""
        self._on_the_way: dict[int, list[Sent]] = {}
        """Transactions by the slot of the block that takes them."""
        self._delivery = Delivery(setting.network, setting.seed)
        self._outages = {outage.slot: outage.slots for outage in setting.faults.outages}
        self._beginnings = compute_beginnings(self.timetable, setting.terms.rules)
        self._turns = frozenset(compute_turn(self.timetable, rank) for rank in range(1, TURNS + 1))

    @property
    def slot(self) -> int:
        """The slot of the last block."""
        return self.ledger.slot

    @property
    def timetable(self) -> Timetable:
        """When the rounds of the task are."""
        return self.ledger.state.tasks.rows[self.task].timetable

    def run(self, show: Callable[["World"], None] | None = None) -> Result:
        """Run until the rounds are over; `show` is called after each slot."""
        while not self.is_over():
            self.advance()
            if show is not None:
                show(self)
        return self.conclude()

    def advance(self) -> None:
        """One slot: a block of what has arrived, then what each node does about it."""
        sent = self._on_the_way.pop(self.slot + 1, [])
        outage = self._outages.pop(self.slot + 1, 0)
        slots = min(1 + outage, self.ledger.state.genesis.gap_slots_max)
        for slot in range(self.slot + 2, self.slot + slots + 1):
            sent += self._on_the_way.pop(slot, [])
        _, outcome = self.ledger.make_block([each.wire for each in sent], 1 + outage)
        self.transactions += len(sent)
        self.arrived = sent
        self._break_and_mend()
        self._take_receipts(sent, outcome.receipts)
        self._keep_rounds(outcome.events)
        self._choose_waking(outcome)
        if self._trace is not None and (sent or outcome.events):
            self._trace(self._describe(sent, outcome))
        if self._watch is not None:
            self._watch(self, outcome)
        if self._waking:
            waking, self._waking = self._waking, set()
            for node in [node for node in self.nodes if node in waking]:
                if node.is_up:
                    self._step(node)

    def inject(
        self, sender: SimulatedNode, instruction: instructions.Instruction, payer: SimulatedNode | None = None
    ) -> None:
        """Send an instruction that is not a duty; the block of the next slot takes it.

        `sender` signs it, and `payer` too if another node pays the fee.
        """
        job = Job(duties.Forget(-1), [])
        job.waiting = 1
        signers = [sender.keypair] if payer is None else [payer.keypair, sender.keypair]
        wire = self.ledger.compose([wrap(instruction)], signers, (payer or sender).pubkey)
        self._on_the_way.setdefault(self.slot + 1, []).append(Sent(sender, job, instruction, wire, False))

    def is_over(self) -> bool:
        """Whether the simulated rounds are over, or cannot be opened any more."""
        rounds, table = self.setting.rounds, self.timetable
        if self.slot < table.compute_start(rounds + DISTRIBUTION - 1) + table.submission_window + 1:
            return False
        task = self.ledger.state.tasks.rows[self.task]
        return all(round_number >= rounds for round_number in task.open_rounds)

    def conclude(self) -> Result:
        """What became of the world so far."""
        state = self.ledger.state
        for round_number in state.tasks.rows[self.task].open_rounds:
            self.rounds[round_number] = view_round(state, self.task, round_number)
        return Result(
            rounds=dict(sorted(self.rounds.items())),
            task=view_task(state, self.task),
            state_hash=state.head.state_hash.hex(),
            slot=self.slot,
            transactions=self.transactions,
            failures=self.failures,
        )

    # Making

    def _make_ledger(self) -> MemoryLedger:
        setting = self.setting
        parties = [Party(MANAGER, MANAGER_MONEY + setting.terms.total_bounty)]
        for node in setting.nodes:
            stakes = 3 * node.stake * setting.rounds  # a liar stakes anew after each slash
            parties.append(Party(node.name, NODE_MONEY + stakes))
        are_real = setting.are_signatures_real
        if are_real is None:
            are_real = len(setting.nodes) <= SIGNED_NODES_MAX
        return MemoryLedger(setting.seed, parties, setting.slot_ms, are_real)

    def _make_node(
        self, node: NodeSetting, task: Task, shared: dict[int, dict[object, Any]]
    ) -> SimulatedNode:
        setting = self.setting
        keypair, address = self.ledger.keypairs[node.name], self.ledger.addresses[node.name]
        functions = Functions(
            task,
            FunctionsSetting(
                task=self._task_address,
                node=address,
                secret=sha256(b"secret" + bytes(keypair)).digest(),
                params=setting.params,
                secrets=setting.secrets,
                files=setting.files,
            ),
            Services(keypair, address, self.commons).request,
            self.timings,
            shared,
        )
        coalition = [self.ledger.addresses[name] for name in node.coalition]
        member = Member(address, coalition, setting.seed)
        return SimulatedNode(node, keypair, functions, member)

    # The ledger's side of a slot

    def _take_receipts(self, sent: Sequence[Sent], receipts: Sequence[Receipt]) -> None:
        for each, receipt in zip(sent, receipts, strict=True):
            job = each.job
            if each.is_copy or each.node.jobs.get(job.duty) is not job:
                continue  # its other copy counts, or its node has restarted since
            job.waiting -= 1
            if receipt.kind:
                job.failed = f"{receipt.name}: {receipt.text}"
            if job.waiting:
                continue
            node = each.node
            if job.failed:
                del node.jobs[job.duty]
                self._fail(node, job.duty, job.failed)
            elif job.waves:
                self._send_wave(node, job)
            else:
                del node.jobs[job.duty]

    def _keep_rounds(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Settled | ClosedUnpaid) and event.task == self.task:
                self.rounds[event.round] = view_round(self.ledger.state, self.task, event.round)

    def _break_and_mend(self) -> None:
        """Take nodes down and bring them back. What a node was sending may still arrive; it does not know."""
        for crash in self.setting.faults.crashes:
            node = next(node for node in self.nodes if node.name == crash.node)
            is_down = crash.slot <= self.slot < crash.slot + crash.slots
            if is_down and node.is_up:
                node.is_up = False
                # A stake that was sent is on a node's disk, so it is not sent twice.
                node.jobs = {duty: job for duty, job in node.jobs.items() if isinstance(duty, duties.TopUp)}
                node.postponed = Postponed()
                if crash.is_proof_gone:
                    self.commons.dark.add(node.address)
            elif self.slot >= crash.slot + crash.slots and not node.is_up:
                node.is_up = True
                self.commons.dark.discard(node.address)
                self._waking.add(node)

    def _choose_waking(self, outcome: Outcome) -> None:
        """The nodes whose duties may differ from those of the slot before."""
        changed, is_new_to_all = self._sight.notice(outcome)
        table = self.timetable
        offset, ledger_round = table.compute_offset(self.slot), table.compute_round(self.slot)
        is_turn = offset in self._turns and self._sight.is_list_missing(ledger_round)
        is_boundary = offset in self._beginnings or is_turn
        if is_boundary or is_new_to_all or self.setting.is_thorough:
            self._waking |= set(self.nodes)
            return
        self._waking |= {self._by_key[key] for key in changed if key in self._by_key}
        self._waking |= self._watchful | self._postponing

    # The node's side of a slot

    def _step(self, node: SimulatedNode) -> None:
        """Decide and send what is owed, until nothing new is decided in this slot."""
        setting, slot = node.setting, self.slot
        while True:
            view = self._look(node)
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
        if node in self._postponing and not node.postponed:
            self._postponing.remove(node)

    def _look(self, node: SimulatedNode) -> View:
        """What a node sees: its view is built here and nowhere else."""
        bare = self._sight.look(node.address, node.key, node.functions.setting.secret, node.setting.stake)
        return self._sight.add_parts(bare, node.setting.list_needed(node.memory, bare, self.slot))

    def _judge(self, node: SimulatedNode, owed: Sequence[duties.DecideOpinion]) -> None:
        """Decide the opinions that are owed, and remember them together."""
        if not owed:
            return
        strategy, opinions = node.setting.strategy, dict[str, str]()
        seconds = self._compute_seconds(owed[0].until)
        for duty in owed:
            try:
                if strategy is None:
                    opinions[duty.node] = self._audit(node, duty, seconds)
                else:
                    honest = partial(self._audit, node, duty, seconds)
                    opinions[duty.node] = strategy.choose_opinion(node.member, duty, honest)
            except TaskFailed as error:
                self._fail(node, duty, str(error))
        if opinions:
            node.memory = learn_opinions(node.memory, owed[0].round, opinions)

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
            case duties.Forget(before_round):
                node.functions.forget(before_round)
                return []
            case duties.Work() | duties.DecideValue() | duties.DecideOpinion() | duties.DecideList():
                raise AssertionError(f"{duty} is decided, not sent")
            case _:
                assert_never(duty)

    def _send_wave(self, node: SimulatedNode, job: Job) -> None:
        """Send the next transactions of a job."""
        wave = job.waves.pop(0)
        job.waiting = len(wave)
        for instruction in wave:
            wire = self.ledger.compose([wrap(instruction)], [node.keypair], node.pubkey)
            for at, slot in enumerate(self._delivery.compute_arrivals(node.name, self.slot)):
                self._on_the_way.setdefault(slot, []).append(Sent(node, job, instruction, wire, at > 0))

    def _fail(self, node: SimulatedNode, duty: Duty, text: str) -> None:
        node.postponed.put(duty, self.slot)
        self._postponing.add(node)
        doing = f"{type(duty).__name__} {getattr(duty, 'round', '')}".rstrip()
        self.failures.append(Failure(self.slot, node.name, doing, text))

    def _compute_seconds(self, until: int) -> float:
        """How long a function may take that must end before slot `until`."""
        slot_seconds = self.setting.slot_ms / 1000
        return max((until - self.slot) * slot_seconds * MARGIN, slot_seconds)

    # The trace

    def _describe(self, sent: Sequence[Sent], outcome: Outcome) -> dict[str, Any]:
        """A slot for the trace: addresses are names of nodes."""
        return {
            "slot": self.slot,
            "transactions": [
                {
                    "node": each.node.name,
                    "instruction": type(each.instruction).__name__,
                    **self._show_fields(each.instruction),
                    "result": receipt.name or "ok",
                }
                for each, receipt in zip(sent, outcome.receipts, strict=True)
            ],
            "events": [self._show_event(event) for event in outcome.events],
            "state_hash": outcome.state_hash.hex(),
        }

    def _show_fields(self, instruction: instructions.Instruction) -> dict[str, Any]:
        fields: dict[str, Any] = msgspec.structs.asdict(instruction)
        plain = ("round", "is_valid", "amount", "chunk")
        shown: dict[str, Any] = {name: fields[name] for name in plain if name in fields}
        if "candidate" in fields:
            shown["candidate"] = self._name(fields["candidate"])
        if "value" in fields:
            shown["value"] = fields["value"].decode(errors="replace")
        return shown

    def _show_event(self, event: Event) -> dict[str, Any]:
        shown: dict[str, Any] = {"kind": event.kind, "round": event.round}
        if isinstance(event, Paid | Slashed):
            shown |= {"node": self._name(event.node), "amount": event.amount}
        return shown

    def _name(self, key: bytes) -> str:
        node = self._by_key.get(NodeKey(key))
        return node.name if node else key.hex()


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
