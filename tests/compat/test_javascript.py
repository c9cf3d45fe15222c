"""A main.js with npm packages beside Python nodes of the same task, on a real ledger, in real rounds."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, read_task, set_active
from roundwork.client.rpc import Client
from roundwork.host.keypairs import read_keypair, write_keypair
from roundwork.package.folder import load_package, pack
from roundwork.participant.moment import compute_timetable
from roundwork.participant.selection import Submissions, select_node
from roundwork.protocol.clock import DISTRIBUTION
from roundwork.protocol.params import KOII
from roundwork.views import RoundView

from ..ledger.process import running
from ..node.house import require_sandbox
from ..node.javascript.mainjs import require_node
from .test_clients import require

SOURCE = Path(__file__).parent / "javascript"
SALUTE = "Grüß Gott"
STAKE = 5 * KOII
ROUNDS = 15
"""Within which a busy machine is expected to show what is waited for."""

JAVASCRIPT = ("--program", "main.js")
LIAR = ("--liar",)


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
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        await asyncio.wait_for(self._process.wait(), 20)

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
    """The nodes of one task."""

    def __init__(self, client: Client, task: str, package: Path) -> None:
        self.client = client
        self.task = task
        self.package = package
        self.nodes: list[Node] = []

    async def add(self, directory: Path, *options: str) -> Node:
        write_keypair(directory / "main.json", main := Keypair())
        await airdrop(self.client, str(main.pubkey()), 100 * KOII)
        command = [sys.executable, "-m", "roundwork", "node", "run", "--json", "--url", self.client.url]
        command += ["--task", self.task, "--directory", str(directory), "--package", str(self.package)]
        command += ["--stake", str(STAKE), "--secret", f"SALUTE={SALUTE}", "--yes", *options]
        node = Node(directory, command)
        self.nodes.append(node)
        await node.start()
        return node

    async def read(self, number: int) -> RoundView:
        view = await self.client.get_round(self.task, number)
        assert view is not None
        return view

    async def settle(self, number: int, is_so: Callable[[RoundView], bool]) -> RoundView:
        """The first paid round from `number` on of which something is true."""
        view = None
        for each in range(number, number + ROUNDS):
            while True:
                task = await read_task(self.client, self.task)
                if task.slot >= compute_timetable(task).compute_start(each + 3):
                    break
                await asyncio.sleep(0.05)
            view = await self.read(each)
            if view.status == "PayoutSuccessful" and is_so(view):
                return view
        logs = "\n".join((node.directory / "log").read_text()[-3000:] for node in self.nodes)
        raise AssertionError(f"in no round from {number} on; the last is {view}\n{logs}")


def bundle(directory: Path) -> Path:
    """The task's folder, its main.js with express in it, as existing tasks are published."""
    tools = require("javascript", "node")
    directory.mkdir()
    for name in ("task.py", "config-task.yml"):
        (directory / name).write_bytes((SOURCE / name).read_bytes())
    command = [
        tools / "node_modules" / ".bin" / "esbuild",
        SOURCE / "main.js",
        "--bundle",
        "--log-level=error",
    ]
    command += ["--platform=node", f"--outfile={directory / 'main.js'}"]
    environment = {**os.environ, "NODE_PATH": str(tools / "node_modules")}
    subprocess.run([str(word) for word in command], check=True, env=environment)
    return directory


@asynccontextmanager
async def open_village(directory: Path) -> AsyncIterator[Village]:
    package = load_package(bundle(directory / "package"))
    async with AsyncExitStack() as stack:
        ledger = stack.enter_context(running(directory / "ledger"))
        client = await stack.enter_async_context(Client(ledger.url))
        manager = Keypair()
        await airdrop(client, str(manager.pubkey()), 2000 * KOII)
        task = await deploy(client, manager, package, pack(package)[0])
        await set_active(client, manager, task, True)
        village = Village(client, task, package.folder)
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


async def find_selected(village: Village, view: RoundView) -> str | None:
    before = [await village.read(number) for number in (view.round - 1, view.round - 2) if number >= 0]
    return select_node(show(view), [show(each) for each in before])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("compat")
