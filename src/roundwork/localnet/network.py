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
from ..errors import BadConfig
from ..host.files import replace_file
from ..host.hold import is_held
from ..host.keypairs import make_keypair
from ..ledger.inspect import read_info
from ..node.confinement.sandbox import choose_sandbox_or_none
from ..package.folder import Demo, Package, load_package, pack
from ..participant.moment import compute_timetable
from ..protocol.params import KOII
from ..views import LedgerView, RoundView, TaskView
from ..wire import decode_json
from .logs import Follower
from .supervisor import ROUNDWORK, Member, Supervisor, ask_restart, find_port, supervise

STATE_FILE = "localnet.json"
CACHE = "cache"
"""Environments of tasks, kept for the next `up`."""

NODE_MONEY = 1_000 * KOII
MANAGER_MONEY = 1_000 * KOII
"""Beyond the bounty: fees, and what existing clients leave on a task's account."""

TOKEN_DECIMALS = 9
"""Of the token of `--token`: as many as native money has, so that a task's amounts mean the same."""

SPARE_ROUNDS = 20
"""Rounds that the bounty lasts beyond those that are waited for."""

STAKE_FACTOR = 10
"""A node's stake, as a multiple of the task's minimum."""

STARTS_MAX = 8
"""Nodes that are started at a time."""

ROUND_SLOTS_MIN = 20
OVER = ("PayoutSuccessful", "ClosedUnpaid")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The network to run. `round_slots` is the length of a round; None keeps the task's own windows."""

    task: Path
    directory: Path
    nodes: int = 5
    liars: int = 1
    rounds: int = 5
    rules: str = "koii-1"
    round_slots: int | None = None
    slot_ms: int = 100
    engine: Literal["embedded", "comet"] = "embedded"
    sandbox: str | None = None
    params: dict[str, str] = {}
    secrets: dict[str, str] = {}
    """The permissions and variables that the task asks for; every node gets the same."""
    token: bool = False
    """Whether the task pays in a token that is made at the start. A KPL task does so always."""


class Network(msgspec.Struct):
    """The file about a running network, from which another terminal can watch and control it."""

    url: str
    task: str
    members: list[Member]


class Watch(msgspec.Struct, frozen=True):
    """The state of a network for its watchers: the task, its rounds, its processes, the ended ones."""

    ledger: LedgerView
    task: TaskView
    rounds: dict[int, RoundView]
    members: list[Member]
    ended: dict[str, str] = {}
    warnings: tuple[tuple[str, str], ...] = ()
    """The warnings of nodes so far: the node's name, and the text."""

    is_supply_constant: bool = True
    """Of native money, and of the token that the task pays in."""
    token_supply: int = 0
    state_hash: str = ""
    """Of the last block on disk, once everything has stopped."""


Show = Callable[[Watch], None]


