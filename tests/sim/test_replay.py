"""Recorded rounds of a real network under the same code, and under changed code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roundwork.sim.replay import compare_amounts

from ..node.house import require_sandbox
from .sealed_village import Village, make_setting

HELLO = Path(__file__).parents[2] / "examples" / "hello"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a network of three nodes, of which the last lied, after a round."""
    require_sandbox("sandlock")
    home = tmp_path_factory.mktemp("replay")
    options = ("--nodes", "3", "--liars", "1", "--rounds", "1", "--slot-ms", "50", "--round-slots", "60")
    done = run("up", HELLO, *options, "--directory", home / "up", "--json")
    assert 0 == done.returncode, done.stderr
    return home / "up"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def replay(network: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    """The exit code, and what came of the first round in which all three took part."""
    done = run("replay", network / "ledger", folder, "--rounds", "0:9", "--json")
    assert done.stdout, done.stderr
    return done.returncode, next(
        each for each in json.loads(done.stdout)["rounds"] if each["submissions"] == 3
    )


def change(folder: Path, more: str) -> Path:
    """hello with other functions."""
    folder.mkdir()
    (folder / "config-task.yml").write_text((HELLO / "config-task.yml").read_text())
    (folder / "task.py").write_text(f"{(HELLO / 'task.py').read_text()}\n{more}\n")
    return folder


def test_the_same_code_decides_the_same(network: Path) -> None:
    code, replayed = replay(network, HELLO)

    assert 0 == code
    assert (3, 3, [], "") == tuple(
        replayed[key] for key in ("submissions", "audited", "differences", "failure")
    )


def test_another_distribution_shows_who_would_be_paid_what(network: Path, tmp_path: Path) -> None:
    code, replayed = replay(network, change(tmp_path / "task", "task.distribution(equal_split('30%'))"))

    [slashed] = replayed["differences"]
    assert 1 == code
    assert ("amount", True) == (slashed["what"], slashed["recorded"] < slashed["replayed"] < 0)


def test_another_audit_shows_whose_proof_would_have_stood(network: Path, tmp_path: Path) -> None:
    code, replayed = replay(network, change(tmp_path / "task", "task.audit(lambda ctx, candidate: True)"))

    [liar] = replayed["differences"]
    assert 1 == code
    assert ("audit", "invalid", "valid") == (liar["what"], liar["recorded"], liar["replayed"])


def test_a_list_that_is_none_is_said(network: Path, tmp_path: Path) -> None:
    code, replayed = replay(network, change(tmp_path / "task", "task.distribution(lambda round: 7)"))

    assert 1 == code
    assert "it must return a dict of submitter to roe" in replayed["failure"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rounds", "3:1"], "1 comes before 3"),
        (["--rounds", "x"], "is not of the form 3, 3:9 or 3:"),
        (["--address", "1" * 32], "the journal has no closed round of 1111"),
    ],
)
def test_wrong_rounds_and_tasks_are_refused(network: Path, options: list[str], reason: str) -> None:
    done = run("replay", network / "ledger", HELLO, *options)

    assert 0 != done.returncode
    assert reason in done.stderr


def test_under_roundwork_1_an_amount_below_zero_is_zero() -> None:
    village = Village(make_setting(("honest",) * 4 + ("liar",)))
    view = next(
        each for each in village.result.rounds.values() if each.status == "PayoutSuccessful" and each.lists
    )
    [listed] = view.lists
    liar = village.get_address("node-5")

    same = compare_amounts(view, {**listed.amounts, liar: -7})
    other = compare_amounts(view, {**listed.amounts, liar: 7})

    assert "convicted" == village.get_verdict("node-5", view.round)
    assert [] == same
    assert [(liar, 0, 7)] == [(each.node, each.recorded, each.replayed) for each in other]
