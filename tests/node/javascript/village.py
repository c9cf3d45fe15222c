"""Several nodes of one task, each a process of its own, on a ledger in a process of its own."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, create_token, deploy, mint_tokens, read_task, set_active
from roundwork.client.rpc import Client
from roundwork.host.keypairs import read_keypair, write_keypair
from roundwork.package.folder import load_package, pack
from roundwork.participant.moment import compute_timetable
from roundwork.participant.selection import Submissions, select_node
from roundwork.protocol.params import KOII
from roundwork.views import RoundView

from ...ledger.process import running

STAKE = 5 * KOII
ROUNDS = 30
"""Within which a busy machine is expected to show what is waited for."""

JAVASCRIPT = ("--program", "main.js")


class Node:
    """One `roundwork node run`."""

    def __init__(self, directory: Path, command: list[str]) -> None:
        self.directory = directory
        self.address = ""
        self.endpoint = ""
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self.directory / "log").open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True
            )
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, (self.directory / "log").read_text()
        told = json.loads(line)
        self.address, self.endpoint = told["node"], told["endpoint"]

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(how)
        await asyncio.wait_for(self._process.wait(), 20)

    def read_log(self) -> str:
        return (self.directory / "log").read_text()

    def find_processes(self) -> list[int]:
        """Processes of its main.js: those whose environment holds its arguments, the main key among them."""
        main = str(read_keypair(self.directory / "main.json").pubkey()).encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = path.read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if main in environment:
                found.append(int(path.parent.name))
        return found


class Village:
    """The nodes of one task. `token` is the mint that it pays in, if it pays in one."""

    def __init__(
        self, client: Client, manager: Keypair, task: str, package: Path, secrets: Mapping[str, str]
    ) -> None:
        self.client = client
        self.task = task
        self.package = package
        self.nodes: list[Node] = []
        self.token: str | None = None
        self.manager = manager
        self._secrets = secrets

    async def add(self, directory: Path, *options: str, **secrets: str) -> Node:
        """One more node; `secrets` beside those of all nodes."""
        write_keypair(directory / "main.json", main := Keypair())
        address = str(main.pubkey())
        await airdrop(self.client, address, 100 * KOII)
        if self.token is not None:
            await mint_tokens(self.client, self.manager, self.token, address, 100 * KOII)
        command = [sys.executable, "-m", "roundwork", "node", "run", "--json", "--url", self.client.url]
        command += ["--task", self.task, "--directory", str(directory), "--package", str(self.package)]
        for name, value in {**self._secrets, **secrets}.items():
            command += ["--secret", f"{name}={value}"]
        command += ["--stake", str(STAKE), "--yes", *options]
        node = Node(directory, command)
        self.nodes.append(node)
        await node.start()
        return node

    async def read(self, round_number: int) -> RoundView:
        view = await self.client.get_round(self.task, round_number)
        assert view is not None
        return view

    async def settle(self, first: int, is_so: Callable[[RoundView], bool]) -> RoundView:
        """The first paid round from `first` on of which something is true."""
        view = None
        for round_number in range(first, first + ROUNDS):
            view = await self.read_after(round_number, 3)
            if view.status == "PayoutSuccessful" and is_so(view):
                return view
        logs = "\n".join(node.read_log()[-3000:] for node in self.nodes)
        raise AssertionError(f"in no round from {first} on; the last is {view}\n{logs}")

    async def read_after(self, round_number: int, ledger_rounds: int) -> RoundView:
        """A round, once so many ledger rounds have passed since its work began."""
        while True:
            task = await read_task(self.client, self.task)
            if task.slot >= compute_timetable(task).compute_start(round_number + ledger_rounds):
                return await self.read(round_number)
            await asyncio.sleep(0.05)

    async def find_selected(self, view: RoundView) -> str | None:
        """The node that the published rule selects in a round's first attempt."""
        before = [await self.read(each) for each in (view.round - 1, view.round - 2) if each >= 0]
        return select_node(show(view), [show(each) for each in before])


@asynccontextmanager
async def open_village(
    directory: Path, folder: Path, is_token: bool = False, **secrets: str
) -> AsyncIterator[Village]:
    """The task in `folder` on a ledger of its own, without nodes yet; `secrets` for each node."""
    package = load_package(folder)
    async with AsyncExitStack() as stack:
        ledger = stack.enter_context(running(directory / "ledger"))
        client = await stack.enter_async_context(Client(ledger.url))
        manager = Keypair()
        await airdrop(client, str(manager.pubkey()), 2000 * KOII)
        token = await create_token(client, manager, 9) if is_token else None
        if token is not None:
            await mint_tokens(client, manager, token, str(manager.pubkey()), package.total_bounty)
            package = msgspec.structs.replace(package, task_type="KPL", token_type=token)
        task = await deploy(client, manager, package, pack(package)[0])
        await set_active(client, manager, task, True)
        village = Village(client, manager, task, package.folder, secrets)
        village.token = token
        try:
            yield village
        finally:
            for node in village.nodes:
                await node.end()


def show(view: RoundView) -> Submissions:
    return {
        each.node: {"submission_value": each.value, "slot": each.slot, "round": view.round}
        for each in sorted(view.submissions, key=lambda each: each.node)
    }
