"""What a ledger does not know yet after a restart is waited for or refused, and never said not to be."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from websockets.sync.client import connect

from roundwork.ledger.chain import Chain
from roundwork.ledger.embedded.producer import Producer
from roundwork.ledger.limits import LIMITS
from roundwork.ledger.rpc.budget import Budget
from roundwork.ledger.rpc.errors import NodeUnhealthy
from roundwork.ledger.rpc.ledger import Ledger
from roundwork.ledger.rpc.transactions import find_all
from roundwork.ledger.server import found_development
from roundwork.ledger.signatures import Verifier

from ..ledger.blocks import run_blocks
from ..ledger.process import RpcFailure, RunningLedger, give, running

NEVER_SENT = "1" * 64


@contextmanager
def held(history: Path) -> Iterator[None]:
    """While it lasts nothing is added to a history, as when it is large and the disk is slow."""
    with closing(sqlite3.connect(history, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def send(ledger: RunningLedger, pair: Keypair, count: int) -> list[str]:
    return [ledger.send(ledger.sign(pair, give(pair, Keypair().pubkey(), 1))) for _ in range(count)]


def find_refusal(ledger: RunningLedger, method: str, params: list[Any]) -> RpcFailure:
    with pytest.raises(RpcFailure) as caught:
        ledger.call(method, *params)
    return caught.value


def test_a_transaction_of_before_a_restart_is_never_answered_with_null(tmp_path: Path) -> None:
    directory, pair = tmp_path / "ledger", Keypair()
    with running(directory) as ledger:
        ledger.fund(pair)
        ledger.call("getTransactionCount")
    shutil.copy(directory / "history.db", tmp_path / "history.db")
    with running(directory) as ledger:
        [signature, *_] = send(ledger, pair, 3)
        supply = ledger.call("getTransactionCount")
    for path in directory.glob("history.db*"):
        path.unlink()
    shutil.copy(tmp_path / "history.db", directory)
    past: list[tuple[str, list[Any]]] = [
        ("getSignatureStatuses", [[signature]]),
        ("getSignatureStatuses", [[NEVER_SENT]]),
        ("getTransaction", [signature]),
        ("getTransaction", [NEVER_SENT]),
        ("getSignaturesForAddress", [str(pair.pubkey())]),
        ("getTransactionCount", []),
    ]

    with held(directory / "history.db"):
        ledger = RunningLedger(directory)
        with ThreadPoolExecutor(len(past)) as threads:
            refused = list(threads.map(lambda request: find_refusal(ledger, *request), past))
        with connect(f"ws://127.0.0.1:{ledger.port + 1}") as websocket:
            request = {"jsonrpc": "2.0", "id": 1, "method": "signatureSubscribe", "params": [signature]}
            websocket.send(json.dumps(request))
            subscribed = json.loads(websocket.recv(timeout=20))
        [new] = send(ledger, pair, 1)
        [status] = ledger.call("getSignatureStatuses", [new])["value"]
    answers = [ledger.call(method, *params) for method, params in past]
    ledger.stop()

    assert [-32005] * len(past) == [error.code for error in refused]
    assert -32005 == subscribed["error"]["code"]
    assert "send the same request again later" in refused[0].message
    assert status is not None
    [known], [unknown] = answers[0]["value"], answers[1]["value"]
    assert (None, None) == (known["err"], unknown)
    assert None is answers[2]["meta"]["err"]
    assert None is answers[3]
    assert signature in [found["signature"] for found in answers[4]]
    assert supply + 1 == answers[5]


def test_a_history_that_lags_behind_a_burst_makes_nobody_wait_for_what_is_in_memory(tmp_path: Path) -> None:
    """Statuses of the last slots are in memory, so that a transaction is not there is known without it."""
    found_development(tmp_path)

    async def ask(chain: Chain, signature: bytes) -> dict[bytes, Any]:
        async with Verifier() as verifier:
            ledger = Ledger(chain, Producer(chain, verifier))
            return await find_all(ledger, Budget("", LIMITS), [signature, bytes(64)])

    with closing(Chain(tmp_path)) as chain:
        run_blocks(chain, 2)
        assert chain.history.wait_for(chain.journal.height, 20)
        with held(tmp_path / "history.db"):
            [signature, *_] = run_blocks(chain, 3)
            found = asyncio.run(ask(chain, signature))
            assert chain.history.height < chain.journal.height
            chain.recent._blocks.clear()  # as if they were long ago
            chain.recent._landed.clear()
            with pytest.raises(NodeUnhealthy, match="the history has come to block 3 of"):
                asyncio.run(ask(chain, signature))

    assert found[signature] is not None
    assert found[bytes(64)] is None
