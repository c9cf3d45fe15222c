"""`up --engine comet`: the hello task from deployment to payout, while engine and application are killed."""

import os
from pathlib import Path
from typing import Any

import pytest

from roundwork.protocol.params import KOII

from ...localnet.test_network import Up, verify
from .load import Load, check_books, find_pair, kill

ROUNDS = 8
"""Five are asked for; a machine that is busy needs some of them for the kills."""


@pytest.fixture
def directory(cometbft: str, tmp_path: Path) -> Path:
    return tmp_path / "up"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_five_rounds_are_settled_although_engine_and_application_are_killed(directory: Path) -> None:
    up = Up(directory, "--nodes", "5", "--rounds", str(ROUNDS), "--engine", "comet")
    try:
        up.wait_for_nodes(5)
        ledger = up.find("ledger")
        with Load(up.network.url) as load:
            for victims in (["engine"], ["application"], ["engine", "application"]):
                load.wait_for(2)
                before = find_pair(ledger)
                kill(ledger, victims)
                load.wait_for(2)
                after = find_pair(ledger)
                assert not {before[victim] for victim in victims} & set(after.values())
        summary, _ = up.finish(200)
    finally:
        up.end()

    assert ROUNDS <= summary["rounds_settled"]
    assert summary["supply_constant"] is True
    facts = verify(directory)
    assert (summary["state_hash"], 10**9 * KOII) == (facts["state_hash"], facts["supply"])
    check_books(directory / "ledger", load.acknowledged)
    check_nodes(summary["nodes"])
    assert not os.path.exists(f"/proc/{ledger}")


def check_nodes(nodes: list[dict[str, Any]]) -> None:
    """The liar is slashed and earns nothing, the honest earn and are never slashed."""
    for node in nodes:
        is_liar = node["role"] == "liar"
        assert is_liar == (node["slashed"] > 0)
        assert is_liar == (node["earned"] == 0)
        assert is_liar or node["stake"] == 10 * KOII
