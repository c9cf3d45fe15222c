"""A task is closed while a node works on it. Its rounds end first; the node ends when its money is out."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.host.keypairs import write_keypair
from roundwork.protocol.params import KOII

from ..ledger.process import RunningLedger, running
from ..localnet.test_supervisor import wait_until
from ..package.test_folder import write_task
from .house import require_sandbox
from .test_server import launch, make_rich

SHORT = {"round_time": "40", "submission_window": "16", "audit_window": "16"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path / "ledger") as ledger:
        yield ledger


def call(ledger: RunningLedger, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments), "--url", ledger.url]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)


@pytest.mark.slow
def test_closing_waits_for_open_rounds_and_the_node_ends_when_its_stake_is_out(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    manager, key = Keypair(), tmp_path / "manager.json"
    write_keypair(key, manager)
    ledger.fund(manager, 100 * KOII)
    (tmp_path / "task").mkdir()
    folder = write_task(tmp_path / "task", **SHORT)
    task = json.loads(call(ledger, "task", "deploy", folder, "--key", key, "--json").stdout)["task"]
    make_rich(ledger, tmp_path / "node")
    where = ("--task", task, "--directory", tmp_path / "node")

    with (
        (tmp_path / "log").open("w") as log,
        launch(
            ledger, task, tmp_path / "node", "--package", folder, "--stake", 2 * KOII, stderr=log
        ) as process,
    ):
        try:
            wait_until(lambda: bool(ledger.call("getTask", task)["open_rounds"]), 60)
            refused = call(ledger, "task", "close", task, "--key", key)
            closed = call(ledger, "task", "close", task, "--key", key, "--wait")
            wait_until(
                lambda: f"task {task} is closed: take your stake out" in (tmp_path / "log").read_text(), 30
            )
            status = call(ledger, "node", "status", *where).stdout
            withdrawn = call(ledger, "node", "withdraw", *where, "--wait")
            claimed = call(ledger, "node", "claim", *where)
            ended = process.wait(timeout=60)  # nobody stops it
        finally:
            process.kill()
            process.communicate(timeout=20)
    end = f"task {task} is closed and has no money of this node: the node ends"

    assert (1, True) == (refused.returncode, "OpenRounds: rounds " in refused.stderr)
    assert 0 == closed.returncode, closed.stderr
    assert "waiting: rounds " in closed.stderr
    view = ledger.call("getTask", task)
    assert (True, [], 0) == (view["is_closed"], view["open_rounds"], view["bounty"])
    assert "closed; take the stake out: `node withdraw`, then `node claim`" in status
    assert 0 == withdrawn.returncode, withdrawn.stderr
    assert "can be claimed now" in withdrawn.stdout
    assert 0 == claimed.returncode, claimed.stderr
    assert 0 == ended
    assert end in (tmp_path / "log").read_text()
    make_rich(ledger, tmp_path / "late")
    late = call(ledger, "node", "run", "--task", task, "--directory", tmp_path / "late", "--package", folder)
    assert (0, True) == (late.returncode, end in late.stderr)
