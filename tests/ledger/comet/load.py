"""Load on a ledger that is killed meanwhile, and what must be true of it afterwards."""

import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import httpx2
from solders.keypair import Keypair
from solders.transaction import Transaction

from roundwork.ledger.inspect import verify
from roundwork.ledger.store.journal import Journal

from ..process import NEWEST, LedgerClient, RpcFailure, RunningLedger, give

DEADLINE_SECONDS = 60
CONFIRM_SECONDS = 3

DOWN = (httpx2.HTTPError, json.JSONDecodeError, RpcFailure)
"""What a call raises while a ledger is down or about to be: no connection, no answer, or one that refuses."""


class Load:
    """Transfers sent one after another, each until it is confirmed: those are the acknowledged ones."""

    def __init__(self, url: str) -> None:
        self.acknowledged: list[str] = []
        self._ledger = LedgerClient(url)
        self._is_over = False
        self._pair = Keypair()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._ledger.fund(self._pair, 10**12)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._ledger.call("getBalance", str(self._pair.pubkey()), NEWEST)["value"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join(DEADLINE_SECONDS)
        self._ledger.http.close()

    def wait_for(self, more: int) -> None:
        """Wait until so many more are acknowledged."""
        expected = len(self.acknowledged) + more
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(self.acknowledged) < expected:
            assert time.monotonic() < deadline, f"{more} more were not acknowledged in {DEADLINE_SECONDS} s"
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._confirm(self._ledger.sign(self._pair, give(self._pair, Keypair().pubkey(), 1)))
            except DOWN:
                time.sleep(0.05)  # it is down: what was not confirmed is not acknowledged

    def _confirm(self, wire: bytes) -> None:
        signature = str(Transaction.from_bytes(wire).signatures[0])
        self._ledger.send(wire)
        deadline = time.monotonic() + CONFIRM_SECONDS
        while time.monotonic() < deadline and not self._is_over:
            [status] = self._ledger.call("getSignatureStatuses", [signature])["value"]
            if status is not None:
                assert status["err"] is None
                self.acknowledged.append(signature)
                return
            time.sleep(0.02)


def find_pair(supervisor: int) -> dict[str, int]:
    """The pids of engine and application, by name; those that run."""
    pair = {}
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        try:
            command = Path(f"/proc/{child}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if command:  # a process that has ended has none
            pair["engine" if "cometbft" in command.split("\0")[0] else "application"] = int(child)
    return pair


def kill(supervisor: int, victims: Sequence[str]) -> None:
    """Kill engine, application, or both with -9."""
    pair = find_pair(supervisor)
    for victim in victims:
        os.kill(pair[victim], signal.SIGKILL)


def wait_until_it_goes_on(ledger: RunningLedger) -> None:
    """Wait until the ledger makes blocks again."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    before = None
    while time.monotonic() < deadline:
        assert ledger.process.poll() is None, ledger.process.communicate()[1].decode()
        try:
            height = ledger.call("getLedger")["height"]
        except DOWN:
            before = None
        else:
            if before is not None and height > before + 1:
                return
            before = height if before is None else before
        time.sleep(0.1)
    raise AssertionError(f"no block for {DEADLINE_SECONDS} s")


def check_books(directory: Path, acknowledged: Sequence[str]) -> None:
    """Each acknowledged transaction stands in the journal once; every hash and the supply are right."""
    counts: dict[str, int] = {}
    with closing(Journal(directory / "journal.db")) as journal:
        for entry in journal.read_from(1):
            for wire in entry.block.transactions:
                name = str(Transaction.from_bytes(wire).signatures[0])
                counts[name] = counts.get(name, 0) + 1
    assert [] == [name for name in acknowledged if counts.get(name) != 1]
    assert set(counts.values()) <= {1}
    assert 10**18 == verify(directory, lambda done, total: None)["supply"]


def check_app_hashes(directory: Path) -> None:
    """The hashes that a running CometBFT has agreed on are those in our journal, all of them."""
    transport = httpx2.HTTPTransport(uds=str(directory / "comet" / "rpc.sock"))
    with (
        httpx2.Client(transport=transport, base_url="http://comet") as comet,
        closing(Journal(directory / "journal.db")) as journal,
    ):
        newest = int(comet.get("/status").json()["result"]["sync_info"]["latest_block_height"])
        for top in range(newest, 1, -20):
            found = comet.get(f"/blockchain?minHeight={max(2, top - 19)}&maxHeight={top}").json()
            for meta in found["result"]["block_metas"]:
                header = meta["header"]
                entry = journal.read(int(header["height"]) - 1)
                assert entry is not None
                assert entry.state_hash.hex() == header["app_hash"].lower()
        assert newest > 5
