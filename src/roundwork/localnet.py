"""A ledger and nodes as processes on this machine, supervised: what `up` runs."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from solders.keypair import Keypair

from .client import Client, Unreachable
from .errors import BadConfig, TaskFailed
from .operations import deploy, read_task, set_active
from .package import Demo, Package, load_package, pack
from .protocol.params import KOII
from .protocol.views import LedgerView, RoundView, TaskView

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
RESTART_SECONDS = 0.3
NODE_MONEY = 1_000 * KOII
STAKE_FACTOR = 10
"""A node's stake, as a multiple of the task's minimum."""

STATE_FILE = "localnet.json"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. Windows in slots; `round_slots` is one ledger round."""

    task: Path
    directory: Path
    nodes: int = 5
    liars: int = 1
    rounds: int = 5
    round_slots: int = 60
    slot_ms: int = 100
    engine: Literal["embedded", "comet"] = "embedded"
    sandbox: str | None = None
    params: dict[str, str] = {}


class Member(msgspec.Struct):
    """One process of the network, and how to start it again."""

    name: str
    role: Literal["ledger", "honest", "liar", "program"]
    command: list[str]
    pid: int = 0
    address: str = ""


class Network(msgspec.Struct):
    """What is written down of a running network, so that another terminal can look after it."""

    url: str
    task: str
    members: list[Member]


class Watch(msgspec.Struct, frozen=True):
    """What a watcher is shown: the task, its rounds so far, which processes run."""

    ledger: LedgerView
    task: TaskView
    rounds: dict[int, RoundView]
    members: list[Member]


Show = Callable[[Watch], None]


class Localnet:
    """The processes of one `up`. One that dies is left dead until somebody asks for it."""

    def __init__(self, plan: Plan, package: Package) -> None:
        self.plan = plan
        self.package = package
        self.network = Network("", "", [])
        self.rounds: dict[int, RoundView] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def run(self, show: Show) -> Watch:
        """Start everything, watch until enough rounds are settled, stop everything; the last thing seen."""
        try:
            await self._start()
            async with Client(self.network.url) as client:
                return await self._watch(client, show)
        finally:
            await self._stop()

    # Starting

    async def _start(self) -> None:
        plan = self.plan
        plan.directory.mkdir(parents=True, exist_ok=True)
        port = find_ports()
        self.network.url = f"http://127.0.0.1:{port}"
        params = dict(plan.params)
        if self.package.demo is not None and not self.package.demo.params.keys() <= params.keys():
            params |= await self._start_program(self.package.demo)
        ledger = [*_ROUNDWORK, "ledger", *(["comet"] if plan.engine == "comet" else []), "run", "--json"]
        ledger += ["--directory", str(plan.directory / "ledger"), "--port", str(port), "--host", "127.0.0.1"]
        await self._launch(Member("ledger", "ledger", [*ledger, "--slot-ms", str(plan.slot_ms)]))
        async with Client(self.network.url) as client:
            self.network.task = await self._deploy(client)
            await asyncio.gather(*[self._start_node(client, at, params) for at in range(plan.nodes)])
        self._write()

    async def _deploy(self, client: Client) -> str:
        plan, package = self.plan, self.package
        manager = Keypair()
        bounty = package.bounty_per_round * (plan.rounds + 20)
        await client.request_airdrop(str(manager.pubkey()), bounty + 100 * KOII)
        content_id, _ = pack(package)
        address = await deploy(
            client,
            manager,
            package,
            content_id,
            total_bounty=bounty,
            round_time=plan.round_slots,
            submission_window=plan.round_slots * 2 // 5,
            audit_window=plan.round_slots * 2 // 5,
        )
        await set_active(client, manager, address, True)
        return address

    async def _start_node(self, client: Client, at: int, params: dict[str, str]) -> None:
        plan = self.plan
        is_liar = at >= plan.nodes - plan.liars
        name = f"node-{at + 1}"
        directory = plan.directory / name
        main = _make_key(directory / "main.json")
        await client.request_airdrop(str(main.pubkey()), NODE_MONEY + 3 * self._stake * plan.rounds)
        command = [
            *_ROUNDWORK,
            "node",
            "run",
            "--json",
            "--url",
            self.network.url,
            "--task",
            self.network.task,
        ]
        command += ["--directory", str(directory), "--package", str(plan.task), "--stake", str(self._stake)]
        command += ["--port", str(find_ports()), *(["--liar"] if is_liar else [])]
        command += [] if plan.sandbox is None else ["--sandbox", plan.sandbox]
        for key, value in params.items():
            command += ["--param", f"{key}={value}"]
        await self._launch(Member(name, "liar" if is_liar else "honest", command))

    @property
    def _stake(self) -> int:
        return STAKE_FACTOR * self.package.minimum_stake

    async def _start_program(self, demo: Demo) -> dict[str, str]:
        """The program that the task is demonstrated on; the params that point at it."""
        port = str(find_ports())
        command = [
            sys.executable if word == "python" else word.replace("{port}", port) for word in demo.command
        ]
        member = Member("program", "program", command)
        self.network.members.append(member)
        await self._spawn(member)
        await _wait_for_port(int(port))
        return {name: value.replace("{port}", port) for name, value in demo.params.items()}

    async def _launch(self, member: Member) -> None:
        """Start one of our processes and wait until it says that it is ready. Raises TaskFailed."""
        self.network.members.append(member)
        process = await self._spawn(member)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            log = (self.plan.directory / f"{member.name}.log").read_text(errors="replace")
            raise TaskFailed(f"{member.name} did not start; its log ends:\n{log[-2000:]}")
        member.address = json.loads(line).get("node", "")

    async def _spawn(self, member: Member) -> asyncio.subprocess.Process:
        log = self.plan.directory / f"{member.name}.log"
        with log.open("ab") as file:  # opening a log does not wait for anything
            process = await asyncio.create_subprocess_exec(
                *member.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )
        member.pid = process.pid
        self._processes[member.name] = process
        return process

    # Watching

    async def _watch(self, client: Client, show: Show) -> Watch:
        while True:
            with contextlib.suppress(Unreachable):
                watch = await self._look(client)
                show(watch)
                if self._count_settled() >= self.plan.rounds:
                    return watch
            await self._restart_asked()
            await asyncio.sleep(self.plan.slot_ms * 2 / 1000)

    async def _look(self, client: Client) -> Watch:
        task = await read_task(client, self.network.task)
        newest = (task.slot - task.starting_slot) // task.round_time
        wanted = [n for n in range(max(newest, 0) + 1) if not self._is_over(n)]
        for number, view in (await client.get_rounds(self.network.task, wanted)).items():
            if view.status != "Unopened":
                self.rounds[number] = view
        return Watch(await client.get_ledger(), task, dict(self.rounds), self.network.members)

    def _is_over(self, number: int) -> bool:
        one = self.rounds.get(number)
        return one is not None and one.status in ("PayoutSuccessful", "ClosedUnpaid")

    def _count_settled(self) -> int:
        return sum(one.status == "PayoutSuccessful" for one in self.rounds.values())

    async def _restart_asked(self) -> None:
        """Start again what `up --restart` has asked for."""
        for member in self.network.members:
            asked = self.plan.directory / f"{member.name}.restart"
            if asked.exists() and self._processes[member.name].returncode is not None:
                asked.unlink()
                await self._spawn(member)
                self._write()

    def _write(self) -> None:
        path = self.plan.directory / STATE_FILE
        part = path.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(self.network))
        part.rename(path)

    # Stopping

    async def _stop(self) -> None:
        for member in reversed(self.network.members):
            process = self._processes.get(member.name)
            if process is not None and process.returncode is None and member.role != "ledger":
                process.terminate()
        await self._end([p for name, p in self._processes.items() if name != "ledger"])
        if (ledger := self._processes.get("ledger")) is not None and ledger.returncode is None:
            ledger.terminate()
            await self._end([ledger])

    async def _end(self, processes: list[asyncio.subprocess.Process]) -> None:
        waits = [asyncio.create_task(process.wait()) for process in processes]
        if waits:
            await asyncio.wait(waits, timeout=STOP_SECONDS)
        for process in processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