class Localnet:
    """The processes of one `up`, from `run` to its end."""

    def __init__(self, plan: Plan, package: Package, sandbox: str) -> None:
        self.plan = plan
        self.package = package
        self.network = Network("", "", [])
        self._sandbox = sandbox
        cache = os.environ.get("ROUNDWORK_CACHE", str(plan.directory / CACHE))
        self._supervisor = Supervisor(plan.directory, {"ROUNDWORK_CACHE": cache}, plan.secrets)
        self._ports: set[int] = set()
        self._rounds: dict[int, RoundView] = {}
        self._supplies: set[tuple[int, ...]] = set()
        self._manager = Keypair()
        self._mint: str | None = None
        self._followers: dict[str, Follower] = {}
        self._warnings: list[tuple[str, str]] = []
        self._is_watching = False
        self._is_asked = False

    async def run(self, show: Show) -> Watch:
        """Start everything, watch until enough rounds are settled or `finish` is called, stop everything; how
        it stands then.

        Raises StoreInUse, BadConfig, RemoteError.
        """
        with supervise(self.plan.directory):
            _clear(self.plan.directory)
            try:
                await self._start()
                async with Client(self.network.url) as client:
                    watch = await self._watch(client, show)
                    await self._supervisor.stop(self._name_all_but_ledger())
                    watch = await self._look(client) or watch
            finally:
                await self._supervisor.stop(self._name_all_but_ledger())
                await self._supervisor.stop(["ledger"])
            return msgspec.structs.replace(watch, state_hash=str(self._read_state_hash()))

    def finish(self) -> bool:
        """Make `run` end now. False while it still starts and has no result."""
        self._is_asked = self._is_watching
        return self._is_asked

    # Starting

    async def _start(self) -> None:
        plan = self.plan
        port = find_port(self._ports, span=2)
        self.network.url = f"http://127.0.0.1:{port}"
        params = dict(plan.params)
        demo = self.package.demo
        if demo is not None and not demo.params.keys() <= params.keys():
            params |= await self._start_program(demo)
        await self._start_member(self._describe_ledger(port))
        async with Client(self.network.url) as client:
            self.network.task = await self._deploy(client)
            starting = asyncio.Semaphore(STARTS_MAX)

            async def start(member: Member) -> None:
                async with starting:
                    await self._start_node(client, member)

            nodes = [self._describe_node(at, params) for at in range(plan.nodes)]
            self.network.members += nodes
            for failure in await asyncio.gather(*map(start, nodes), return_exceptions=True):
                if failure is not None:
                    raise failure
        self._write()

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

    def _describe_node(self, at: int, params: dict[str, str]) -> Member:
        plan, network = self.plan, self.network
        is_liar = at >= plan.nodes - plan.liars
        name = f"node-{at + 1}"
        command = [*ROUNDWORK, "node", "run", "--json", "--url", network.url, "--task", network.task]
        command += ["--directory", str(plan.directory / name), "--package", str(plan.task)]
        command += ["--stake", str(self._stake), "--port", str(find_port(self._ports))]
        command += ["--sandbox", self._sandbox, "--yes", *(["--liar"] if is_liar else [])]
        for key in plan.secrets:  # whose values are in the environment, where others do not see them
            command += ["--secret", key]
        for key, value in params.items():
            command += ["--param", f"{key}={value}"]
        return Member(name, "liar" if is_liar else "honest", command)

    async def _start_node(self, client: Client, member: Member) -> None:
        main = make_keypair(self.plan.directory / member.name / "main.json")
        stakes = 3 * self._stake * self.plan.rounds  # a liar stakes anew after each slash
        await airdrop(client, str(main.pubkey()), NODE_MONEY + (0 if self._mint else stakes))
        if self._mint:
            await mint_tokens(client, self._manager, self._mint, str(main.pubkey()), stakes)
        self._supervisor.members.append(member)
        await self._supervisor.start(member)

    @property
    def _stake(self) -> int:
        return STAKE_FACTOR * self.package.minimum_stake

    async def _start_program(self, demo: Demo) -> dict[str, str]:
        """The program that the task is demonstrated on; the params that point at it."""
        port = find_port(self._ports)
        python, *_ = ROUNDWORK
        words = (python if word == "python" else word.replace("{port}", str(port)) for word in demo.command)
        await self._start_member(Member("program", "program", list(words), port))
        return {name: value.replace("{port}", str(port)) for name, value in demo.params.items()}

    # Watching

    async def _watch(self, client: Client, show: Show) -> Watch:
        watch: Watch | None = None
        while True:
            watch = await self._look(client) or watch
            if watch is not None:
                self._follow_logs()
                ended, warnings = self._supervisor.find_ended(), tuple(self._warnings)
                watch = msgspec.structs.replace(watch, ended=ended, warnings=warnings)
                show(watch)
                self._is_watching = True
                if self._is_asked or count_settled(watch) >= self.plan.rounds:
                    return watch
            if await self._supervisor.answer_restarts():
                self._write()
            await asyncio.sleep(self.plan.slot_ms * 2 / 1000)

    async def _look(self, client: Client) -> Watch | None:
        """How everything stands; None while the ledger does not answer."""
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
        return Watch(
            ledger,
            task,
            dict(sorted(self._rounds.items())),
            self.network.members,
            is_supply_constant=len(self._supplies) == 1 and len(set(supplies[1:])) <= 1,
            token_supply=supplies[-1] if self._mint else 0,
        )

    async def _read_supplies(self, client: Client, ledger: LedgerView) -> tuple[int, ...]:
        """The supply of native money; of a token, too, what its accounts hold and what its mint says."""
        if self._mint is None:
            return (ledger.supply,)
        supply, _ = await client.get_token_supply(self._mint)
        return ledger.supply, await client.get_tokens_held(self._mint), supply

    def _follow_logs(self) -> None:
        for member in self.network.members:
            if member.role in ("honest", "liar"):
                log = Follower(self.plan.directory / f"{member.name}.log")
                warnings = self._followers.setdefault(member.name, log).read_warnings()
                self._warnings += [(member.name, text) for text in warnings]

    def _is_over(self, round_number: int) -> bool:
        view = self._rounds.get(round_number)
        return view is not None and view.status in OVER

    def _write(self) -> None:
        _write_network(self.plan.directory, self.network)

    def _name_all_but_ledger(self) -> list[str]:
        return [member.name for member in self.network.members if member.role != "ledger"]

    def _read_state_hash(self) -> str | int:
        return read_info(self.plan.directory / "ledger").get("state_hash", "")


