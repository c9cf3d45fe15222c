"""Peers that serve wrong, short or no parts of rounds cost real nodes no window."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, set_active, stake
from roundwork.client.rpc import Client
from roundwork.package.folder import load_package, pack
from roundwork.protocol.params import KOII

from ..ledger.process import RunningLedger, running
from ..node.house import require_sandbox
from ..node.test_server import HELLO, make_rich, run_node
from .test_supervisor import wait_until

WINDOWS = {
    "koii-1": {"round_time": 100, "submission_window": 40, "audit_window": 40},
    "roundwork-1": {"round_time": 120, "submission_window": 30, "audit_window": 80},
}
HONEST = ("first", "second", "third")
ROUNDS = 3
PATIENCE_SECONDS = 120


@contextmanager
def serve(how: str, requests: Counter[str]) -> Iterator[str]:
    """A peer that answers each request for a blob so. `requests` counts them. Yields its URL."""
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests[how] += self.path.startswith("/ipfs/")
            if how == "silent":
                is_over.wait()
                return
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(bytes(1000 if how == "wrong" else 400))

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()


async def found(ledger: RunningLedger, rules: str, peers: list[str]) -> str:
    """A running task, with a stake for each of the peers. Return its address."""
    manager, package = Keypair(), msgspec.structs.replace(load_package(HELLO), rules=rules, **WINDOWS[rules])
    async with Client(ledger.url) as client:
        await airdrop(client, str(manager.pubkey()), 5_000 * KOII)
        task = await deploy(client, manager, package, pack(package)[0])
        await set_active(client, manager, task, True)
        for peer in peers:
            await stake(client, manager, Keypair(), task, 5 * KOII, peer)
    return task


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rules", WINDOWS)
def test_peers_that_serve_no_right_part_cost_no_node_a_window(rules: str, tmp_path: Path) -> None:
    require_sandbox("sandlock")
    requests: Counter[str] = Counter()
    with ExitStack() as stack:
        ledger = stack.enter_context(running(tmp_path / "ledger"))
        peers = [stack.enter_context(serve(how, requests)) for how in ("wrong", "short", "silent")]
        task = asyncio.run(found(ledger, rules, peers))
        for name in HONEST:
            make_rich(ledger, tmp_path / name)
            options = ("--package", HELLO, "--stake", 5 * KOII)
            stack.enter_context(run_node(ledger, task, tmp_path / name, *options))

        def count_submitted(round_number: int) -> int:
            return len(ledger.call("getRound", task, round_number)["submissions"])

        numbers = range(12)
        wait_until(lambda: any(count_submitted(number) == 3 for number in numbers), PATIENCE_SECONDS)
        first = next(number for number in numbers if count_submitted(number) == 3)
        last = first + ROUNDS - 1
        wait_until(lambda: ledger.call("getRound", task, last)["payments"], PATIENCE_SECONDS)
        rounds = [ledger.call("getRound", task, number) for number in range(first, last + 1)]

    for each in rounds:
        assert ("PayoutSuccessful", 0, 3) == (each["status"], each["attempt"], len(each["submissions"]))
        assert [0] == [listed["attempt"] for listed in each["lists"]]
        assert 3 == sum(payment["reward"] > 0 for payment in each["payments"])
    assert all(requests[how] for how in ("wrong", "short", "silent")), requests
