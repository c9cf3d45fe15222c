"""What clients ask too much of has a limit, a default, and an answer that says so."""

import asyncio
import base64
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import Transaction
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from roundwork.errors import BadConfig, PoolFull
from roundwork.host.front import read_limits
from roundwork.ledger.limits import LIMITS, Limits
from roundwork.ledger.rpc.rates import Rates

from .process import NEWEST, RpcFailure, RunningLedger, give, running

SMALL = {
    "body_bytes": 20_000,
    "batch_calls": 10,
    "connections": 8,
    "websockets_per_address": 2,
    "subscriptions": 3,
    "subscriptions_in_all": 5,
    "calls_per_second": 1,
    "calls_at_once": 12,
}
PROGRAM = Pubkey.from_string("Koiitask22222222222222222222222222222222222")
ELSEWHERE = {"x-forwarded-for": "203.0.113.7"}
"""As a proxy on this machine says that somebody else calls."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    options = [part for name, value in SMALL.items() for part in ("--limit", f"{name}={value}")]
    with running(tmp_path_factory.mktemp("limits") / "ledger", None, *options) as process:
        yield process


def compose_request(method: str, *params: object, id: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": list(params)}


async def call(websocket: ClientConnection, method: str, *params: object) -> dict[str, Any]:
    """The answer of a call, notifications in between left out."""
    await websocket.send(json.dumps(compose_request(method, *params)))
    async with asyncio.timeout(10):
        answer: dict[str, Any] = {}
        while "id" not in answer:
            answer = json.loads(await websocket.recv())
    return answer


async def is_answered(websocket: ClientConnection) -> bool:
    """Whether a websocket was let in."""
    try:
        answer: bool = (await call(websocket, "getHealth"))["result"] == "ok"
        return answer
    except ConnectionClosed:
        return False


async def read_until_closed(websocket: ClientConnection) -> tuple[int, str, int]:
    """The code and the reason that a websocket is closed with, and how many messages came before."""
    count = 0
    while True:
        try:
            await websocket.recv()
        except ConnectionClosed:
            return websocket.close_code or 0, websocket.close_reason or "", count
        count += 1


def test_every_limit_is_documented_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "RPC.md").read_text()

    documented = {name: int(value) for name, value in re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.M)}

    assert {name: getattr(LIMITS, name) for name in Limits.__struct_fields__} == documented


def test_a_limit_that_is_none_is_refused_by_name() -> None:
    assert Limits(subscriptions=7) == read_limits(("subscriptions=7",), Limits)
    with pytest.raises(BadConfig, match="there is no subscribers; one of"):
        read_limits(("subscribers=7",), Limits)
    for setting in ("subscriptions", "subscriptions=0", "subscriptions=-1", "subscriptions=many"):
        with pytest.raises(BadConfig, match="is not a number of 1 or more"):
            read_limits((setting,), Limits)


def test_a_body_that_is_too_large_is_not_read(ledger: RunningLedger) -> None:
    answer = ledger.http.post("", content=b" " * 20_001)

    assert (413, "a body has at most 20000 bytes\n") == (answer.status_code, answer.text)


def test_a_batch_that_is_too_large_is_refused_whole(ledger: RunningLedger) -> None:
    answer = ledger.post([compose_request("getHealth")] * 11)

    assert -32600 == answer["error"]["code"]
    assert 10 == len(ledger.post([compose_request("getHealth")] * 10))


def test_a_connection_too_many_is_told_so(ledger: RunningLedger) -> None:
    held = [HTTPConnection("127.0.0.1", ledger.port) for _ in range(9)]

    statuses = []
    for entry in held:  # each stays open
        entry.request("GET", "/health")
        answer = entry.getresponse()
        answer.read()
        statuses.append(answer.status)
    for entry in held:
        entry.close()

    assert (200, 503) == (statuses[0], statuses[-1])


def test_websockets_have_limits_in_all_and_by_address(tmp_path: Path) -> None:
    async def fill_all(url: str) -> str:
        """Open as many as there may be in all; the answer to the next one."""
        opened = [await connect(url) for _ in range(SMALL["connections"])]
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)
        for websocket in opened:
            await websocket.close()
        return f"{refused.value.response.status_code} {refused.value.response.body.decode()}"

    async def fill_one(url: str) -> tuple[int, str, int]:
        """Open as many as one address may; how the next one is closed."""
        headers = {"x-forwarded-for": "203.0.113.9"}
        opened = [await connect(url, additional_headers=headers) for _ in range(3)]
        answered = [await is_answered(websocket) for websocket in opened]
        assert [True, True, False] == answered
        closed = await read_until_closed(opened[-1])
        for websocket in opened:
            await websocket.close()
        return closed

    options = [part for name, value in SMALL.items() for part in ("--limit", f"{name}={value}")]
    with running(tmp_path / "ledger", None, *options) as ledger:
        url = f"ws://127.0.0.1:{ledger.port + 1}"
        assert (1008, "2 websockets of 203.0.113.9 are open", 0) == asyncio.run(fill_one(url))
    with running(tmp_path / "ledger", None, *options) as ledger:
        url = f"ws://127.0.0.1:{ledger.port + 1}"
        assert "503 8 websockets are open\n" == asyncio.run(fill_all(url))


def test_subscriptions_have_limits_by_websocket_and_in_all_and_come_free_again(ledger: RunningLedger) -> None:
    async def run() -> tuple[list[Any], list[Any], dict[str, Any]]:
        url = f"ws://127.0.0.1:{ledger.port}"
        async with connect(url) as first, connect(url) as second:
            mine = [await call(first, "slotSubscribe") for _ in range(4)]
            theirs = [await call(second, "rootSubscribe") for _ in range(3)]
            await call(first, "slotUnsubscribe", mine[0]["result"])
            return mine, theirs, await call(second, "rootSubscribe")

    mine, theirs, again = asyncio.run(run())

    assert "a connection has at most 3 subscriptions" == mine[3]["error"]["message"]
    assert "a ledger has at most 5 subscriptions" == theirs[2]["error"]["message"]
    assert (-32005, -32005) == (mine[3]["error"]["code"], theirs[2]["error"]["code"])
    assert isinstance(again["result"], int)


def test_an_address_that_calls_too_often_is_told_to_wait(ledger: RunningLedger) -> None:
    content = json.dumps([compose_request("getHealth")] * 10).encode()

    first = ledger.http.post("", content=content, headers=ELSEWHERE)
    second = ledger.http.post("", content=content, headers=ELSEWHERE)
    local = [ledger.http.post("", content=content) for _ in range(5)]

    assert (200, 429, "1") == (first.status_code, second.status_code, second.headers["retry-after"])
    assert -32005 == second.json()["error"]["code"]
    assert "too many calls from 203.0.113.7: 1 a second" in second.json()["error"]["message"]
    assert [200] * 5 == [entry.status_code for entry in local]


def test_a_websocket_that_calls_too_often_stays_open(ledger: RunningLedger) -> None:
    async def run() -> list[dict[str, Any]]:
        url = f"ws://127.0.0.1:{ledger.port}"
        async with connect(url, additional_headers={"x-forwarded-for": "2001:db8::1"}) as websocket:
            return [await call_any(websocket) for _ in range(30)]

    async def call_any(websocket: ClientConnection) -> dict[str, Any]:
        await websocket.send(json.dumps(compose_request("getHealth")))
        answer: dict[str, Any] = json.loads(await websocket.recv())
        return answer

    answers = asyncio.run(run())

    assert ["ok"] * 12 == [entry["result"] for entry in answers[:12]]
    assert {-32005} == {entry["error"]["code"] for entry in answers if "error" in entry}


def test_calls_are_counted_by_address_and_come_back_with_time() -> None:
    rates = Rates(Limits(calls_per_second=10, calls_at_once=20, addresses=2))

    assert rates.take("203.0.113.1", 20, 0.0)
    assert not rates.take("203.0.113.1", 1, 0.0)
    assert rates.take("203.0.113.2", 20, 0.0)
    assert not rates.take("203.0.113.1", 6, 0.5)
    assert rates.take("203.0.113.1", 5, 0.5)
    assert rates.take("203.0.113.1", 20, 60.0)
    assert not rates.take("203.0.113.1", 1, 60.0)  # no more than 20 are saved up
    assert all(rates.take(local, 10**9, 60.0) for local in ("127.0.0.1", "::1", ""))


def test_a_network_of_one_customer_counts_as_one_address() -> None:
    rates = Rates(Limits(calls_at_once=1, calls_per_second=1))

    assert rates.take("2001:db8:0:1::1", 1, 0.0)
    assert not rates.take("2001:db8:0:1:ffff::2", 1, 0.0)
    assert rates.take("2001:db8:0:2::1", 1, 0.0)
    assert rates.take("::ffff:203.0.113.1", 1, 0.0)
    assert not rates.take("203.0.113.1", 1, 0.0)


def test_the_addresses_that_are_counted_are_bounded_and_the_longest_silent_is_forgotten() -> None:
    rates = Rates(Limits(calls_at_once=1, calls_per_second=1, addresses=2))
    for address in ("203.0.113.1", "203.0.113.2", "203.0.113.3"):
        assert rates.take(address, 1, 0.0)

    assert not rates.take("203.0.113.3", 1, 0.0)
    assert rates.take("203.0.113.1", 1, 0.0)


def make_large_account(ledger: RunningLedger) -> tuple[Keypair, Pubkey]:
    """An account of 2 MB, and who can pay into it: each payment is a notification of 2.7 MB."""
    payer, large = Keypair(), Keypair()
    ledger.fund(payer)
    create = create_account(
        CreateAccountParams(
            from_pubkey=payer.pubkey(), to_pubkey=large.pubkey(), lamports=1, space=2_000_000, owner=PROGRAM
        )
    )
    tick = Hash.from_string(ledger.call("getLatestBlockhash")["value"]["blockhash"])
    message = Message.new_with_blockhash([create], payer.pubkey(), tick)
    ledger.send(bytes(Transaction([payer, large], message, tick)))
    return payer, large.pubkey()


async def subscribe_without_reading(port: int, account: Pubkey, **headers: str) -> ClientConnection:
    """A websocket that asked for notifications and reads nothing; little fits on the way to it."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    narrow.connect(("127.0.0.1", port))
    slow = await connect(
        f"ws://127.0.0.1:{port}",
        sock=narrow,
        max_queue=1,
        max_size=None,
        compression=None,
        additional_headers=headers,
    )
    await call(slow, "accountSubscribe", str(account), {"encoding": "base64", **NEWEST})
    return slow


