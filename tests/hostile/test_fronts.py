"""What holds up a ledger's or a gateway's HTTP is refused by name, and every other client is served."""

import json
import os
import resource
import select
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .fronts import (
    HEALTH,
    HONEST,
    HOSTILE,
    LIMITS,
    Front,
    compose_call,
    compose_post,
    get_status,
    read_all,
    running_front,
)  # fmt: skip


@pytest.fixture(params=["ledger", "gateway"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["ledger", "gateway"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(request.param, tmp_path_factory.mktemp("fronts") / request.param) as process:
        yield process


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    limits = {"body_bytes": 100_000, "waiting_bytes": 100_000}
    with running_front("ledger", tmp_path_factory.mktemp("fronts") / "ledger", **limits) as process:
        yield process


HEAD = b"GET /health HTTP/1.1\r\nhost: here\r\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (HEAD + b"x-a: b\r\n" * 40 + b"\r\n", b"at most 20 header fields"),
        (HEAD + b"x-a: " + b"b" * 4_000 + b"\r\n\r\n", b"at most 3000 bytes"),
        (HEAD + b"x-a: " + b"b" * 4_000, b"at most 3000 bytes"),
        (HEAD + b"x" * 4_000, b"at most 3000 bytes"),
        (b"GET /" + b"x" * 4_000, b"at most 3000 bytes"),
        (b"GET /" + b"x" * 4_000 + b" HTTP/1.1\r\n\r\n", b"at most 3000 bytes"),
    ],
)
def test_a_head_has_bounds(front: Front, data: bytes, reason: bytes) -> None:
    answer = front.request(data, HOSTILE)

    assert 431 == get_status(answer)
    assert reason in answer
    assert front.is_healthy()


def test_a_head_that_comes_in_pieces_has_the_same_bounds(front: Front) -> None:
    with front.connect(HOSTILE) as connection:
        connection.sendall(HEAD)
        for _ in range(4):
            connection.sendall(b"x-a: " + b"b" * 999 + b"\r\n")

        assert 431 == get_status(read_all(connection))


def test_the_bounds_of_a_head_are_those_of_each_request_not_of_a_connection(front: Front) -> None:
    request = HEAD + b"x-a: " + b"b" * 2_000 + b"\r\n\r\n"
    with front.connect() as connection:
        for _ in range(5):
            connection.sendall(request)
            answer = b""
            while not answer.endswith(b"\r\n\r\nok"):
                answer += connection.recv(2**16)
            assert 200 == get_status(answer)


def test_a_body_is_no_head_however_many_pieces_it_comes_in(front: Front) -> None:
    body = compose_call("getHealth").ljust(500_000)
    with front.connect() as connection:
        for _ in range(2):
            connection.sendall(compose_post(b"", len(body)))
            for at in range(0, len(body), 10_000):
                connection.sendall(body[at : at + 10_000])
        connection.sendall(HEALTH)

        answers = read_all(connection)

    assert 3 == answers.count(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("data", [HEAD, compose_post(b"{", 100), compose_post(b"", 100)[:-4]])
def test_a_request_that_never_ends_is_answered_with_408_and_closed(front: Front, data: bytes) -> None:
    with front.connect(HOSTILE) as connection:
        connection.sendall(data)
        assert front.is_healthy()

        assert 408 == get_status(read_all(connection))


def test_a_request_that_trickles_in_has_no_more_time_than_others(front: Front) -> None:
    with front.connect(HOSTILE) as connection:
        connection.sendall(compose_post(b"", 10**6))
        trickles = 0
        while not select.select([connection], [], [], 0.2)[0]:  # until the server says something
            connection.sendall(b"x")
            trickles += 1

        assert 408 == get_status(read_all(connection))
    assert trickles < 100


def test_a_connection_without_a_request_is_closed(front: Front) -> None:
    with front.connect(HOSTILE) as connection:
        assert b"" == read_all(connection)


def test_an_address_has_its_share_of_connections_and_is_refused_more(front: Front) -> None:
    held = [front.connect(HOSTILE) for _ in range(LIMITS["connections_per_address"])]
    for connection in held:
        connection.sendall(HEAD)

    refused = [front.request(HEALTH, HOSTILE) for _ in range(3)]

    assert [503] * 3 == [get_status(answer) for answer in refused]
    assert b"10 connections of 127.0.0.2 are open" in refused[0]
    assert all(front.is_healthy() for _ in range(20))
    for connection in held:
        connection.sendall(b"\r\n")  # those with a place are served to the end
        assert 200 == get_status(connection.recv(2**16))
        connection.close()


def test_when_all_places_are_taken_the_longest_waiting_connection_gives_way(
    kind: str, tmp_path: Path
) -> None:
    with running_front(kind, tmp_path / kind) as front:
        held = [front.connect(f"127.0.1.{at % 4 + 1}") for at in range(LIMITS["connections"])]
        for connection in held:
            connection.sendall(HEAD)

        statuses = Counter[int]()
        while not statuses[200]:
            statuses[get_status(front.request(HEALTH))] += 1

        assert {200: 1, 503: statuses[503]} == statuses
        assert 503 == get_status(read_all(held[0]))
        for connection in held:
            connection.close()


def test_bodies_that_wait_to_be_complete_are_bounded_by_address(front: Front) -> None:
    held = [front.connect(HOSTILE) for _ in range(8)]
    for connection in held:
        connection.sendall(compose_post(bytes(200_000), 300_000))

    assert 503 == get_status(read_all(held[0]))  # the oldest gives way
    body = compose_call("getHealth").ljust(90_000)
    with front.connect() as honest:
        honest.sendall(compose_post(body))
        assert 200 == get_status(honest.recv(2**16))
    for connection in held:
        connection.close()


def test_requests_that_wait_for_the_one_before_them_are_bounded(front: Front) -> None:
    some = front.request(HEAD + b"\r\n" + (HEAD + b"\r\n") * 8 + HEALTH)
    assert 10 == some.count(b"HTTP/1.1 200 ")

    many = front.request((HEAD + b"\r\n") * 1_000, HOSTILE)

    assert many.count(b"HTTP/1.1 200 ") <= 17
    assert front.is_healthy()


def test_a_body_in_many_small_chunks_is_refused(front: Front) -> None:
    head = b"POST /measure HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"

    few = front.request(head + b"1\r\n \r\n" * 1_000 + b"0\r\n\r\n" + HEALTH)
    many = front.request(head + b"1\r\n \r\n" * 5_000 + b"0\r\n\r\n", HOSTILE)

    assert 2 == few.count(b"HTTP/1.1 200 ")
    assert 413 == get_status(many)


def test_without_descriptors_connections_wait_and_little_is_logged(kind: str, tmp_path: Path) -> None:
    with running_front(kind, tmp_path / kind) as front:
        assert front.is_healthy()
        count = len(os.listdir(f"/proc/{front.process.pid}/fd")) + 4
        resource.prlimit(front.process.pid, resource.RLIMIT_NOFILE, (count, count))
        held = [front.connect(f"127.0.1.{at + 1}") for at in range(8)]
        with front.connect() as honest:
            honest.sendall(HEALTH)
            for connection in held:
                connection.sendall(HEALTH)
                assert 200 == get_status(read_all(connection))
                connection.close()

            assert 200 == get_status(read_all(honest))
        front.process.terminate()
        assert front.process.stderr is not None
        logged = front.process.stderr.read()
    assert 1 == logged.count(b"connections wait, because none can be accepted")
    assert logged.count(b"\n") < 5


def test_a_blob_that_is_not_taken_in_holds_no_memory_for_long(tmp_path: Path) -> None:
    with running_front("gateway", tmp_path / "gateway", stalled_seconds=1) as front:
        [name] = [path.name for path in (tmp_path / "gateway").rglob("bafkrei*")]
        with front.connect(HOSTILE) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.sendall(b"GET /ipfs/%s HTTP/1.1\r\nhost: here\r\n\r\n" % name.encode())
            while not is_closed(front, connection):
                assert front.is_healthy()


def is_closed(front: Front, connection: socket.socket) -> bool:
    """Whether the server has closed a connection, as the system's table of sockets says."""
    port = connection.getsockname()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [(row[1], row[2]) for row in rows if row[3] == "01"]
    return not any(
        local.endswith(f":{front.port:04X}") and remote.endswith(f":{port:04X}") for local, remote in ends
    )


# Websockets


def test_a_handshake_that_the_library_cannot_read_is_refused(ledger: Front) -> None:
    head = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    for data in (
        head.replace(b"GET", b"POST") + b"\r\n",
        head + b"sec-websocket-key: " + b"x" * 2_900 + b"\r\n\r\n",
        head + b"\r\n",
    ):
        assert not ledger.request(data, HOSTILE).startswith(b"HTTP/1.1 101 ")
    assert ledger.is_healthy()


@pytest.mark.parametrize("parts", [["\xff"], ["{", "\xe2\x82"]], ids=["at once", "cut in pieces"])
def test_a_text_that_is_not_utf8_closes_its_websocket(ledger: Front, parts: list[str]) -> None:
    with ledger.connect() as sock, connect("ws://here/", sock=sock, compression=None) as websocket:
        websocket.send([part.encode("latin-1") for part in parts], text=True)
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=30)

        assert 1007 == websocket.close_code
    assert ledger.is_healthy()


def test_a_character_may_be_cut_between_the_pieces_of_a_text(ledger: Front) -> None:
    call = json.dumps({"jsonrpc": "2.0", "id": "\u20ac", "method": "getHealth"}, ensure_ascii=False).encode()
    with ledger.connect() as sock, connect("ws://here/", sock=sock, compression=None) as websocket:
        at = call.index(b"\x82")
        websocket.send([call[:at], call[at:]], text=True)

        assert "\u20ac" == json.loads(websocket.recv(timeout=30))["id"]


def test_a_websocket_message_that_never_ends_closes_it(ledger: Front) -> None:
    with ledger.connect(HOSTILE) as sock, connect("ws://here/", sock=sock, compression=None) as websocket:

        def compose_fragments() -> Iterator[str]:
            while True:
                yield ""

        with pytest.raises(ConnectionClosed):
            websocket.send(compose_fragments())


def test_many_small_messages_at_once_are_all_answered(ledger: Front) -> None:
    with ledger.connect() as sock, connect("ws://here/", sock=sock, compression=None) as websocket:
        for _ in range(3_000):
            websocket.send(compose_call("getHealth").decode())

        assert {"ok"} == {json.loads(websocket.recv(timeout=30))["result"] for _ in range(3_000)}


def test_an_honest_client_of_another_address_is_not_counted_with_a_hostile_one(ledger: Front) -> None:
    held = [ledger.connect(HOSTILE) for _ in range(30)]
    with ledger.connect(HONEST) as sock, connect("ws://here/", sock=sock, compression=None) as websocket:
        websocket.send(compose_call("getHealth").decode())
        assert "ok" == json.loads(websocket.recv(timeout=30))["result"]
    for connection in held:
        connection.close()


def test_an_address_that_attacks_in_every_way_is_refused_and_others_are_served(tmp_path: Path) -> None:
    """A tenth of bench/hostile.py, which measures how long others wait."""
    limits = {
        "connections": 2_000,
        "connections_per_address": 40,
        "calls_at_once": 10**6,
        "calls_per_second": 10**6,
        "subscriptions_per_address": 1_000,
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
    with (
        running_front("ledger", tmp_path / "ledger", **limits, request_seconds=30) as ledger,
        ExitStack() as stack,
    ):
        results = Counter[str]()
        for _ in range(10):
            sock = stack.enter_context(ledger.connect(HOSTILE))
            websocket = stack.enter_context(
                connect("ws://here/", sock=sock, compression=None, close_timeout=1)
            )
            for _ in range(1_000):
                websocket.send(body)
            answers = 0
            while answers < 1_000:
                message = json.loads(websocket.recv(timeout=60))
                answers += "id" in message
                results.update(message.keys() & {"result", "error"})
        held = [stack.enter_context(ledger.connect(HOSTILE)) for _ in range(300)]
        for connection in held[:200]:
            with suppress(ConnectionError):  # a refused one may be closed already
                connection.sendall(HEAD)

        assert {"result": 1_000, "error": 9_000} == results
        assert [503] * 270 == [get_status(read_all(connection)) for connection in held[30:]]
        assert all(ledger.is_healthy() for _ in range(100))
        with ledger.connect() as sock, connect("ws://here/", sock=sock, compression=None) as websocket:
            websocket.send(body)
            assert "result" in json.loads(websocket.recv(timeout=60))