def prepare(plan: Plan, warn: Callable[[str], None]) -> Localnet:
    """A network that is not started yet. Raises BadConfig, BadTaskFile for a plan that cannot be run."""
    if plan.nodes < 1 or not 0 <= plan.liars <= plan.nodes:
        raise BadConfig(f"--nodes {plan.nodes} --liars {plan.liars}: at least one node, and not more liars")
    if plan.round_slots is not None and plan.round_slots < ROUND_SLOTS_MIN:
        raise BadConfig(
            f"--round-slots {plan.round_slots}: at least {ROUND_SLOTS_MIN}, so that every step has its window"
        )
    package = _fit(load_package(plan.task), plan)
    if package.kind == "javascript":
        from ..node.javascript.process import find_node

        find_node()
    if package.task_type == "KPL":
        plan = msgspec.structs.replace(plan, token=True)
    return Localnet(plan, package, choose_sandbox_or_none(plan.sandbox, warn))


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


def count_settled(watch: Watch) -> int:
    """How many rounds are paid."""
    return sum(view.status == "PayoutSuccessful" for view in watch.rounds.values())


def summarise(watch: Watch) -> dict[str, object]:
    """What `up --json` ends with."""
    rounds = watch.rounds.values()
    stakes = {stake.node: stake for stake in watch.task.stakes}
    nodes = []
    for member in watch.members:
        if member.role not in ("honest", "liar"):
            continue
        paid = [payment for view in rounds for payment in view.payments if payment.node == member.address]
        stake = stakes.get(member.address)
        nodes.append(
            {
                "name": member.name,
                "key": member.address,
                "role": member.role,
                "submitted": sum(each.node == member.address for view in rounds for each in view.submissions),
                "earned": sum(payment.reward for payment in paid),
                "slashed": sum(payment.slash for payment in paid),
                "stake": stake.amount if stake else 0,
                "available": stake.available if stake else 0,
            }
        )
    return {
        "rounds_settled": count_settled(watch),
        "rounds_unpaid": sum(view.status == "ClosedUnpaid" for view in rounds),
        "supply_constant": watch.is_supply_constant,
        **({"token": watch.task.mint, "token_supply": watch.token_supply} if watch.task.mint else {}),
        "state_hash": watch.state_hash,
        "nodes": nodes,
    }


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
    """The task's package with the plan's rules and windows, and a bounty that lasts."""
    bounty = package.bounty_per_round * (plan.rounds + SPARE_ROUNDS)
    package = msgspec.structs.replace(package, rules=plan.rules, total_bounty=bounty)
    if plan.round_slots is None:
        return package
    window = plan.round_slots * 2 // 5
    return msgspec.structs.replace(
        package, round_time=plan.round_slots, submission_window=window, audit_window=window
    )
