"""`task list`, `task rounds` and `address`: what the ledger knows already, found and compared."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from roundwork.cli.receipts import Unit
from roundwork.cli.task_ledger import _compose_round, _list_nodes
from roundwork.package.content import compute_content_id
from roundwork.package.folder import load_package, pack
from roundwork.package.metadata import write_metadata
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_round
from roundwork.wire import format_count

from ..ledger.process import RunningLedger, running
from ..ledger.rpc.test_archive import keep, pay_and_slash
from ..protocol.hardened import AUDIT_END, AW, PROOF, SW, Hardened, name_proof
from ..protocol.stage import Stage
from .test_task import make, run


@pytest.fixture(scope="module")
def world() -> Stage:
    """A task whose round 0 paid two nodes, slashed one and is pruned, and whose round 9 has no list."""
    world = pay_and_slash(Stage({"allowed_failed_distributions": 0})).go(10)
    return world.submitted(9).go(13)


@pytest.fixture(scope="module")
def ledger(world: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    directory = tmp_path_factory.mktemp("rounds") / "ledger"
    keep(world, directory)
    with running(directory) as ledger:
        yield ledger


def test_tasks_are_listed_with_what_they_pay(world: Stage, ledger: RunningLedger) -> None:
    [row] = json.loads(run("task", "list", "--url", ledger.url, "--json").stdout)["tasks"]
    shown = run("task", "list", "--url", ledger.url)

    view = ledger.call("getTask", base58_of(world.task))
    assert (view["address"], view["bounty"]) == (row["task"], row["bounty"])
    able = [stake for stake in view["stakes"] if stake["amount"] >= view["minimum_stake"]]
    assert 0 < len(able) == row["nodes"]
    assert view["bounty_per_round"] // len(able) == row["per_node"]
    assert f"{format_count(row['rounds_left'], 'round')} left" in shown.stdout
    assert f"  {format_count(len(able), 'node')}, so about " in shown.stdout
    assert "1 task" in shown.stderr


def test_rounds_say_who_was_paid_and_slashed_and_why_also_pruned_ones(
    world: Stage, ledger: RunningLedger
) -> None:
    task = base58_of(world.task)
    everything = ("task", "rounds", task, "--url", ledger.url, "--last", 100)

    told = json.loads(run(*everything, "--json").stdout)["rounds"]
    shown = run(*everything).stdout
    rows = list(csv.DictReader(io.StringIO(run(*everything, "--csv").stdout)))

    first = {base58_of(world.key(name)): name for name in ("n00", "n01", "n02")}
    by_name = {first[row["node"]]: row for row in told[0]["nodes"]}
    assert [60, 40, 0] == [by_name[name]["reward"] for name in ("n00", "n01", "n02")]
    assert [0, 0, 700] == [by_name[name]["slash"] for name in ("n00", "n01", "n02")]
    assert "convicted" == by_name["n02"]["verdict"]
    assert by_name["n02"]["reason"].startswith("2 found it invalid, 0 valid")
    assert "round 0: paid" in shown
    assert "round 1: no submission" in shown
    assert "round 9: closed unpaid: no node handed in a list" in shown
    assert {"0", "9"} == {row["round"] for row in rows}
    assert ["700"] == [row["slash"] for row in rows if row["slash"] != "0"]


def test_rounds_of_no_task_and_two_forms_at_once_are_refused(ledger: RunningLedger) -> None:
    nowhere = base58_of(bytes(32))

    assert "UnknownTask" in run("task", "rounds", nowhere, "--url", ledger.url).stderr
    both = run("task", "rounds", nowhere, "--url", ledger.url, "--csv", "--json")
    assert (2, True) == (both.returncode, "exclude one another" in both.stderr)


def test_a_package_is_served_without_a_stake_until_a_signal(tmp_path: Path) -> None:
    folder = make(tmp_path / "task")
    write_metadata(load_package(folder), 0)
    content_id, blobs = pack(load_package(folder))
    command = [sys.executable, "-m", "roundwork", "task", "serve", str(folder), "--json"]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            facts = json.loads(serving.stdout.readline())
            served = [httpx2.get(f"{facts['url']}/ipfs/{name}", trust_env=False).content for name in blobs]
            metadata = (folder / "metadata.json").read_bytes()
            name = compute_content_id(metadata)
            assert metadata == httpx2.get(f"{facts['url']}/ipfs/{name}", trust_env=False).content
            assert 404 == httpx2.get(f"{facts['url']}/nodes/x", trust_env=False).status_code
        finally:
            serving.terminate()

    assert (content_id, list(blobs.values())) == (facts["package"], served)
    assert 0 == serving.returncode


def test_a_keypair_file_says_its_address(tmp_path: Path) -> None:
    made = json.loads(run("keygen", tmp_path / "key.json", "--json").stdout)["address"]

    assert made == run("address", tmp_path / "key.json").stdout.strip()
    assert {"address": made} == json.loads(run("address", tmp_path / "key.json", "--json").stdout)
    assert "BadKeypair" in run("address", tmp_path / "none.json").stderr


def test_a_round_under_roundwork_1_says_why_each_node_lost_something() -> None:
    world = Hardened().submitted({"n02": name_proof(PROOF)}, silent=("n01",))
    world.expect("ok", "n03", world.challenge("n03", "n02"), slots=0)
    world.judged().listed({"n00": 100}).go(2, SW + 1)
    lister = world.ranks()[0]
    accuser, *voters = [name for name in ("n00", "n03", "n04") if name != lister]
    world.expect("ok", accuser, world.audit_list(accuser, lister))
    world.go(2, SW + AW // 2 + 1).block()
    for voter in voters:
        world.expect("ok", voter, world.audit_list(voter, lister), slots=0)
    world.go(3, AUDIT_END).block()
    view = view_round(world.state, world.task, 0)

    rows = {row["node"]: row for row in _list_nodes(view, {})}
    lines = list(_compose_round(view, list(rows.values()), Unit("KOII", 9)))

    reasons = {name: rows[base58_of(world.key(name))]["reason"] for name in (lister, "n01", "n02")}
    assert "it committed a proof and did not reveal it" == reasons["n01"]
    assert "its proof could not be had when it was challenged" in reasons["n02"]
    assert "its list was rejected" in reasons[lister]
    assert "no submission" == rows[base58_of(world.key("n01"))]["verdict"]
    for name in ("n01", "n02"):
        line = next(line for line in lines if line.startswith(f"  {base58_of(world.key(name))}"))
        assert "fines and bonds 0.000001 KOII" in line


def test_a_round_under_roundwork_1_with_too_few_proofs_says_so() -> None:
    world = Hardened().submitted(names=("n00", "n01")).go(2)
    view = view_round(world.state, world.task, 0)

    first, *_ = _compose_round(view, _list_nodes(view, {}), Unit("KOII", 9))

    assert "round 0: closed unpaid: 2 proofs, and a round of roundwork-1 needs 3" == first
