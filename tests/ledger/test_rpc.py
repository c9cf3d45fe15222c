"""RPC: every documented request is answered, and every bad one gets its code, its text and its data."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import Transaction, VersionedTransaction
from websockets.asyncio.client import connect

from roundwork.client import Client
from roundwork.errors import BadTask, InsufficientFundsForFee
from roundwork.ledger.rpc import METHODS
from roundwork.ledger.subscriptions import KINDS
from roundwork.operations import deploy, send, stake
from roundwork.package import load_package, pack
from roundwork.protocol.associated import find_associated
from roundwork.protocol.params import ASSOCIATED_TOKEN_PROGRAM, TASK_PROGRAM, TOKEN_PROGRAM, base58_of
from roundwork.wire import base58_decode, base58_encode

from .process import RpcFailure, RunningLedger, give, running

ROOT = Path(__file__).parents[2]
DOCUMENTED = [
    json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", (ROOT / "docs/RPC.md").read_text())
]
REQUESTS = [one for one in DOCUMENTED if not one["method"].endswith("Subscribe")]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("rpc") / "ledger") as one:
        yield one


@pytest.fixture(scope="module")
def payer(ledger: RunningLedger) -> Keypair:
    pair = Keypair()
    ledger.fund(pair, 10**14)
    return pair


@pytest.fixture(scope="module")
def values(ledger: RunningLedger, payer: Keypair) -> dict[str, str]:
    """What the names in braces of docs/RPC.md stand for."""
    package = load_package(ROOT / "examples" / "hello")

    async def prepare() -> str:
        async with Client(ledger.url) as client:
            task = await deploy(client, payer, package, pack(package)[0])
            await stake(client, payer, Keypair(), task, package.minimum_stake)
            return task

    task = asyncio.run(prepare())
    mint, held = make_tokens(ledger, payer)
    signature = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), 1)))
    wires = [ledger.sign(payer, give(payer, Keypair().pubkey(), n)) for n in (2, 3)]
    message = bytes(Transaction.from_bytes(wires[0]).message)
    return {
        "address": str(payer.pubkey()),
        "nobody": str(Keypair().pubkey()),
        "task": task,
        "mint": str(mint),
        "token_account": str(held),
        "task_program": base58_of(TASK_PROGRAM),
        "task_prefix": base58_encode(b'{"is_allowlisted":true,'),
        "signature": signature,
        "blockhash": ledger.call("getLatestBlockhash")["value"]["blockhash"],
        "wire": base64.b64encode(wires[0]).decode(),
        "wire2": base64.b64encode(wires[1]).decode(),
        "message": base64.b64encode(message).decode(),
    }


def make_tokens(ledger: RunningLedger, payer: Keypair) -> tuple[Pubkey, Pubkey]:
    """A mint, and an associated account of the payer's."""
    mint = Keypair()
    create = create_account(
        CreateAccountParams(
            from_pubkey=payer.pubkey(),
            to_pubkey=mint.pubkey(),
            lamports=5,
            space=82,
            owner=Pubkey(TOKEN_PROGRAM),
        )
    )
    data = b"\x14\x02" + bytes(payer.pubkey()) + b"\0"
    init = Instruction(Pubkey(TOKEN_PROGRAM), data, [AccountMeta(mint.pubkey(), False, True)])
    held = Pubkey(find_associated(bytes(payer.pubkey()), bytes(mint.pubkey())))
    metas = [
        AccountMeta(payer.pubkey(), True, True),
        AccountMeta(held, False, True),
        AccountMeta(payer.pubkey(), False, False),
        AccountMeta(mint.pubkey(), False, False),
    ]
    open_ = Instruction(Pubkey(ASSOCIATED_TOKEN_PROGRAM), b"", metas)

    async def run() -> None:
        async with Client(ledger.url) as client:
            await send(client, [create, init, open_], [payer, mint])

    asyncio.run(run())
    return mint.pubkey(), held


def fill(request: dict, values: dict[str, str]) -> dict:
    text = json.dumps(request)
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return json.loads(text)


@pytest.mark.parametrize("request_", REQUESTS, ids=[one["method"] for one in REQUESTS])
def test_every_documented_request_is_answered(ledger, values, request_):
    answer = ledger.post(fill(request_, values))

    assert "result" in answer, answer


