"""Bodies and frames that cannot be decoded get an error of JSON-RPC, and the next call is served."""

import asyncio
import json
from collections.abc import Iterator

import pytest
import websockets

from ..ledger.process import RunningLedger, running

REQUEST = b'{"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": %s}'
BODIES = {
    "a method that is not UTF-8": b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}',
    "params that are not UTF-8": REQUEST % b'["\xff\xfe"]',
    "an unknown field that is not UTF-8": b'{"jsonrpc": "2.0", "id": 1, "method": "getSlot", "x": "\xc3"}',
    "half of a surrogate pair": REQUEST % rb'["\ud800"]',
    "deep params": REQUEST % (b"[" * 1000 + b"]" * 1000),
    "very deep params": REQUEST % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a deep id": b'{"jsonrpc": "2.0", "id": ' + b"[" * 500 + b"]" * 500 + b', "method": "getSlot"}',
    "a deep unknown field": b'{"x": ' + b"[" * 100_000,
    "a deep batch": b"[" * 100_000,
    "a batch with an item that is not UTF-8": b"[" + REQUEST % b"[]" + b', {"method": "\xff"}]',
    "a number out of range": REQUEST % b"[1e999]",
    "a number of five thousand digits": REQUEST % (b"[" + b"9" * 5000 + b"]"),
    "no body": b"",
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("ledger")) as ledger:
        yield ledger


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_decoded_is_a_parse_error(ledger: RunningLedger, name: str) -> None:
    response = ledger.http.post("", content=BODIES[name])

    assert 200 == response.status_code
    assert response.json()["error"]["code"] in (-32700, -32600)
    assert isinstance(ledger.call("getSlot"), int)


def is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in BODIES if not is_utf8(BODIES[name])])
def test_a_text_frame_that_is_not_utf_8_ends_its_websocket_as_the_standard_says(
    ledger: RunningLedger, name: str
) -> None:
    async def run() -> int | None:
        async with websockets.connect(f"ws://127.0.0.1:{ledger.port + 1}") as socket:
            await socket.send(BODIES[name], text=True)
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            return socket.close_code

    assert 1007 == asyncio.run(run())
    assert isinstance(ledger.call("getSlot"), int)


@pytest.mark.parametrize(
    ("name", "is_text"),
    [(name, is_text) for name in BODIES for is_text in (True, False) if is_utf8(BODIES[name]) or not is_text],
)
def test_so_is_a_frame_of_a_websocket(ledger: RunningLedger, name: str, is_text: bool) -> None:
    async def run() -> None:
        async with websockets.connect(f"ws://127.0.0.1:{ledger.port + 1}") as socket:
            await socket.send(BODIES[name], text=is_text)
            refusal = json.loads(await socket.recv())
            await socket.send(REQUEST % b"[]")
            answer = json.loads(await socket.recv())

        assert refusal["error"]["code"] in (-32700, -32600)
        assert isinstance(answer["result"], int)

    asyncio.run(run())
