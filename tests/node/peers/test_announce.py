"""Nodes as processes find one another, and their tasks' web routes answer through the nodes' HTTP."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, set_active, stake
from roundwork.client.rpc import Client
from roundwork.host.keypairs import make_keypair
from roundwork.package.folder import load_package, pack
from roundwork.protocol.params import KOII

from ...ledger.process import RunningLedger, running
from ...localnet.test_supervisor import wait_until
from ..house import require_sandbox
from ..test_server import HELLO, make_rich, read_stakes, run_node

FUNCTIONS = """

@task.routes
def routes(ctx):
    async def greet(request):
        return 201, {"from": ctx.node, "method": request.method, "body": request.body.decode(),
                     "query": request.query}
    def ask_peers(request):
        return {node: ctx.peers[node].get("/me").text for node in ctx.peers}
    return {"/me": lambda request: ctx.node, "/greet": greet, "/peers": ask_peers,
            "/below/": lambda request: request.path}
"""

APP = """

@task.routes
def routes(ctx):
    async def app(scope, receive, send):
        body = (await receive())["body"]
        seen = dict(scope["headers"]).get(b"x-asked", b"")
        await send({"type": "http.response.start", "status": 202, "headers": [(b"x-seen", seen)]})
        await send({"type": "http.response.body", "body": scope["path"].encode() + b" ", "more_body": True})
        await send({"type": "http.response.body", "body": scope["method"].encode() + b" " + body})
    return app
"""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path_factory.mktemp("peers") / "ledger") as ledger:
        yield ledger


def found(ledger: RunningLedger, folder: Path, routes: str) -> str:
    """Deploy hello with routes; its address."""
    folder.mkdir()
    for name in ("task.py", "config-task.yml"):
        (folder / name).write_bytes((HELLO / name).read_bytes())
    with (folder / "task.py").open("a") as file:
        file.write(routes)
    package = load_package(folder)

    async def run() -> str:
        async with Client(ledger.url) as client:
            manager = Keypair()
            await airdrop(client, str(manager.pubkey()), 3_000 * KOII)
            address = await deploy(client, manager, package, pack(package)[0])
            await set_active(client, manager, address, True)
            return address

    return asyncio.run(run())


def stake_by_hand(ledger: RunningLedger, task: str, directory: Path) -> str:
    """Stake for a node as `node stake` does without --endpoint: the ledger does not know where it is."""
    main, staking = (make_keypair(directory / name) for name in ("main.json", "staking.json"))
    ledger.fund(main, 100 * KOII)

    async def run() -> None:
        async with Client(ledger.url) as client:
            await stake(client, main, staking, task, KOII)

    asyncio.run(run())
    return str(staking.pubkey())


def test_a_node_whose_endpoint_is_not_on_the_ledger_is_found_and_asked(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    folder = tmp_path / "task"
    task = found(ledger, folder, FUNCTIONS)
    make_rich(ledger, tmp_path / "known")
    hidden_node = stake_by_hand(ledger, task, tmp_path / "hidden")

    def ask(endpoint: str) -> dict[str, str]:
        """The nodes that a node knows, and where."""
        nodes = httpx2.get(f"{endpoint}/nodes/{task}", trust_env=False).json()
        return {one["submitterPubkey"]: one["data"]["url"] for one in nodes}

    with ExitStack() as stack:
        known = stack.enter_context(
            run_node(ledger, task, tmp_path / "known", "--package", folder, "--stake", KOII)
        )
        wait_until(lambda: read_stakes(ledger, task).get(known.address) == known.endpoint)
        hidden = stack.enter_context(run_node(ledger, task, tmp_path / "hidden", "--package", folder))
        third = stack.enter_context(run_node(ledger, task, tmp_path / "third"))

        assert "" == read_stakes(ledger, task)[hidden_node]
        everybody = {known.address: known.endpoint, hidden_node: hidden.endpoint}
        for node in (known, hidden, third):
            wait_until(partial(lambda url: everybody == ask(url), node.endpoint), 120)
        answered = httpx2.get(f"{third.endpoint}/task/{task}/peers", trust_env=False, timeout=30)
        assert {node: node for node in everybody} == answered.json()


def test_a_stranger_is_not_listed_and_told_why(ledger: RunningLedger, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    task = found(ledger, folder, FUNCTIONS)
    with run_node(ledger, task, tmp_path / "node", "--package", folder) as node:

        def post(body: bytes, address: str = task) -> httpx2.Response:
            return httpx2.post(f"{node.endpoint}/register-node/{address}", content=body, trust_env=False)

        pair = Keypair()
        data = {"url": "http://127.0.0.1:1", "timestamp": 1, "taskId": task}
        asked = {"data": data, "signature": "1" * 88, "submitterPubkey": str(pair.pubkey())}
        refused = post(json.dumps(asked).encode())
        assert 409 == refused.status_code
        assert f"'{pair.pubkey()}' has no stake in task {task}" in refused.json()["message"]
        assert 413 == post(b"x" * 100_000).status_code
        assert 404 == post(b"{}", str(pair.pubkey())).status_code
        assert [] == httpx2.get(f"{node.endpoint}/nodes/{task}", trust_env=False).json()


def test_a_package_is_fetched_from_a_peer_that_only_the_operator_knows(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    folder = tmp_path / "task"
    task = found(ledger, folder, FUNCTIONS)
    with (
        run_node(ledger, task, tmp_path / "first", "--package", folder) as first,
        run_node(ledger, task, tmp_path / "second", "--peer", first.endpoint) as second,
    ):
        greeted = httpx2.post(
            f"{second.endpoint}/task/{task}/greet?a=b", content=b"hello", trust_env=False, timeout=30
        )
        below = httpx2.get(f"{second.endpoint}/task/{task}/below/a/b", trust_env=False)

    told = {"from": second.address, "method": "POST", "body": "hello", "query": {"a": "b"}}
    assert (201, told) == (greeted.status_code, greeted.json())
    assert "/below/a/b" == below.text


def test_an_asgi_app_is_served_by_a_real_node(ledger: RunningLedger, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    task = found(ledger, folder, APP)
    with run_node(ledger, task, tmp_path / "node", "--package", folder) as node:
        answer = httpx2.put(
            f"{node.endpoint}/task/{task}/deep/path",
            content=b"sent",
            headers={"x-asked": "7"},
            trust_env=False,
            timeout=30,
        )

    assert (202, "/deep/path PUT sent", "7") == (answer.status_code, answer.text, answer.headers["x-seen"])
