"""Stock clients, unmodified, against a ledger of ours; what one makes the others see."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..ledger.process import RunningLedger, running

TOOLS = Path(__file__).parents[2] / ".tools" / "compat"
DRIVERS = Path(__file__).parent / "drivers"
PROGRAM = "Koiitask22222222222222222222222222222222222"


def require(folder: str, program: str | None = None) -> Path:
    """The environment of a client. Skips where it is not installed, but not in CI."""
    path = TOOLS / folder
    missing = not path.exists() or (program is not None and shutil.which(program) is None)
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{folder} is not installed: make compat")
    return path


def drive(*command: object) -> dict:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("compat") / "ledger") as one:
        yield one


@pytest.fixture(scope="module")
def made(ledger: RunningLedger) -> dict:
    """What the synchronous Python client saw, and an account that it made."""
    python = require("solana-sync") / "bin" / "python"
    return drive(python, DRIVERS / "solana_sync.py", ledger.url, PROGRAM)


@pytest.mark.xdist_group("compat")
def test_the_synchronous_python_client_transfers_confirms_and_reads(made):
    assert 5_000_000_000 == made["airdropped"]
    assert (1000, 1007) == (made["transferred"], made["versioned"])
    assert (5000, 5000) == (made["fee"], made["fee_for_message"])
    assert made["status"]
    assert made["signatures"]
    assert made["in_block"]
    assert [2_000_000, PROGRAM, 40, False] == made["account"]
    assert [made["made"]] == made["program_accounts"]
    assert [False, True] == made["multiple"]
    assert made["simulated"][1]
    assert "Custom" in made["simulated"][0] or "InstructionError" in made["simulated"][0]
    assert "SendTransactionPreflightFailureMessage" == made["refused"]
    assert 22 == len(made["constants"])
    assert (100 + 128) * 6960 == made["constants"][4]


@pytest.mark.xdist_group("compat")
def test_the_asynchronous_python_client_subscribes_on_its_websocket(ledger, made):
    python = require("solana-async") / "bin" / "python"
    websocket = f"ws://127.0.0.1:{ledger.port + 1}"

    seen = drive(python, DRIVERS / "solana_async.py", ledger.url, websocket, made["made"])

    assert 2_000_000 == seen["other_library_made"]
    assert (1234, 1234) == (seen["account"], seen["transferred"])
    assert seen["signature"]
    assert seen["slot"]


@pytest.mark.xdist_group("compat")
def test_web3js_works_as_wallets_use_it(ledger, made):
    folder = require("web3js", "node")

    seen = drive("node", DRIVERS / "web3js.cjs", folder, ledger.url, PROGRAM, made["made"])

    assert (5_000_000_000, 2_000_000) == (seen["airdropped"], seen["otherLibraryMade"])
    assert (1234, 1240) == (seen["notified"], seen["transferred"])
    assert "Program 11111111111111111111111111111111 invoke [1]" == seen["logged"]
    assert (0, 1234) == (seen["version"], seen["parsed"])
    assert seen["programNotified"]
    assert seen["programAccounts"]
    assert {"InstructionError": [0, {"Custom": 1}]} == json.loads(seen["simulated"])
    assert "SendTransactionError" == seen["refused"]
    assert 2 == seen["history"]
    assert seen["block"]
    assert 3_000_000 == ledger.call("getBalance", seen["made"])["value"]


@pytest.mark.xdist_group("compat")
def test_kit_works_with_its_factories(ledger, made):
    folder = require("kit", "node")
    websocket = f"ws://127.0.0.1:{ledger.port + 1}"

    seen = drive("node", DRIVERS / "kit.mjs", folder, ledger.url, websocket, made["made"])

    assert (5_000_000_000, 2_000_000) == (seen["airdropped"], seen["otherLibraryMade"])
    assert (4321, 4321, 5000) == (seen["transferred"], seen["notified"], seen["fee"])
    assert seen["simulated"] is None
    assert seen["slot"]


@pytest.mark.xdist_group("compat")
def test_the_python_token_client_mints_moves_freezes_and_wraps(ledger):
    python = require("solana-sync") / "bin" / "python"

    seen = drive(python, DRIVERS / "spl_token.py", ledger.url)

    assert seen["delegate"]
    assert 20 == seen["delegated"]
    assert seen["by_delegate"]
    assert seen["frozen"]
    assert seen["refused"]
    assert [1_000_050, 6, True] == seen["mint"]
    assert ("0.00055", "1000050") == (seen["balance"], seen["supply"])
    assert [True, 2] == seen["largest"]
    assert "550" == seen["parsed"]
    assert seen["close_authority"]
    assert 6 == seen["shared"]
    assert 5_000_000 == seen["wrapped"]
    assert seen["unwrapped"] >= 5_000_000
    assert ['Program log: Memo (len 4): "test"', "test"] == seen["memo"]
