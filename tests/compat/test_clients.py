"""Stock clients, unmodified, against a ledger of ours; what one makes the others see."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..ledger.process import RunningLedger, running

TOOLS = Path(__file__).parents[2] / ".tools" / "compat"
DRIVERS = Path(__file__).parent / "drivers"
SYSTEM_INVOKED = "Program 11111111111111111111111111111111 invoke [1]"
PROGRAM = "Koiitask22222222222222222222222222222222222"


def require(folder: str, program: str | None = None) -> Path:
    """The environment of a client. Skips where it is not installed, but not in CI."""
    path = TOOLS / folder
    missing = not path.exists() or (program is not None and shutil.which(program) is None)
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{folder} is not installed: make compat")
    return path


def drive(*command: object) -> dict[str, Any]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("compat") / "ledger") as one:
        yield one


def websocket_of(ledger: RunningLedger) -> str:
    return f"ws://127.0.0.1:{ledger.port + 1}"


@pytest.fixture(scope="module")
def by_sync(ledger: RunningLedger) -> dict[str, Any]:
    """What the synchronous Python client saw, and an account that it made; likewise the others."""
    return drive(require("solana-sync") / "bin" / "python", DRIVERS / "solana_sync.py", ledger.url, PROGRAM)


@pytest.fixture(scope="module")
def by_async(ledger: RunningLedger) -> dict[str, Any]:
    python = require("solana-async") / "bin" / "python"
    return drive(python, DRIVERS / "solana_async.py", ledger.url, websocket_of(ledger), PROGRAM)


@pytest.fixture(scope="module")
def by_web3js(ledger: RunningLedger) -> dict[str, Any]:
    return drive("node", DRIVERS / "web3js.cjs", require("web3js", "node"), ledger.url, PROGRAM)


@pytest.fixture(scope="module")
def by_kit(ledger: RunningLedger) -> dict[str, Any]:
    folder = require("kit", "node")
    return drive("node", DRIVERS / "kit.mjs", folder, ledger.url, websocket_of(ledger), PROGRAM)


@pytest.mark.xdist_group("compat")
def test_the_synchronous_python_client_transfers_confirms_and_reads(by_sync: dict[str, Any]) -> None:
    seen = by_sync

    assert 5_000_000_000 == seen["airdropped"]
    assert (1000, 1007) == (seen["transferred"], seen["versioned"])
    assert (5000, 5000) == (seen["fee"], seen["fee_for_message"])
    assert seen["status"]
    assert seen["signatures"]
    assert seen["in_block"]
    assert [2_000_000, PROGRAM, 40, False] == seen["account"]
    assert [seen["made"]] == seen["program_accounts"]
    assert [False, True] == seen["multiple"]
    assert seen["simulated"][1]
    assert "Custom" in seen["simulated"][0] or "InstructionError" in seen["simulated"][0]
    assert "SendTransactionPreflightFailureMessage" == seen["refused"]
    assert 22 == len(seen["constants"])
    assert (100 + 128) * 6960 == seen["constants"][4]


@pytest.mark.xdist_group("compat")
def test_the_asynchronous_python_client_subscribes_on_its_websocket(by_async: dict[str, Any]) -> None:
    seen = by_async

    assert (5_000_000_000, 1234, 1241) == (seen["airdropped"], seen["account"], seen["transferred"])
    assert seen["signature"]
    assert seen["slot"]
    assert seen["root"]
    assert [True, SYSTEM_INVOKED, True] == seen["logs"]
    assert 0 == seen["version"]
    assert [True, 2_500_000] == seen["program"]
    assert [seen["made"]] == seen["program_accounts"]
    assert ([True, 2], False) == (seen["simulated"], seen["simulated_poor"][0])
    assert ["clock", True] == seen["clock"]


@pytest.mark.xdist_group("compat")
def test_web3js_works_as_wallets_use_it(by_web3js: dict[str, Any]) -> None:
    seen = by_web3js

    assert 5_000_000_000 == seen["airdropped"]
    assert (1234, 1240) == (seen["notified"], seen["transferred"])
    assert SYSTEM_INVOKED == seen["logged"]
    assert (0, 1234) == (seen["version"], seen["parsed"])
    assert seen["slot"]
    assert seen["root"]
    assert seen["signatureNotified"]
    assert seen["programNotified"]
    assert seen["programAccounts"]
    assert {"InstructionError": [0, {"Custom": 1}]} == json.loads(seen["simulated"])
    assert "SendTransactionError" == seen["refused"]
    assert 2 == seen["history"]
    assert ["sysvar", "clock"] == seen["clock"]
    assert seen["block"]


@pytest.mark.xdist_group("compat")
def test_kit_works_with_its_factories(by_kit: dict[str, Any]) -> None:
    seen = by_kit

    assert 5_000_000_000 == seen["airdropped"]
    assert (4321, 4321, 5000) == (seen["transferred"], seen["notified"], seen["fee"])
    assert seen["simulated"] is None
    assert [True, None, SYSTEM_INVOKED] == seen["logged"]
    assert seen["signature"] is None
    assert seen["programNotified"]
    assert [seen["made"]] == seen["programAccounts"]
    assert seen["slot"]


@pytest.mark.xdist_group("compat")
@pytest.mark.parametrize(
    ("folder", "program", "driver"),
    [
        ("solana-sync", None, "look_sync.py"),
        ("solana-async", None, "look_async.py"),
        ("web3js", "node", "look_web3js.cjs"),
        ("kit", "node", "look_kit.mjs"),
    ],
)
def test_what_one_client_made_every_other_sees(
    ledger: RunningLedger,
    by_sync: dict[str, Any],
    by_async: dict[str, Any],
    by_web3js: dict[str, Any],
    by_kit: dict[str, Any],
    folder: str,
    program: str | None,
    driver: str,
) -> None:
    made = {
        by_sync["made"]: [2_000_000, PROGRAM, 40],
        by_async["made"]: [2_500_000, PROGRAM, 48],
        by_web3js["made"]: [3_000_000, PROGRAM, 24],
        by_kit["made"]: [3_500_000, PROGRAM, 56],
    }
    path = require(folder, program)
    ledger.wait_until_final()
    start = ["node", DRIVERS / driver, path] if program else [path / "bin" / "python", DRIVERS / driver]

    assert made == drive(*start, ledger.url, *made)


@pytest.mark.xdist_group("compat")
def test_the_python_token_client_mints_moves_freezes_and_wraps(ledger: RunningLedger) -> None:
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
    for name in ("mint", "account", "multisig"):
        assert ["spl-token", name] == seen[f"parsed_{name}"]
    assert ["sysvar", "rent"] == seen["parsed_rent"]
    assert ["ParsedAccount", "ParsedAccount", "bytes"] == seen["parsed_many"]
    assert ["mintToChecked", "0.0005"] == seen["parsed_instruction"]
    assert seen["in_parsed_block"]
    assert ['Program log: Memo (len 4): "test"', "test"] == seen["memo"]


@pytest.mark.xdist_group("compat")
def test_anchors_provider_sends_simulates_and_loses_no_notification(ledger: RunningLedger) -> None:
    seen = drive("node", DRIVERS / "anchor.cjs", require("anchor", "node"), ledger.url)

    assert "processed" == seen["commitment"]
    assert (7, 1 + 2 + 3 + 4 + 5 + 6 + 7) == (seen["logged"], seen["balance"])
    assert [[SYSTEM_INVOKED, SYSTEM_INVOKED.replace("invoke [1]", "success")], 150] == seen["simulated"]
    name, logs = seen["refused"]
    assert "SendTransactionError" == name
    assert logs[1].startswith("Transfer: insufficient lamports ")
    assert logs[1].endswith(", need 10000000000")
    assert 4 * 100 == seen["repeated"]


@pytest.mark.xdist_group("compat")
def test_the_token_library_of_javascript_mints_moves_freezes_and_wraps(ledger: RunningLedger) -> None:
    seen = drive("node", DRIVERS / "spl_token.cjs", require("spl-token", "node"), ledger.url)

    assert seen["sameAgain"]
    assert (70, [999_000, 400], 999_400) == (seen["delegated"], seen["amounts"], seen["supply"])
    assert "Program log: Error: Account is frozen" in seen["refused"]
    assert "Program log: Error: Provided owner is not allowed" in seen["twice"]
    assert (12_345, True) == (seen["wrapped"], seen["closed"])
    assert ["transferChecked", True] == seen["parsed"]
    calls = ["getAccountDataSize", "createAccount", "initializeImmutableOwner", "initializeAccount3"]
    assert [[0, calls]] == seen["inner"]


@pytest.mark.xdist_group("compat")
def test_kit_uses_a_durable_nonce_again_and_again(ledger: RunningLedger) -> None:
    folder = require("kit", "node")

    seen = drive("node", DRIVERS / "kit_nonce.mjs", folder, ledger.url, websocket_of(ledger))

    assert {"values": 4, "balance": 4 * 1_000} == seen


@pytest.mark.xdist_group("compat")
def test_umis_default_bundle_sends_equal_transactions_one_after_the_other(ledger: RunningLedger) -> None:
    seen = drive("node", DRIVERS / "umi.mjs", require("umi", "node"), ledger.url)

    assert (5_000_000_000, 4 * 1_000_000, None) == (seen["airdropped"], seen["balance"], seen["err"])
    assert SYSTEM_INVOKED == seen["logs"][0]
    assert seen["statuses"]
    assert [True, True, False] == seen["accounts"]
    assert (100 + 128) * 6960 == seen["rent"]
    assert any(line.startswith("Transfer: insufficient lamports ") for line in seen["refused"])