def prepare(plan: Plan) -> Localnet:
    """A network that is not started yet. Raises BadConfig, BadTaskFile for a plan that cannot be run."""
    if plan.nodes < 1 or not 0 <= plan.liars <= plan.nodes:
        raise BadConfig(f"--nodes {plan.nodes} --liars {plan.liars}: at least one node, and not more liars")
    if plan.round_slots < 20:
        raise BadConfig(f"--round-slots {plan.round_slots}: at least 20, so that every step has its window")
    if (plan.directory / STATE_FILE).exists():
        shutil.rmtree(plan.directory)
    return Localnet(plan, load_package(plan.task))


def ask_restart(directory: Path, name: str) -> None:
    """Ask the `up` that runs in a directory to start a killed process again. Raises BadConfig."""
    path = directory / STATE_FILE
    if not path.exists():
        raise BadConfig(f"{directory}: no network runs here")
    network = msgspec.json.decode(path.read_bytes(), type=Network)
    names = [member.name for member in network.members]
    if name not in names:
        raise BadConfig(f"--restart {name}: it is one of {', '.join(names)}")
    (directory / f"{name}.restart").touch()


def summarise(watch: Watch, supply: int) -> dict[str, object]:
    """What `up --json` ends with."""
    rounds = watch.rounds.values()
    stakes = {one.node: one for one in watch.task.stakes}
    nodes = []
    for member in watch.members:
        if member.role not in ("honest", "liar"):
            continue
        paid = [one for view in rounds for one in view.payments if one.node == member.address]
        stake = stakes.get(member.address)
        nodes.append(
            {
                "name": member.name,
                "key": member.address,
                "role": member.role,
                "submitted": sum(each.node == member.address for view in rounds for each in view.submissions),
                "earned": sum(one.reward for one in paid),
                "slashed": sum(one.slash for one in paid),
                "stake": stake.amount if stake else 0,
                "available": stake.available if stake else 0,
            }
        )
    return {
        "rounds_settled": sum(view.status == "PayoutSuccessful" for view in rounds),
        "rounds_unpaid": sum(view.status == "ClosedUnpaid" for view in rounds),
        "supply_constant": watch.ledger.supply == supply,
        "state_hash": watch.ledger.state_hash,
        "nodes": nodes,
    }


def find_ports() -> int:
    """A free port whose next one is free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


async def _wait_for_port(port: int) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(RESTART_SECONDS)
                continue
            writer.close()
            return


def _make_key(path: Path) -> Keypair:
    path.parent.mkdir(parents=True, exist_ok=True)
    pair = Keypair()
    path.write_text(json.dumps(list(bytes(pair))))
    path.chmod(0o600)
    return pair


_ROUNDWORK = [sys.executable, "-m", "roundwork"]
