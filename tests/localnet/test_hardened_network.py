"""roundwork-1 on real processes: commitments, checks, juries and lists of nodes on a ledger."""

from pathlib import Path

import pytest

from roundwork.protocol.params import KOII

from ..node.house import require_sandbox
from .proving import run_proving
from .test_network import verify


@pytest.fixture(autouse=True)
def sandbox() -> None:
    require_sandbox("sandlock")


def test_nodes_play_whole_rounds_and_a_liar_is_slashed_at_its_verdict(tmp_path: Path) -> None:
    up = run_proving(tmp_path, "--nodes", "5", "--liars", "1", "--rounds", "2")
    try:
        summary, _ = up.finish(150)
    finally:
        up.end()

    assert (True, []) == (summary["ok"], summary["faults"])
    *honest, liar = summary["nodes"]
    judged = [view for view in summary["rounds"] if len(view["submissions"]) == 5]
    paid = [view for view in judged if view["status"] == "PayoutSuccessful"]
    assert paid
    for view in paid:
        verdicts = {each["name"]: each["verdict"] for each in view["submissions"]}
        assert {**dict.fromkeys(verdicts, "untried"), liar["name"]: "convicted"} == verdicts
        assert [0] == [each["reward"] for each in view["payments"] if each["node"] == liar["key"]]
        [listed] = view["lists"]
        assert {node["key"] for node in honest} == set(listed["amounts"])
    assert (liar["name"], 7 * KOII) == (summary["slashes"][0]["node"], summary["slashes"][0]["amount"])
    for node in honest:
        assert (0, 10 * KOII) == (node["slashed"], node["stake"])  # no honest node paid a fine
        assert node["earned"] > 0
    facts = verify(tmp_path / "up")
    assert (summary["state_hash"], 10**9 * KOII) == (facts["state_hash"], facts["supply"])
