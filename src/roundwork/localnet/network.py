"""A ledger and nodes as processes on this machine: what `up` runs."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from solders.keypair import Keypair

from ..client.operations import airdrop, create_token, deploy, mint_tokens, read_task, set_active
from ..client.rpc import Client, Unreachable
from ..errors import BadConfig, RemoteError
from ..host.files import replace_file
from ..host.hold import is_held
from ..host.keypairs import make_keypair
from ..ledger.inspect import read_info
from ..ledger.moves import Moves, read_moves
from ..node.confinement.sandbox import choose_sandbox_or_none
from ..node.duties import DONE, FAILED, read_audit
from ..node.javascript.process import find_node
from ..node.javascript.runtime import check_javascript_play
from ..node.properties import measure_timings
from ..node.trial import load_program
from ..package.folder import Package, check_params, load_package, merge_params, pack
from ..package.requirements import check_machine
from ..package.terms import fit_long_windows
from ..package.windows import Timings, compute_windows, widen
from ..participant.moment import compute_timetable
from ..participant.plays import HONEST, LIAR, find_play
from ..protocol.params import KOII, KOII_1, ROUNDWORK_1
from ..views import LedgerView, RoundView, TaskView
from ..wire import decode_json, format_money
from .demo import describe_demo, find_demo
from .judgement import compute_expected_round, find_end
from .logs import Follower, LogLine
from .supervisor import ROUNDWORK, Member, Supervisor, ask_restart, find_port, supervise
from .watch import OVER, UNPAID, Failure, Watch, count_ended, is_node, join_names

STATE_FILE = "localnet.json"
CACHE = "cache"
"""Environments of tasks, kept for the next `up`."""

NODE_MONEY = 1_000 * KOII
MANAGER_MONEY = 1_000 * KOII
"""Beyond the bounty: fees, and what existing clients leave on a task's account."""

TOKEN_DECIMALS = 9
"""The decimals of the token of `--token`: those of native money, so that a task's amounts mean the same."""

SPARE_ROUNDS = 20
"""Rounds that the bounty pays beyond those that the network waits for."""

STAKE_FACTOR = 10
"""A node's stake, as a multiple of the task's minimum."""

STARTS_MAX = 8
"""Nodes that are started at a time."""

ROUND_SLOTS_MIN = 20
LOCAL_FETCH_SECONDS = 0.2
"""To get a proof from another node on this machine."""
LEDGER_SECONDS = 60.0
"""A network stops if its ledger does not answer for this many seconds: it may be started again meanwhile."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The network to run. `round_slots` is the length of a round; None keeps the task's own windows."""

    task: Path
    directory: Path
    nodes: int = 5
    liars: int = 1
    plays: dict[str, int] = {}
    """How many nodes play otherwise than honestly, by name of the way, beside the liars."""
    stakes: tuple[int, ...] = ()
    """Stakes of the nodes in roe, taken in turn; empty for a multiple of the task's minimum."""
    rounds: int = 5
    rules: str | None = None
    """The rule set; None keeps the task's own."""
    round_slots: int | None = None
    slot_ms: int = 100
    engine: Literal["embedded", "comet"] = "embedded"
    sandbox: str | None = None
    params: dict[str, str] = {}
    is_any_machine: bool = False
    """Whether nodes run a task whose requirements this machine does not meet."""
    secrets: dict[str, str] = {}
    """The permissions and variables that the task asks for; every node gets the same."""
    token: bool = False
    """Whether the task pays in a token that is made at the start. A KPL task does so always."""


class Network(msgspec.Struct):
    """The file about a running network, from which another terminal can watch and control it."""

    url: str
    task: str
    members: list[Member]


Show = Callable[[Watch], None]