def test_a_main_js_completes_rounds_beside_python_nodes_and_is_paid(tmp_path: Path) -> None:
    require_node()
    require_sandbox("sandlock")

    async def run() -> None:
        async with open_village(tmp_path) as village:
            python = await village.add(tmp_path / "python")
            liar = await village.add(tmp_path / "liar", *LIAR)
            scripts = [await village.add(tmp_path / f"js-{at}", *JAVASCRIPT) for at in range(3)]
            everybody = {node.address for node in village.nodes}
            honest = everybody - {liar.address}

            def is_whole(view: RoundView) -> bool:
                return {each.node for each in view.submissions} == everybody

            view = await village.settle(0, is_whole)
            check_agreement(view, honest, liar.address)
            # Every list was handed in by the node that both languages select, and Python found it right.
            listed = await village.settle(
                view.round, lambda view: view.lists[-1].submitter in {each.address for each in scripts}
            )
            assert listed.lists[0].submitter == await find_selected(village, listed)
            other = await village.settle(view.round, lambda view: view.lists[-1].submitter == python.address)
            assert other.lists[-1].trigger_by is None

            await check_gateway(village, scripts[0])

            # Killed with everything that is its own, it leaves nothing behind and comes back.
            assert scripts[0].find_processes()
            await scripts[0].end(signal.SIGKILL)
            while scripts[0].find_processes():  # noqa: ASYNC110 -- a process tells nobody that it is gone
                await asyncio.sleep(0.02)
            await scripts[0].start()
            assert scripts[0].address in everybody
            now = await read_task(village.client, village.task)
            newest = compute_timetable(now).compute_round(now.slot)
            again = await village.settle(
                newest, lambda view: honest <= {each.node for each in view.submissions}
            )
            assert scripts[0].address in {one.node for one in again.payments if one.reward}

    asyncio.run(run())


def check_agreement(view: RoundView, honest: set[str], liar: str) -> None:
    values = {each.node: each.value for each in view.submissions}
    assert 1 == len({values[node] for node in honest})
    assert SALUTE in values[liar][:20]
    [accused] = [each for each in view.submissions if each.verdict != "untried"]
    assert (liar, "convicted") == (accused.node, accused.verdict)
    assert view.attempt == 0
    assert view.lists[-1].trigger_by is None
    amounts = {**dict.fromkeys(honest, 10 * KOII // len(honest)), liar: -(accused.stake * 7 // 10)}
    assert amounts == view.lists[-1].amounts
    paid = {one.node: one.reward for one in view.payments if one.reward}
    assert dict.fromkeys(honest, 10 * KOII // len(honest)) == paid
    assert [liar] == [one.node for one in view.payments if one.slash]


async def check_gateway(village: Village, node: Node) -> None:
    base = f"/task/{village.task}"
    async with httpx2.AsyncClient(base_url=node.endpoint, trust_env=False, timeout=60) as http:
        assert {"status": "OK", "message": "Node is running"} == (await http.get("/")).json()
        assert {"taskId": village.task} == (await http.get(f"{base}/id")).json()
        assert "roundwork_javascript_running 1\n" in (await http.get("/metrics")).text
        assert 422 == (await http.get(f"/task/{Keypair().pubkey()}/id")).status_code
        nodes = (await http.get(f"/nodes/{village.task}")).json()
        assert {one.address for one in village.nodes} == {each["submitterPubkey"] for each in nodes}
        facts = (await http.get(f"{base}/facts")).json()
        assert ("two languages", "service", str(STAKE)) == (facts["name"], facts["kind"], facts["stake"])
        assert {"SALUTE", "PATH"} == set(facts["env"])
        check_order([tuple(step) for step in facts["told"]])
        values = (await http.get(f"{base}/values")).json()
        assert all(SALUTE in value for value in values.values())
        large = {"text": "x" * 40_000_000}
        answer = await http.post(f"{base}/echo", json=large)
        assert (201, large) == (answer.status_code, answer.json())
        await check_refusals(village, node, http)


def check_order(told: list[tuple[str, int]]) -> None:
    """Submissions and audits are of the round before, lists of the one before that."""
    now = -1
    late = {"executeTask": 0, "submitPayload": 1, "auditPayload": 1}
    for function, number in told:
        if function == "executeTask":
            now = number
        assert number == now - late.get(function, DISTRIBUTION), told
    assert {"generateAndSubmitDistributionList", "distributionListAudit", *late} == {name for name, _ in told}


async def check_refusals(village: Village, node: Node, http: httpx2.AsyncClient) -> None:
    """What the task itself is told when it asks for what is not its own."""

    async def ask(*args: Any, **changes: str) -> tuple[int, Any]:
        answer = (await http.post(f"/task/{village.task}/ask", json={"args": args, **changes})).json()
        return answer["status"], answer["body"]

    status, answer = await ask("mainSystemAccount")
    assert 422 == status
    assert "mainSystemAccount is not served" in answer["message"]
    assert (401, {"message": "Invalid secret provided"}) == await ask("getRound", secret="of another task")
    other = next(one for one in village.nodes if one is not node)
    assert 422 == (await ask("getRound", taskId=other.address))[0]
    for path in ("main.json", "staking.json", "secret"):
        status, answer = await ask("fs", "readFile", str(node.directory / path), "utf8")
        assert 422 == status
    status, answer = await ask("getSubmitterAccount")
    given = bytes(answer["response"]["_keypair"]["secretKey"][str(at)] for at in range(64))
    own = read_keypair(node.directory / f"staking-{village.task}.json")
    assert own == Keypair.from_bytes(given)
    assert own != read_keypair(node.directory / "main.json")
