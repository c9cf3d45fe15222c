"""docs/TUTORIAL.md: its files are written, its commands run, in its order, on real processes."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from roundwork.host.keypairs import read_keypair

from .ledger.process import NEWEST, RunningLedger, running
from .localnet.test_supervisor import wait_until
from .node.house import require_sandbox

PAGE = (Path(__file__).parents[1] / "docs" / "TUTORIAL.md").read_text()

PRIMES, OWN_TASK = PAGE.split("\n## 5. A task of your own\n")
"""The page up to the task of the reader's own, and that section."""

OF_A_FOLDER = ("up", "try", "check", "simulate", "attack")
"""Commands that need no ledger."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path_factory.mktemp("tutorial") / "ledger") as ledger:
        yield ledger


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: RunningLedger) -> Path:
    """Where the reader sits, with the files of the page."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ROUNDWORK_URL", ledger.url)
    (tmp_path / "primes").mkdir()
    [config] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "primes" / "config-task.yml").write_text(config)
    (tmp_path / "primes" / "task.py").write_text(program)
    return tmp_path


def read_commands(text: str = PRIMES) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"^\.venv/bin/roundwork (.*)$", text, re.MULTILINE)]


def run(home: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    rows, errors = run_for_rows(home, *arguments)
    return rows[-1], errors


def run_for_rows(home: Path, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    command = [sys.executable, "-m", "roundwork", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home, timeout=100)
    assert 0 == done.returncode, (arguments, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], done.stderr


@pytest.mark.slow
def test_the_task_of_the_page_pays_the_honest_and_slashes_the_liar(home: Path) -> None:
    [arguments] = [one for one in read_commands() if one[0] == "up"]

    summary, _ = run(home, *arguments)

    liar, honest = summary["nodes"][-1], summary["nodes"][:-1]
    assert (2, True) == (summary["rounds_settled"], summary["supply_constant"])
    assert (0, True) == (liar["earned"], liar["slashed"] > 0)
    assert {2 * (10**10 // 4)} == {one["earned"] for one in honest}


@pytest.mark.slow
def test_a_mistake_is_said_as_the_page_says(home: Path) -> None:
    program = home / "primes" / "task.py"
    program.write_text(program.read_text().replace("return all(counts", "return 1 or all(counts"))

    command = [sys.executable, "-m", "roundwork", "up", "primes", "--nodes", "2", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home, timeout=100)

    last = done.stdout.splitlines()[-1]
    assert (1, True) == (done.returncode, last.startswith("not as it should be: ")), done.stderr
    reason = ": TypeError: audit returned 1; it must return True, False, (False, reason) or Unavailable; "
    assert reason in last
    assert f"{reason}node-4 played liar" in PAGE


def test_the_task_of_the_page_is_deployed_and_a_node_earns_with_it(home: Path, ledger: RunningLedger) -> None:
    names: dict[str, str] = {}
    node = None
    try:
        for arguments in read_commands():
            arguments = [names.get(word, word) for word in arguments]
            if arguments[0] in OF_A_FOLDER or arguments[:2] == ["ledger", "run"]:
                continue
            if arguments[:2] == ["node", "run"]:
                command = [sys.executable, "-m", "roundwork", *arguments]
                node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=home)
                assert node.stdout is not None
                address = node.stdout.readline().split()[1]
                wait_until(
                    partial(lambda node: node in str(ledger.call("getTask", names["TASK"])), address), 40
                )
                continue
            if arguments[:2] == ["node", "claim"]:
                wait_until(
                    lambda: any(
                        each["available"] for each in ledger.call("getTask", names["TASK"])["stakes"]
                    ),
                    90,
                )
            answer, _ = run(home, *arguments)
            if arguments[0] == "keygen":
                key = read_keypair(home / arguments[1])
                names["MAIN" if "main.json" in arguments[1] else "MANAGER"] = str(key.pubkey())
            names["TASK"] = answer.get("task", names.get("TASK", "TASK"))
    finally:
        if node is not None:
            node.kill()
            node.communicate()

    assert node is not None
    assert (
        ledger.call("getBalance", names["MAIN"], NEWEST)["value"] > 25 * 10**9
    )  # of 20, 2 are at stake; a round pays 10


def test_the_task_of_the_page_is_tried_checked_and_simulated(home: Path) -> None:
    commands = {each[0]: each for each in read_commands()}

    tried, _ = run(home, *commands["try"])
    checked, _ = run(home, *commands["check"])
    simulated, _ = run(home, *commands["simulate"])

    assert "valid" == tried["opinion"]
    assert {"holds"} == {each["result"] for each in checked["properties"]}
    liars = [each for each in simulated["nodes"] if each["role"] == "liar"]
    honest = [each for each in simulated["nodes"] if each["role"] == "honest"]
    assert [3, 9] == [len(liars), len(honest)]
    assert all(each["slashed"] > 0 and not each["earned"] for each in liars)
    assert all(each["earned"] > 0 and not each["slashed"] for each in honest)


def test_the_attack_of_the_page_loses_as_the_page_says(home: Path) -> None:
    [arguments] = [each for each in read_commands() if each[0] == "attack"]

    row, _ = run(home, *arguments)

    assert ("lie", 3) == (row["strategy"], row["nodes"])
    assert row["acted"] > 0
    assert row["upper"] < 0


def test_a_reader_goes_from_new_to_a_table_of_attack_with_a_task_of_their_own(tmp_path: Path) -> None:
    answers = {}
    for arguments in read_commands(OWN_TASK):
        answers[arguments[0]], _ = run_for_rows(tmp_path, *arguments)
    own_test = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "mine"], cwd=tmp_path, timeout=100
    )

    assert ["new", "try", "check", "simulate", "attack"] == list(answers)
    assert "valid" == answers["try"][-1]["opinion"]
    assert {"holds"} == {each["result"] for each in answers["check"][-1]["properties"]}
    simulated = answers["simulate"][-1]
    assert [2, 2] == [round_["convicted"] for round_ in simulated["rounds"]]
    assert all((each["slashed"] > 0) == (each["role"] == "liar") for each in simulated["nodes"])
    assert all((each["earned"] > 0) == (each["role"] == "honest") for each in simulated["nodes"])
    attacks = {row["strategy"]: row for row in answers["attack"]}
    assert {"lie", "lazy-worker", "old-proof"} == attacks.keys()
    assert all(row["acted"] > 0 and row["profit"] < 0 for row in attacks.values())
    assert 0 == own_test.returncode
