"""What worlds of every rule set share: a setting, a ledger, transactions on their way, faults, the trace."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Generic, NamedTuple, Self, TypeVar

import msgspec
from solders.instruction import Instruction as SolanaInstruction
from solders.keypair import Keypair

from ..client.messages import wrap
from ..package.terms import Terms
from ..participant.decisions import Memory
from ..participant.step import Duty, View, list_needed, step
from ..protocol.clock import Timetable
from ..protocol.execute import Outcome, Receipt
from ..protocol.params import KOII, NodeKey, TaskKey
from ..protocol.read import view_round, view_task
from ..protocol.tasks import instructions
from ..protocol.tasks.events import ClosedUnpaid, Event, Fined, Paid, Settled, Shared, Slashed
from ..protocol.transaction import Transaction
from ..sdk.task import Task
from ..strategies import Strategy
from ..views import PartKey, RoundView, TaskView
from .faults import Faults, LedgerRestart, Stop, check_faults, list_stops
from .functions import Functions, FunctionsSetting, Timings
from .ledger import MANAGER, SETTLE_RECORDS_MAX, MemoryLedger, Party, found_task
from .network import Delivery, NetworkModel, check_partitions
from .services import Commons, Network, Services

NODE_MONEY = 1_000 * KOII
MANAGER_MONEY = 1_000 * KOII
"""Beyond stakes and bounty, in roe: for fees."""

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
    is_absent: bool = False
    """Whether it only has its money in genesis and takes no part. The chain is then the same as with it."""


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
    settle_records_max: int = SETTLE_RECORDS_MAX
    """The entries of lists that a block pays at most."""
    is_thorough: bool = False
    """Whether every node is stepped in every slot. The results are the same, and take longer."""

    def list_present(self) -> list[NodeSetting]:
        """The nodes that take part."""
        return [node for node in self.nodes if not node.is_absent]


class Failure(msgspec.Struct, frozen=True):
    """A function of the author's that failed, or a transaction that the law refused."""

    slot: int
    node: str
    """The node's name."""
    doing: str
    """The kind of duty, and its round."""
    text: str


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

N = TypeVar("N", bound="NetworkNode[Any]")
K = TypeVar("K")


class Job(Generic[K]):
    """A duty on its way to the ledger: its transactions are sent wave by wave, those of a wave together."""

    __slots__ = ("failed", "owed", "waiting", "waves")

    def __init__(self, owed: K, waves: list[list[instructions.Instruction]]) -> None:
        self.owed = owed
        self.waves = waves
        self.waiting = 0
        """Transactions of the present wave without a receipt."""
        self.failed: Receipt | None = None
        """The receipt of one that the ledger refused."""


class NetworkNode(Generic[K]):
    """A node of a world: its setting, its keys, its functions, and what it has sent."""

    __slots__ = (
        "address", "audited", "busy_until", "functions", "is_up", "jobs", "key", "keypair", "setting",
        "skew", "worked",
    )  # fmt: skip

    def __init__(self, setting: NodeSetting, keypair: Keypair, address: str, functions: Functions) -> None:
        self.setting = setting
        self.keypair = keypair
        self.address = address
        self.key = NodeKey(bytes(keypair.pubkey()))
        self.functions = functions
        self.jobs: dict[K, Job[K]] = {}
        """The duties that are on their way to the ledger."""
        self.is_up = True
        self.skew = 0
        """How many slots later than the present one the node takes it to be."""
        self.busy_until = 0
        """The slot in which its last write is on its disk. Before that it does nothing."""
        self.worked: Counter[int] = Counter()
        """How often it did the work of each round."""
        self.audited: Counter[int] = Counter()
        """How often it audited a submission of each round."""

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self.setting.name


class Sent(NamedTuple, Generic[N]):
    """A transaction on its way."""

    node: N
    job: Job[Any]
    instruction: instructions.Instruction
    transaction: Transaction
    is_copy: bool
    """Whether this is the later copy of a transaction that the network doubled."""


