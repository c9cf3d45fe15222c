"""What the state lets go of stays readable: a pruned round answers as it did before."""

import base64
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from roundwork.ledger.chain import Chain
from roundwork.ledger.rpc.task_forms import describe_distributions, describe_submissions
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_round
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.cursor import RoundCursor

from ...protocol.stage import SW, Stage
from ...protocol.world import World
from ..process import running


def pay_and_slash(world: Stage) -> Stage:
    """Round 0 with a conviction, a slash, an audited list and something uploaded in vain."""
    world.submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    vain = ins.UploadDistributionList(world.task, world.key("n02"), 0, 2, b"{}", 0)
    world.go(2).expect("ok", "n02", vain)
    world.expect_list("ok", "n01", 0, {"n00": 60, "n01": 40, "n02": -700})
    world.go(2, SW + 1).expect("ok", "n02", world.audit_list("n02", 0, "n01"))
    world.expect("ok", "n00", world.audit_list("n00", 0, "n01", 1), slots=0)
    return world


def keep(world: World, directory: Path) -> None:
    """Bring the blocks of a world into a ledger's directory."""
    Chain.create(directory, world.state.genesis)
    with closing(Chain(directory)) as chain:
        for block, verified, expected in world.blocks:
            outcome = chain.execute(block, verified)
            assert expected.state_hash == outcome.state_hash
            chain.persist(block, outcome)
            chain.publish(block, outcome)


def test_a_pruned_round_is_read_over_rpc_as_it_was_before(tmp_path: Path) -> None:
    world = pay_and_slash(Stage({"allowed_failed_distributions": 0})).go(4)
    before = view_round(world.state, world.task, 0)
    submissions = describe_submissions(world.state, world.task, 0)
    distributions = describe_distributions(world.state, world.task, 0)
    world.go(6)
    assert "Unopened" == view_round(world.state, world.task, 0).status
    assert not RoundCursor(world.state, world.task, 0).chunks.rows
    keep(world, tmp_path / "ledger")

    task = base58_of(world.task)
    with running(tmp_path / "ledger") as ledger:
        after = ledger.call("getRound", task, 0)
        params = [task, {"round": 0}]
        seen = (
            ledger.call("getTaskSubmissionInfo", *params),
            ledger.call("getTaskDistributionInfo", *params),
        )
        never = ledger.call("getRound", task, 1)
        paid = ledger.call("getRound", base58_of(bytes(32)), 0)

    assert "PayoutSuccessful" == before.status == after["status"]
    assert [60, 40, 0] == [payment["reward"] for payment in sorted_by_name(world, after["payments"])]
    assert [0, 0, 700] == [payment["slash"] for payment in sorted_by_name(world, after["payments"])]
    for field in ("attempt", "beacon", "seed"):
        assert getattr(before, field) == after[field]
    assert [entry.value for entry in before.submissions] == [entry["value"] for entry in after["submissions"]]
    assert [entry.verdict for entry in before.submissions] == [
        entry["verdict"] for entry in after["submissions"]
    ]
    assert [entry.auditors for entry in before.lists] == [entry["auditors"] for entry in after["lists"]]
    for part, answer in zip((submissions, distributions), seen, strict=True):
        text, encoding = answer["value"]["data"]
        assert "base64" == encoding
        assert part == json.loads(base64.b64decode(text))
        assert answer["context"]["slot"] >= world.state.head.slot
    assert "Unopened" == never["status"]
    assert paid is None


def sorted_by_name(world: Stage, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {base58_of(world.key(name)): name for name in ("n00", "n01", "n02")}
    return sorted(rows, key=lambda row: names[row["node"]])
