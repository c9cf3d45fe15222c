"""RPC: every documented request is answered, and every bad one gets its code, its text and its data."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import Transaction, VersionedTransaction
from websockets.asyncio.client import ClientConnection, connect

from roundwork.client.operations import deploy, send, stake
from roundwork.client.rpc import Client
from roundwork.client.token_operations import build_minting, build_transfer, find_account, open_account
from roundwork.errors import BadTask, InsufficientFundsForFee
from roundwork.ledger.rpc.block_feeds import KINDS
from roundwork.ledger.rpc.dispatch import METHODS
from roundwork.package.folder import load_package, pack
from roundwork.protocol.addresses import find_associated
from roundwork.protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    SYSTEM_PROGRAM,
    TASK_PROGRAM,
    TOKEN_PROGRAM,
    base58_of,
)
from roundwork.wire import base58_decode, base58_encode

from ..process import NEWEST, RpcFailure, RunningLedger, give, running

ROOT = Path(__file__).parents[3]
DOCUMENTED = [
    json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", (ROOT / "docs/RPC.md").read_text())
]
REQUESTS = [entry for entry in DOCUMENTED if not entry["method"].endswith("Subscribe")]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("rpc") / "ledger") as process:
        yield process


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
    ledger.wait_until_final()
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


def fill(request: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    text = json.dumps(request)
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    answer: dict[str, Any] = json.loads(text)
    return answer


@pytest.mark.parametrize("request_", REQUESTS, ids=[entry["method"] for entry in REQUESTS])
def test_every_documented_request_is_answered(
    ledger: RunningLedger, values: dict[str, str], request_: dict[str, Any]
) -> None:
    answer = ledger.post(fill(request_, values))

    assert "result" in answer, answer


def test_every_method_and_subscription_is_documented() -> None:
    subscriptions = {f"{kind}Subscribe" for kind in KINDS}

    assert {*METHODS, *subscriptions} == {entry["method"] for entry in DOCUMENTED}


def test_every_documented_subscription_is_taken_and_ended(
    ledger: RunningLedger, values: dict[str, str]
) -> None:
    async def run() -> None:
        for port in (ledger.port, ledger.port + 1):
            async with connect(f"ws://127.0.0.1:{port}/any") as websocket:
                for request in DOCUMENTED:
                    if not request["method"].endswith("Subscribe"):
                        continue
                    await websocket.send(json.dumps(fill(request, values)))
                    subscription_id = await receive_answer(websocket)
                    assert isinstance(subscription_id, int)
                    if request["method"] == "signatureSubscribe":
                        continue  # it has ended by itself
                    ended = request["method"].replace("Subscribe", "Unsubscribe")
                    await websocket.send(
                        json.dumps({"jsonrpc": "2.0", "id": 2, "method": ended, "params": [subscription_id]})
                    )
                    assert await receive_answer(websocket) is True

    asyncio.run(run())


async def receive_answer(websocket: ClientConnection) -> object:
    async with asyncio.timeout(5):
        while True:
            message = json.loads(await websocket.recv())
            if "id" in message:
                return message["result"]


def test_a_websocket_answers_requests_batches_and_nothing_to_notifications(ledger: RunningLedger) -> None:
    async def run() -> list[Any]:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            await websocket.send(json.dumps({"jsonrpc": "2.0", "method": "ping"}))
            await websocket.send(
                json.dumps([{"jsonrpc": "2.0", "id": n, "method": "getHealth"} for n in (1, 2)])
            )
            answer: list[Any] = json.loads(await websocket.recv())
            return answer

    assert ["ok", "ok"] == [entry["result"] for entry in asyncio.run(run())]


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
def test_a_bad_request_gets_its_code(ledger: RunningLedger, body: Any, code: int) -> None:
    assert code == ledger.post(body)["error"]["code"]


KEY = "11111111111111111111111111111111"
SIGNATURE = "1" * 64
BYTES = {"offset": 0, "bytes": "1"}


@pytest.mark.parametrize(
    ("method", "params", "named"),
    [
        # A condition more, a field that is missing or misspelt
        ("getProgramAccounts", [KEY, {"filters": [{"dataSize": 5, "memcmp": {}}]}], "dataSize and memcmp"),
        ("getProgramAccounts", [KEY, {"filters": [{"memcmp": {"bytes": "1"}}]}], "`offset`"),
        ("getProgramAccounts", [KEY, {"filters": [{"memcmp": {"offset": 0}}]}], "`bytes`"),
        ("getProgramAccounts", [KEY, {"filters": [{"memcmp": {"ofset": 0, "bytes": "1"}}]}], "'ofset'"),
        ("getProgramAccounts", [KEY, {"filters": [{"datasize": 5}]}], "datasize"),
        ("getProgramAccounts", [KEY, {"filters": [{}]}], "filter {}"),
        ("getProgramAccounts", [KEY, {"filters": [{"dataSize": "5"}]}], "dataSize"),
        ("programSubscribe", [KEY, {"filters": [{"dataSize": 5, "memcmp": {}}]}], "dataSize and memcmp"),
        ("getTokenAccountsByOwner", [KEY, {}], "mint or programId"),
        ("getTokenAccountsByOwner", [KEY, {"mint": KEY, "programId": KEY}], "mint or programId"),
        ("getTokenAccountsByDelegate", [KEY, {"mints": KEY}], "'mints'"),
        ("logsSubscribe", [{"mentions": [KEY], "also": 1}], "mentions"),
        ("blockSubscribe", [{"mentionsAccountOrProgram": KEY, "also": 1}], "mentionsAccountOrProgram"),
        ("blockSubscribe", ["all", {"commitment": "processed"}], "commitment"),
        ("simulateTransaction", ["{wire}", {"encoding": "base64", "accounts": {}}], "`addresses`"),
        (
            "simulateTransaction",
            ["{wire}", {"encoding": "base64", "accounts": {"addresses": [], "form": "base64"}}],
            "'form'",
        ),
        ("getAccountInfo", [KEY, {"dataSlice": {"offset": 0}}], "`length`"),
        ("getAccountInfo", [KEY, {"dataSlice": {"length": 0}}], "`offset`"),
        ("getAccountInfo", [KEY, {"dataSlice": {"offset": 0, "length": 1, "end": 1}}], "'end'"),
        # Options and words that no method has
        ("getAccountInfo", [KEY, {"encodng": "base64"}], "'encodng'"),
        ("getSlot", [{"commitments": "processed"}], "'commitments'"),
        ("getAccountInfo", [KEY, {"encoding": "base32"}], "encoding 'base32'"),
        ("getProgramAccounts", [KEY, {"filters": [{"memcmp": {**BYTES, "encoding": "hex"}}]}], "'hex'"),
        ("getTransaction", [SIGNATURE, {"encoding": "hex"}], "encoding 'hex'"),
        ("getBlock", [0, {"encoding": "hex"}], "encoding 'hex'"),
        ("getBlock", [0, {"transactionDetails": "some"}], "transactionDetails 'some'"),
        ("getBlock", [0, {"rewards": 1}], "rewards"),
        ("getTaskAccountInfo", ["{task}", {"encoding": "hex"}], "encoding 'hex'"),
        ("getTaskAccountInfo", ["{task}", {"balance": 1}], "balance"),
        ("sendTransaction", ["{wire}", {"encoding": "hex"}], "hex"),
        ("getProgramAccounts", [KEY, {"withContext": 1}], "withContext"),
        ("getLargestAccounts", [{"filter": "all"}], "filter 'all'"),
    ],
)  # fmt: skip
def test_filters_and_options_are_matched_whole_and_the_error_names_the_field(
    ledger: RunningLedger, values: dict[str, str], method: str, params: list[Any], named: str
) -> None:
    request = fill({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, values)

    async def run() -> Any:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            await websocket.send(json.dumps(request))
            return json.loads(await websocket.recv())

    error = asyncio.run(run())["error"]

    assert -32602 == error["code"]
    assert named in error["message"]


@pytest.mark.parametrize("encoding", ["base58", "base64", "bytes", "binary", None])
def test_a_filter_of_bytes_is_read_in_each_encoding(
    ledger: RunningLedger, values: dict[str, str], encoding: str | None
) -> None:
    begins = b'{"is_allowlisted":true,'
    text = base64.b64encode(begins).decode() if encoding == "base64" else base58_encode(begins)
    for wanted in (text, list(begins)):
        compared = {"offset": 0, "bytes": wanted, "encoding": encoding}
        config = {**NEWEST, "encoding": "base64", "filters": [{"memcmp": compared}]}
        found = ledger.call("getProgramAccounts", values["task_program"], config)
        assert [values["task"]] == [entry["pubkey"] for entry in found]


def test_a_batch_is_answered_in_order_and_has_a_limit(ledger: RunningLedger) -> None:
    batch = [{"jsonrpc": "2.0", "id": n, "method": ["getHealth", "getNothing"][n % 2]} for n in range(10)]

    answers = ledger.post(batch)

    assert list(range(10)) == [entry["id"] for entry in answers]
    assert [-32601] * 5 == [entry["error"]["code"] for entry in answers[1::2]]
    too_many = [{"jsonrpc": "2.0", "id": n, "method": "getHealth"} for n in range(1001)]
    assert -32600 == ledger.post(too_many)["error"]["code"]


def test_http_has_health_and_the_preflight_of_browsers(ledger: RunningLedger) -> None:
    assert "ok" == ledger.http.get("/health").text
    for named in ("solana-client", "content-type, x-my-wallet, baggage"):
        answer = ledger.http.options("/", headers={"access-control-request-headers": named})
        assert named == answer.headers["access-control-allow-headers"]
    assert 404 == ledger.http.get("/nothing").status_code
    assert 405 == ledger.http.put("/").status_code


def test_an_airdrop_is_one_transfer_unless_an_equal_one_names_the_same_blockhash(
    ledger: RunningLedger,
) -> None:
    target, tick = str(Keypair().pubkey()), ledger.call("getLatestBlockhash")["value"]["blockhash"]

    names = [
        ledger.call("requestAirdrop", target, amount, {"recentBlockhash": tick}) for amount in (5, 5, 5, 6)
    ]

    metas = [ledger.call("getTransaction", name, NEWEST)["meta"] for name in names]
    assert [2, 4, 4, 2] == [len(meta["logMessages"]) for meta in metas]
    assert 5 + 5 + 5 + 6 == ledger.call("getBalance", target, NEWEST)["value"]


@pytest.mark.parametrize("name", ["before", "until"])
def test_a_list_that_begins_or_ends_at_an_unknown_transaction_is_an_error(
    ledger: RunningLedger, payer: Keypair, name: str
) -> None:
    signature = str(payer.sign_message(b"never sent"))

    with pytest.raises(RpcFailure, match=f"Transaction {signature} not found") as caught:
        ledger.call("getSignaturesForAddress", str(payer.pubkey()), {name: signature})

    assert -32020 == caught.value.code


def test_a_parsed_transaction_shows_loaded_addresses_among_its_accounts_only(
    ledger: RunningLedger, payer: Keypair
) -> None:
    signature = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), 5)))
    metas = {
        encoding: ledger.call("getTransaction", signature, {**NEWEST, "encoding": encoding})["meta"]
        for encoding in ("json", "jsonParsed", "base64")
    }

    assert {"json": True, "jsonParsed": False, "base64": True} == {
        encoding: "loadedAddresses" in meta for encoding, meta in metas.items()
    }
    slot = ledger.call("getTransaction", signature, NEWEST)["slot"]
    for encoding in metas:
        block = ledger.call("getBlock", slot, {"encoding": encoding})
        assert (encoding != "jsonParsed") == ("loadedAddresses" in block["transactions"][0]["meta"])


def test_units_are_a_fixed_number_for_each_instruction(ledger: RunningLedger, payer: Keypair) -> None:
    target = Keypair().pubkey()
    wire = ledger.sign(payer, give(payer, target, 5), give(payer, target, 6))  # and a compute budget
    text = base64.b64encode(wire).decode()
    much = ledger.sign(payer, give(payer, target, 5), give(payer, target, 10**15), give(payer, target, 6))

    simulated = ledger.call("simulateTransaction", text, {"encoding": "base64"})["value"]
    done = ledger.call("getTransaction", ledger.send(wire), NEWEST)["meta"]

    assert 150 + 150 + 3000 == simulated["unitsConsumed"] == done["computeUnitsConsumed"]
    assert 150 + 150 == refused(ledger, much).data["unitsConsumed"]


def test_a_transaction_shows_the_tokens_of_its_accounts_before_and_after(
    ledger: RunningLedger, payer: Keypair
) -> None:
    rich, other = Keypair(), Keypair()
    ledger.fund(rich)
    mint, held = make_tokens(ledger, rich)
    text = str(mint)
    mint_to = build_minting(rich, text, str(rich.pubkey()), 700)
    far = Pubkey(find_account(bytes(other.pubkey()), text))

    def read(*instructions: Instruction) -> tuple[Any, Any]:
        wire = ledger.sign(rich, *instructions)
        meta = ledger.call("getTransaction", ledger.send(wire), {**NEWEST, "encoding": "json"})["meta"]
        keys = list(map(str, Transaction.from_bytes(wire).message.account_keys))
        return tuple(  # type: ignore[return-value] # two of them
            {keys[each["accountIndex"]]: each for each in meta[name]}
            for name in ("preTokenBalances", "postTokenBalances")
        )

    before, after = read(*mint_to)
    assert ("0", "700") == tuple(each[str(held)]["uiTokenAmount"]["amount"] for each in (before, after))
    entry = after[str(held)]
    assert (text, str(rich.pubkey()), base58_of(TOKEN_PROGRAM)) == (
        entry["mint"], entry["owner"], entry["programId"],
    )  # fmt: skip
    assert (2, "7") == (entry["uiTokenAmount"]["decimals"], entry["uiTokenAmount"]["uiAmountString"])

    opened = open_account(rich, bytes(other.pubkey()), text)
    before, after = read(opened, build_transfer(rich, bytes(other.pubkey()), text, 200))
    assert {str(held): "700"} == {key: each["uiTokenAmount"]["amount"] for key, each in before.items()}
    assert {str(held): "500", str(far): "200"} == {
        key: each["uiTokenAmount"]["amount"] for key, each in after.items()
    }
    assert ({}, {}) == read(transfer(TransferParams(from_pubkey=rich.pubkey(), to_pubkey=far, lamports=1)))


def test_the_creation_of_an_associated_account_shows_what_it_calls(
    ledger: RunningLedger, payer: Keypair
) -> None:
    rich = Keypair()
    ledger.fund(rich)
    mint, owner = make_tokens(ledger, rich)[0], Keypair().pubkey()
    held = Pubkey(find_associated(bytes(owner), bytes(mint)))
    programs = [Pubkey(SYSTEM_PROGRAM), Pubkey(TOKEN_PROGRAM)]
    metas = [
        AccountMeta(payer.pubkey(), True, True),
        AccountMeta(held, False, True),
        *(AccountMeta(key, False, False) for key in (owner, mint, *programs)),
    ]
    create = Instruction(Pubkey(ASSOCIATED_TOKEN_PROGRAM), b"\1", metas)
    called = ["getAccountDataSize", "createAccount", "initializeImmutableOwner", "initializeAccount3"]

    def read(signature: str, encoding: str) -> Any:
        return ledger.call("getTransaction", signature, {**NEWEST, "encoding": encoding})

    first, again = (ledger.send(ledger.sign(payer, create)) for _ in range(2))

    [parsed] = read(first, "jsonParsed")["meta"]["innerInstructions"]
    assert (0, called) == (parsed["index"], [each["parsed"]["type"] for each in parsed["instructions"]])
    info = parsed["instructions"][1]["parsed"]["info"]
    assert (str(payer.pubkey()), str(held), 2039280, 165, base58_of(TOKEN_PROGRAM)) == (
        info["source"], info["newAccount"], info["lamports"], info["space"], info["owner"],
    )  # fmt: skip
    assert {"account": str(held), "mint": str(mint), "owner": str(owner)} == (
        parsed["instructions"][3]["parsed"]["info"]
    )
    [plain] = read(first, "json")["meta"]["innerInstructions"]
    assert {2} == {each["stackHeight"] for each in plain["instructions"] + parsed["instructions"]}
    assert {"programIdIndex", "accounts", "data", "stackHeight"} == plain["instructions"][0].keys()
    token, system = base58_of(TOKEN_PROGRAM), base58_of(SYSTEM_PROGRAM)
    logs = read(first, "json")["meta"]["logMessages"]
    assert logs[1:-2] == [
        "Program log: CreateIdempotent",
        f"Program {token} invoke [2]", "Program log: Instruction: GetAccountDataSize",
        f"Program return: {token} pQAAAAAAAAA=", f"Program {token} success",
        f"Program {system} invoke [2]", f"Program {system} success",
        "Program log: Initialize the associated token account",
        f"Program {token} invoke [2]", "Program log: Instruction: InitializeImmutableOwner",
        "Program log: Please upgrade to SPL Token 2022 for immutable owner support",
        f"Program {token} success", f"Program {token} invoke [2]",
        "Program log: Instruction: InitializeAccount3", f"Program {token} success",
        f"Program {base58_of(ASSOCIATED_TOKEN_PROGRAM)} success",
    ]  # fmt: skip
    repeated = read(again, "json")["meta"]
    assert [] == repeated["innerInstructions"]
    assert "Program log: CreateIdempotent" == repeated["logMessages"][1]


def test_an_associated_account_that_has_money_already_is_sized_and_assigned(
    ledger: RunningLedger, payer: Keypair
) -> None:
    rich = Keypair()
    ledger.fund(rich)
    mint, owner = make_tokens(ledger, rich)[0], Keypair().pubkey()
    held = Pubkey(find_associated(bytes(owner), bytes(mint)))
    ledger.send(ledger.sign(payer, give(payer, held, 1000)))
    programs = [Pubkey(SYSTEM_PROGRAM), Pubkey(TOKEN_PROGRAM)]
    metas = [AccountMeta(payer.pubkey(), True, True), AccountMeta(held, False, True)]
    metas += [AccountMeta(key, False, False) for key in (owner, mint, *programs)]

    signature = ledger.send(ledger.sign(payer, Instruction(Pubkey(ASSOCIATED_TOKEN_PROGRAM), b"", metas)))

    meta = ledger.call("getTransaction", signature, {**NEWEST, "encoding": "jsonParsed"})["meta"]
    calls = [each["parsed"] for each in meta["innerInstructions"][0]["instructions"]]
    assert ["transfer", "allocate", "assign"] == [each["type"] for each in calls[1:4]]
    assert 2039280 - 1000 == calls[1]["info"]["lamports"]


def test_block_production_is_all_slots_of_the_range(ledger: RunningLedger) -> None:
    producer = ledger.call("getIdentity")["identity"]

    whole = ledger.call("getBlockProduction")
    part = ledger.call("getBlockProduction", {"range": {"firstSlot": 1, "lastSlot": 3}})["value"]
    other = ledger.call("getBlockProduction", {"identity": str(Keypair().pubkey())})["value"]

    slot = whole["context"]["slot"]
    assert {"firstSlot": 0, "lastSlot": slot} == whole["value"]["range"]
    assert {producer: [slot + 1, slot + 1]} == whole["value"]["byIdentity"]
    assert {"byIdentity": {producer: [3, 3]}, "range": {"firstSlot": 1, "lastSlot": 3}} == part
    assert {} == other["byIdentity"]
    for bounds in ({"lastSlot": 10**9}, {"firstSlot": 10**9}, {"firstSlot": 3, "lastSlot": 1}, {"first": 1}):
        with pytest.raises(RpcFailure) as caught:
            ledger.call("getBlockProduction", {"range": bounds})
        assert -32602 == caught.value.code


def test_prices_are_the_least_that_was_offered_in_each_slot(ledger: RunningLedger, payer: Keypair) -> None:
    target = Keypair().pubkey()
    instructions = [set_compute_unit_price(2500), give(payer, target, 1)]
    signature = ledger.send(ledger.sign(payer, *instructions))
    slot = ledger.call("getTransaction", signature, NEWEST)["slot"]

    prices = {
        entry["slot"]: entry["prioritizationFee"]
        for entry in ledger.call("getRecentPrioritizationFees", [str(target)])
    }
    readonly = ledger.call("getRecentPrioritizationFees", [base58_of(bytes(32))])

    assert 2500 == prices.pop(slot)
    assert {0} == set(prices.values())
    assert len(prices) < 150
    assert {0} == {entry["prioritizationFee"] for entry in readonly}


def test_constants_of_solana_that_clients_read_are_well_formed(ledger: RunningLedger, payer: Keypair) -> None:
    slot = ledger.call("getSlot")

    assert [None, None] == ledger.call("getInflationReward", [str(payer.pubkey())] * 2, {"epoch": 0})
    assert 10**9 == ledger.call("getStakeMinimumDelegation")["value"]
    assert ledger.call("getHighestSnapshotSlot").keys() == {"full", "incremental"}
    assert ledger.call("getMaxRetransmitSlot") >= slot
    assert ledger.call("getMaxShredInsertSlot") >= slot


# Bad transactions


def refused(ledger: RunningLedger, wire: bytes, **config: object) -> RpcFailure:
    with pytest.raises(RpcFailure) as caught:
        ledger.send(wire, **config)
    return caught.value


def test_a_badly_signed_transaction_is_refused_and_costs_nothing(
    ledger: RunningLedger, payer: Keypair
) -> None:
    before = ledger.call("getBalance", str(payer.pubkey()), NEWEST)["value"]
    wire = bytearray(ledger.sign(payer, give(payer, Keypair().pubkey(), 5)))
    wire[5] ^= 1

    failure = refused(ledger, bytes(wire))

    assert (-32003, "Transaction signature verification failure") == (failure.code, failure.message)
    assert "SignatureFailure" == failure.data["err"]

    assert before == ledger.call("getBalance", str(payer.pubkey()), NEWEST)["value"]


def test_a_replayed_transaction_is_refused(ledger: RunningLedger, payer: Keypair) -> None:
    wire = ledger.sign(payer, give(payer, Keypair().pubkey(), 5))
    ledger.send(wire)

    failure = refused(ledger, wire)

    assert -32002 == failure.code
    assert "This transaction has already been processed" in failure.message
    assert "AlreadyProcessed" == failure.data["err"]


def test_a_transaction_with_an_unknown_blockhash_is_refused(ledger: RunningLedger, payer: Keypair) -> None:
    instruction = give(payer, Keypair().pubkey(), 5)
    message = Message.new_with_blockhash([instruction], payer.pubkey(), Hash(bytes([7]) * 32))
    wire = bytes(Transaction([payer], message, Hash(bytes([7]) * 32)))

    failure = refused(ledger, wire)

    assert "Transaction simulation failed: Blockhash not found" == failure.message
    assert "BlockhashNotFound" == failure.data["err"]
    assert "is not the tick of a slot" in failure.data["roundwork"]["text"]


def test_a_message_that_takes_accounts_from_what_is_no_lookup_table_is_refused(
    ledger: RunningLedger, payer: Keypair
) -> None:
    target, tick = Keypair().pubkey(), ledger.call("getLatestBlockhash")["value"]["blockhash"]
    table = AddressLookupTableAccount(Keypair().pubkey(), [target])
    message = MessageV0.try_compile(payer.pubkey(), [give(payer, target, 5)], [table], Hash.from_string(tick))
    wire = bytes(VersionedTransaction(message, [payer]))

    failure = refused(ledger, wire)

    assert "AddressLookupTableNotFound" == failure.data["err"]
    assert f"no address lookup table at {table.key}" in failure.data["roundwork"]["text"]


def test_a_payer_that_does_not_exist_or_is_too_poor_is_refused(ledger: RunningLedger, payer: Keypair) -> None:
    nobody, poor = Keypair(), Keypair()
    ledger.send(ledger.sign(payer, give(payer, poor.pubkey(), 10)))

    missing = refused(ledger, ledger.sign(nobody, give(nobody, payer.pubkey(), 1)))
    short = refused(ledger, ledger.sign(poor, give(poor, payer.pubkey(), 1)))

    assert "Attempt to debit an account but found no record of a prior credit" in missing.message
    assert "InsufficientFundsForFee" == short.data["err"]


@pytest.mark.parametrize("fault", ["signature", "blockhash", "lookup table", "payer", "fee", "limit twice"])
def test_without_preflight_what_never_runs_has_a_signature_and_does_not_land(
    ledger: RunningLedger, payer: Keypair, fault: str
) -> None:
    before = ledger.call("getBalance", str(payer.pubkey()), NEWEST)["value"]
    wire = spoil(ledger, payer, fault)
    name = base58_encode(wire[1:65])

    single = ledger.send(wire, skipPreflight=True)
    params = [base64.b64encode(wire).decode(), {"encoding": "base64", "skipPreflight": True}]
    request = {"jsonrpc": "2.0", "method": "sendTransaction", "params": params}
    batch = ledger.post([{**request, "id": number} for number in range(2)])

    assert [name] * 3 == [single, *(entry["result"] for entry in batch)]
    assert [None] == ledger.call("getSignatureStatuses", [name], {"searchTransactionHistory": True})["value"]
    assert ledger.call("getTransaction", name, {**NEWEST, "maxSupportedTransactionVersion": 0}) is None
    assert refused(ledger, wire).data["err"]
    assert fault == "fee" or before == ledger.call("getBalance", str(payer.pubkey()), NEWEST)["value"]


def spoil(ledger: RunningLedger, payer: Keypair, fault: str) -> bytes:
    """A transaction that never runs."""
    target, tick = (
        Keypair().pubkey(),
        Hash.from_string(ledger.call("getLatestBlockhash")["value"]["blockhash"]),
    )
    match fault:
        case "signature":
            wire = bytearray(ledger.sign(payer, give(payer, target, 5)))
            wire[5] ^= 1
            return bytes(wire)
        case "blockhash":
            tick = Hash(bytes([7]) * 32)
            return bytes(Transaction([payer], Message.new_with_blockhash([], payer.pubkey(), tick), tick))
        case "lookup table":
            table = AddressLookupTableAccount(Keypair().pubkey(), [target])
            message = MessageV0.try_compile(payer.pubkey(), [give(payer, target, 5)], [table], tick)
            return bytes(VersionedTransaction(message, [payer]))
        case "payer":
            nobody = Keypair()
            return ledger.sign(nobody, give(nobody, target, 1))
        case "fee":
            poor = Keypair()
            ledger.send(ledger.sign(payer, give(payer, poor.pubkey(), 10)))
            return ledger.sign(poor, give(poor, target, 1))
        case _:
            return ledger.sign(payer, set_compute_unit_limit(7), give(payer, target, 5))


def test_without_preflight_a_repeated_transaction_has_its_signature_and_runs_once(
    ledger: RunningLedger, payer: Keypair
) -> None:
    target = Keypair().pubkey()
    wire = ledger.sign(payer, give(payer, target, 5))

    names = {ledger.send(wire, skipPreflight=True) for _ in range(3)}

    assert {base58_encode(wire[1:65])} == names
    assert 5 == ledger.call("getBalance", str(target), NEWEST)["value"]


def test_a_rejected_instruction_has_solanas_shape_and_our_numbers(
    ledger: RunningLedger, payer: Keypair
) -> None:
    wire = ledger.sign(payer, give(payer, Keypair().pubkey(), 10**15))

    failure = refused(ledger, wire)

    assert {"InstructionError": [0, {"Custom": 1}]} == failure.data["err"]
    assert "custom program error: 0x1" in failure.message
    assert "BalanceTooLow" == failure.data["roundwork"]["name"]
    assert {"err", "logs", "accounts", "unitsConsumed", "returnData"} <= failure.data.keys()
    assert failure.data["logs"][1].startswith("Transfer: insufficient lamports ")


def test_without_preflight_a_rejected_transaction_is_executed_and_pays_its_fee(
    ledger: RunningLedger, payer: Keypair
) -> None:
    before = ledger.call("getBalance", str(payer.pubkey()), NEWEST)["value"]

    signature = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), 10**15)), skipPreflight=True)

    [status] = ledger.call("getSignatureStatuses", [signature])["value"]
    assert {"InstructionError": [0, {"Custom": 1}]} == status["err"]
    assert before - 5000 == ledger.call("getBalance", str(payer.pubkey()), NEWEST)["value"]
    meta = ledger.call("getTransaction", signature, NEWEST)["meta"]
    assert {"Err": status["err"]} == meta["status"]


def test_a_batch_of_transactions_is_executed_together_each_with_its_answer(
    ledger: RunningLedger, payer: Keypair
) -> None:
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
    signatures = [entry["result"] for entry in answers if "result" in entry]
    assert 20 == len(signatures)
    statuses = ledger.call("getSignatureStatuses", signatures)["value"]
    assert all(entry["err"] is None for entry in statuses)


def test_a_version_that_was_not_asked_for_is_not_shown(ledger: RunningLedger, payer: Keypair) -> None:
    from solders.message import MessageV0
    from solders.transaction import VersionedTransaction

    tick = Hash.from_string(ledger.call("getLatestBlockhash")["value"]["blockhash"])
    message = MessageV0.try_compile(payer.pubkey(), [give(payer, Keypair().pubkey(), 5)], [], tick)
    signature = ledger.send(bytes(VersionedTransaction(message, [payer])))

    with pytest.raises(RpcFailure) as caught:
        ledger.call("getTransaction", signature, NEWEST)

    assert -32015 == caught.value.code
    config = {**NEWEST, "maxSupportedTransactionVersion": 0}
    assert 0 == ledger.call("getTransaction", signature, config)["version"]


# Reading


def test_an_account_is_read_in_every_encoding(ledger: RunningLedger, values: dict[str, str]) -> None:
    import zstandard

    def read(encoding: str) -> list[str]:
        answer: list[str] = ledger.call("getAccountInfo", values["task"], {"encoding": encoding})["value"][
            "data"
        ]
        return answer

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


def test_programs_and_sysvars_exist(ledger: RunningLedger) -> None:
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


def test_sysvars_say_what_other_methods_say(ledger: RunningLedger) -> None:
    def read(name: str) -> Any:
        return ledger.call("getAccountInfo", name, {"encoding": "jsonParsed"})["value"]["data"]["parsed"][
            "info"
        ]

    assert ledger.call("getEpochSchedule") == read("SysvarEpochSchedu1e111111111111111111111111")
    hashes = {entry["slot"]: entry["hash"] for entry in read("SysvarS1otHashes111111111111111111111111111")}
    slot = max(hashes)
    assert hashes[slot] == ledger.call("getBlock", slot)["blockhash"]


def test_a_price_is_part_of_the_fee_that_is_told_and_paid(ledger: RunningLedger, payer: Keypair) -> None:
    tick = Hash.from_string(ledger.call("getLatestBlockhash")["value"]["blockhash"])
    # 1,000 units at 2,500 micro-roe are 2.5 roe, rounded up.
    instructions = [
        set_compute_unit_limit(1000),
        set_compute_unit_price(2500),
        give(payer, Keypair().pubkey(), 1),
    ]
    message = Message.new_with_blockhash(instructions, payer.pubkey(), tick)

    fee = ledger.call("getFeeForMessage", base64.b64encode(bytes(message)).decode())["value"]
    signature = ledger.send(bytes(Transaction([payer], message, tick)))

    assert fee == 5003
    assert fee == ledger.call("getTransaction", signature, NEWEST)["meta"]["fee"]


def test_what_a_program_returns_is_shown_simulated_and_done(
    ledger: RunningLedger, payer: Keypair, values: dict[str, str]
) -> None:
    metas = [AccountMeta(Pubkey.from_string(values["mint"]), False, False)]
    wire = ledger.sign(payer, Instruction(Pubkey(TOKEN_PROGRAM), b"\x15", metas))

    text = base64.b64encode(wire).decode()
    simulated = ledger.call("simulateTransaction", text, {"encoding": "base64"})["value"]
    signature = ledger.send(wire)
    done = ledger.call("getTransaction", signature, NEWEST)["meta"]

    # The bytes of a token account, as token instruction 21 returns them.
    data = base64.b64encode((165).to_bytes(8, "little")).decode()
    shown = {"programId": base58_of(TOKEN_PROGRAM), "data": [data, "base64"]}
    assert shown == simulated["returnData"] == done["returnData"]


def test_every_slot_is_a_block_whose_hash_is_its_tick(ledger: RunningLedger, payer: Keypair) -> None:
    signature = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), 5)))
    slot = ledger.call("getSignatureStatuses", [signature])["value"][0]["slot"]

    blocks = [ledger.call("getBlock", at, {"maxSupportedTransactionVersion": 0}) for at in range(1, slot + 1)]

    for before, after in pairwise(blocks):
        assert before["blockhash"] == after["previousBlockhash"]
        assert before["blockHeight"] + 1 == after["blockHeight"]
    assert signature in [entry["transaction"]["signatures"][0] for entry in blocks[-1]["transactions"]]
    assert len({entry["blockhash"] for entry in blocks}) == len(blocks)


def test_a_block_is_shown_when_nothing_can_be_added_to_it_any_more(
    ledger: RunningLedger, payer: Keypair
) -> None:
    shown = {}
    for n in range(12):
        signature = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), n + 1)))
        slot = ledger.call("getSignatureStatuses", [signature])["value"][0]["slot"]
        if n % 3 == 0:  # else more of them land in one slot
            shown[slot] = ledger.call("getBlock", slot, {"transactionDetails": "signatures"})
            assert signature in shown[slot]["signatures"]

    for slot, before in shown.items():
        assert before == ledger.call("getBlock", slot, {"transactionDetails": "signatures"})


def test_a_block_is_shown_in_every_detail(ledger: RunningLedger, payer: Keypair) -> None:
    signature = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), 5)))
    slot = ledger.call("getSignatureStatuses", [signature])["value"][0]["slot"]

    def show(**config: object) -> dict[str, Any]:
        answer: dict[str, Any] = ledger.call(
            "getBlock", slot, {"maxSupportedTransactionVersion": 0, **config}
        )
        return answer

    full, brief = show(), show(transactionDetails="accounts", rewards=False)
    assert signature in show(transactionDetails="signatures")["signatures"]
    assert "transactions" not in show(transactionDetails="none")
    assert "rewards" not in brief
    [entry] = [entry for entry in brief["transactions"] if signature in entry["transaction"]["signatures"]]
    assert {"pubkey", "signer", "writable", "source"} == entry["transaction"]["accountKeys"][0].keys()
    assert "logMessages" not in entry["meta"]
    assert len(full["transactions"]) == len(brief["transactions"])
    for encoding, kind in (("base58", list), ("base64", list), ("binary", str), ("jsonParsed", dict)):
        assert isinstance(show(encoding=encoding)["transactions"][0]["transaction"], kind)
    for config in ({"transactionDetails": "all"}, {"encoding": "hex"}):
        with pytest.raises(RpcFailure) as caught:
            show(**config)
        assert -32602 == caught.value.code


def test_statuses_and_counts_outlive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "ledger") as first:
        pair = Keypair()
        first.fund(pair)
        signature = first.send(first.sign(pair, give(pair, Keypair().pubkey(), 5)))
        count = first.call("getTransactionCount")

    with running(tmp_path / "ledger") as second:
        [status] = second.call("getSignatureStatuses", [signature])["value"]
        again = second.call("getTransactionCount")
        info = second.call("getEpochInfo")

    assert ("finalized", None, None) == (
        status["confirmationStatus"], status["confirmations"], status["err"]
    )  # fmt: skip
    assert 2 == count == again == info["transactionCount"]


def test_a_simulation_shows_accounts_as_they_would_be(ledger: RunningLedger, payer: Keypair) -> None:
    target = Keypair().pubkey()
    accounts = {"encoding": "base64", "addresses": [str(target), str(payer.pubkey())]}

    def simulate(amount: int) -> dict[str, Any]:
        text = base64.b64encode(ledger.sign(payer, give(payer, target, amount))).decode()
        answer: dict[str, Any] = ledger.call(
            "simulateTransaction", text, {"encoding": "base64", "accounts": accounts}
        )["value"]
        return answer

    before = ledger.call("getBalance", str(payer.pubkey()), NEWEST)["value"]
    good, bad = simulate(5), simulate(10**15)

    assert [5, before - 5 - 5000] == [entry["lamports"] for entry in good["accounts"]]
    assert [None, None] == bad["accounts"]
    assert ledger.call("getAccountInfo", str(target))["value"] is None
    assert before == ledger.call("getBalance", str(payer.pubkey()), NEWEST)["value"]


def test_a_simulation_can_take_another_tick_or_check_signatures_not_both(
    ledger: RunningLedger, payer: Keypair
) -> None:
    instruction = give(payer, Keypair().pubkey(), 5)
    message = Message.new_with_blockhash([instruction], payer.pubkey(), Hash(bytes([7]) * 32))
    wire = base64.b64encode(bytes(Transaction.new_unsigned(message))).decode()

    def simulate(**config: object) -> dict[str, Any]:
        answer: dict[str, Any] = ledger.call("simulateTransaction", wire, {"encoding": "base64", **config})[
            "value"
        ]
        return answer

    assert "BlockhashNotFound" == simulate()["err"]
    assert "SignatureFailure" == simulate(sigVerify=True)["err"]
    replaced = simulate(replaceRecentBlockhash=True)
    assert replaced["err"] is None
    assert ledger.call("isBlockhashValid", replaced["replacementBlockhash"]["blockhash"])["value"]
    with pytest.raises(RpcFailure, match="sigVerify may not be used with replaceRecentBlockhash"):
        simulate(sigVerify=True, replaceRecentBlockhash=True)


def test_a_tick_is_valid_for_300_slots_and_its_height_says_until_when(ledger: RunningLedger) -> None:
    value = ledger.call("getLatestBlockhash")["value"]

    assert ledger.call("isBlockhashValid", value["blockhash"])["value"]
    assert not ledger.call("isBlockhashValid", str(Keypair().pubkey()))["value"]
    assert 0 <= value["lastValidBlockHeight"] - ledger.call("getBlockHeight", NEWEST) <= 301
    assert ledger.call("getFeeCalculatorForBlockhash", str(Keypair().pubkey()))["value"] is None


def test_a_young_ledger_answers_for_slots_without_blocks(ledger: RunningLedger) -> None:
    while ledger.call("getSlot") < 10:
        ledger.call("requestAirdrop", str(Keypair().pubkey()), 1)

    empty = ledger.call("getBlock", 2)

    assert (1, 2) == (empty["parentSlot"], empty["blockHeight"])
    assert {"blockhash", "previousBlockhash", "blockTime", "transactions"} <= empty.keys()
    assert ledger.call("getBlockTime", 5) > 1_600_000_000
    assert [5, 6, 7, 8, 9, 10] == ledger.call("getBlocks", 5, 10)
    assert [5, 6, 7] == ledger.call("getBlocksWithLimit", 5, 3) == ledger.call("getConfirmedBlocks", 5, 7)


def test_program_accounts_are_filtered(ledger: RunningLedger, values: dict[str, str]) -> None:
    def find(*filters: object, **options: object) -> list[str]:
        config = {"encoding": "base64", "filters": list(filters), **options}
        return [
            entry["pubkey"] for entry in ledger.call("getProgramAccounts", str(Pubkey(TOKEN_PROGRAM)), config)
        ]

    mint, held = values["mint"], values["token_account"]
    in_base64 = base64.b64encode(bytes(Pubkey.from_string(mint))).decode()
    assert {mint, held} <= set(find())
    assert held in find({"dataSize": 165})
    assert mint not in find({"dataSize": 165})
    assert [held] == find({"memcmp": {"offset": 0, "bytes": mint}})
    assert [held] == find({"memcmp": {"offset": 0, "bytes": in_base64, "encoding": "base64"}})
    assert [held] == find({"dataSize": 165}, {"memcmp": {"offset": 32, "bytes": values["address"]}})
    assert [] == find({"dataSize": 82}, {"memcmp": {"offset": 32, "bytes": values["address"]}})
    config = {"encoding": "base64", "withContext": True, "dataSlice": {"offset": 0, "length": 0}}
    with_context = ledger.call("getProgramAccounts", str(Pubkey(TOKEN_PROGRAM)), config)
    assert {"context", "value"} == with_context.keys()
    assert ["", "base64"] == with_context["value"][0]["account"]["data"]
    for bad in (
        [{"dataSize": -1}],
        [{"memcmp": {"offset": -1, "bytes": "1"}}],
        [{"memcmp": {"offset": 0, "bytes": [256]}}],
        [{"memcmp": {"offset": 0, "bytes": "0OIl"}}],
        [{"memcmp": {"offset": 0, "bytes": "1" * 129}}],
        [{"memcmp": {"offset": 0, "bytes": "1", "encoding": "hex"}}],
        [{"dataSize": 1}] * 5,
        ["none"],
    ):
        with pytest.raises(RpcFailure) as caught:
            find(*bad)
        assert -32602 == caught.value.code


def test_every_name_of_a_commitment_means_the_same(ledger: RunningLedger, payer: Keypair) -> None:
    names = ["processed", "confirmed", "finalized", "recent", "single", "singleGossip", "root", "max", None]

    balances = {ledger.call("getBalance", str(payer.pubkey()), {"commitment": n})["value"] for n in names}

    assert 1 == len(balances)


# Subscriptions


def test_a_subscription_whose_account_outgrows_base58_stops_nobody(
    ledger: RunningLedger, payer: Keypair, values: dict[str, str]
) -> None:
    async def run() -> dict[str, Any]:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            await subscribe(websocket, "account", values["task"])
            await fund_task()
            return await receive_note(websocket)

    async def fund_task() -> None:
        async with Client(ledger.url) as client:
            await stake(client, payer, Keypair(), values["task"], 10 * 10**9)

    note = asyncio.run(run())

    assert "error: data too large for bs58 encoding" == note["result"]["value"]["data"]
    assert "ok" == ledger.call("getHealth")


def test_a_closed_account_is_notified_as_an_empty_one(ledger: RunningLedger, payer: Keypair) -> None:
    brief = Keypair()
    ledger.send(ledger.sign(payer, give(payer, brief.pubkey(), 10_000)))

    async def run() -> dict[str, Any]:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            await subscribe(websocket, "account", str(brief.pubkey()), {**NEWEST, "encoding": "base64"})
            tick = Hash.from_string(ledger.call("getLatestBlockhash")["value"]["blockhash"])
            message = Message.new_with_blockhash([give(brief, payer.pubkey(), 5000)], brief.pubkey(), tick)
            ledger.send(bytes(Transaction([brief], message, tick)))
            return await receive_note(websocket)

    value = asyncio.run(run())["result"]["value"]

    assert (0, ["", "base64"], base58_of(bytes(32))) == (value["lamports"], value["data"], value["owner"])


def test_a_signature_is_notified_at_once_or_when_it_lands_then_its_subscription_is_over(
    ledger: RunningLedger, payer: Keypair
) -> None:
    before = ledger.send(ledger.sign(payer, give(payer, Keypair().pubkey(), 5)))
    wire = ledger.sign(payer, give(payer, Keypair().pubkey(), 6))
    after = str(Transaction.from_bytes(wire).signatures[0])

    async def run() -> tuple[list[Any], dict[str, Any]]:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            await subscribe(websocket, "signature", before)
            notes = [await receive_note(websocket)]
            subscription_id = await subscribe(
                websocket, "signature", after, {"enableReceivedNotification": True}
            )
            ledger.send(wire)
            notes += [await receive_note(websocket), await receive_note(websocket)]
            request = {
                "jsonrpc": "2.0",
                "id": 9,
                "method": "signatureUnsubscribe",
                "params": [subscription_id],
            }
            await websocket.send(json.dumps(request))
            return notes, json.loads(await websocket.recv())

    notes, ended = asyncio.run(run())

    assert [{"err": None}, "receivedSignature", {"err": None}] == [
        entry["result"]["value"] for entry in notes
    ]
    assert (-32602, "Invalid subscription id.") == (ended["error"]["code"], ended["error"]["message"])


def test_logs_are_notified_in_each_form_and_of_rejected_transactions_too(
    ledger: RunningLedger, payer: Keypair
) -> None:
    target = Keypair().pubkey()

    async def run() -> list[dict[str, Any]]:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            subscription_ids = [
                await subscribe(websocket, "logs", form)
                for form in (
                    "all",
                    "allWithVotes",
                    {"mentions": [str(target)]},
                    {"mentions": [str(Keypair().pubkey())]},
                )
            ]
            wire = ledger.sign(payer, give(payer, target, 10**15))
            signature = ledger.send(wire, skipPreflight=True)
            notes: list[dict[str, Any]] = []
            while len(notes) < 3:  # payments of the tests before may become final only now
                note = await receive_note(websocket)
                if note["result"]["value"]["signature"] == signature:
                    notes.append(note)
            assert subscription_ids[:3] == sorted(entry["subscription"] for entry in notes)
            return notes

    for note in asyncio.run(run()):
        value = note["result"]["value"]
        assert {"InstructionError": [0, {"Custom": 1}]} == value["err"]
        assert "Program 11111111111111111111111111111111 invoke [1]" == value["logs"][0]


def test_blocks_are_notified_whole_or_those_that_mention_an_address(
    ledger: RunningLedger, payer: Keypair
) -> None:
    target = Keypair().pubkey()

    async def run() -> tuple[str, dict[int, list[dict[str, Any]]], list[int]]:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0, "encoding": "json"}
            mentions = {"mentionsAccountOrProgram": str(target)}
            ids = [await subscribe(websocket, "block", wanted, options) for wanted in ("all", mentions)]
            signature = ledger.send(ledger.sign(payer, give(payer, target, 5)))
            notes: dict[int, list[dict[str, Any]]] = {each: [] for each in ids}
            while not notes[ids[1]] or len(notes[ids[0]]) < 3:
                note = await receive_note(websocket)
                notes[note["subscription"]].append(note["result"])
            return signature, notes, ids

    signature, notes, ids = asyncio.run(run())

    slots = [note["value"]["slot"] for note in notes[ids[0]]]
    assert list(range(slots[0], slots[0] + len(slots))) == slots
    for note in notes[ids[0]]:
        shown = ledger.call("getBlock", note["context"]["slot"], {"maxSupportedTransactionVersion": 0})
        assert None is note["value"]["err"]
        assert {**shown, "rewards": None} == {**note["value"]["block"], "rewards": None}
    [note] = notes[ids[1]]
    [transaction] = note["value"]["block"]["transactions"]
    assert [signature] == transaction["transaction"]["signatures"]


def test_slots_are_notified_one_by_one_in_each_form(ledger: RunningLedger) -> None:
    async def run() -> dict[str, list[Any]]:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            kinds = {await subscribe(websocket, kind): kind for kind in ("slot", "root", "slotsUpdates")}
            notes: dict[str, list[Any]] = {kind: [] for kind in kinds.values()}
            while min(map(len, notes.values())) < 4:
                note = await receive_note(websocket)
                notes[kinds[note["subscription"]]].append(note["result"])
            return notes

    notes = asyncio.run(run())

    for form, slots in (("root", notes["root"]), ("slot", [note["slot"] for note in notes["slot"]])):
        assert list(range(slots[0], slots[0] + 4)) == slots[:4], form
    for note in notes["slot"]:
        assert note == {"slot": note["slot"], "parent": note["slot"] - 1, "root": note["slot"] - 2}
    assert {"slot", "parent", "timestamp", "type"} == notes["slotsUpdates"][0].keys()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("accountSubscribe", ["nobody"]),
        ("accountSubscribe", ["11111111111111111111111111111111", {"encoding": "hex"}]),
        ("programSubscribe", ["11111111111111111111111111111111", {"filters": [5]}]),
        ("logsSubscribe", ["some"]),
        ("logsSubscribe", [{"mentions": []}]),
        ("signatureSubscribe", ["short"]),
        ("slotUnsubscribe", [10**9]),
        ("slotUnsubscribe", []),
    ],
)
def test_a_bad_subscription_is_refused(ledger: RunningLedger, method: str, params: Any) -> None:
    async def run() -> dict[str, Any]:
        async with connect(f"ws://127.0.0.1:{ledger.port}") as websocket:
            await websocket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            answer: dict[str, Any] = json.loads(await websocket.recv())
            return answer

    assert -32602 == asyncio.run(run())["error"]["code"]


def test_subscriptions_do_not_exist_over_http(ledger: RunningLedger) -> None:
    with pytest.raises(RpcFailure) as caught:
        ledger.call("slotSubscribe")

    assert (-32601, "Method not found") == (caught.value.code, caught.value.message)


async def subscribe(websocket: ClientConnection, kind: str, *params: object) -> int:
    request = {"jsonrpc": "2.0", "id": 1, "method": f"{kind}Subscribe", "params": params}
    await websocket.send(json.dumps(request))
    subscription_id = await receive_answer(websocket)
    assert isinstance(subscription_id, int)
    return subscription_id


async def receive_note(websocket: ClientConnection) -> dict[str, Any]:
    """The next notification's params."""
    async with asyncio.timeout(10):
        while True:
            message = json.loads(await websocket.recv())
            if "params" in message:
                answer: dict[str, Any] = message["params"]
                return answer


def test_the_client_raises_what_the_law_raised(
    ledger: RunningLedger, payer: Keypair, values: dict[str, str]
) -> None:
    async def run() -> None:
        async with Client(ledger.url) as client:
            package = load_package(ROOT / "examples" / "hello")
            with pytest.raises(BadTask, match="minimum_stake"):
                await deploy(client, payer, msgspec.structs.replace(package, minimum_stake=5), "x")
            poor = Keypair()
            await send(client, [give(payer, poor.pubkey(), 10)], [payer])
            with pytest.raises(InsufficientFundsForFee):
                await send(client, [give(poor, Pubkey(bytes(32)), 1)], [poor])
            task = await client.get_task(values["task"])
            assert task is not None
            assert task.name == "hello"
            assert await client.get_task(values["nobody"]) is None

    asyncio.run(run())
