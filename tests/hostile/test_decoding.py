"""Long texts of strangers hold up neither the node's loop nor the calls of other tasks."""

import asyncio
import json
import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from roundwork.errors import Malformed
from roundwork.node.decoding import SHORT_BYTES, run_if_long
from roundwork.node.javascript.namespace_route import (
    ARGUMENTS_BYTES_MAX,
    ARGUMENTS_MAX,
    CALLS_MAX,
    build_namespace_route,
    read_arguments,
)
from roundwork.node.peers.gateway import build_gateway
from roundwork.wire import PIECE_BYTES, decode_json, measure_depth

from ..ledger.process import RunningLedger, running
from ..node.javascript.test_namespace import SECRET, Room, use
from ..node.peers.neighbours import serve

MIB = 1024 * 1024
PARTS = ("[", "]", "{", "}", '""', '"\\\\"', '"\\""', '"[\\"{"', '"\\\\\\""', '"[[\\\\"', ",", "1", '"é["')


class Holder(msgspec.Struct):
    params: msgspec.Raw


def count_levels(text: str) -> int:
    """The most levels at a place, character by character."""
    depth = deepest = 0
    is_text = is_escaped = False
    for char in text:
        if is_text:
            is_text = is_escaped or char != '"'
            is_escaped = not is_escaped and char == "\\"
        elif char == '"':
            is_text = True
        else:
            depth += (char in "[{") - (char in "]}")
            deepest = max(deepest, depth)
    return deepest


@given(st.lists(st.sampled_from(PARTS)).map("".join), st.integers(1, 9))
def test_levels_are_counted_alike_wherever_a_text_is_cut(text: str, piece_bytes: int) -> None:
    assert count_levels(text) == measure_depth(text.encode(), piece_bytes)


def test_levels_of_a_text_longer_than_a_piece_are_bounded() -> None:
    text = b'["' + b"x" * PIECE_BYTES + b'",' + b"[" * 127
    assert json.loads(text + b"]" * 128) == decode_json(text + b"]" * 128)
    with pytest.raises(Malformed, match="129 levels"):
        decode_json(text + b"[" + b"]" * 129)


SLOW = {
    "empty texts": b"[]," * 200 + b'"",' * 4_000_000,
    "escapes": b"[]," * 200 + b'"' + b'\\"' * 6_000_000 + b'",',
    "numbers": b"[]," * 200 + b"1," * 6_000_000,
}


@pytest.mark.parametrize("inner", SLOW.values(), ids=SLOW)
def test_the_loop_of_a_node_goes_on_while_a_long_text_is_decoded(inner: bytes) -> None:
    async def run() -> int:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        body = b'{"params": [' + inner + b"1]}"
        assert len(body) > SHORT_BYTES
        holder = await run_if_long(len(body), decode_json, body, Holder)
        assert len(inner) + 3 == len(holder.params)
        turning.cancel()
        return turns

    assert asyncio.run(run()) > 10


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("decoding") / "ledger") as ledger:
        yield ledger


def test_a_long_body_without_the_secret_of_a_task_is_not_decoded(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    """It would be refused for its syntax otherwise."""

    async def work(room: Room) -> None:
        for body in (b"[" * (ARGUMENTS_BYTES_MAX + 1), b'{"args": ["fs"], "secret": "' + b"x" * 3 * MIB):
            answer = await room.http.post("/namespace-wrapper", content=body)
            assert (401, {"message": "Invalid secret provided"}) == (answer.status_code, answer.json())
        answer = await room.http.post(
            "/namespace-wrapper", content=b"[" * ARGUMENTS_BYTES_MAX + SECRET.encode()
        )
        assert 422 == answer.status_code

    use(ledger, tmp_path, work)


def test_a_call_with_a_million_arguments_takes_no_memory_for_them(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    numbers = ["getRound", *[1] * 1_000_000]
    assert ARGUMENTS_MAX == len(read_arguments(msgspec.Raw(json.dumps(numbers).encode())))

    async def work(room: Room) -> None:
        assert await room.ask("getRound") == await room.ask(*numbers)
        assert await room.ask("fs", "writeFile", "large", "x" * 3 * MIB) is None
        assert 3 * MIB == (room.home / "large").stat().st_size

    use(ledger, tmp_path, work)


def test_answers_that_a_task_does_not_read_hold_up_no_other_task(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        (room.home / "large").write_bytes(bytes(8 * MIB))
        hostile, honest = room.task, str(Keypair().pubkey())
        namespaces = {task: room.open_namespace(task) for task in (hostile, honest)}
        app = build_gateway(
            store=room.store,
            get_tasks=dict,
            registrations={},
            get_metrics=dict,
            routes=[build_namespace_route(lambda: namespaces)],
        )
        call = json.dumps({"args": ["fs", "readFile", "large"], "taskId": hostile, "secret": SECRET}).encode()
        head = b"POST /namespace-wrapper HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(call)
        async with serve(app) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as http:
            host, _, port = url.removeprefix("http://").partition(":")
            unread = [await open_slowly(host, int(port)) for _ in range(3 * CALLS_MAX)]
            for _, writer in unread:
                writer.write(head + call)
            begun = [asyncio.create_task(reader.readline()) for reader, _ in unread]
            for answered in islice(asyncio.as_completed(begun), CALLS_MAX):
                assert b"HTTP/1.1 200" in await answered

            body = {"args": ["getRpcUrl"], "taskId": honest, "secret": SECRET}
            answer = await http.post("/namespace-wrapper", json=body, timeout=20)

            assert {"response": ledger.url} == answer.json()
            for line in begun:
                line.cancel()
            for _, writer in unread:
                writer.transport.abort()

    use(ledger, tmp_path, work)


async def open_slowly(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that takes in a few kilobytes and no more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, port))
    return await asyncio.open_connection(sock=connection, limit=1024)