class Localnet:
    """The processes of one `up`, from `run` to its end."""

    def __init__(self, plan: Plan, package: Package, sandbox: str, warn: Callable[[str], None]) -> None:
        """`warn` is called with what a person should know before the network runs."""
        self.plan = plan
        self._warn = warn
        self.package = package
        self.network = Network("", "", [])
        self._sandbox = sandbox
        self._cache = os.environ.get("ROUNDWORK_CACHE", str(plan.directory / CACHE))
        self._supervisor = Supervisor(plan.directory, {"ROUNDWORK_CACHE": self._cache}, plan.secrets)
        self._ports: set[int] = set()
        self._rounds: dict[int, RoundView] = {}
        self._supplies: set[tuple[int, ...]] = set()
        self._manager = Keypair()
        self._mint: str | None = None
        self._followers: dict[str, Follower] = {}
        self._warnings: list[tuple[str, str]] = []
        self._failures: dict[tuple[str, str], Failure] = {}
        """By node and subject, until the same is done."""
        self._reasons: dict[tuple[int, str], str] = {}
        self._full_round: int | None = None
        self._is_watching = False
        self._is_finishing = False

    async def run(self, show: Show) -> Watch:
        """Start everything. Watch until enough rounds are over, no proof comes any more, or `finish` is
        called. Stop everything; returns the last state.

        Raises StoreInUse, BadConfig, BadTaskFile for a program that cannot be loaded, RemoteError.
        """
        with supervise(self.plan.directory):
            _clear(self.plan.directory)
            await load_program(self.package, self._sandbox, Path(self._cache) / "environments")
            try:
                await self._start()
                async with Client(self.network.url) as client:
                    watch = await self._watch(client, show)
                    await self._supervisor.stop(self._name_all_but_ledger())
                    self._follow_logs()
                    watch = _look_back(await self._look(client), watch)
            finally:
                await self._supervisor.stop(self._name_all_but_ledger())
                await self._supervisor.stop(["ledger"])
            moves = self._read_moves(watch)
            return msgspec.structs.replace(watch, state_hash=str(self._read_state_hash()), moves=moves)

    def finish(self) -> bool:
        """Make `run` end now. False while it still starts and has no result."""
        self._is_finishing = self._is_watching
        return self._is_finishing

    # Starting

    async def _start(self) -> None:
        plan = self.plan
        port = find_port(self._ports, span=2)
        self.network.url = f"http://127.0.0.1:{port}"
        params = dict(plan.params)
        demo = find_demo(self.package, params)
        if demo is not None:
            program, pointing = describe_demo(demo, find_port(self._ports))
            await self._start_member(program)
            params |= pointing
        await self._choose_windows(params)
        await self._start_member(self._describe_ledger(port))
        async with Client(self.network.url) as client:
            self.network.task = await self._deploy(client)
            starting = asyncio.Semaphore(STARTS_MAX)

            async def start(at: int, member: Member) -> None:
                async with starting:
                    await self._start_node(client, member, self._get_stake(at))

            plays = list_plays(plan)
            nodes = [self._describe_node(at, play, params) for at, play in enumerate(plays)]
            self.network.members += nodes
            for failure in await asyncio.gather(
                *(start(at, node) for at, node in enumerate(nodes)), return_exceptions=True
            ):
                if failure is not None:
                    raise failure
        self._write()

    async def _choose_windows(self, params: dict[str, str]) -> None:
        """Lengthen the windows of a task under roundwork-1 until an eighth suffices for all nodes here."""
        plan, package = self.plan, self.package
        if package.rules != ROUNDWORK_1.name or plan.round_slots is not None:
            return
        environments = Path(self._cache) / "environments"
        timings = await measure_timings(
            package, params, plan.secrets, self._sandbox, environments, lambda line: None
        )
        if timings is None:
            return
        crowd = max(1.0, plan.nodes / (os.cpu_count() or 1))
        crowded = Timings(timings.submission * crowd, LOCAL_FETCH_SECONDS, timings.audit * crowd)
        self.package = widen(package, compute_windows(crowded, plan.slot_ms))
        if self.package.round_time > package.round_time:
            seconds = self.package.round_time * plan.slot_ms / 1000
            self._warn(
                f"rounds are {self.package.round_time:,} slots, {seconds:,.0f} s, in place of"
                f" {package.round_time:,}: an audit took {timings.audit:.2g} s, to fetch a proof is taken"
                f" as {LOCAL_FETCH_SECONDS:g} s, and an eighth of AUDIT must suffice for all that a node"
                " checks; --round-slots chooses other rounds"
            )

    async def _start_member(self, member: Member) -> None:
        self.network.members.append(member)
        self._supervisor.members.append(member)
        await self._supervisor.start(member)
        self._write()

    def _describe_ledger(self, port: int) -> Member:
        plan = self.plan
        command = [*ROUNDWORK, "ledger", *(["comet"] if plan.engine == "comet" else []), "run", "--json"]
        command += ["--directory", str(plan.directory / "ledger"), "--slot-ms", str(plan.slot_ms)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        return Member("ledger", "ledger", command)

    async def _deploy(self, client: Client) -> str:
        manager, bounty = self._manager, self.package.total_bounty
        await airdrop(client, str(manager.pubkey()), MANAGER_MONEY + (0 if self.plan.token else bounty))
        package = self.package
        if self.plan.token:
            self._mint = await create_token(client, manager, TOKEN_DECIMALS)
            await mint_tokens(client, manager, self._mint, str(manager.pubkey()), bounty)
            package = msgspec.structs.replace(package, task_type="KPL", token_type=self._mint)
        content_id, _ = pack(package)
        address = await deploy(client, manager, package, content_id)
        await set_active(client, manager, address, True)
        return address

    def _describe_node(self, at: int, play: str, params: dict[str, str]) -> Member:
        plan, network = self.plan, self.network
        name = f"node-{at + 1}"
        command = [*ROUNDWORK, "node", "run", "--json", "--url", network.url, "--task", network.task]
        command += ["--directory", str(plan.directory / name), "--package", str(plan.task)]
        command += ["--stake", str(self._get_stake(at)), "--port", str(find_port(self._ports))]
        command += ["--sandbox", self._sandbox, "--yes", "--play", play]
        command += ["--any-machine"] if plan.is_any_machine else []
        for key in plan.secrets:  # whose values are in the environment, where others do not see them
            command += ["--secret", key]
        for key, value in params.items():
            command += ["--param", f"{key}={value}"]
        return Member(name, play, command)

    async def _start_node(self, client: Client, member: Member, stake: int) -> None:
        main = make_keypair(self.plan.directory / member.name / "main.json")
        stakes = 3 * stake * self.plan.rounds  # a liar stakes anew after each slash
        await airdrop(client, str(main.pubkey()), NODE_MONEY + (0 if self._mint else stakes))
        if self._mint:
            await mint_tokens(client, self._manager, self._mint, str(main.pubkey()), stakes)
        self._supervisor.members.append(member)
        await self._supervisor.start(member)

    def _get_stake(self, at: int) -> int:
        stakes = self.plan.stakes or (STAKE_FACTOR * self.package.minimum_stake,)
        return stakes[at % len(stakes)]

    # Watching

    async def _watch(self, client: Client, show: Show) -> Watch:
        """Raises RemoteError if the ledger never answers."""
        watch: Watch | None = None
        loop = asyncio.get_running_loop()
        answered = progressed = loop.time()
        while True:
            self._follow_logs()
            looked = await self._look(client)
            if looked is not None:
                if watch is None or compute_expected_round(looked) > compute_expected_round(watch):
                    progressed = loop.time()
                answered, watch = loop.time(), looked
            end = self._find_end(watch, loop.time() - answered, loop.time() - progressed)
            if watch is not None:
                watch = msgspec.structs.replace(watch, ended=self._supervisor.find_ended(), end=end or "")
                show(watch)
                self._is_watching = True
                if end is not None:
                    return watch
            elif end is not None:
                raise RemoteError(end)
            if await self._supervisor.answer_restarts():
                self._write()
            await asyncio.sleep(self.plan.slot_ms * 2 / 1000)

    def _find_end(self, watch: Watch | None, silent_seconds: float, idle_seconds: float) -> str | None:
        """Why the network stops now, "" if its rounds are over; None if it goes on.

        `silent_seconds`: since the ledger answered; `idle_seconds`: since a round got its first proof.
        """
        if silent_seconds > LEDGER_SECONDS:
            end = self._supervisor.find_ended().get("ledger", "does not answer")
            return f"the ledger {end}"
        if watch is None:
            return None
        if self._is_finishing:
            return f"{count_ended(watch)} of {self.plan.rounds} rounds were over when it was stopped"
        return find_end(watch, self.plan.rounds, idle_seconds)

    async def _look(self, client: Client) -> Watch | None:
        """The state of everything; None while the ledger does not answer."""
        try:
            task = await read_task(client, self.network.task)
            newest = compute_timetable(task).compute_round(task.slot)
            wanted = [round_number for round_number in range(newest + 1) if not self._is_over(round_number)]
            views = await client.get_rounds(self.network.task, wanted)
            ledger = await client.get_ledger()
            supplies = await self._read_supplies(client, ledger)
        except Unreachable:
            return None
        self._rounds |= {
            round_number: view for round_number, view in views.items() if view.status != "Unopened"
        }
        self._supplies.add(supplies)
        self._note_stakes(task)
        return Watch(
            ledger,
            task,
            dict(sorted(self._rounds.items())),
            self.network.members,
            ended=self._supervisor.find_ended(),
            warnings=tuple(self._warnings),
            failures=tuple(self._failures.values()),
            reasons=dict(self._reasons),
            full_round=self._full_round,
            is_supply_constant=len(self._supplies) == 1 and len(set(supplies[1:])) <= 1,
            token_supply=supplies[-1] if self._mint else 0,
        )

    async def _read_supplies(self, client: Client, ledger: LedgerView) -> tuple[int, ...]:
        """The supply of native money; of a token, too, what its accounts hold and what its mint says."""
        if self._mint is None:
            return (ledger.supply,)
        supply, _ = await client.get_token_supply(self._mint)
        return ledger.supply, await client.get_tokens_held(self._mint), supply

    def _note_stakes(self, task: TaskView) -> None:
        """Note the round that begins next, once all nodes have their stake."""
        able = {stake.node for stake in task.stakes if stake.amount >= task.minimum_stake}
        nodes = {member.address for member in self.network.members if is_node(member)}
        if self._full_round is None and nodes <= able:
            self._full_round = compute_timetable(task).compute_round(task.slot) + 1

    def _follow_logs(self) -> None:
        for member in filter(is_node, self.network.members):
            log = Follower(self.plan.directory / f"{member.name}.log")
            for line in self._followers.setdefault(member.name, log).read_lines():
                self._take_line(member.name, line)

    def _take_line(self, name: str, line: LogLine) -> None:
        """Keep what a line of a node's log says: a warning, a failure, or that a failed duty is done."""
        ending, _, kind = line.logger.partition(".")
        subject, _, outcome = line.message.partition(": ")
        if ending == DONE:
            self._failures.pop((name, subject), None)
            reason = outcome.removeprefix("invalid: ")
            if kind == "audit" and reason != outcome and (audited := read_audit(subject)):
                self._reasons.setdefault(audited, reason)
        elif ending == FAILED:
            failure = Failure(name, kind, self._name_nodes(subject), self._name_nodes(outcome))
            self._failures.setdefault((name, subject), failure)
        if line.is_loud:
            self._warnings.append((name, self._name_nodes(line.message)))

    def _name_nodes(self, text: str) -> str:
        """A text with the names of nodes in place of their addresses."""
        for member in filter(is_node, self.network.members):
            text = text.replace(member.address, member.name) if member.address else text
        return text

    def _is_over(self, round_number: int) -> bool:
        view = self._rounds.get(round_number)
        return view is not None and view.status in OVER

    def _write(self) -> None:
        _write_network(self.plan.directory, self.network)

    def _name_all_but_ledger(self) -> list[str]:
        return [member.name for member in self.network.members if member.role != "ledger"]

    def _read_moves(self, watch: Watch) -> Moves | None:
        """What moved in the rounds of a task under roundwork-1."""
        if watch.task.rules != ROUNDWORK_1.name:
            return None
        return read_moves(self.plan.directory / "ledger", watch.task, watch.rounds)

    def _read_state_hash(self) -> str | int:
        return read_info(self.plan.directory / "ledger").get("state_hash", "")


def _look_back(last: Watch | None, before: Watch) -> Watch:
    """The last state of a network, without the rounds that closed unpaid because its nodes were stopped."""
    if last is None:
        return before
    were_unpaid = {round_number for round_number, view in before.rounds.items() if view.status == UNPAID}
    rounds = {
        round_number: view
        for round_number, view in last.rounds.items()
        if view.status != UNPAID or round_number in were_unpaid
    }
    return msgspec.structs.replace(last, rounds=rounds, end=before.end)


def prepare(plan: Plan, warn: Callable[[str], None]) -> Localnet:
    """A network that is not started yet. Raises BadConfig, BadTaskFile for a plan that cannot be run."""
    if plan.nodes < 1 or not 0 <= plan.liars <= plan.nodes:
        raise BadConfig(f"--nodes {plan.nodes} --liars {plan.liars}: at least one node, and not more liars")
    plays = list_plays(plan)
    if plan.round_slots is not None and plan.round_slots < ROUND_SLOTS_MIN:
        raise BadConfig(
            f"--round-slots {plan.round_slots}: at least {ROUND_SLOTS_MIN}, so that every step has its window"
        )
    package = _fit(load_package(plan.task), plan)
    check_params(package, plan.params)
    merge_params(package, plan.params)  # each node does this again; a wrong param is refused here
    if not plan.is_any_machine:
        check_machine(package.requirements)
    if package.kind == "javascript":
        if package.rules != KOII_1.name:
            raise BadConfig(
                f"--rules {package.rules}: a main.js is played under {KOII_1.name} only; leave --rules out"
            )
        find_node()
        for play in plays:
            check_javascript_play(find_play(play))
    for stake in plan.stakes:
        if stake < package.minimum_stake:
            least = format_money(package.minimum_stake)
            raise BadConfig(f"--stakes {format_money(stake)}: the task needs a stake of at least {least}")
    if package.task_type == "KPL":
        plan = msgspec.structs.replace(plan, token=True)
    return Localnet(plan, package, choose_sandbox_or_none(plan.sandbox, warn), warn)


def list_plays(plan: Plan) -> list[str]:
    """The way to play of each node: the honest first, the liars last. Raises BadConfig."""
    dishonest = [name for name, count in plan.plays.items() for _ in range(count)]
    dishonest += [LIAR.name] * plan.liars
    for name in plan.plays:
        find_play(name)
    if len(dishonest) > plan.nodes:
        raise BadConfig(
            f"--nodes {plan.nodes}: {len(dishonest)} of them are to play {join_names(set(dishonest))}"
        )
    return [HONEST.name] * (plan.nodes - len(dishonest)) + dishonest


def restart(directory: Path, name: str) -> int:
    """Have the `up` that runs in a directory start a killed process again; its pid.

    Raises BadConfig, RemoteError.
    """
    path = directory / STATE_FILE
    if not is_held(directory) or not path.exists():
        raise BadConfig(f"--directory {directory}: no network runs there")
    names = [member.name for member in decode_json(path.read_bytes(), Network).members]
    if name not in names:
        raise BadConfig(f"--restart {name}: it is one of {', '.join(names)}")
    return ask_restart(directory, name)


def _clear(directory: Path) -> None:
    """Remove what an earlier `up` left. Raises BadConfig for a directory that is not one of ours."""
    entries = list(directory.iterdir())
    if entries and not (directory / STATE_FILE).exists():
        raise BadConfig(f"--directory {directory}: it holds files that no `up` made; name an empty one")
    for entry in entries:
        if entry.name not in (STATE_FILE, CACHE):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    _write_network(directory, Network("", "", []))


def _write_network(directory: Path, network: Network) -> None:
    """Other processes read the file at any moment, so it is replaced as a whole."""
    replace_file(directory / STATE_FILE, msgspec.json.encode(network))


def _fit(package: Package, plan: Plan) -> Package:
    """The task's package with the plan's rules and windows, and a bounty that is enough for the rounds."""
    bounty = package.bounty_per_round * (plan.rounds + SPARE_ROUNDS)
    package = msgspec.structs.replace(package, rules=plan.rules or package.rules, total_bounty=bounty)
    if package.rules == ROUNDWORK_1.name:
        return fit_long_windows(package, plan.round_slots)
    if plan.round_slots is None:
        return package
    window = plan.round_slots * 2 // 5
    return msgspec.structs.replace(
        package, round_time=plan.round_slots, submission_window=window, audit_window=window
    )