def test_every_method_and_subscription_is_documented():
    subscriptions = {f"{kind}Subscribe" for kind in KINDS}

    assert {*METHODS, *subscriptions} == {one["method"] for one in DOCUMENTED}


def test_every_documented_subscription_is_taken_and_ended(ledger, values):
    async def run() -> None:
        for port in (ledger.port, ledger.port + 1):
            async with connect(f"ws://127.0.0.1:{port}/any") as websocket:
                for request in DOCUMENTED:
                    if not request["method"].endswith("Subscribe"):
                        continue
                    await websocket.send(json.dumps(fill(request, values)))
                    number = await receive_answer(websocket)
                    assert isinstance(number, int)
                    if request["method"] == "signatureSubscribe":
                        continue  # it has ended by itself
                    ended = request["method"].replace("Subscribe", "Unsubscribe")
                    await websocket.send(
                        json.dumps({"jsonrpc": "2.0", "id": 2, "method": ended, "params": [number]})
                    )
                    assert await receive_answer(websocket) is True

    asyncio.run(run())


async def receive_answer(websocket) -> object:
    async with asyncio.timeout(5):
        while True:
            message = json.loads(await websocket.recv())
            if "id" in message:
                return message["result"]


def test_a_websocket_answers_requests_batches_and_nothing_to_notifications(ledger):
    async def run() -> list:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            await websocket.send(json.dumps({"jsonrpc": "2.0", "method": "ping"}))
            await websocket.send(
                json.dumps([{"jsonrpc": "2.0", "id": n, "method": "getHealth"} for n in (1, 2)])
            )
            return json.loads(await websocket.recv())

    assert ["ok", "ok"] == [one["result"] for one in asyncio.run(run())]


# Bad requests


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"nonsense", -32700),
        (b"{", -32700),
        (b"[", -32700),
        (b"[]", -32600),
        (b"3", -32600),
        (b'{"jsonrpc": "2.0", "id": 1}', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "getSlot"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getNothing"}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getBalance"}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": {"key": 1}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": [5]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": ["tooshort"]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": [{"commitment": "maybe"}]}', -32602),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": [{"minContextSlot": 9999999}]}',
            -32016,
        ),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getBlock", "params": [9999999]}', -32004),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getBlock", "params": [-1]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getBlock", "params": [true]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getSignatureStatuses", "params": [["x"]]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": ["0OIl"]}', -32602),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": ["AA", {"encoding": 5}]}',
            -32602,
        ),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getFeeForMessage", "params": ["AAAA"]}', -32602),
    ],
)
def test_a_bad_request_gets_its_code(ledger, body, code):
    assert code == ledger.post(body)["error"]["code"]


def test_a_batch_is_answered_in_order_and_has_a_limit(ledger):
    batch = [{"jsonrpc": "2.0", "id": n, "method": ["getHealth", "getNothing"][n % 2]} for n in range(10)]

    answers = ledger.post(batch)

    assert list(range(10)) == [one["id"] for one in answers]
    assert [-32601] * 5 == [one["error"]["code"] for one in answers[1::2]]
    too_many = [{"jsonrpc": "2.0", "id": n, "method": "getHealth"} for n in range(1001)]
    assert -32600 == ledger.post(too_many)["error"]["code"]


def test_http_has_health_and_the_preflight_of_browsers(ledger):
    assert "ok" == ledger.http.get("/health").text
    answer = ledger.http.options("/", headers={"access-control-request-headers": "solana-client"})
    assert "solana-client" in answer.headers["access-control-allow-headers"]
    assert 404 == ledger.http.get("/nothing").status_code
    assert 405 == ledger.http.put("/").status_code


# Bad transactions


def refused(ledger: RunningLedger, wire: bytes, **config: object) -> RpcFailure:
    with pytest.raises(RpcFailure) as caught:
        ledger.send(wire, **config)
    return caught.value


def test_a_badly_signed_transaction_is_refused_and_costs_nothing(ledger, payer):
    before = ledger.call("getBalance", str(payer.pubkey()))["value"]
    wire = bytearray(ledger.sign(payer, give(payer, Keypair().pubkey(), 5)))
    wire[5] ^= 1

    for config in ({}, {"skipPreflight": True}):
        failure = refused(ledger, bytes(wire), **config)
        assert (-32003, "Transaction signature verification failure") == (failure.code, failure.message)
        assert "SignatureFailure" == failure.data["err"]

    assert before == ledger.call("getBalance", str(payer.pubkey()))["value"]


