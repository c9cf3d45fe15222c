"""A ledger process: killed under load, started again, asked to stop."""

import base64
import json
import resource
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest
from httpx2 import HTTPError
from solders.keypair import Keypair
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from roundwork.ledger.inspect import verify
from roundwork.ledger.store.journal import Journal

from .process import NEWEST, RpcFailure, RunningLedger, find_port, give, running


def test_no_acknowledged_transaction_is_lost_to_a_kill(tmp_path: Path) -> None:
    directory = tmp_path / "ledger"
    acknowledged: list[str] = []
    for life in range(3):
        ledger = RunningLedger(directory)
        pair = Keypair()
        ledger.fund(pair)

        def send_on(ledger: RunningLedger = ledger, pair: Keypair = pair) -> None:
            while True:
                try:
                    acknowledged.append(ledger.send(ledger.sign(pair, give(pair, Keypair().pubkey(), 1))))
                except Exception:  # noqa: BLE001 # it was killed: nothing more is acknowledged
                    return

        before = len(acknowledged)
        sender = threading.Thread(target=send_on)
        sender.start()
        deadline = time.monotonic() + 20
        while len(acknowledged) < before + 15 + life and time.monotonic() < deadline:
            time.sleep(0.005)
        ledger.kill()
        sender.join(30)
        ledger.stop()
        assert len(acknowledged) >= before + 15

    with running(directory) as ledger:
        config = {"searchTransactionHistory": True}
        for at in range(0, len(acknowledged), 200):
            statuses = ledger.call("getSignatureStatuses", acknowledged[at : at + 200], config)["value"]
            assert all(status is not None and status["err"] is None for status in statuses)
        assert ledger.call("getLedger")["supply"] == 10**18
    assert int(verify(directory, lambda done, total: None)["transactions"]) >= len(acknowledged)


def test_a_ledger_closes_the_directory_that_it_makes_and_warns_of_an_open_one(tmp_path: Path) -> None:
    directory = tmp_path / "ledger"
    logs = []
    for mode in (0o700, 0o755):
        ledger = RunningLedger(directory)
        ledger.process.terminate()
        _, log = ledger.process.communicate(timeout=20)
        logs.append("other users can enter" in log.decode())
        assert mode == stat.S_IMODE(directory.stat().st_mode)
        directory.chmod(0o755)

    assert [False, True] == logs


def test_a_full_disk_ends_the_ledger_with_its_reason_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    ledger = RunningLedger(tmp_path / "ledger")
    pair = Keypair()
    ledger.fund(pair)
    acknowledged = [ledger.send(ledger.sign(pair, give(pair, Keypair().pubkey(), n + 1))) for n in range(5)]
    room = (tmp_path / "ledger" / "journal.db-wal").stat().st_size + 50_000
    resource.prlimit(ledger.process.pid, resource.RLIMIT_FSIZE, (room, room))

    def send_on() -> None:
        for number in range(1_000):
            wire = ledger.sign(pair, give(pair, Keypair().pubkey(), number + 1))
            acknowledged.append(ledger.send(wire))

    with pytest.raises((RpcFailure, HTTPError)):
        send_on()
    _, said = ledger.process.communicate(timeout=20)

    assert 1 == ledger.process.returncode
    *_, last = said.decode().splitlines()
    assert last.startswith(f"StoreFull: {tmp_path}/ledger/journal.db: ")
    assert last.endswith("Make room and start again")
    assert b"Traceback" not in said
    with running(tmp_path / "ledger") as ledger:
        for signature in acknowledged:
            [status] = ledger.call("getSignatureStatuses", [signature])["value"]
            assert status is not None
        assert 10**18 == ledger.call("getLedger")["supply"]


def test_slots_go_on_where_they_were_after_an_outage(tmp_path: Path) -> None:
    with running(tmp_path / "ledger") as ledger:
        before = ledger.call("getSlot", NEWEST)
    time.sleep(0.5)  # ten slots

    with running(tmp_path / "ledger") as ledger:
        ledger.fund(Keypair())
    with closing(Journal(tmp_path / "ledger" / "journal.db")) as journal:
        slots = [entry.block.slot for entry in journal.read_from(1)]

    assert before < slots[-1]
    assert max(after - before for before, after in pairwise(slots)) <= 2  # gap_slots_max


