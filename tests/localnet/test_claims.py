"""Nodes under roundwork-1 claim what is released to them by themselves."""

from pathlib import Path

import pytest

from ..node.house import require_sandbox
from .proving import run_proving
from .test_network import verify

CLAIM_ROUNDS = 6
"""What round 0 paid is released in ledger round 5; the last of these rounds is paid later."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nodes_claim_what_was_held_back_and_is_released(tmp_path: Path) -> None:
    require_sandbox("sandlock")
    up = run_proving(tmp_path, "--nodes", "3", "--liars", "0", "--rounds", str(CLAIM_ROUNDS))
    try:
        summary, _ = up.finish(250)
    finally:
        up.end()

    assert (True, []) == (summary["ok"], summary["faults"])
    for node in summary["nodes"]:
        log = (tmp_path / "up" / f"{node['name']}.log").read_text()
        assert "done.claim claiming the available balance: " in log
        assert node["available"] + node["held_back"] < node["earned"]
    assert 10**9 * 10**9 == verify(tmp_path / "up")["supply"]
