"""Recorded rounds of a real network under the same code, and under changed code."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from roundwork.errors import BadConfig
from roundwork.package.folder import load_package
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_round
from roundwork.sim.replay import (
    Recorded,
    ReplayRules,
    choose_rules,
    compare_amounts,
    compare_slashes,
    compare_split,
    replay_round,
)
from roundwork.sim.sealed_attack import make_trial_task
from roundwork.views import RoundView

from ..node.house import require_sandbox
from ..package.test_folder import write_task
from ..protocol.hardened import AUDIT_END, PROOF, Hardened, name_proof
from .sealed_village import TERMS, Village, make_setting

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
    return subprocess.run(command, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL)


def replay(network: Path, folder: Path, *options: object) -> tuple[int, dict[str, Any]]:
    """The exit code, and what came of the first round in which all three took part."""
    done = run("replay", network / "ledger", folder, "--rounds", "0:9", "--json", *options)
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


def test_an_audit_that_fails_is_a_difference_that_says_why(network: Path, tmp_path: Path) -> None:
    code, replayed = replay(network, change(tmp_path / "task", "task.audit(lambda ctx, candidate: 1 / 0)"))

    assert 1 == code
    assert 3 == len(replayed["differences"])
    for failing in replayed["differences"]:
        assert "audit" == failing["what"]
        assert "no opinion: " in failing["replayed"]
        assert "ZeroDivisionError" in failing["replayed"]


def test_a_list_that_is_none_is_said(network: Path, tmp_path: Path) -> None:
    code, replayed = replay(network, change(tmp_path / "task", "task.distribution(lambda round: 7)"))

    assert 1 == code
    assert "it must return a dict of submitter to roe" in replayed["failure"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rounds", "3:1"], "1 comes before 3"),
        (["--rounds", "x"], "is not of the form 3, 3:9 or 3:"),
        (["--rounds", "9000:9001"], "no closed round from 9000 to 9001"),
        (["--address", "1" * 32], "the journal has no closed round of 1111"),
        (["--blobs", "nowhere"], "--blobs nowhere is not a directory"),
        (["--blobs", HELLO], "is neither the directory of a node nor that of its blobs"),
        (["--secret", "KEY=value"], "secret 'KEY' is not in roundwork.secrets"),
        (["--rules", "koii-1"], "is not of the form NAME=VALUE"),
        (["--rules", "slash=30%"], "--rules slash: koii-1 leaves it to the task's distribution function"),
        (["--rules", "bounty=0"], "--rules bounty: '0' must be more than 0"),
    ],
)
def test_options_that_cannot_be_used_are_refused(network: Path, options: list[object], reason: str) -> None:
    done = run("replay", network / "ledger", HELLO, *options)

    assert 0 != done.returncode
    assert reason in done.stderr


def test_a_folder_under_another_rule_set_is_refused(network: Path) -> None:
    done = run("replay", network / "ledger", HELLO.parent / "cipher")

    assert 0 != done.returncode
    assert "the folder is a task under roundwork-1, and the journal's is one under koii-1" in done.stderr


def test_another_bounty_shows_who_would_be_paid_what(network: Path) -> None:
    bounty = load_package(HELLO).bounty_per_round
    code, replayed = replay(network, HELLO, "--rules", f"bounty={bounty // 2}", "--blobs", network / "node-1")

    honest = replayed["differences"]
    assert (1, 2) == (code, len(honest))
    assert [("amount", bounty // 2, bounty // 4)] * 2 == [
        (each["what"], each["recorded"], each["replayed"]) for each in honest
    ]


def test_a_round_of_roundwork_1_is_replayed_with_another_slash(tmp_path: Path) -> None:
    require_sandbox("sandlock")
    folder = tmp_path / "task"
    options = ("--nodes", "4", "--liars", "1", "--rounds", "1", "--round-slots", "60", "--slot-ms", "150")
    for command in (("new", folder, "--yes"), ("up", folder, *options, "--directory", tmp_path / "up")):
        done = run(*command)
        assert 0 == done.returncode, done.stderr
    path = folder / "config-task.yml"

    same = run("replay", tmp_path / "up" / "ledger", folder, "--blobs", tmp_path / "up" / "node-1")
    given = run("replay", tmp_path / "up" / "ledger", folder, "--rules", "slash=35%", "--json")
    path.write_text(path.read_text().replace("slash: 70%", "slash: 35%"))
    of_folder = run("replay", tmp_path / "up" / "ledger", folder, "--json")

    assert 0 == same.returncode, same.stdout + same.stderr
    assert (1, given.stdout) == (given.returncode, of_folder.stdout)
    found = [each for round_ in json.loads(given.stdout)["rounds"] for each in round_["differences"]]
    assert found
    assert {("slash", True)} == {(each["what"], each["recorded"] == 2 * each["replayed"]) for each in found}


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


def test_a_missing_proof_that_nobody_judged_is_not_judged_again() -> None:
    world = Hardened().submitted({"n02": name_proof(PROOF)})
    world.expect("ok", "n03", world.challenge("n03", "n02"), slots=0)
    world.judged().listed({"n00": 100}).go(2, AUDIT_END).block()
    view = view_round(world.state, world.task, 0)
    asked: list[str] = []

    async def audit(round_number: int, seed: str, node: str, *rest: object) -> Any:
        asked.append(node)
        return SimpleNamespace(kind="invalid")

    async def distribute(*arguments: object) -> dict[str, int]:
        return view.lists[0].amounts

    lanes: Any = SimpleNamespace(audit=audit, distribute=distribute)
    replayed = asyncio.run(replay_round(lanes, Recorded(get_rules({}), view), get_rules({})))

    missing = base58_of(world.key("n02"))
    assert (5, 4) == (replayed.submissions, replayed.audited)
    assert missing not in asked
    assert missing not in {each.node for each in replayed.differences if each.what == "audit"}


def get_rules(changes: dict[str, Any]) -> ReplayRules:
    terms = {"slash_percent": TERMS.slash_percent, "is_split_by_stake": False} | changes
    return ReplayRules("roundwork-1", terms.pop("bounty_per_round", TERMS.bounty_per_round), **terms)


def play(changes: dict[str, Any], roles: tuple[str, ...], is_listed: bool = True) -> RoundView:
    """A round of a world whose task has these terms; nodes have different stakes."""
    setting = make_setting(roles, rounds=1)
    setting = msgspec.structs.replace(
        setting,
        terms=msgspec.structs.replace(setting.terms, **changes),
        nodes=tuple(
            msgspec.structs.replace(node, stake=node.stake + at * 10**8)
            for at, node in enumerate(setting.nodes)
        ),
    )
    task = make_trial_task()
    if not is_listed:
        task.distribution(lambda round: 1 // 0)
    return next(each for each in Village(setting, task).result.rounds.values() if each.submissions)


@pytest.mark.parametrize("percent", [10, 35, 100])
def test_a_replayed_slash_is_the_one_that_the_law_takes_under_it(percent: int) -> None:
    roles = (*("honest",) * 5, "liar", "liar")
    view, changed = play({}, roles), play({"slash_percent": percent}, roles)

    differences = compare_slashes(Recorded(get_rules({}), view), get_rules({"slash_percent": percent}))

    assert 2 == len(differences)
    assert {each.node: each.slash for each in changed.payments if each.slash} == {
        each.node: each.replayed for each in differences
    }
    assert [] == compare_slashes(Recorded(get_rules({}), view), get_rules({}))


@pytest.mark.parametrize("changes", [{"is_split_by_stake": True}, {"bounty_per_round": 7 * 10**8}])
def test_a_replayed_split_is_the_one_that_the_law_makes_under_it(changes: dict[str, Any]) -> None:
    roles = (*("honest",) * 5, "liar")
    view, changed = play({}, roles, is_listed=False), play(changes, roles, is_listed=False)

    differences = compare_split(view, get_rules(changes))

    assert 5 == len(differences)
    assert {each.node: each.reward for each in changed.payments if each.reward} == {
        each.node: each.replayed for each in differences
    }
    assert [] == compare_split(view, get_rules({}))
    assert [] == compare_amounts(view, {view.submissions[0].node: 7}), (
        "the ledger split, whatever a list says"
    )
    assert [] == compare_split(play({}, roles), get_rules(changes))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"slash": "5%"}, "--rules slash: must have a slash from 10% to 100%"),
        ({"slash": "0.7"}, "a whole number"),
        ({"split": "heads"}, "--rules split: must have a split among equal, stake, not 'heads'"),
        ({"bounty": "-1"}, "--rules bounty: '-1' is not an amount"),
        ({"reward": "1"}, "--rules reward: a task chooses slash, split and bounty"),
    ],
)
def test_rules_that_a_task_cannot_choose_are_refused(
    tmp_path: Path, given: dict[str, str], reason: str
) -> None:
    windows = {"round_time": "60", "submission_window": "11", "audit_window": "48"}
    package = load_package(write_task(tmp_path, "roundwork: {rules: roundwork-1}", **windows))

    with pytest.raises(BadConfig, match=reason):
        choose_rules(get_rules({}), package, given)
