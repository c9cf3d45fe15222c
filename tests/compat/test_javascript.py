"""A main.js with npm packages beside Python nodes of the same task, on a real ledger, in real rounds."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from solders.keypair import Keypair

from roundwork.client.operations import read_task
from roundwork.host.keypairs import read_keypair
from roundwork.participant.moment import compute_timetable
from roundwork.protocol.clock import DISTRIBUTION
from roundwork.protocol.params import KOII
from roundwork.views import RoundView

from ..node.house import require_sandbox
from ..node.javascript.mainjs import require_node
from ..node.javascript.village import JAVASCRIPT, STAKE, Node, Village, open_village
from .test_clients import require

SOURCE = Path(__file__).parent / "javascript"
SALUTE = "Grüß Gott"
LIAR = ("--liar",)


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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("compat")
def test_a_main_js_completes_rounds_beside_python_nodes_and_is_paid(tmp_path: Path) -> None:
    require_node()
    require_sandbox("sandlock")

    async def run() -> None:
        async with open_village(tmp_path, bundle(tmp_path / "package"), SALUTE=SALUTE) as village:
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
            assert listed.lists[0].submitter == await village.find_selected(listed)
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
