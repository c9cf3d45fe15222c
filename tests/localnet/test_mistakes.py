"""A new user's mistakes: each ends `up --rounds 2` by itself, with its reason in the last line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..node.house import require_sandbox

CONFIG = """
task_name: mistake
description: What a new user may write
repositoryUrl: https://example.org/mistake
round_time: 40
submission_window: 16
audit_window: 16
minimum_stake_amount: 1
total_bounty_amount: 1000
bounty_amount_per_round: 10
allowed_failed_distributions: 1
"""
PROGRAM = """
from roundwork import *

task = Task("mistake")


@task.work
def work(ctx):
    ctx.state["value"] = "truth"


@task.submission
def submission(ctx):
    return ctx.state["value"]


@task.audit
def audit(ctx, candidate):
    return candidate.value == "truth"


@task.distribution
def distribution(round):
    return equal_split("70%")(round)
"""

MISTAKES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "syntax error": (
        "def work(ctx):",
        "def work(ctx:",
        ("SyntaxError: ", "(task.py, line "),
    ),
    "wrong import": (
        "from roundwork import *",
        "from roundwork import *\nimport requests",
        ("BadTaskFile: ", "No module named 'requests'", "what its requirements.lock pins"),
    ),
    "missing function": ("@task.audit\n", "", ("BadTaskFile: ", "has no @task.audit")),
    "overpaying list": (
        'equal_split("70%")(round)',
        "{each.public_key: round.bounty for each in round.submitters}",
        (
            " rounds closed unpaid: ",
            "sending the list of round ",
            # On a busy machine one node has round 0 for itself, and its list is right.
            "ListOverBounty: the task's list of round ",
            " pays 20000000000",
        ),
    ),
    "float in a list": (
        'equal_split("70%")(round)',
        "{each.public_key: round.bounty / 7 for each in round.submitters}",
        (" rounds closed unpaid: ", "list of round ", "1428571428.5714285; it must be an integer of roe"),
    ),
    "endless work": (
        'ctx.state["value"] = "truth"',
        "while True: pass",
        (
            "no proof came for 3 rounds",
            "work of round ",
            "work was still running after ",
            ", the middle of the submission window",
        ),
    ),
    "unlisted host": (
        'ctx.state["value"] = "truth"',
        'ctx.state["value"] = ctx.http.get("https://example.org/").text',
        ("no proof came for 3 rounds", "example.org:443 is not among the permitted hosts", "roundwork.hosts"),
    ),
    "600 bytes": (
        'return ctx.state["value"]',
        'return "x" * 600',
        ("no proof came for 3 rounds", "submission returned 600 bytes; a submission is 1 to 512 bytes"),
    ),
    "audit that raises": (
        'return candidate.value == "truth"',
        'return candidate.value["truth"]',
        (
            " audits failed, first node-",
            "TypeError: string indices must be integers",
            "node-2 played liar and was",
        ),
    ),
    "audit that returns 1": (
        'return candidate.value == "truth"',
        "return 1",
        (
            " audits failed, first node-",
            "audit returned 1; it must return True, False",
            "node-2 played liar and was",
        ),
    ),
}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`up` on a folder until it ends."""
    command = [sys.executable, "-m", "roundwork", "up", str(folder / "task"), "--rounds", "2", "--nodes", "2"]
    command += ["--slot-ms", "60", "--directory", str(folder / "up"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def write(folder: Path, good: str, bad: str) -> None:
    assert good in PROGRAM
    (folder / "task").mkdir()
    (folder / "task" / "config-task.yml").write_text(CONFIG)
    (folder / "task" / "task.py").write_text(PROGRAM.replace(good, bad))


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_up_by_itself_with_its_reason(tmp_path: Path, mistake: str) -> None:
    require_sandbox("sandlock")
    good, bad, reasons = MISTAKES[mistake]
    write(tmp_path, good, bad)

    done = run(tmp_path)

    last = [*done.stdout.splitlines(), *done.stderr.splitlines()][-1]
    assert 1 == done.returncode, (done.stdout, done.stderr)
    assert last.startswith(("not as it should be: ", "BadTaskFile: "))
    for reason in reasons:
        assert reason in last


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_stakes_and_ways_to_play_are_chosen_and_a_copy_that_is_paid_is_told(tmp_path: Path) -> None:
    require_sandbox("sandlock")
    write(tmp_path, "truth", "truth")
    ways = ("--play", "copycat=1", "--play", "silent=1", "--play", "late=1", "--nodes", "5")

    done = run(tmp_path, *ways, "--stakes", "20,30,50.5", "--slot-ms", "120", "--json")

    summary = json.loads(done.stdout.splitlines()[-1])
    assert ["honest", "honest", "copycat", "silent", "late"] == [node["role"] for node in summary["nodes"]]
    first, second, copycat, silent, late = summary["nodes"]
    # Nothing in this task tells a copy from the work itself, and up says so. A busy machine adds faults.
    assert min(node["earned"] for node in (first, second, copycat)) > 0
    assert any(fault.startswith("node-3 played copycat and was paid ") for fault in summary["faults"])
    assert (1, False) == (done.returncode, summary["ok"])
    assert [0, 0] == [node["submitted"] for node in (silent, late)]
    assert [0, 0] == [node["earned"] for node in (silent, late)]
    assert [20, 30, 50.5, 20, 30] == [node["stake"] / 10**9 for node in summary["nodes"]]
    assert summary["conclusion"] == done.stderr.splitlines()[-1]