def test_a_replayed_transaction_is_refused(ledger, payer):
    wire = ledger.sign(payer, give(payer, Keypair().pubkey(), 5))
    ledger.send(wire)

    for config in ({}, {"skipPreflight": True}):
        failure = refused(ledger, wire, **config)
        assert -32002 == failure.code
        assert "This transaction has already been processed" in failure.message
        assert "AlreadyProcessed" == failure.data["err"]


def test_a_transaction_with_an_unknown_blockhash_is_refused(ledger, payer):
    ask = give(payer, Keypair().pubkey(), 5)
    message = Message.new_with_blockhash([ask], payer.pubkey(), Hash(bytes([7]) * 32))
    wire = bytes(Transaction([payer], message, Hash(bytes([7]) * 32)))

    for config in ({}, {"skipPreflight": True}):
        failure = refused(ledger, wire, **config)
        assert "Transaction simulation failed: Blockhash not found" == failure.message
        assert "BlockhashNotFound" == failure.data["err"]
        assert "no tick of slots" in failure.data["roundwork"]["text"]


def test_a_message_that_takes_accounts_from_what_is_no_lookup_table_is_refused(ledger, payer):
    target, tick = Keypair().pubkey(), ledger.call("getLatestBlockhash")["value"]["blockhash"]
    table = AddressLookupTableAccount(Keypair().pubkey(), [target])
    message = MessageV0.try_compile(payer.pubkey(), [give(payer, target, 5)], [table], Hash.from_string(tick))
    wire = bytes(VersionedTransaction(message, [payer]))

    for config in ({}, {"skipPreflight": True}):
        failure = refused(ledger, wire, **config)
        assert "AddressLookupTableNotFound" == failure.data["err"]
        assert f"no address lookup table at {table.key}" in failure.data["roundwork"]["text"]


def test_a_payer_that_does_not_exist_or_is_too_poor_is_refused(ledger, payer):
    nobody, poor = Keypair(), Keypair()
    ledger.send(ledger.sign(payer, give(payer, poor.pubkey(), 10)))

    missing = refused(ledger, ledger.sign(nobody, give(nobody, payer.pubkey(), 1)))
    short = refused(ledger, ledger.sign(poor, give(poor, payer.pubkey(), 1)))

    assert "Attempt to debit an account but found no record of a prior credit" in missing.message
    assert "InsufficientFundsForFee" == short.data["err"]


def test_a_rejected_instruction_has_solanas_shape_and_our_numbers(ledger, payer):
    wire = ledger.sign(payer, give(payer, Keypair().pubkey(), 10**15))

    failure = refused(ledger, wire)

    assert {"InstructionError": [0, {"Custom": 1}]} == failure.data["err"]
    assert "custom program error: 0x1" in failure.message
    assert "BalanceTooLow" == failure.data["roundwork"]["name"]
    assert {"err", "logs", "accounts", "unitsConsumed", "returnData"} <= failure.data.keys()
    assert any("BalanceTooLow" in line for line in failure.data["logs"])


def test_without_preflight_a_rejected_transaction_is_executed_and_pays_its_fee(ledger, payer):
    before = ledger.call("getBalance", str(payer.pubkey()))["value"]

    signature = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), 10**15)), skipPreflight=True)

    [status] = ledger.call("getSignatureStatuses", [signature])["value"]
    assert {"InstructionError": [0, {"Custom": 1}]} == status["err"]
    assert before - 5000 == ledger.call("getBalance", str(payer.pubkey()))["value"]
    meta = ledger.call("getTransaction", signature)["meta"]
    assert {"Err": status["err"]} == meta["status"]