async def pay_until_dropped(ledger: RunningLedger, payer: Keypair, account: Pubkey) -> None:
    """Change the account until the ledger says on stderr that it has dropped the websocket."""
    said = threading.Event()

    def listen() -> None:
        assert ledger.process.stderr is not None
        if any(b"dropped" in line for line in ledger.process.stderr):
            said.set()

    threading.Thread(target=listen, daemon=True).start()
    for n in range(60):  # 160 MB of notifications
        if said.is_set():
            return
        await asyncio.to_thread(ledger.send, ledger.sign(payer, give(payer, account, n + 1)))
    raise AssertionError("a reader that reads nothing was not dropped")


def test_a_slow_reader_is_dropped_with_a_reason_and_others_go_on(tmp_path: Path) -> None:
    async def run(ledger: RunningLedger) -> tuple[int, str, int]:
        payer, account = make_large_account(ledger)
        slow = await subscribe_without_reading(ledger.port, account)
        await pay_until_dropped(ledger, payer, account)
        async with connect(f"ws://127.0.0.1:{ledger.port}") as other:
            assert "ok" == (await call(other, "getHealth"))["result"]
        return await read_until_closed(slow)

    with running(tmp_path / "ledger", None, "--limit", "waiting_bytes=1000000") as ledger:
        code, reason, count = asyncio.run(run(ledger))

    assert (1008, "too slow to read") == (code, reason)
    assert 1 <= count < 60


