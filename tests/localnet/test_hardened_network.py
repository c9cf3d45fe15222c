"""roundwork-1 on real processes: commitments, checks, juries and lists of nodes on a ledger."""

from pathlib import Path
from typing import Any

import pytest

from roundwork.node.peers.storage import read_blob
from roundwork.protocol.params import KOII

from ..node.house import require_sandbox
from .proving import run_proving
from .test_network import verify

pytestmark = pytest.mark.timeout(300)
"""Real networks in real time, also on a loaded machine."""


@pytest.fixture(autouse=True)
def sandbox() -> None:
    require_sandbox("sandlock")


def test_nodes_play_whole_rounds_and_a_liar_is_slashed_at_its_verdict(tmp_path: Path) -> None:
    up = run_proving(tmp_path, "--nodes", "5", "--liars", "1", "--rounds", "1")
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
    names = {node["key"]: node["name"] for node in summary["nodes"]}
    for view in paid:  # who fetched a proof keeps it, and its gateway serves what is kept
        values = {each["node"]: each["value"] for each in view["submissions"]}
        for shown in view["hardened"]["submissions"]:
            for checker, found in shown["receipts"].items():
                blobs = tmp_path / "up" / names[checker] / "blobs"
                assert found is None or read_blob(blobs, values[shown["node"]])
    assert (liar["name"], 7 * KOII) == (summary["slashes"][0]["node"], summary["slashes"][0]["amount"])
    for node in honest:
        assert (0, 10 * KOII) == (node["slashed"], node["stake"])  # no honest node paid a fine
        assert node["earned"] > 0
    facts = verify(tmp_path / "up")
    assert (summary["state_hash"], 10**9 * KOII) == (facts["state_hash"], facts["supply"])


@pytest.mark.slow
def test_withheld_proofs_are_missing_and_silent_ranks_cost_nothing_but_time(tmp_path: Path) -> None:
    summary = play(tmp_path, "mute=3", "withholder=1", "hider=1", nodes=6)

    *others, withholder, hider = summary["nodes"]
    assert ["withholder", "hider"] == [withholder["role"], hider["role"]]
    view = paid_in_full(summary)[0]
    assert ["missing"] * 2 == [find(view, node)["verdict"] for node in (withholder, hider)]
    nets, costs = view["hardened"]["nets"], list_costs(summary)
    for node in (withholder, hider):
        missing = (LAPSE, "its proof could not be had when it was challenged")
        assert missing == costs[view["round"], node["name"]]
        assert -LAPSE == nets[node["key"]]
        assert (0, 0) == (node["earned"], node["slashed"])
    mute = {node["key"] for node in others if node["role"] == "mute"}
    assert {each["submitter"] for each in view["lists"]}.isdisjoint(mute)
    assert {node["key"] for node in others} == {
        each["node"] for each in view["payments"] if each["reward"] > 0
    }
    for node in others:
        assert nets[node["key"]] > 0


@pytest.mark.slow
def test_a_proof_that_is_served_to_none_is_answered_and_an_accuser_of_honest_lists_loses_its_bond(
    tmp_path: Path,
) -> None:
    # One slanderer accuses the lists of the other, too.
    summary = play(tmp_path, "reluctant=1", "slanderer=2", nodes=6)

    reluctant = next(node for node in summary["nodes"] if node["role"] == "reluctant")
    view = paid_in_full(summary)[0]
    nets = view["hardened"]["nets"]
    shown = next(each for each in view["hardened"]["submissions"] if each["node"] == reluctant["key"])
    assert (True, "untried") == (shown["is_posted"], shown["verdict"])
    assert shown["challenge"]["challenger"] in {node["key"] for node in summary["nodes"]}
    assert {True} == set(shown["receipts"].values())  # its checkers got the proof from the ledger
    assert nets[reluctant["key"]] > 0
    slanderers = {node["key"]: node["name"] for node in summary["nodes"] if node["role"] == "slanderer"}
    [listed] = view["lists"]
    accuser = listed["trigger_by"]
    assert accuser in slanderers
    reward = next(each["reward"] for each in view["payments"] if each["node"] == accuser)
    assert reward - LAPSE == nets[accuser]
    assert (LAPSE, "it accused a list that stood") == list_costs(summary)[view["round"], slanderers[accuser]]


@pytest.mark.slow
def test_a_wrong_list_is_rejected_and_the_node_that_handed_it_in_is_slashed(tmp_path: Path) -> None:
    summary = play(tmp_path, "mute=3", "thief=1", nodes=4)  # so that the only list is the wrong one

    *_, thief = summary["nodes"]
    for view in paid_in_full(summary):
        wrong, split = view["lists"]
        assert (thief["key"], 255) == (wrong["submitter"], split["attempt"])
        payments = {each["node"]: each for each in view["payments"]}
        assert payments[thief["key"]]["slash"] > 0
        accuser, nets = wrong["trigger_by"], view["hardened"]["nets"]
        share = payments[thief["key"]]["slash"] // 4
        assert payments[accuser]["reward"] + share == nets[accuser]  # and the bond returned


@pytest.mark.slow
def test_without_any_list_the_ledger_splits(tmp_path: Path) -> None:
    summary = play(tmp_path, "mute=3", "liar=1", nodes=4)

    *mute, liar = summary["nodes"]
    view = paid_in_full(summary)[0]
    assert [255] == [each["attempt"] for each in view["lists"]]
    rewards = {each["node"]: each["reward"] for each in view["payments"]}
    assert {**{node["key"]: 6 * KOII // 4 for node in mute}, liar["key"]: 0} == rewards
    assert "convicted" == find(view, liar)["verdict"]


LAPSE = KOII // 10
"""A tenth of the task's minimum stake: a lapse, and the bond over a list."""


def play(directory: Path, *plays: str, nodes: int) -> dict[str, Any]:
    """What came of a network that plays one whole round or more; its books are checked."""
    options = [word for name in plays for word in ("--play", name)]
    up = run_proving(directory, "--nodes", str(nodes), "--rounds", "1", *options)
    try:
        summary, _ = up.finish(150)
    finally:
        up.end()
    assert (True, []) == (summary["ok"], summary["faults"])
    assert verify(directory / "up")["supply"] == 10**9 * KOII
    return summary


def paid_in_full(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The rounds that are paid and in which all nodes submitted."""
    views = [
        view
        for view in summary["rounds"]
        if view["status"] == "PayoutSuccessful" and len(view["submissions"]) == len(summary["nodes"])
    ]
    assert views
    return views


def find(view: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a node submitted in a round."""
    found: dict[str, Any] = next(each for each in view["submissions"] if each["node"] == node["key"])
    return found


def list_costs(summary: dict[str, Any]) -> dict[tuple[int, str], tuple[int, str]]:
    """What rounds cost nodes beside slashes, and why, by round and name."""
    return {(cost["round"], cost["node"]): (cost["amount"], cost["reason"]) for cost in summary["costs"]}