def test_a_batch_of_transactions_is_executed_together_each_with_its_answer(ledger, payer):
    good = [ledger.sign(payer, give(payer, Keypair().pubkey(), n + 1)) for n in range(20)]
    bad = ledger.sign(payer, give(payer, Keypair().pubkey(), 10**15))
    wires = [*good[:10], bad, b"junk", *good[10:]]
    batch = [
        {
            "jsonrpc": "2.0",
            "id": at,
            "method": "sendTransaction",
            "params": [base64.b64encode(wire).decode(), {"encoding": "base64"}],
        }
        for at, wire in enumerate(wires)
    ]

    answers = ledger.post(batch)

    assert [-32002, -32602] == [answers[10]["error"]["code"], answers[11]["error"]["code"]]
    signatures = [one["result"] for one in answers if "result" in one]
    assert 20 == len(signatures)
    statuses = ledger.call("getSignatureStatuses", signatures)["value"]
    assert all(one["err"] is None for one in statuses)


def test_a_version_that_was_not_asked_for_is_not_shown(ledger, payer):
    from solders.message import MessageV0
    from solders.transaction import VersionedTransaction

    tick = Hash.from_string(ledger.call("getLatestBlockhash")["value"]["blockhash"])
    message = MessageV0.try_compile(payer.pubkey(), [give(payer, Keypair().pubkey(), 5)], [], tick)
    signature = ledger.send(bytes(VersionedTransaction(message, [payer])))

    with pytest.raises(RpcFailure) as caught:
        ledger.call("getTransaction", signature)

    assert -32015 == caught.value.code
    assert 0 == ledger.call("getTransaction", signature, {"maxSupportedTransactionVersion": 0})["version"]


# Reading


def test_an_account_is_read_in_every_encoding(ledger, values):
    import zstandard

    def read(encoding: str) -> list[str]:
        return ledger.call("getAccountInfo", values["task"], {"encoding": encoding})["value"]["data"]

    plain = base64.b64decode(read("base64")[0])
    packed = base64.b64decode(read("base64+zstd")[0])
    assert plain.startswith(b'{"is_allowlisted":true,"is_active":')
    assert len(plain) > 500
    assert plain == zstandard.ZstdDecompressor().decompress(packed)
    assert plain == base64.b64decode(read("jsonParsed")[0])
    with pytest.raises(RpcFailure, match="128"):
        read("base58")
    config = {"encoding": "base58", "dataSlice": {"offset": 1, "length": 15}}
    [sliced, _] = ledger.call("getAccountInfo", values["task"], config)["value"]["data"]
    assert plain[1:16] == base58_decode(sliced)
    assert ledger.call("getAccountInfo", values["nobody"])["value"] is None


def test_programs_and_sysvars_exist(ledger):
    for name in ("Koiitask22222222222222222222222222222222222", "11111111111111111111111111111111"):
        assert ledger.call("getAccountInfo", name)["value"]["executable"]
    clock = ledger.call(
        "getAccountInfo", "SysvarC1ock11111111111111111111111111111111", {"encoding": "base64"}
    )
    assert 40 == len(base64.b64decode(clock["value"]["data"][0]))
    mint = ledger.call(
        "getAccountInfo", "So11111111111111111111111111111111111111112", {"encoding": "base64"}
    )
    assert 82 == len(base64.b64decode(mint["value"]["data"][0]))


def test_every_slot_is_a_block_whose_hash_is_its_tick(ledger, payer):
    signature = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), 5)))
    slot = ledger.call("getSignatureStatuses", [signature])["value"][0]["slot"]

    blocks = [ledger.call("getBlock", at, {"maxSupportedTransactionVersion": 0}) for at in range(1, slot + 1)]

    for before, after in pairwise(blocks):
        assert before["blockhash"] == after["previousBlockhash"]
        assert before["blockHeight"] + 1 == after["blockHeight"]
    assert signature in [one["transaction"]["signatures"][0] for one in blocks[-1]["transactions"]]
    assert len({one["blockhash"] for one in blocks}) == len(blocks)


def test_the_client_raises_what_the_law_raised(ledger, payer, values):
    async def run() -> None:
        async with Client(ledger.url) as client:
            package = load_package(ROOT / "examples" / "hello")
            with pytest.raises(BadTask, match="minimum_stake"):
                await deploy(client, payer, msgspec.structs.replace(package, minimum_stake=5), "x")
            poor = Keypair()
            await send(client, [give(payer, poor.pubkey(), 10)], [payer])
            with pytest.raises(InsufficientFundsForFee):
                await send(client, [give(poor, Pubkey(bytes(32)), 1)], [poor])
            assert (await client.get_task(values["task"])).name == "hello"
            assert await client.get_task(values["nobody"]) is None

    asyncio.run(run())
