"""A network of nodes under roundwork-1: the real law, the node's own duties, the author's real functions.

It is the sibling of `world.py`, for the rule set whose duties `participant/sealed.py` lists. Everything
follows from the setting and its seed, so two runs of one setting have the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple, assert_never

import msgspec
from solders.keypair import Keypair

from ..client.messages import wrap
from ..errors import TaskFailed
from ..participant import sealed as duties
from ..participant.sealed import SealedDuty, SealedMemory, SealedView, compute_salt, list_sealed_duties
from ..protocol.clock import DISTRIBUTION, REVIEW, Timetable
from ..protocol.execute import Outcome, Receipt
from ..protocol.params import NodeKey, TaskKey, key_of
from ..protocol.read import view_round, view_task
from ..protocol.tasks import instructions
from ..protocol.tasks.commitments import PIECE_BYTES, PIECES_MAX, compute_commitment
from ..protocol.tasks.events import ClosedUnpaid, Event, Fined, Paid, Settled, Shared, Slashed
from ..protocol.tasks.round import TURNS, WINDOWS, Activity, Period, compute_turn
from ..sdk.task import Task
from ..sealed_strategies import HONEST, SealedMember, SealedStrategy
from ..views import RoundView
from .faults import check_faults
from .functions import Functions, FunctionsSetting, Timings
from .ledger import MANAGER, MemoryLedger, Party, found_task
from .network import Delivery
from .sealed_sight import SealedSight
from .services import Commons, Network, Services
from .world import (
    MANAGER_MONEY,
    MARGIN,
    NODE_MONEY,
    SIGNED_NODES_MAX,
    Failure,
    NodeSetting,
    Result,
    Trace,
    WorldSetting,
)

RULES = "roundwork-1"

CHALLENGES_MAX = 10
ACCUSATIONS_MAX = 10
"""How many challenges and accusations a node pays for in a round."""

AMOUNTS = 63
"""The amounts of a whole chunk of a list."""

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


class Job:
    """A duty on its way to the ledger: its transactions are sent wave by wave, those of a wave together."""

    __slots__ = ("failed", "owed", "waiting", "waves")

    def __init__(self, owed: Owed, waves: list[list[instructions.Instruction]]) -> None:
        self.owed = owed
        self.waves = waves
        self.waiting = 0
        """Transactions of the present wave without a receipt."""
        self.failed: Receipt | None = None
        """The receipt of one that the ledger refused."""


class Sent(NamedTuple):
    """A transaction on its way."""

    node: "SealedNode"
    job: Job
    instruction: instructions.Instruction
    wire: bytes
    is_copy: bool
    """Whether this is the later copy of a transaction that the network doubled."""


class SealedNode:
    """A node of a world: its setting, its decisions by round, its functions, its strategy."""

    def __init__(
        self,
        setting: NodeSetting,
        keypair: Keypair,
        functions: Functions,
        member: SealedMember,
        strategy: SealedStrategy,
    ) -> None:
        self.setting = setting
        self.keypair = keypair
        self.pubkey = keypair.pubkey()
        self.address = str(self.pubkey)
        self.key = NodeKey(bytes(self.pubkey))
        self.functions = functions
        self.member = member
        self.strategy = strategy
        self.memories: dict[int, SealedMemory] = {}
        """What it decided in each round; on disk before it acts."""
        self.jobs: dict[Owed, Job] = {}
        """The duties that are on their way to the ledger."""
        self.waits: dict[Owed, int] = {}
        """The slot from which a duty that failed is due again."""
        self.is_up = True
        self.worked: Counter[int] = Counter()
        """How often it did the work of each round."""
        self.audited: Counter[int] = Counter()
        """How often it audited a submission of each round."""

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self.setting.name


class SealedWorld:
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
        check_faults(setting.faults, {node.name for node in setting.nodes})
        self.setting = setting
        self.timings = Timings()
        self.commons = Commons(network)
        self.failures: list[Failure] = []
        self.rounds: dict[int, RoundView] = {}
        self.transactions = 0
        self._trace = trace
        self._watch = watch
        self.ledger = self._make_ledger()
        self.task: TaskKey = found_task(self.ledger, setting.seed, setting.terms, setting.content_id)
        self._task_address = view_task(self.ledger.state, self.task).address
        self._sight = SealedSight(self.ledger.state, self.task)
        shared: dict[int, dict[object, Any]] = {}
        known = strategies or {}
        self.nodes = [
            self._make_node(node, task, shared, known.get(node.name, HONEST)) for node in setting.nodes
        ]
        self._by_address = {node.address: node for node in self.nodes}
        self._awake: dict[SealedNode, set[int]] = {node: {0} for node in self.nodes}
        """The rounds in which a node may owe something now, other than all nodes do."""
        self._watchful = [node for node in self.nodes if setting.is_thorough or node.strategy.is_watchful]
        self._on_the_way: dict[int, list[Sent]] = {}
        """Transactions by the slot of the block that takes them."""
        self._delivery = Delivery(setting.network, setting.seed)
        self._outages = {outage.slot: outage.slots for outage in setting.faults.outages}
        self._table = self.timetable
        self._beginnings = {period: compute_beginnings(self._table, period) for period in Period}

    @property
    def slot(self) -> int:
        """The slot of the last block."""
        return self.ledger.slot

    @property
    def timetable(self) -> Timetable:
        """When the rounds of the task are."""
        return self.ledger.state.tasks.rows[self.task].timetable

    def run(self, show: Callable[["SealedWorld"], None] | None = None) -> Result:
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
        before = self.slot
        _, outcome = self.ledger.make_block([each.wire for each in sent], 1 + outage)
        self.transactions += len(sent)
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
            if node.is_up:
                self._step(node, stirred | awake.get(node, set()))

    def is_over(self) -> bool:
        """Whether the simulated rounds are over."""
        rounds, table = self.setting.rounds, self.timetable
        if self.slot < table.compute_start(rounds - 1 + REVIEW) + table.submission_window + 1:
            return False
        return not self.ledger.state.tasks.rows[self.task].open_rounds

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
            stakes = 3 * node.stake * setting.rounds  # a convicted node stakes anew
            parties.append(Party(node.name, NODE_MONEY + stakes))
        are_real = setting.are_signatures_real
        if are_real is None:
            are_real = len(setting.nodes) <= SIGNED_NODES_MAX
        return MemoryLedger(setting.seed, parties, setting.slot_ms, are_real)

    def _make_node(
        self, node: NodeSetting, task: Task, shared: dict[int, dict[object, Any]], strategy: SealedStrategy
    ) -> SealedNode:
        setting = self.setting
        keypair = self.ledger.keypairs[node.name]
        functions = Functions(
            task,
            FunctionsSetting(
                task=self._task_address,
                node=str(keypair.pubkey()),
                secret=sha256(b"secret" + bytes(keypair)).digest(),
                params=setting.params,
                secrets=setting.secrets,
                files=setting.files,
            ),
            Services(keypair, str(keypair.pubkey()), self.commons).request,
            self.timings,
            shared,
        )
        coalition = [str(self.ledger.keypairs[name].pubkey()) for name in node.coalition]
        member = SealedMember(str(keypair.pubkey()), coalition, setting.seed)
        return SealedNode(node, keypair, functions, member, strategy)

    # The ledger's side of a slot

    def _take_receipts(self, sent: Sequence[Sent], receipts: Sequence[Receipt]) -> None:
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
            if job.failed is not None or isinstance(job.owed.duty, STEPS):
                self._wake(node, job.owed.round)
            if job.failed is not None:
                self._fail(node, job.owed, job.failed.text, job.failed.name)

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
                node.jobs = {owed: job for owed, job in node.jobs.items() if owed.duty is None}
                node.waits = {}
                if crash.is_proof_gone:
                    self.commons.dark.add(node.address)
            elif self.slot >= crash.slot + crash.slots and not node.is_up:
                node.is_up = True
                self.commons.dark.discard(node.address)
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
        self._keep_stake(node)
        self._work(node, ledger_round)
        for round_number in self._list_rounds():
            if round_number in rounds:
                self._step_in(node, round_number)
        oldest = ledger_round - DISTRIBUTION - self.setting.terms.allowed_failed_distributions
        if oldest > min(node.memories, default=oldest):
            self._sight.forget(oldest)
            node.functions.forget(oldest)
            node.memories = {number: each for number, each in node.memories.items() if number >= oldest}

    def _list_open(self) -> tuple[int, ...]:
        return self.ledger.state.tasks.rows[self.task].open_rounds

    def _list_rounds(self) -> list[int]:
        """The rounds in which nodes may have duties now: the one under review, and those that are listed."""
        reviewed = self._table.compute_round(self.slot) - REVIEW
        listed = [number for number in self._list_open() if number < reviewed]
        return [*listed, reviewed] if 0 <= reviewed < self.setting.rounds else listed

    def _step_in(self, node: SealedNode, round_number: int) -> None:
        slot = self.slot
        while True:
            memory = node.memories.get(round_number) or SealedMemory()
            view = self._look(node, round_number)
            owed: Sequence[SealedDuty] = list_sealed_duties(memory, view, slot)
            owed = node.strategy.change_duties(node.member, memory, view, slot, owed)
            is_new = False
            for duty in owed:
                each = Owed(round_number, duty)
                if each not in node.jobs and node.waits.get(each, 0) <= slot:
                    is_new |= self._act(node, each, duty, view)
            if not is_new:
                break
        if any(Owed(round_number, duty) not in node.jobs for duty in owed):
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
        table = self.timetable
        first, last = WINDOWS[RULES][Activity.COMMIT].compute_slots_in(table, table.compute_round(self.slot))
        if owed in node.jobs or node.waits.get(owed, 0) > self.slot or not first <= self.slot <= last:
            return
        stakes = self.ledger.state.get_stakes(self.task).rows
        amount = stakes[node.key].amount if node.key in stakes else 0
        task = self.ledger.state.tasks.rows[self.task]
        if amount < task.minimum_stake <= node.setting.stake:
            add = instructions.Stake(self.task, node.key, task.pot, node.setting.stake - amount)
            self._send(node, owed, [[add]])

    def _work(self, node: SealedNode, round_number: int) -> None:
        """Do the work of the ledger round, once."""
        is_due = 0 <= round_number < self.setting.rounds and round_number not in node.memories
        if not is_due:
            return
        node.memories[round_number] = SealedMemory()
        if not node.strategy.is_working(node.member, round_number):
            return
        seed = self._sight.look(round_number).seed
        try:
            node.functions.work(round_number, seed, self._compute_seconds(Activity.WORK, round_number))
        except TaskFailed as error:
            self._fail(node, Owed(round_number, None), str(error))
        node.worked[round_number] += 1

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
        seconds = self._compute_seconds(Activity.COMMIT, view.round.round)
        return node.functions.submit(view.round.round, view.round.seed, seconds)

    def _lie(self, node: SealedNode, view: SealedView) -> str | None:
        seconds = self._compute_seconds(Activity.COMMIT, view.round.round)
        return node.functions.lie(view.round.round, view.round.seed, seconds)

    def _audit(self, node: SealedNode, candidate: str, view: SealedView) -> bool | None:
        """What the task's audit says; None if it cannot say yet."""
        shown = view.round
        submission = next(each for each in shown.submissions if each.node == candidate)
        seconds = self._compute_seconds(Activity.CHECK, shown.round)
        kind, _ = node.functions.audit(
            shown.round, shown.seed, candidate, submission.value, submission.stake, seconds
        )
        node.audited[shown.round] += 1
        return None if kind == "unavailable" else kind == "valid"

    def _list(self, node: SealedNode, view: SealedView) -> dict[str, int]:
        """The amounts above 0: under roundwork-1 a list takes nothing."""
        bounty = self.ledger.state.tasks.rows[self.task].bounty_per_round
        amounts = node.functions.distribute(view.round.round, bounty, view.round.submissions)
        return {each: amount for each, amount in amounts.items() if amount > 0}

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
        task, key, round_number = self.task, node.key, duty.round
        match duty:
            case duties.SendCommitment(_, kind, payload):
                genesis, salt = self.ledger.state.genesis_hash, self._compute_salt(node, round_number, kind)
                sealed = compute_commitment(genesis, task, round_number, kind, key, salt, payload)
                return [[instructions.Commit(task, key, kind, round_number, sealed)]]
            case duties.SendReveal(_, kind, payload):
                salt = self._compute_salt(node, round_number, kind)
                return [[instructions.Reveal(task, key, kind, round_number, salt, payload)]]
            case duties.SendChallenge(_, candidate):
                return [[instructions.Challenge(task, key, NodeKey(key_of(candidate)), round_number)]]
            case duties.PostProof(_, candidate):
                return self._compose_answers(node, candidate, view)
            case duties.SendAccusation(_, candidate):
                return [[instructions.Accuse(task, key, NodeKey(key_of(candidate)), round_number)]]
            case duties.SendAmounts():
                return self._compose_list(node, view)
            case duties.AccuseList(_, _, lister):
                of = NodeKey(key_of(lister))
                return [[instructions.AuditDistribution(task, key, of, 0, round_number)]]
            case duties.VoteOnList(_, _, lister, is_valid):
                of = NodeKey(key_of(lister))
                return [[instructions.AuditDistribution(task, key, of, int(is_valid), round_number)]]
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

    def _compute_salt(self, node: SealedNode, round_number: int, kind: int) -> bytes:
        return compute_salt(node.functions.setting.secret, self._task_address, round_number, kind)

    def _compose_answers(
        self, node: SealedNode, candidate: str, view: SealedView
    ) -> list[list[instructions.Instruction]]:
        proof = self.commons.blobs.get(view.get_value(candidate)[:59])
        if proof is None or not 1 <= len(proof) <= PIECE_BYTES * PIECES_MAX:
            return []
        of = NodeKey(key_of(candidate))
        pieces = range(0, len(proof), PIECE_BYTES)
        return [
            [
                instructions.Answer(
                    self.task, node.key, of, view.round.round, chunk, proof[start : start + PIECE_BYTES]
                )
                for chunk, start in enumerate(pieces)
            ]
        ]

    def _compose_list(self, node: SealedNode, view: SealedView) -> list[list[instructions.Instruction]]:
        """The uploads of all amounts, then the list."""
        round_number = view.round.round
        amounts = node.memories[round_number].amounts or {}
        nodes = sorted(key_of(each.node) for each in view.round.submissions)
        by_key = {key_of(address): amount for address, amount in amounts.items()}
        uploads: list[instructions.Instruction] = []
        for start in range(0, len(nodes), AMOUNTS):
            part = nodes[start : start + AMOUNTS]
            data = b"".join(by_key.get(each, 0).to_bytes(8, "little") for each in part)
            chunk = instructions.UploadDistributionList(
                self.task, node.key, start // AMOUNTS, len(data), data.ljust(508, b"\0"), round_number
            )
            uploads.append(chunk)
        return [uploads, [instructions.SubmitDistributionList(self.task, node.key, node.key, round_number)]]

    def _send(self, node: SealedNode, owed: Owed, waves: list[list[instructions.Instruction]]) -> None:
        job = node.jobs[owed] = Job(owed, waves)
        self._send_wave(node, job)

    def _send_wave(self, node: SealedNode, job: Job) -> None:
        """Send the next transactions of a job."""
        wave = job.waves.pop(0)
        job.waiting = len(wave)
        for instruction in wave:
            wire = self.ledger.compose([wrap(instruction)], [node.keypair], node.pubkey)
            for at, slot in enumerate(self._delivery.compute_arrivals(node.name, self.slot)):
                self._on_the_way.setdefault(slot, []).append(Sent(node, job, instruction, wire, at > 0))

    def _fail(self, node: SealedNode, owed: Owed, text: str, name: str = "") -> None:
        node.waits[owed] = self.slot + RETRY_SLOTS
        if name not in RACES:
            doing = "Stake" if owed.round < 0 else type(owed.duty).__name__ if owed.duty else "Work"
            said = f"{name}: {text}" if name else text
            self.failures.append(Failure(self.slot, node.name, f"{doing} {max(owed.round, 0)}", said))

    def _compute_seconds(self, activity: Activity, round_number: int) -> float:
        """How long a function may take that must end with a window."""
        slot_seconds = self.setting.slot_ms / 1000
        end = WINDOWS[RULES][activity].compute_end(self.timetable, round_number)
        return max((end - self.slot) * slot_seconds * MARGIN, slot_seconds)

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
        plain = ("round", "is_valid", "amount", "chunk", "kind")
        shown: dict[str, Any] = {name: fields[name] for name in plain if name in fields}
        if "candidate" in fields:
            shown["candidate"] = self._name(fields["candidate"])
        return shown

    def _show_event(self, event: Event) -> dict[str, Any]:
        shown: dict[str, Any] = {"kind": event.kind, "round": event.round}
        if isinstance(event, Paid | Slashed | Fined | Shared):
            shown |= {"node": self._name(event.node), "amount": event.amount}
        return shown

    def _name(self, key: bytes) -> str:
        return next((node.name for node in self.nodes if node.key == key), key.hex())


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
