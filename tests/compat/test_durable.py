"""Durable nonces and lookup tables, as stock clients make and use them."""

from typing import Any

import pytest

from ..ledger.process import NEWEST, RunningLedger
from .test_clients import DRIVERS, drive, ledger, require

__all__ = ["ledger"]


@pytest.fixture(scope="module")
def seen(ledger: RunningLedger) -> dict[str, Any]:
    """What web3.js saw, and the table that it left."""
    folder = require("web3js", "node")
    return drive("node", DRIVERS / "durable_web3js.cjs", folder, ledger.url)


@pytest.mark.xdist_group("compat")
def test_web3js_sends_what_a_nonce_lets_run_once(seen: dict[str, Any]) -> None:
    assert seen["authority"]
    assert (5000, 5000) == (seen["nonceFee"], seen["feeForNonce"])
    assert seen["nonceError"] is None
    assert seen["movedOn"]
    assert "Blockhash not found" in seen["again"]
    assert (True, 111) == (seen["nonceEnded"], seen["target"])


@pytest.mark.xdist_group("compat")
def test_web3js_sends_through_a_lookup_table_that_it_made(seen: dict[str, Any]) -> None:
    assert [True, 2, True] == seen["table"]
    assert (False, 222) == (seen["named"], seen["inside"])
    assert [True] == seen["loaded"]
    assert [0, 222] == seen["balances"]
    assert (True, "lookupTable") == (seen["parsed"], seen["source"])
    assert [True] == seen["history"]
    assert not seen["deactivated"]


@pytest.mark.xdist_group("compat")
def test_kit_sends_a_durable_transaction_and_one_through_the_table(ledger: Any, seen: dict[str, Any]) -> None:
    folder = require("kit", "node")
    websocket = f"ws://127.0.0.1:{ledger.port + 1}"
    inside = seen["insideKey"]

    ours = drive(
        "node", DRIVERS / "durable_kit.mjs", folder, ledger.url, websocket, seen["lookupTable"], inside
    )

    assert ours["authority"]
    assert (333, True) == (ours["target"], ours["movedOn"])
    assert [inside] == ours["loaded"]
    assert "lookupTable" == ours["sources"][-1]
    assert 222 + 444 == ledger.call("getBalance", inside, NEWEST)["value"]
