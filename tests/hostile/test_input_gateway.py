"""Requests of strangers to a running node: each is answered without a fault, and the next is served."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ..ledger.process import running
from ..node.house import require_sandbox
from ..node.peers.test_announce import found
from ..node.test_server import RunningNode, launch, make_rich

ROUTES = """
@task.routes
def routes(ctx):
    async def app(scope, receive, send):
        await receive()
        status, headers, body = 200, [], scope["query_string"]
        match scope["path"]:
            case "/no-content":
                status, body = 204, b"HTTP/1.1 200 OK smuggled"
            case "/not-modified":
                status, body = 304, b"HTTP/1.1 200 OK smuggled"
            case "/name":
                headers = [(b"a b", b"c")]
            case "/line":
                headers = [(b"a", b"b\\r\\nc: d")]
            case "/control":
                headers = [(b"a", b"b\\x00c")]
            case "/latin":
                headers = [(b"a", b"\\xff")]
            case "/status":
                status = 2**70
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    return app
"""


class Strangers:
    """A running node whose log can be read, and its task."""

    def __init__(self, node: RunningNode, task: str, log: Path) -> None:
        self.port = int(node.endpoint.rpartition(":")[2])
        self.url = f"http://127.0.0.1:{self.port}"
        self.task = task
        self.log = log

    def send(self, raw: bytes) -> bytes:
        """What raw bytes are answered with until the node closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(raw)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strangers]:
    require_sandbox("sandlock")
    directory = tmp_path_factory.mktemp("gateway")
    with running(directory / "ledger") as ledger, (directory / "log").open("w") as log:
        folder = directory / "task"
        task = found(ledger, folder, ROUTES)
        make_rich(ledger, directory / "node")
        with launch(ledger, task, directory / "node", "--package", folder, "--yes", stderr=log) as process:
            try:
                assert process.stdout is not None
                node = RunningNode(process, json.loads(process.stdout.readline()))
                yield Strangers(node, task, directory / "log")
            finally:
                process.terminate()
                process.communicate(timeout=20)


REQUESTS = {
    "a query that is not ASCII": b"GET /task/TASK/x?\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "a host that is half an address": b"GET /task/TASK/x?a HTTP/1.1\r\nHost: [\r\n\r\n",
    "a host that is not ASCII": b"GET /task/TASK/x?a HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "no host": b"GET /task/TASK/x HTTP/1.0\r\n\r\n",
    "a path that is not UTF-8": b"GET /task/TASK/%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path with a zero byte": b"GET /task/TASK/%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path that is not ASCII": b"GET /task/TASK/\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path of dots": b"GET /task/TASK/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
    "a header that is not ASCII": b"GET /task/TASK/x HTTP/1.1\r\nHost: a\r\nX: \xff\xfe\r\n\r\n",
    "a content id that is not UTF-8": b"GET /ipfs/%ff HTTP/1.1\r\nHost: a\r\n\r\n",
    "a task that is not UTF-8": b"GET /task/%ff/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a round of very many digits": b"GET /reasons/TASK/" + b"9" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a round of 2^63": b"GET /reasons/TASK/9223372036854775808 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a round in other digits": b"GET /reasons/TASK/%D9%A3 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a round below 0": b"GET /reasons/TASK/-1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a registration that is not UTF-8": (
        b"POST /register-node/TASK HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\xff"
    ),
    "a deep registration": (
        b"POST /register-node/TASK HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n" + b"[" * 4000
    ),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_of_any_bytes_is_answered_and_no_fault_of_the_node(strangers: Strangers, name: str) -> None:
    raw = REQUESTS[name].replace(b"TASK", strangers.task.encode())
    raw = raw.replace(b"\r\nHost", b"\r\nConnection: close\r\nHost")

    answer = strangers.send(raw)

    assert answer.startswith(b"HTTP/1.1 ")
    assert int(answer.split()[1]) < 500
    assert "Traceback" not in strangers.log.read_text()
    assert "ok" == httpx2.get(f"{strangers.url}/health", trust_env=False).text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *(("no-content", 204), ("not-modified", 304), ("latin", 200)),
        *(("name", 502), ("line", 502), ("control", 502), ("status", 502)),
    ],
)
def test_what_a_task_answers_cannot_stand_before_the_answer_to_another_request(
    strangers: Strangers, path: str, status: int
) -> None:
    """Both requests come in one connection, as behind a proxy."""
    requests = (
        f"GET /task/{strangers.task}/{path} HTTP/1.1\r\nHost: a\r\n\r\n"
        "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )

    answers = strangers.send(requests.encode())

    assert answers.startswith(b"HTTP/1.1 %d" % status)
    assert b"smuggled" not in answers
    assert 2 == answers.count(b"HTTP/1.1 ")
    assert answers.endswith(b"\r\n\r\nok")