def test_a_reader_that_takes_in_nothing_is_cut(tmp_path: Path) -> None:
    elsewhere = {"x-forwarded-for": "203.0.113.5"}

    async def run(ledger: RunningLedger) -> None:
        payer, account = make_large_account(ledger)
        slow = await subscribe_without_reading(ledger.port, account, **elsewhere)
        await pay_until_dropped(ledger, payer, account)
        async with asyncio.timeout(30):
            while not await is_welcome(ledger.port):  # until the slow one's place is free again
                pass
        slow.transport.abort()

    async def is_welcome(port: int) -> bool:
        async with connect(f"ws://127.0.0.1:{port}", additional_headers=elsewhere) as websocket:
            return await is_answered(websocket)

    limits = ("waiting_bytes=1000000", "stalled_seconds=1", "websockets_per_address=1")
    options = [part for limit in limits for part in ("--limit", limit)]
    with running(tmp_path / "ledger", None, *options) as ledger:
        asyncio.run(run(ledger))


def test_who_does_not_read_its_answers_gets_no_more_of_them_but_loses_none(tmp_path: Path) -> None:
    async def run(port: int) -> list[int]:
        url = f"ws://127.0.0.1:{port}"
        async with connect(url, max_queue=1, max_size=None, compression=None) as websocket:
            for n in range(8):  # 3 MB of answer each
                await websocket.send(json.dumps(compose_request("getLeaderSchedule", id=n)))
            return [json.loads(await websocket.recv())["id"] for _ in range(8)]

    with running(tmp_path / "ledger", None, "--limit", "waiting_bytes=100000") as ledger:
        assert list(range(8)) == asyncio.run(run(ledger.port))


def test_a_pool_that_is_full_takes_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", None, "--limit", "pool_transactions=3") as ledger:
        pair = Keypair()
        ledger.fund(pair)
        wires = [ledger.sign(pair, give(pair, Keypair().pubkey(), n + 1)) for n in range(10)]
        batch = [
            compose_request("sendTransaction", base64.b64encode(wire).decode(), {"encoding": "base64"}, id=at)
            for at, wire in enumerate(wires)
        ]

        answers = ledger.post(batch)

        refused = [entry["error"] for entry in answers if "error" in entry]
        assert 3 == len(answers) - len(refused)
        assert {-32005} == {entry["code"] for entry in refused}
        assert {PoolFull.__name__} == {entry["data"]["roundwork"]["name"] for entry in refused}
        with pytest.raises(RpcFailure):
            ledger.call("getNothing")
