"""docs/OPERATORS.md: every command that it shows, run in its order on a real ledger with a real task."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, set_active
from roundwork.client.rpc import Client
from roundwork.host.keypairs import read_keypair
from roundwork.package.folder import load_package, pack
from roundwork.protocol.params import KOII

from .ledger.process import NEWEST, RunningLedger, running
from .localnet.test_supervisor import wait_until
from .node.house import require_sandbox
from .node.test_server import run_node

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "OPERATORS.md"
HELLO = ROOT / "examples" / "hello"
OTHER = str(Keypair().pubkey())
PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path_factory.mktemp("operators") / "ledger") as ledger:
        yield ledger


@pytest.fixture(scope="module")
def task(ledger: RunningLedger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A task that somebody else deployed, and runs a node of."""
    package = load_package(HELLO)

    async def found() -> str:
        async with Client(ledger.url) as client:
            manager = Keypair()
            await airdrop(client, str(manager.pubkey()), 3_000 * KOII)
            address = await deploy(client, manager, package, pack(package)[0])
            await set_active(client, manager, address, True)
            return address

    address = asyncio.run(found())
    directory = tmp_path_factory.mktemp("others")
    with run_node(ledger, address, directory, "--package", HELLO, "--stake", KOII) as other:
        main = read_keypair(directory / "main.json")
        ledger.fund(main, 100 * KOII)
        wait_until(lambda: other.endpoint in str(ledger.call("getTask", address)["stakes"]), 120)
        yield address


def read_commands() -> list[str]:
    """What the operator of a node does, without commands for a ledger of another law.

    Receipts are for tasks under roundwork-1; tests/cli/test_receipts.py runs their commands.
    """
    return re.findall(
        r"^\.venv/bin/(roundwork (?!ledger |receipt |verify-receipt ).*)$", PAGE.read_text(), re.MULTILINE
    )


@pytest.mark.timeout(400)
def test_every_command_of_the_page_does_what_it_says(
    ledger: RunningLedger, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUNDWORK_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("ROUNDWORK_URL", ledger.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    keys, words, ran, node = tmp_path / ".roundwork" / "node", "", [], None
    address = ""

    def submitters() -> str:
        rounds = ledger.call("getTask", task)["open_rounds"]
        return str([ledger.call("getRound", task, number)["submissions"] for number in rounds])

    try:
        for line in read_commands():
            if "MAIN" in line:
                line = line.replace("MAIN", str(read_keypair(keys / "main.json", PASSPHRASE).pubkey()))
            line = line.replace("TASK", task).replace("OTHER", OTHER)
            _, *arguments = shlex.split(line)
            ran.append(arguments[:2])
            command = [sys.executable, "-m", "roundwork", *arguments]
            if ["node", "run"] == arguments[:2]:
                node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
                assert node.stdout is not None
                address = node.stdout.readline().split()[1]
                wait_until(partial(lambda node: node in submitters(), address), 120)
                continue
            if ["node", "claim"] == arguments[:2] and "--to" in arguments:
                wait_until(partial(lambda node: can_claim(ledger, task, node) > 0, address), 120)
            if ["node", "withdraw"] == arguments[:2] and node is not None:
                node.terminate()
                assert 0 == node.wait(20)
            done = subprocess.run(
                [*command, "--json"], input=words, capture_output=True, text=True, cwd=tmp_path, timeout=200
            )
            assert 0 == done.returncode, (line, done.stderr)
            words = json.loads(done.stdout).get("mnemonic", words)
    finally:
        if node is not None:
            node.kill()
            node.communicate()

    assert {("node", "run"), ("node", "withdraw"), ("transfer", OTHER)} <= {tuple(one) for one in ran}
    for name in ("main", "staking"):
        restored = tmp_path / ".roundwork" / "restored" / f"{name}.json"
        assert read_keypair(restored) == read_keypair(keys / f"{name}.json", PASSPHRASE)
    [mine] = [one for one in ledger.call("getTask", task)["stakes"] if one["node"] == address]
    assert (0, 0) == (mine["amount"], mine["available"])
    assert ledger.call("getBalance", OTHER, NEWEST)["value"] > KOII


def can_claim(ledger: RunningLedger, task: str, node: str) -> int:
    stakes = ledger.call("getTask", task)["stakes"]
    answer: int = next(one["available"] for one in stakes if one["node"] == node)
    return answer


def test_the_page_names_errors_that_exist() -> None:
    from roundwork import errors

    table = PAGE.read_text().partition("## When something is refused")[2]
    named = re.findall(r"`([A-Z][a-z]\w+)[:`]", table)

    assert len(named) >= 6
    assert [] == [name for name in named if not hasattr(errors, name)]
