"""`roundwork receipt` and `verify-receipt`: a receipt comes from a ledger, and is checked without one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from roundwork.protocol.params import base58_of

from ..ledger.process import RunningLedger, running
from ..ledger.rpc.test_archive import keep
from ..protocol.hardened import NODES, Hardened
from .test_task import run


@pytest.fixture(scope="module")
def world() -> Hardened:
    """A task under roundwork-1 whose round 0 convicted n01 and is pruned."""
    world = Hardened()
    world.play()
    return world.go(9)


@pytest.fixture(scope="module")
def ledger(world: Hardened, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    directory = tmp_path_factory.mktemp("round") / "ledger"
    keep(world, directory)
    with running(directory) as ledger:
        yield ledger


def test_a_receipt_is_written_from_a_ledger_and_checked_without_it(
    world: Hardened, ledger: RunningLedger, tmp_path: Path
) -> None:
    task, node, path = base58_of(world.task), base58_of(world.key("n01")), tmp_path / "receipt.json"
    head = ledger.call("getRound", task, 0)["hardened"]["head"]

    written = run("receipt", task, 0, node, "--file", path, "--url", ledger.url)
    shown = run("verify-receipt", path)
    facts = json.loads(run("verify-receipt", path, "--head", head, "--json").stdout)

    assert f"wrote {path}\n" == written.stdout, written.stderr
    assert head in shown.stdout
    assert "convicted, votes -1, net -" in shown.stdout
    assert "(roe, or the smallest unit of the task's token)" in shown.stdout
    assert (task, 0, node, head) == (facts["task"], facts["round"], facts["node"], facts["head"])
    assert ("convicted", True) == (facts["verdict"], facts["is_head_trusted"])
    assert facts["value"].startswith("bafkrei")


def test_a_damaged_receipt_is_refused_by_the_name_of_its_damage(
    world: Hardened, ledger: RunningLedger, tmp_path: Path
) -> None:
    path = tmp_path / "receipt.json"
    run("receipt", base58_of(world.task), 0, base58_of(world.key("n00")), "--file", path, "--url", ledger.url)
    fields = json.loads(path.read_bytes())
    path.write_text(json.dumps({**fields, "net": fields["net"] + 1}))

    refused = run("verify-receipt", path, "--json")
    missing = run("verify-receipt", tmp_path / "nowhere.json")
    no_head = run("verify-receipt", path, "--head", "abc")

    assert (1, "ReceiptWithWrongLeaf") == (refused.returncode, json.loads(refused.stdout)["error"])
    assert (1, 2) == (missing.returncode, no_head.returncode)
    assert "64 digits of lower-case hex" in no_head.stderr


def test_where_there_is_no_receipt_the_reasons_are_named(
    world: Hardened, ledger: RunningLedger, tmp_path: Path
) -> None:
    path, task = tmp_path / "receipt.json", base58_of(world.task)

    for number, name, reason in (
        (7, "n00", "no node submitted in it"),
        (700, "n00", "the newest round is "),
        (0, "manager", "a node is named by the address of its staking key"),
    ):
        node = base58_of(world.key(name))
        done = run("receipt", task, number, node, "--file", path, "--url", ledger.url)
        assert 1 == done.returncode
        assert f"NoReceipt: round {number} of {task} has no receipt for {node}: " in done.stderr
        assert reason in done.stderr.partition(" has no receipt for ")[2]
    node = base58_of(world.key("n00"))
    unknown = run("receipt", node, 0, node, "--url", ledger.url)
    nowhere = run("receipt", task, 0, node, "--file", tmp_path / "no" / "x.json", "--url", ledger.url)
    assert unknown.stderr.startswith("UnknownTask: ")
    assert f"there is no folder {tmp_path / 'no'}" in nowhere.stderr
    assert not path.exists()


def test_rounds_say_what_fines_bonds_and_shares_came_to_and_show_the_head(
    world: Hardened, ledger: RunningLedger
) -> None:
    task = base58_of(world.task)
    head = ledger.call("getRound", task, 0)["hardened"]["head"]
    everything = ("task", "rounds", task, "--url", ledger.url, "--last", 100)

    shown = run(*everything).stdout
    told = json.loads(run(*everything, "--json").stdout)["rounds"]

    assert f"round 0: paid\n  head {head}\n" in shown
    assert head == told[0]["head"]
    by_node = {row["node"]: row for row in told[0]["nodes"]}
    for name in NODES:
        row, node = by_node[base58_of(world.key(name))], base58_of(world.key(name))
        receipt = ledger.call("getRoundProof", task, 0, node)
        assert (receipt["net"], receipt["verdict"]) == (row["net"], row["verdict"])
        line = next(line for line in shown.splitlines() if line.startswith(f"  {node}"))
        more = row["net"] - row["reward"] + row["slash"]
        assert ("shares " in line, "fines and bonds " in line) == (more > 0, more < 0)