class Simulation(ABC, Generic[N]):
    """A seeded network of nodes in one task; a rule set's own world says what its nodes do in a slot."""

    nodes: list[N]
    _by_key: dict[NodeKey, N]

    def __init__(self, setting: WorldSetting, network: Network | None, trace: Trace | None) -> None:
        """`network` answers `ctx.http`; `trace` takes each slot.

        Raises BadConfig for a network or faults that cannot be.
        """
        names = {node.name for node in setting.nodes}
        check_faults(setting.faults, names)
        check_partitions(setting.network, names)
        self.setting = setting
        self.timings = Timings()
        self.commons = Commons(network)
        self.failures: list[Failure] = []
        self.rounds: dict[int, RoundView] = {}
        self.transactions = 0
        self.arrived: list[Sent[N]] = []
        """The transactions of the last block, in its order."""
        self._trace = trace
        self.ledger = self._make_ledger()
        self.task: TaskKey = found_task(self.ledger, setting.seed, setting.terms, setting.content_id)
        self._task_address = view_task(self.ledger.state, self.task).address
        self._shared: dict[int, dict[object, Any]] = {}
        """What the functions of several nodes computed."""
        self._on_the_way: dict[int, list[Sent[N]]] = {}
        """Transactions by the slot of the block that takes them."""
        self._delivery = Delivery(setting.network, setting.seed)
        self._stops = list_stops(setting.faults)
        """Those that are still to come."""
        self._write_slots = {disk.node: disk.slots for disk in setting.faults.slow_disks}
        """How long a node's writes take, by its name."""

    @property
    def slot(self) -> int:
        """The slot of the last block."""
        return self.ledger.slot

    @property
    def timetable(self) -> Timetable:
        """When the rounds of the task are."""
        return self.ledger.state.tasks.rows[self.task].timetable

    def run(self, show: Callable[[Self], None] | None = None) -> Result:
        """Run until the rounds are over; `show` is called after each slot."""
        while not self.is_over():
            self.advance()
            if show is not None:
                show(self)
        return self.conclude()

    @abstractmethod
    def advance(self) -> None:
        """One slot: a block of what has arrived, then what each node does about it."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether the simulated rounds are over."""

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
            stakes = 3 * node.stake * setting.rounds  # a node that is slashed stakes anew
            parties.append(Party(node.name, NODE_MONEY + stakes))
        are_real = setting.are_signatures_real
        if are_real is None:
            are_real = len(setting.nodes) <= SIGNED_NODES_MAX
        keeps_blocks = bool(setting.faults.restarts)
        return MemoryLedger(
            setting.seed, parties, setting.slot_ms, are_real, keeps_blocks, setting.settle_records_max
        )

    def _make_functions(self, node: NodeSetting, task: Task) -> Functions:
        setting = self.setting
        keypair, address = self.ledger.keypairs[node.name], self.ledger.addresses[node.name]
        return Functions(
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
            self._shared,
        )

    def _take_nodes(self, nodes: list[N]) -> None:
        """Take the nodes of the world, and set their clocks."""
        self.nodes = nodes
        self._by_key = {node.key: node for node in nodes}
        skews = {skew.node: skew.slots for skew in self.setting.faults.skews}
        for node in nodes:
            node.skew = skews.get(node.name, 0)

    # The ledger's side of a slot

    def _make_block(self) -> tuple[list[Sent[N]], Outcome]:
        """The block of the next slot that has one, with the transactions that have arrived."""
        sent = self._on_the_way.pop(self.slot + 1, [])
        stops: list[Stop] = []
        while self._stops and self._stops[0].slot <= self.slot + 1:
            stops.append(self._stops.pop(0))
        outage = sum(stop.slots for stop in stops)
        slots = min(1 + outage, self.ledger.state.genesis.gap_slots_max)
        for stop in stops:
            if not isinstance(stop, LedgerRestart):
                continue
            self.ledger.restart([each.transaction for each in sent] if stop.is_torn else None)
            if stop.is_torn:  # the requests have failed, so the nodes send again when the ledger is back
                self._on_the_way.setdefault(self.slot + slots + 1, []).extend(sent)
                sent = []
        for slot in range(self.slot + 2, self.slot + slots + 1):
            sent += self._on_the_way.pop(slot, [])
        _, outcome = self.ledger.make_block([each.transaction for each in sent], 1 + outage)
        self.transactions += len(sent)
        self.arrived = sent
        return sent, outcome

    def inject(self, sender: N, instruction: instructions.Instruction, payer: N | None = None) -> None:
        """Send an instruction that is not a duty; the block of the next slot takes it.

        `sender` signs it, and `payer` too if another node pays the fee.
        """
        job = Job[Any](None, [])
        signers = [sender.keypair] if payer is None else [payer.keypair, sender.keypair]
        composed = self.ledger.compose(instruction, signers, (payer or sender).key)
        self._on_the_way.setdefault(self.slot + 1, []).append(Sent(sender, job, instruction, composed, False))

    def inject_with(
        self,
        sender: N,
        instruction: instructions.Instruction,
        accounts: Sequence[Keypair],
        first: Sequence[SolanaInstruction] = (),
    ) -> None:
        """The same for an instruction that `accounts` sign too, behind those that come `first`."""
        together = [*first, wrap(instruction)]
        signers = [sender.keypair, *accounts]
        composed = self.ledger.compose_together(together, signers, sender.keypair.pubkey())
        sent = Sent(sender, Job[Any](None, []), instruction, composed, False)
        self._on_the_way.setdefault(self.slot + 1, []).append(sent)

    def _take_receipts(self, sent: Sequence[Sent[N]], receipts: Sequence[Receipt]) -> None:
        for each, receipt in zip(sent, receipts, strict=True):
            node, job = each.node, each.job
            if each.is_copy or node.jobs.get(job.owed) is not job:
                continue  # its other copy counts, or its node has restarted since
            job.waiting -= 1
            if receipt.kind:
                job.failed = receipt
            if job.waiting:
                continue
            if job.failed is None and job.waves:
                self._send_wave(node, job)
                continue
            del node.jobs[job.owed]
            self._end(node, job)

    @abstractmethod
    def _end(self, node: N, job: Job[Any]) -> None:
        """Go on after all transactions of a job, or after one that the ledger refused."""

    def _keep_rounds(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Settled | ClosedUnpaid) and event.task == self.task:
                self.rounds[event.round] = view_round(self.ledger.state, self.task, event.round)

    def _break_and_mend(self) -> None:
        """Take nodes down and bring them back. What a node was sending may still arrive; it does not know."""
        crashes = self.setting.faults.crashes
        if not crashes:
            return
        under_way = [crash for crash in crashes if crash.slot <= self.slot < crash.slot + crash.slots]
        down = {crash.node for crash in under_way}
        dark = {crash.node for crash in under_way if crash.is_proof_gone}
        for name in sorted({crash.node for crash in crashes}):
            node = next(node for node in self.nodes if node.name == name)
            (self.commons.dark.add if name in dark else self.commons.dark.discard)(node.address)
            was_up, node.is_up = node.is_up, name not in down
            if was_up and not node.is_up:
                self._forget(node)
            elif node.is_up and not was_up:
                self._restart(node)

    @abstractmethod
    def _forget(self, node: N) -> None:
        """Drop what a node has in memory alone, when it goes down."""

    @abstractmethod
    def _restart(self, node: N) -> None:
        """Have a node look about, when it is back."""

    def _write(self, node: N) -> bool:
        """Have a node write its decisions to its disk; whether that takes until a later slot."""
        slots = self._write_slots.get(node.name, 0)
        node.busy_until = self.slot + slots
        return slots > 0

    def _send_wave(self, node: N, job: Job[Any]) -> None:
        """Send the next transactions of a job."""
        wave = job.waves.pop(0)
        job.waiting = len(wave)
        for instruction in wave:
            composed = self.ledger.compose(instruction, [node.keypair], node.key)
            for at, slot in enumerate(self._delivery.compute_arrivals(node.name, self.slot)):
                self._on_the_way.setdefault(slot, []).append(Sent(node, job, instruction, composed, at > 0))

    def _compute_seconds(self, until: int) -> float:
        """How long a function may take that must end before slot `until`."""
        slot_seconds = self.setting.slot_ms / 1000
        return max((until - self.slot) * slot_seconds * MARGIN, slot_seconds)

    # The trace

    def _describe(self, sent: Sequence[Sent[N]], outcome: Outcome) -> dict[str, Any]:
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
        plain = ("round", "is_valid", "amount", "chunk", "kind")
        shown: dict[str, Any] = {name: fields[name] for name in plain if name in fields}
        if "candidate" in fields:
            shown["candidate"] = self._name(fields["candidate"])
        if "value" in fields:
            shown["value"] = fields["value"].decode(errors="replace")
        return shown

    def _show_event(self, event: Event) -> dict[str, Any]:
        shown: dict[str, Any] = {"kind": event.kind, "round": event.round}
        if isinstance(event, Paid | Slashed | Fined | Shared):
            shown |= {"node": self._name(event.node), "amount": event.amount}
        return shown

    def _name(self, key: bytes) -> str:
        node = self._by_key.get(NodeKey(key))
        return node.name if node else key.hex()
