"""A real ledger process, and the plainest client there is."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

SLOT_MS = 50

NEWEST = {"commitment": "processed"}
"""The configuration of a read of the last block. Without it a read is of what is final, two slots later."""


class LedgerClient:
    """The RPC of a ledger; `call` raises RpcFailure with the error object."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.Client(base_url=url, timeout=30, trust_env=False)
        self.nonce = 0

    def post(self, body: Any) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self.http.post("", content=content, headers={"content-type": "application/json"})
        if response.is_server_error:
            response.raise_for_status()
        return response.json()

    def call(self, method: str, *params: Any) -> Any:
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in answer:
            raise RpcFailure(answer["error"])
        return answer["result"]

    def fund(self, pair: Keypair, amount: int = 10**10) -> None:
        self.call("requestAirdrop", str(pair.pubkey()), amount)

    def wait_until_final(self) -> None:
        """Wait until all that has landed is final: a block is shown when it is."""
        self.call("getBlock", self.call("getSlot", NEWEST), {"transactionDetails": "none"})

    def sign(self, pair: Keypair, *instructions: Instruction) -> bytes:
        """A signed transaction that no other equals."""
        self.nonce += 1
        tick = Hash.from_string(self.call("getLatestBlockhash")["value"]["blockhash"])
        marked = [*instructions, set_compute_unit_limit(self.nonce)]
        return bytes(Transaction([pair], Message.new_with_blockhash(marked, pair.pubkey(), tick), tick))

    def send(self, wire: bytes, **config: Any) -> str:
        text = base64.b64encode(wire).decode()
        answer: str = self.call("sendTransaction", text, {"encoding": "base64", **config})
        return answer


class RunningLedger(LedgerClient):
    """A ledger process."""

    def __init__(self, directory: Path, port: int | None = None, *options: str, engine: str = "") -> None:
        self.directory = directory
        self.port = port or find_port()
        command = [
            sys.executable,
            "-m",
            "roundwork",
            "ledger",
            *([engine] if engine else []),
            "run",
            "--json",
        ]
        command += ["--directory", str(directory), "--port", str(self.port), "--host", "127.0.0.1"]
        command += ["--slot-ms", str(100 if engine else SLOT_MS), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode() if self.process.stderr else ""
        facts = json.loads(line)
        assert "url" in facts, facts  # an error of the ledger's, such as a port that is taken
        super().__init__(facts["url"])

    def kill(self) -> None:
        """SIGKILL, to it and its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.http.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(15)
        finally:
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe is not None:
                    pipe.close()


class RpcFailure(Exception):
    """The error object of an answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.code = error["code"]
        self.message = error["message"]
        self.data: Any = error.get("data")


@contextmanager
def running(
    directory: Path, port: int | None = None, *options: str, engine: str = ""
) -> Iterator[RunningLedger]:
    ledger = RunningLedger(directory, port, *options, engine=engine)
    try:
        yield ledger
    finally:
        ledger.stop()


def find_port() -> int:
    """A free port whose next one is free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def give(pair: Keypair, to: Pubkey, amount: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=pair.pubkey(), to_pubkey=to, lamports=amount))
