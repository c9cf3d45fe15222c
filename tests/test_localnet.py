"""A whole network of processes: the honest are paid, the liar is slashed, and kills change nothing of it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roundwork.ledger.inspect import verify

ROOT = Path(__file__).parents[1]
HELLO = ROOT / "examples" / "hello"
UP = [sys.executable, "-m", "roundwork", "up"]
DEADLINE_SECONDS = 100


def wait_for(path: Path, pattern: str) -> re.Match[str]:
    """The first match of a pattern in a growing file."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = re.search(pattern, path.read_text())
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{pattern!r} never came:\n{path.read_text()}")


@pytest.mark.timeout(DEADLINE_SECONDS + 60)
@pytest.mark.xdist_group("localnet")
def test_kills_of_a_node_and_of_the_ledger_lose_no_money_and_rounds_go_on(tmp_path):
    directory, told = tmp_path / "up", tmp_path / "told"
    command = [*UP, str(HELLO), "--directory", str(directory), "--rounds", "3", "--json"]
    with told.open("w") as stderr:
        up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            for name in ("node-2", "ledger"):
                pid = int(wait_for(told, rf"{name} +pid (\d+)").group(1))
                wait_for(told, r"round 0: paid" if name == "ledger" else r"node-5 +pid")
                os.kill(pid, signal.SIGKILL)
                wait_for(told, rf"{name} +killed by SIGKILL")
                subprocess.run([*UP, "--directory", str(directory), "--restart", name], check=True)
            out, _ = up.communicate(timeout=DEADLINE_SECONDS)
        finally:
            up.terminate()
            up.wait()

    summary = json.loads(out.splitlines()[-1])
    assert 3 == summary["rounds_settled"]
    assert 0 == summary["rounds_unpaid"]
    assert summary["supply_constant"]
    honest = [node for node in summary["nodes"] if node["role"] == "honest"]
    [liar] = [node for node in summary["nodes"] if node["role"] == "liar"]
    assert (4, 0) == (len(honest), liar["earned"])
    assert liar["slashed"] > 0
    assert all(node["slashed"] == 0 and node["earned"] > 0 for node in honest)
    untouched = {node["earned"] for node in honest if node["name"] != "node-2"}
    assert 1 == len(untouched)
    facts = verify(directory / "ledger", lambda done, total: None)
    assert facts["blocks"] > 100


def test_a_plan_that_cannot_be_run_is_refused_in_one_line(tmp_path):
    cases = [
        ([str(HELLO), "--liars", "9"], "--liars"),
        ([str(HELLO), "--nodes", "0"], "--nodes"),
        ([str(tmp_path / "nothing")], "nothing"),
        (["--restart", "node-1"], "no network"),
    ]
    for arguments, named in cases:
        done = subprocess.run(
            [*UP, *arguments, "--directory", str(tmp_path / "up")], capture_output=True, text=True, timeout=60
        )
        assert done.returncode in (1, 2), arguments
        assert named in done.stderr
        assert "Traceback" not in done.stderr
