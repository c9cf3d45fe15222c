"""Instructions of the task programs, as stock clients read them."""

import asyncio
from typing import Any

import pytest
from solders.keypair import Keypair

from roundwork.client import operations
from roundwork.client.rpc import Client
from roundwork.package.folder import load_package
from roundwork.protocol.params import KOII, TASK_PROGRAM, base58_of
from roundwork.wire import base58_decode

from ..examples.test_examples import EXAMPLES
from ..ledger.process import RunningLedger
from .test_clients import DRIVERS, drive, ledger, require

__all__ = ["ledger"]

TOP_UP = 7 * KOII


@pytest.fixture(scope="module")
def funding(ledger: RunningLedger) -> str:
    """The signature of a transaction that adds to the bounty of a task."""
    rich = Keypair()
    ledger.fund(rich, 10_000 * KOII)

    async def run() -> str:
        async with Client(ledger.url) as client, asyncio.timeout(60):
            task = await operations.deploy(client, rich, load_package(EXAMPLES / "hello"), "bafkreipackage")
            return await operations.fund(client, rich, task, TOP_UP)

    signature = asyncio.run(run())
    ledger.wait_until_final()
    return signature


def read_funding(seen: dict[str, Any]) -> dict[str, Any]:
    """The only instruction of the task program."""
    [funding] = [each for each in seen["instructions"] if each["programId"] == base58_of(TASK_PROGRAM)]
    return dict(funding)


def check_parsed(seen: dict[str, Any]) -> None:
    assert ("task", "fundTask") == (seen["program"], seen["parsed"]["type"])
    assert {"task", "funder", "pot", "amount"} == seen["parsed"]["info"].keys()
    assert TOP_UP == seen["parsed"]["info"]["amount"]


@pytest.mark.xdist_group("compat")
def test_web3js_finds_the_data_that_clients_of_the_original_network_decode(
    ledger: RunningLedger, funding: str
) -> None:
    folder = require("web3js", "node")
    seen = read_funding(drive("node", DRIVERS / "task_web3js.cjs", folder, ledger.url, funding))

    assert b"\x08" + TOP_UP.to_bytes(8, "little") == base58_decode(seen["data"])
    assert [seen["parsed"]["info"][name] for name in ("task", "funder", "pot")] == seen["accounts"]
    check_parsed(seen)


@pytest.mark.xdist_group("compat")
def test_kit_finds_both_forms(ledger: RunningLedger, funding: str) -> None:
    folder = require("kit", "node")
    seen = read_funding(drive("node", DRIVERS / "task_kit.mjs", folder, ledger.url, funding))

    assert 9 == len(base58_decode(seen["data"]))
    check_parsed(seen)


@pytest.mark.xdist_group("compat")
def test_solders_finds_the_parsed_form(ledger: RunningLedger, funding: str) -> None:
    python = require("solana-sync") / "bin" / "python"

    check_parsed(read_funding(drive(python, DRIVERS / "task_sync.py", ledger.url, funding)))
