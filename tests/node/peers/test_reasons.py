"""A node says why it found a proof invalid, and the candidate and everybody else can read it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from roundwork.errors import StoreCorrupt
from roundwork.node.memory import KEEP_REASONS_ROUNDS, MemoryFile
from roundwork.node.peers.reasons import REASON_CHARACTERS_MAX, describe, shorten

from ...cli.test_task import run
from ...ledger.process import running
from ...localnet.test_supervisor import wait_until

KOII = 10**9
WINDOWS = {"round_time": 60, "submission_window": 24, "audit_window": 24}
TASK = """
from roundwork import Task, proportional_split

task = Task("reasons")
task.distribution(proportional_split(slash="70%"))


@task.work
def work(ctx):
    pass


@task.submission
def submission(ctx):
    return "good"


@task.audit
def audit(ctx, candidate):
    return candidate.value == "good" or (False, f"it is {candidate.value},\\n not good")
"""
CONFIG = """
task_name: reasons
author: us
description: what a test needs
repositoryUrl: https://example.org/reasons
task_executable_network: IPFS
round_time: 60
submission_window: 24
audit_window: 24
minimum_stake_amount: 1
total_bounty_amount: 100
bounty_amount_per_round: 10
"""


@contextmanager
def working(directory: Path, url: str, task: str, package: Path, *options: str) -> Iterator[Path]:
    """A node process; where its log is."""
    pair = directory / "main.json"
    address = json.loads(run("keygen", pair, "--staking", directory / "staking.json", "--json").stdout)
    assert 0 == run("airdrop", address["address"], 10 * KOII, "--url", url).returncode
    log = directory / "log"
    node = ("node", "run", "--directory", directory, "--task", task, "--package", package, "--url", url)
    command = [sys.executable, "-m", "roundwork", *map(str, node), "--stake", "2koii", "--yes", *options]
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield log
        finally:
            process.terminate()


@pytest.mark.timeout(180)
def test_a_slashed_node_and_task_rounds_say_why(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "task.py").write_text(TASK)
    (package / "config-task.yml").write_text(CONFIG)
    key = tmp_path / "manager.json"

    with running(tmp_path / "ledger") as ledger, ExitStack() as stack:
        manager = json.loads(run("keygen", key, "--json").stdout)["address"]
        ledger.call("requestAirdrop", manager, 200 * KOII)
        deployed = run("task", "deploy", package, "--key", key, "--url", ledger.url, "--json")
        task = json.loads(deployed.stdout)["task"]
        logs = [
            stack.enter_context(working(tmp_path / name, ledger.url, task, package, *options))
            for name, options in (("node-1", ()), ("node-2", ()), ("liar", ("--liar",)))
        ]
        wait_until(lambda: "this node lost" in logs[-1].read_text(), 120)
        told = json.loads(run("task", "rounds", task, "--url", ledger.url, "--json").stdout)

    warning = next(line for line in logs[-1].read_text().splitlines() if "this node lost" in line)
    assert "WARNING" in warning
    assert "found its proof invalid: it is goox,  not good" in warning
    slashed = [row for view in told["rounds"] for row in view["nodes"] if row["slash"]]
    assert slashed
    assert all(row["reason"].endswith(": it is goox,  not good") for row in slashed)


def test_reasons_are_kept_longer_than_decisions_and_the_first_stands(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path / "memory.db")
    file.keep_reason(3, "Ann", "late")
    file.keep_reason(3, "Ann", "wrong")
    file.keep_reason(4, "Bob", "empty")

    file.forget(1000)
    assert ({"Ann": "late"}, {}) == (file.get_reasons(3), file.get_reasons(5))
    file.forget(4 + KEEP_REASONS_ROUNDS)
    assert ({}, {"Bob": "empty"}) == (file.get_reasons(3), file.get_reasons(4))
    file.close()
    with pytest.raises(StoreCorrupt):
        file.get_reasons(4)


def test_a_reason_is_a_line_of_bounded_length() -> None:
    assert "a b" == shorten("a\nb\x1b")
    assert REASON_CHARACTERS_MAX == len(shorten("x" * 10**6))
    assert "" == shorten("\u202e")


def test_equal_reasons_are_said_once_and_all_auditors_are_counted() -> None:
    said = describe(7, ["late", "late", "", "wrong"])

    assert "7 nodes found its proof invalid: late (2 nodes); wrong (1 node)" == said
    assert "1 node found its proof invalid, without a reason" == describe(1, [""])
    assert "its list says so" == describe(0, [])
