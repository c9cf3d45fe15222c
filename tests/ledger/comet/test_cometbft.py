"""The real CometBFT and its application, killed and stopped under load, and what clients see of them."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from solders.keypair import Keypair
from websockets.asyncio.client import connect

from ..process import NEWEST, RpcFailure, RunningLedger, give, running
from .load import (
    DEADLINE_SECONDS,
    Load,
    check_app_hashes,
    check_books,
    find_pair,
    kill,
    wait_until_it_goes_on,
)

KILLS = int(os.environ.get("ROUNDWORK_KILLS", "6"))
"""How often something is killed; `make kills` does it 100 times."""

SEED = int(os.environ.get("ROUNDWORK_SEED", "4"))
VICTIMS = [["engine"], ["application"], ["engine", "application"]]

pytestmark = pytest.mark.usefixtures("cometbft")


@pytest.mark.slow
@pytest.mark.timeout(60 + 30 * KILLS)
def test_no_kill_loses_or_doubles_an_acknowledged_transaction(tmp_path: Path) -> None:
    directory = tmp_path / "ledger"
    chance = random.Random(SEED)
    with running(directory, engine="comet") as ledger:
        with Load(ledger.url) as load:
            for number in range(KILLS):
                load.wait_for(3)
                time.sleep(chance.random() / 5)  # somewhere within a block or two
                kill(ledger.process.pid, VICTIMS[number % 3])
                wait_until_it_goes_on(ledger)
            load.wait_for(1)
        check_app_hashes(directory)

    assert len(load.acknowledged) > 3 * KILLS
    check_books(directory, load.acknowledged)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comet") / "ledger"


@pytest.mark.parametrize("victim", ["engine", "application"])
def test_one_that_hangs_holds_up_blocks_and_nothing_is_lost(directory: Path, victim: str) -> None:
    with running(directory, engine="comet") as ledger:
        with Load(ledger.url) as load:
            load.wait_for(2)
            pid = find_pair(ledger.process.pid)[victim]
            os.kill(pid, signal.SIGSTOP)
            time.sleep(2)
            os.kill(pid, signal.SIGCONT)
            load.wait_for(2)
        assert pid == find_pair(ledger.process.pid)[victim]

    check_books(directory, load.acknowledged)


@pytest.mark.slow
def test_a_hanging_engine_is_said_so_and_reads_are_answered(directory: Path) -> None:
    with running(directory, engine="comet") as ledger:
        pair = Keypair()
        fund(ledger, pair)
        wire = ledger.sign(pair, give(pair, Keypair().pubkey(), 1))
        engine = find_pair(ledger.process.pid)["engine"]
        os.kill(engine, signal.SIGSTOP)

        with pytest.raises(RpcFailure, match="CometBFT did not take the transaction: ReadTimeout") as caught:
            ledger.send(wire)
        height = ledger.call("getLedger")["height"]
        os.kill(engine, signal.SIGCONT)

        assert (-32005, "RemoteError") == (caught.value.code, caught.value.data["roundwork"]["name"])
        assert height > 0


def fund(ledger: RunningLedger, pair: Keypair) -> None:
    ledger.fund(pair)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not ledger.call("getBalance", str(pair.pubkey()), NEWEST)["value"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def tell(*words: str) -> dict[str, object]:
    """What a command prints."""
    command = [sys.executable, "-m", "roundwork", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_clients_commands_and_websockets_work_as_on_any_ledger(directory: Path) -> None:
    with running(directory, None, "--limit", "batch_calls=2", engine="comet") as ledger:
        pair, other = Keypair(), Keypair().pubkey()
        fund(ledger, pair)
        wire = ledger.sign(pair, give(pair, other, 10**7))
        notified = asyncio.run(watch(ledger, wire))
        with pytest.raises(RpcFailure, match="already been processed"):
            ledger.send(wire)
        info = tell("ledger", "info", "--directory", str(directory))
        facts = tell("ledger", "verify", "--directory", str(directory))
        balance = ledger.call("getBalance", str(other), NEWEST)["value"]
        health = ledger.call("getHealth")
        batch = [{"jsonrpc": "2.0", "id": number, "method": "getHealth"} for number in range(3)]
        assert "1 to 2 requests" in ledger.post(batch)["error"]["message"]
    stopped = tell("ledger", "info", "--directory", str(directory))

    assert {"err": None} == notified["value"]
    assert (10**7, "ok") == (balance, health)
    assert int(str(info["height"])) <= int(str(facts["blocks"])) <= int(str(stopped["height"]))
    assert 10**18 == facts["supply"]


async def watch(ledger: RunningLedger, wire: bytes) -> dict[str, object]:
    """Send a transaction while a websocket waits for it and for slots; its notification."""
    async with connect(f"ws://127.0.0.1:{ledger.port + 1}") as websocket, asyncio.timeout(DEADLINE_SECONDS):
        name = await asyncio.to_thread(ledger.send, wire)
        for number, (method, params) in enumerate([("signatureSubscribe", [name]), ("slotSubscribe", [])]):
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            await websocket.send(json.dumps(request))
        slots: list[int] = []
        landed: dict[str, object] = {}
        while not landed or len(slots) < 2:
            message = json.loads(await websocket.recv())
            if message.get("method") == "slotNotification":
                slots.append(message["params"]["result"]["slot"])
            elif message.get("method") == "signatureNotification":
                landed = message["params"]["result"]
        assert slots == sorted(set(slots))
        return landed


def test_a_port_in_use_is_said_in_one_line_and_ends_it(directory: Path) -> None:
    with running(directory, engine="comet") as ledger:
        command = [sys.executable, "-m", "roundwork", "ledger", "comet", "run", "--host", "127.0.0.1"]
        taken, twice = (
            subprocess.run(
                [*command, "--directory", str(place), "--port", str(ledger.port)],
                capture_output=True,
                text=True,
                timeout=60,
            )
            for place in (directory.parent / "other", directory)
        )

    assert (1, 1) == (taken.returncode, twice.returncode)
    assert f"PortInUse: port {ledger.port} on 127.0.0.1" in taken.stderr
    assert "EngineFailed: the application cannot run; its own message is above" in taken.stderr
    assert f"StoreInUse: {directory}: another process runs the ledger" in twice.stderr


def test_the_embedded_engine_never_adds_a_block_that_cometbft_has_not_agreed_on(directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "roundwork", "ledger", "run", "--directory", str(directory)],
        capture_output=True,
        text=True,
    )

    assert 1 == done.returncode
    assert "runs on CometBFT; start it with `roundwork ledger comet run" in done.stderr