def test_a_polite_end_leaves_everything_in_order(tmp_path: Path) -> None:
    ledger = RunningLedger(tmp_path / "ledger")
    pair = Keypair()
    ledger.fund(pair)

    assert 0 == ledger.stop()

    with running(tmp_path / "ledger") as ledger:
        assert 10**10 == ledger.call("getBalance", str(pair.pubkey()), NEWEST)["value"]


def test_who_still_waits_when_the_ledger_stops_is_told_so(tmp_path: Path) -> None:
    with running(tmp_path) as ledger:
        pair = Keypair()
        ledger.fund(pair)
        wires = [ledger.sign(pair, give(pair, Keypair().pubkey(), 1)) for _ in range(2)]
        by_http, by_websocket = (compose_sending(wire) for wire in wires)
        with (
            closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other,
            socket.create_connection(("127.0.0.1", ledger.port)) as http,
            connect(f"ws://127.0.0.1:{ledger.port + 1}") as idle,
            connect(f"ws://127.0.0.1:{ledger.port + 1}") as busy,
        ):
            other.execute("BEGIN IMMEDIATE")  # no block becomes durable meanwhile, so nothing is answered
            http.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\n")
            http.sendall(b"Content-Length: %d\r\n\r\n" % len(by_http))
            assert http.recv(1024).startswith(b"HTTP/1.1 100")  # it is waited for
            http.sendall(by_http)
            busy.send(by_websocket)
            busy.ping().wait()
            ledger.process.terminate()
            answer = b"".join(iter(lambda: http.recv(1024), b""))
            codes = [find_close_code(one) for one in (idle, busy)]
            other.execute("ROLLBACK")
            _, said = ledger.process.communicate(timeout=30)

    assert answer.startswith(b"HTTP/1.1 503")
    assert answer.endswith(b"\r\n\r\nthe ledger stops; what was sent may still have been taken\n")
    assert [1012, 1012] == codes
    assert (0, "") == (ledger.process.returncode, said.decode())


def compose_sending(wire: bytes) -> bytes:
    params = [base64.b64encode(wire).decode(), {"encoding": "base64"}]
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": params}).encode()


def find_close_code(websocket: ClientConnection) -> int | None:
    """The code that a websocket is closed with."""
    with pytest.raises(ConnectionClosed) as caught:
        websocket.recv(timeout=30)
    return caught.value.rcvd.code if caught.value.rcvd else None


def test_what_is_in_the_way_is_said_in_one_line(tmp_path: Path) -> None:
    with running(tmp_path / "ledger") as ledger:
        command = [sys.executable, "-m", "roundwork", "ledger", "run", "--host", "127.0.0.1", "--directory"]
        taken = subprocess.run(
            [*command, str(tmp_path / "other"), "--port", str(ledger.port)], capture_output=True, text=True
        )
        twice = subprocess.run(
            [*command, str(tmp_path / "ledger"), "--port", str(find_port())], capture_output=True, text=True
        )

    assert (1, 1) == (taken.returncode, twice.returncode)
    assert f"PortInUse: port {ledger.port}" in taken.stderr
    assert "StoreInUse" in twice.stderr
    assert 1 == len(taken.stderr.splitlines()) == len(twice.stderr.splitlines())


def test_localhost_is_both_of_its_addresses_on_both_ports(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", None, "--host", "localhost") as ledger:
        answers = [
            httpx2.get(f"http://{host}:{port}/health", trust_env=False).text
            for host in ("127.0.0.1", "[::1]")
            for port in (ledger.port, ledger.port + 1)
        ]

    assert ["ok"] * 4 == answers


def test_a_production_ledger_has_no_faucet(tmp_path: Path) -> None:
    from roundwork.ledger.chain import Chain
    from roundwork.protocol.params import Genesis, Grant

    key = str(Keypair().pubkey())
    genesis = Genesis(time_ms=1_700_000_000_000, kind="production", producer=key, accounts=(Grant(key, 5),))
    Chain.create(tmp_path / "ledger", genesis)

    with running(tmp_path / "ledger") as ledger, pytest.raises(RpcFailure) as caught:
        ledger.call("requestAirdrop", key, 5)

    assert -32601 == caught.value.code
