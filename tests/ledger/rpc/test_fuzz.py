"""Whatever a client sends, it is answered: by a result or by one of the codes, and the ledger goes on."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from roundwork.host.keypairs import read_keypair
from roundwork.ledger.chain import Chain
from roundwork.ledger.embedded.producer import Producer
from roundwork.ledger.limits import LIMITS
from roundwork.ledger.rpc.dispatch import METHODS, Rpc
from roundwork.ledger.rpc.feeds import KINDS
from roundwork.ledger.rpc.ledger import Ledger
from roundwork.ledger.rpc.rates import Rates
from roundwork.ledger.rpc.subscriptions import Connection, Subscriptions
from roundwork.ledger.server import FAUCET_FILE, found_development
from roundwork.ledger.signatures import Verifier

from ..process import give

CODES = {-32700, -32600, -32601, -32602, -32603, -32002, -32003, -32004, -32005, -32015, -32016}


class Served:
    """A ledger without a socket in front of it."""

    def __init__(self, directory: Path) -> None:
        found_development(directory, slot_ms=20)
        self.loop = asyncio.new_event_loop()
        self.chain = Chain(directory)
        self.producer = Producer(self.chain, Verifier(workers=0))
        self.faucet = read_keypair(directory / FAUCET_FILE)
        rpc = Rpc(Ledger(self.chain, self.producer, self.faucet), METHODS, Rates(LIMITS))
        self.subscriptions = Subscriptions(rpc)
        self.making = self.loop.create_task(self.producer.run())
        self.wire = b""
        self.loop.run_until_complete(self.prepare(rpc))

    async def prepare(self, rpc: Rpc) -> None:
        instruction = give(self.faucet, Keypair().pubkey(), 5)
        tick = Hash(self.producer.get_newest_tick()[0])
        message = Message.new_with_blockhash([instruction], self.faucet.pubkey(), tick)
        self.wire = bytes(Transaction([self.faucet], message, tick))
        text = base64.b64encode(self.wire).decode()
        await self.take(Connection(self.subscriptions, ""), "sendTransaction", [text, {"encoding": "base64"}])

    async def take(self, connection: Connection, method: str, params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await connection._rpc.answer(json.dumps(body).encode(), "")
        assert answer is not None
        return json.loads(answer)

    def call(self, method: str, params: Any) -> Any:
        """The answer, after which the subscriptions that it made have seen a block."""

        async def run() -> Any:
            connection = Connection(self.subscriptions, "")
            answer = await self.take(connection, method, params)
            if connection.subscriptions:
                await self.take(connection, "requestAirdrop", [str(self.faucet.pubkey()), 1])
                if self.subscriptions._notifying is not None:
                    await self.subscriptions._notifying
            connection.drop("the test is over")
            return answer

        return self.loop.run_until_complete(run())

    def close(self) -> None:
        self.producer.stop()
        self.loop.run_until_complete(self.making)
        self.chain.close()
        self.loop.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with closing(Served(tmp_path_factory.mktemp("fuzz") / "ledger")) as served:
        yield served


WORDS = [
    "", "base58", "base64", "base64+zstd", "json", "jsonParsed", "binary", "processed", "finalized", "max",
    "full", "accounts", "signatures", "none", "all", "allWithVotes", "tokenAccountState", "circulating",
    "11111111111111111111111111111111", "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    "SysvarC1ock11111111111111111111111111111111", "SysvarRecentB1ockHashes11111111111111111111",
    "Koiitask22222222222222222222222222222222222", "1" * 64, "1" * 88, "AA==", "0OIl", "x" * 5000,
]  # fmt: skip
FIELDS = [
    "commitment", "preflightCommitment", "encoding", "minContextSlot", "dataSlice", "offset", "length",
    "filters", "memcmp", "dataSize", "bytes", "withContext", "limit", "before", "until", "mentions", "round",
    "transactionDetails", "rewards", "maxSupportedTransactionVersion", "searchTransactionHistory",
    "skipPreflight", "sigVerify", "replaceRecentBlockhash", "accounts", "addresses", "mint", "programId",
    "identity", "filter", "submission", "recentBlockhash", "enableReceivedNotification", "innerInstructions",
]  # fmt: skip

scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from(WORDS), st.text(max_size=20), st.floats(),
    st.integers(), st.sampled_from([0, 1, -1, 2, 100, 2**31, 2**63, 2**64 - 1, 2**64, 10**30]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "commitment": st.sampled_from(["processed", "recent", None]),
        "encoding": st.sampled_from(
            ["base58", "base64", "base64+zstd", "json", "jsonParsed", "binary", None]
        ),
        "dataSlice": st.fixed_dictionaries({"offset": st.integers(0, 90), "length": st.integers(0, 200)}),
        "filters": st.lists(
            st.fixed_dictionaries({"dataSize": st.integers(0, 200)})
            | st.fixed_dictionaries(
                {"memcmp": st.fixed_dictionaries({"offset": st.integers(0, 9), "bytes": st.just("11")})}
            ),
            max_size=3,
        ),
        "transactionDetails": st.sampled_from(["full", "accounts", "signatures", "none"]),
        "maxSupportedTransactionVersion": st.integers(0, 1),
        "limit": st.integers(1, 1000),
        "round": st.integers(-1, 2**64),
        "mint": st.sampled_from(["So11111111111111111111111111111111111111112", None]),
    },
)
firsts = st.sampled_from(
    [*WORDS[18:24], 0, 1, 2, 3, [WORDS[18], WORDS[20]], [WORDS[24]], "all", {"mentions": [WORDS[18]]}]
)
shaped = st.lists(firsts, min_size=1, max_size=2).flatmap(
    lambda first: configs.map(lambda config: [*first, config]) | st.just(first)
)  # fmt: skip
methods = sorted([*METHODS, *(f"{kind}{what}" for kind in KINDS for what in ("Subscribe", "Unsubscribe"))])


CALM = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
"""Examples share one ledger; how long one takes is none of theirs."""


@CALM
@given(method=st.sampled_from(methods), params=st.lists(values, max_size=4) | values)
def test_every_call_is_answered_by_a_result_or_a_code(served: Served, method: str, params: Any) -> None:
    answer = served.call(method, params)

    assert "result" in answer or answer["error"]["code"] in CODES, answer
    assert len(answer.get("error", {}).get("message", "")) < 1_000
    assert not served.making.done()


@pytest.mark.parametrize("method", methods)
@settings(CALM, max_examples=25)
@given(params=shaped)
def test_calls_of_the_right_shape_are_answered(served: Served, method: str, params: Any) -> None:
    answer = served.call(method, params)

    assert "result" in answer or answer["error"]["code"] in CODES, answer

    assert not served.making.done()


@CALM
@given(data=st.data(), method=st.sampled_from(["sendTransaction", "simulateTransaction", "getFeeForMessage"]))
def test_transactions_with_changed_bytes_are_answered(
    served: Served, data: st.DataObject, method: str
) -> None:
    wire = bytearray(served.wire if method != "getFeeForMessage" else served.wire[65:])
    for _ in range(data.draw(st.integers(0, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    wire = wire[: data.draw(st.integers(0, len(wire)))] if data.draw(st.booleans()) else wire
    text = base64.b64encode(bytes(wire)).decode()
    config = {"encoding": "base64", "skipPreflight": data.draw(st.booleans())}

    answer = served.call(method, [text, config if method != "getFeeForMessage" else {}])

    assert "result" in answer or answer["error"]["code"] in CODES, answer
    assert not served.making.done()


@CALM
@given(
    body=st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | values.map(json.dumps).map(str.encode)
)
def test_every_body_is_answered_or_asks_for_no_answer(served: Served, body: Any) -> None:
    async def run() -> bytes | None:
        return await Connection(served.subscriptions, "")._rpc.answer(body, "")

    answer = served.loop.run_until_complete(run())

    for answers in [] if answer is None else [json.loads(answer)]:
        for each in answers if isinstance(answers, list) else [answers]:
            assert "result" in each or each["error"]["code"] in CODES
