"""Whatever a ledger answers, a client gets a result of the right shape or a named error."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import zstandard

from roundwork.client.receipts import fetch_receipt
from roundwork.client.rpc import Client, Refused
from roundwork.errors import BadReceipt, RemoteError, RoundworkError, WrongPhase
from roundwork.node.lookout import CurrentTask, Lookout
from roundwork.views import PartKey, PartKind, TaskView

from ..node.peers.test_registrations import make_task
from .servers import serve_bytes

HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
RESULTS = [
    b"null",
    b"5",
    b"-1",
    b'"x"',
    b"[]",
    b"[[]]",
    b"{}",
    b'{"value": null}',
    b'{"value": {}}',
    b'{"value": []}',
]
RESULTS += [b'{"value": [{"err": []}]}', b'{"value": {"amount": "-5", "decimals": 1}}', b"1e300", b"9" * 400]
RESULTS += [
    b'{"value": {"amount": 5, "decimals": "x"}}',
    b'[{"pubkey": 5}]',
    b'[{"pubkey": "", "account": {"data": ["@"]}}]',
]
ERRORS = [
    b"null",
    b"5",
    b"[]",
    b"{}",
    b'{"code": "x", "message": 5}',
    b'{"code": 1}',
    b'{"code": 1e400, "message": ""}',
]
ERRORS += [b'{"code": 1, "message": "", "data": {"roundwork": {"name": []}}}']
ERRORS += [b'{"code": 1, "message": "", "data": {"roundwork": {"name": "SystemExit"}}}']
BODIES = {
    **{f"result {each[:40]!r}": b'{"jsonrpc": "2.0", "id": 1, "result": ' + each + b"}" for each in RESULTS},
    **{f"error {each[:40]!r}": b'{"jsonrpc": "2.0", "id": 1, "error": ' + each + b"}" for each in ERRORS},
    "not UTF-8": b'{"result": "\xff"}',
    "deep": b'{"result": ' + b"[" * 100_000,
    "no JSON": b"<html>",
    "nothing": b"",
    "a list": b"[1, 2]",
    "numbers": b"[" + b'{"result": 1e308},' * 2 + b"0]",
}

METHODS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "get_slot": lambda client: client.get_slot(),
    "get_balance": lambda client: client.get_balance("x"),
    "get_account_owner": lambda client: client.get_account_owner("x"),
    "get_token_supply": lambda client: client.get_token_supply("x"),
    "get_tokens_held": lambda client: client.get_tokens_held("x"),
    "get_token_balance": lambda client: client.get_token_balance("x"),
    "get_latest_blockhash": lambda client: client.get_latest_blockhash(),
    "get_task": lambda client: client.get_task("x"),
    "get_head": lambda client: client.get_head("x", "y"),
    "get_stakes": lambda client: client.get_stakes("x", 1, ""),
    "get_rows": lambda client: client.get_rows("x", PartKey(1, PartKind.RAISED), 1),
    "get_tasks": lambda client: client.get_tasks(),
    "get_round": lambda client: client.get_round("x", 1),
    "get_round_proof": lambda client: client.get_round_proof("x", 1, "y"),
    "get_rounds": lambda client: client.get_rounds("x", [1, 2, 3]),
    "get_ledger": lambda client: client.get_ledger(),
    "request_airdrop": lambda client: client.request_airdrop("x", 1),
    "send": lambda client: client.send(b"x"),
    "confirm": lambda client: client.confirm("x", -2),
}


def call(raw: bytes, use: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with serve_bytes({"/": raw}) as url, Client(url) as client:
            return await use(client)

    return asyncio.run(run())


LINES = b"one\\n" * 100_000


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (b"502 Bad Gateway", b"<html>\r\n<body>\r\n" + b"<p>down</p>\n" * 100_000),
        (b"200 OK", b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "' + LINES + b'"}}'),
        (
            b"200 OK",
            b'{"error": {"code": 1, "message": "", "data": {"roundwork": {"name": "WrongPhase", "text": "'
            + LINES
            + b'"}}}}',
        ),
        (b"200 OK", b'{"result": "' + LINES + b'"}'),
        (b"404 Not Found", b"<html>\n" * 100_000),
    ],
)
def test_what_a_ledger_says_is_one_line_of_an_error(status: bytes, body: bytes) -> None:
    raw = b"HTTP/1.1 " + status + b"\r\nconnection: close\r\n"

    with pytest.raises(RoundworkError) as refused:
        call(raw + b"content-length: %d\r\n\r\n" % len(body) + body, METHODS["get_slot"])

    [line] = str(refused.value).splitlines()
    assert 0 < len(line) < 2_000


@pytest.mark.parametrize("name", BODIES)
def test_any_answer_is_a_result_or_a_named_error(name: str) -> None:
    raw = HEAD + b"content-length: %d\r\n\r\n" % len(BODIES[name]) + BODIES[name]

    for use in METHODS.values():
        try:
            call(raw, use)
        except RoundworkError as error:
            assert isinstance(error, RemoteError) or "was not executed" in str(error)  # noqa: PT017 -- both are right


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        HEAD + b"content-encoding: br\r\ncontent-length: 4\r\n\r\nnope",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"content-type: text/html; charset=\xff\r\ncontent-length: 4\r\n\r\nnope",
        b"HTTP/1.1 500 x\r\ncontent-length: 2\r\n\r\n\xff\xfe",
        b"HTTP/1.1 302 x\r\nlocation: http://[::1\r\ncontent-length: 0\r\n\r\n",
        b"\x00\xff",
        b"",
    ],
)
def test_what_is_not_http_is_a_remote_error(raw: bytes) -> None:
    with pytest.raises(RemoteError):
        call(raw, lambda client: client.get_slot())


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(bytes(10**8))), ("zstd", zstandard.compress(bytes(10**8)))],
)
def test_an_answer_that_was_compressed_is_not_unpacked(encoding: str, body: bytes) -> None:
    """A few kilobytes could become any number of gigabytes."""
    head = HEAD + f"content-encoding: {encoding}\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    with pytest.raises(RemoteError, match=f"'{encoding}', which was not requested"):
        call(head + body, lambda client: client.get_slot())


@pytest.mark.parametrize("head", [HEAD, HEAD + b"content-length: 100000000000\r\n"])
def test_an_answer_without_an_end_is_given_up(head: bytes) -> None:
    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError), contextlib.closing(writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(head + b"\r\n")
                while True:
                    writer.write(b"[" * 1024 * 1024)
                    await writer.drain()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with Client(f"http://127.0.0.1:{port}") as client:
                with pytest.raises(RemoteError, match="answers more than"):
                    await client.get_slot()

    asyncio.run(run())


def test_an_error_of_the_law_keeps_its_class_and_any_other_its_code() -> None:
    def answer(error: bytes) -> bytes:
        body = b'{"jsonrpc": "2.0", "id": 1, "error": ' + error + b"}"
        return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body

    known = (
        b'{"code": -32002, "message": "m", "data": {"roundwork": {"name": "WrongPhase", "text": "not now"}}}'
    )
    with pytest.raises(WrongPhase, match="not now"):
        call(answer(known), lambda client: client.get_slot())
    with pytest.raises(Refused) as refused:
        call(answer(b'{"code": -5, "message": "m"}'), lambda client: client.get_slot())
    assert -5 == refused.value.code


def test_a_node_looks_again_at_a_ledger_that_answers_nonsense() -> None:
    def make_lookout(client: Client) -> Lookout:
        task: TaskView = make_task([])
        return Lookout(client, None, CurrentTask(task))  # type: ignore[arg-type] # is not read before the ledger

    for body in BODIES.values():
        raw = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
        try:
            assert call(raw, lambda client: make_lookout(client).look()) is None
        except RoundworkError as error:
            assert type(error).__name__ == "UnknownTask"  # noqa: PT017 -- the ledger says so: it answered null


PROOF = {
    "task": "x",
    "round": 1,
    "node": "y",
    "verdict": "valid",
    "votes": 0,
    "net": 0,
    "leaf": "00",
    "place": 0,
    "leaves": 1,
    "path": [],
    **dict.fromkeys(("root", "previous", "head"), "00" * 32),
}
"""What a ledger may answer to a request for the receipt of node y in round 1 of task x."""


@pytest.mark.parametrize(
    "wrong",
    [
        *({"task": "z"}, {"round": 2}, {"node": "x"}),
        *({"leaf": "zz"}, {"leaf": "0"}, {"root": "\u2603"}, {"path": ["0" * 63]}, {"head": "00"}),
        *({"place": -1}, {"leaves": 2**70}, {"round": -1}),
    ],
)
def test_a_receipt_of_another_or_of_no_shape_is_refused(wrong: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": PROOF | wrong}).encode()

    with pytest.raises(BadReceipt, match="the ledger gives"):
        call(
            HEAD + b"content-length: %d\r\n\r\n" % len(body) + body,
            lambda client: fetch_receipt(client, "x", 1, "y"),
        )
