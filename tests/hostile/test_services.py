"""A service that a task requests is always answered: by its result, or by a named error, at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from roundwork.errors import TaskFailed
from roundwork.node.answers import ServiceError
from roundwork.node.javascript.tunnels import TUNNELS_MAX, Tunnels
from roundwork.node.peers.announce import Announcer
from roundwork.node.peers.gateway import build_gateway
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.registrations import Registrations
from roundwork.node.peers.storage import BlobStore, fetch_blob
from roundwork.node.python.environments import Environment
from roundwork.package.content import compute_content_id
from roundwork.views import StakeView, TaskView

from ..node.house import HEADER, SEED
from ..node.peers.neighbours import TASK, open_neighbours, serve
from ..node.peers.test_registrations import NODE, make_task
from .servers import HEAD, HOSTILE_ANSWERS, serve_bytes

REFUSED_OR_UNAVAILABLE = {
    "a method of proxies": "ctx.http.request('CONNECT', site + '/')",
    "a method that echoes": "ctx.http.request('TRACE', site + '/')",
    "a method with a space": "ctx.http.request('G ET', site + '/')",
    "a method with a line": "ctx.http.request('GET / HTTP/1.1\\r\\nX: y\\r\\n', site + '/')",
    "a method that is not ASCII": "ctx.http.request('GÉT', site + '/')",
    "no method": "ctx.http.request('', site + '/')",
    "a method of a megabyte": "ctx.http.request('X' * 2**20, site + '/')",
    "a port above 65535": "ctx.http.get('http://127.0.0.1:65536/')",
    "port 0": "ctx.http.get('http://127.0.0.1:0/')",
    "a port of many digits": "ctx.http.get('http://127.0.0.1:' + '9' * 100 + '/')",
    "half an IPv6 address": "ctx.http.get('http://[::1')",
    "a label of 64 characters": "ctx.http.get('http://' + 'a' * 64 + '.example/')",
    "a name of dots": "ctx.http.get('http://.../')",
    "a name that IDNA forbids": "ctx.http.get('http://\\u2100.com/')",
    "a name with a space": "ctx.http.get('http://a b/')",
    "a name with a zero byte": "ctx.http.get('http://a\\0b/')",
    "a URL of a megabyte": "ctx.http.get('http://a/' + 'x' * 2**20)",
    "another scheme": "ctx.http.get('gopher://a/')",
    "a header with a line": "ctx.http.get(site + '/', headers={'x': 'a\\r\\nb: c'})",
    "a header's name with a space": "ctx.http.get(site + '/', headers={'a b': 'c'})",
    "a header that is not Latin": "ctx.http.get(site + '/', headers={'x': '\\u2603'})",
    "a header's name that is not ASCII": "ctx.http.get(site + '/', headers={'\\u2603': 'x'})",
    "a round above 2^63": "request('storage.put', data='', round=2**63)",
    "a round of a hundred digits": "request('storage.put', data='', round=10**100)",
    "a round below 0": "request('storage.put', data='', round=-1)",
    "a round that is not whole": "request('storage.get', content_id='x', node=None, round=0.5)",
    "another method of the ledger": "ctx.ledger.call('x' * 2**20)",
    "an unknown peer with a long name": "ctx.peers['x' * 2**20].get('/')",
    "a peer's path with a zero byte": "ctx.peers[other].get('a\\0b')",
    "a peer without a URL": "ctx.peers['no-url'].get('/')",
    "a peer with a bad port": "ctx.peers['bad-port'].get('/')",
    "a peer that is half an address": "ctx.peers['half'].get('/')",
    "a large value to sign": "ctx.sign(['x' * 2**20])",
    "headers of a megabyte": "ctx.http.get(site + '/', headers={str(n): 'x' for n in range(2**17)})",
    "params of two megabytes": "ctx.ledger.call('getBalance', *['a'] * 2**19)",
    "an unknown service": "request('files.read', path='/etc/passwd')",
    "params of another shape": "request('sign', value=5)",
    **{f"a site that answers {path}": f"ctx.http.get(site + '{path}')" for path in HOSTILE_ANSWERS},
}
INVALID = {
    "a content id that is none": "ctx.storage.get('../../etc/passwd')",
    "a signed text of a megabyte": "ctx.verify('z' * 2**20, ctx.node)",
    "a signed text that is not base58": "ctx.verify('\\u2603', ctx.node)",
    "a key that is none": "ctx.verify('1' * 100, '\\u2603' * 9)",
}
STRANGERS = {"no-url": "\u2603", "bad-port": "http://127.0.0.1:99999", "half": "http://[::1"}

SUBMISSION = """
@task.submission
def submission(ctx):
    site, other = ctx.params["site"], next(each for each in ctx.peers if len(each) > 20)
    def request(service, **params):
        return ctx.storage._request(service, params)
    try:
        EXPRESSION
    except (Unavailable, Refused, InvalidSubmission) as error:
        return f"{type(error).__name__}: {error}"[:500]
    return "answered"

@task.routes
def routes(ctx):
    return {"/": lambda request: "hello"}
"""


def request_all(tmp_path: Path, environment: Environment, expressions: dict[str, str]) -> dict[str, str]:
    """What the submission function gets for each expression, in one process that must outlive them all."""
    (tmp_path / "task").mkdir()
    program = tmp_path / "task" / "task.py"
    cases = "".join(f"        if ctx.round == {at}: {each}\n" for at, each in enumerate(expressions.values()))
    program.write_text(HEADER + SUBMISSION.replace("        EXPRESSION\n", cases))

    async def run() -> dict[str, str]:
        async with (
            serve_bytes(HOSTILE_ANSWERS) as site,
            open_neighbours(
                tmp_path, program, environment, params={"site": site}, hosts=("*",), strangers=STRANGERS
            ) as nodes,
        ):
            lanes = nodes[0].lanes
            answers = {name: await lanes.submit(at, SEED, 20) or "" for at, name in enumerate(expressions)}
            assert 1 == lanes.count_starts()["review"]
            return answers

    return asyncio.run(run())


def list_errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_whatever_is_wrong_with_a_request_it_is_refused_or_unavailable(
    tmp_path: Path, environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    answers = request_all(tmp_path, environment, REFUSED_OR_UNAVAILABLE)

    assert {} == {
        name: answer
        for name, answer in answers.items()
        if not answer.startswith(("Refused: ", "Unavailable: "))
    }
    assert [] == list_errors(caplog)


def test_what_another_node_has_made_up_is_an_invalid_submission(
    tmp_path: Path, environment: Environment
) -> None:
    answers = request_all(tmp_path, environment, INVALID)

    assert {} == {name: each for name, each in answers.items() if not each.startswith("InvalidSubmission: ")}


@pytest.mark.parametrize("value", ["'\\ud800'", "deep(200)", "deep(900)", "deep(5000)"])
def test_what_no_frame_can_carry_is_an_exception_of_the_author(
    tmp_path: Path, environment: Environment, value: str
) -> None:
    """Before it is sent; so it is of no harm to the process, whether in a request or in an answer."""
    (tmp_path / "task").mkdir()
    program = tmp_path / "task" / "task.py"
    program.write_text(
        HEADER + "def deep(levels):\n"
        "  value = []\n  for _ in range(levels):\n    value = [value]\n  return value\n"
        "\n@task.submission\ndef submission(ctx):\n"
        f"  try:\n    ctx.sign([{value}])\n"
        "  except ValueError:\n    return 'caught'\n"
        "\n@task.audit\ndef audit(ctx, candidate):\n  raise Unavailable('\\ud800')\n"
        "\n@task.work\ndef work(ctx):\n  raise ValueError('\\ud800')\n"
    )

    async def run() -> None:
        async with open_neighbours(tmp_path, program, environment, count=1) as [node]:
            assert "caught" == await node.lanes.submit(0, SEED, 20)
            with pytest.raises(TaskFailed, match=r"ValueError: \\ud800"):
                await node.lanes.work(0, SEED, 20)
            with pytest.raises(TaskFailed, match="its answer cannot be sent"):
                await node.lanes.audit(0, SEED, node.key, "x", 1, 20)

    asyncio.run(run())


async def fetch(content_id: str, endpoints: list[str]) -> bytes | None:
    fetcher = Fetcher(is_development=True)
    try:
        async with asyncio.timeout(25):
            return await fetch_blob(content_id, fetcher, endpoints)
    finally:
        await fetcher.close()


def test_no_endpoint_keeps_a_node_from_requesting_the_next(tmp_path: Path) -> None:
    """Seven hostile peers in front of an honest one. Three never answer: in turn they would take 30 s."""
    data = b"proof"
    content_id = compute_content_id(data)

    async def run() -> bytes | None:
        store = BlobStore(tmp_path / "blobs")
        store.put(data, TASK, 0)
        app = build_gateway(store=store, get_tasks=dict, registrations={}, get_metrics=dict)
        path = f"/ipfs/{content_id}"
        wrong = HEAD + b"content-length: 5\r\n\r\nwrong"
        async with (
            serve(app) as honest,
            serve_bytes({path: None}) as first,
            serve_bytes({path: None}) as second,
            serve_bytes({path: None}) as third,
            serve_bytes({path: wrong}) as liar,
            serve_bytes({path: HOSTILE_ANSWERS["/redirect-port"]}) as mover,
        ):
            hostile = [first, second, third, liar, mover, "http://127.0.0.1:99999", "http://[::1"]
            found = await fetch(content_id, [*hostile, honest])
            store.close()
            return found

    assert data == asyncio.run(run())


def test_a_blob_that_no_endpoint_has_is_none() -> None:
    assert asyncio.run(fetch(compute_content_id(b"x"), ["", "http://127.0.0.1:1", "\u2603"])) is None
    assert asyncio.run(fetch(compute_content_id(b"x"), [])) is None


NODES = {
    "not UTF-8": b'["\xff"]',
    "deep": b"[" * 100_000,
    "numbers": b"[" + b"9" * 4000 + b", 1e308, -1]",
    "objects of anything": b'[{"data": {"url": [], "timestamp": %d}, "signature": {}}]' % (10**400),
    "long texts": b'[{"data": {"url": "x", "timestamp": 0}, "signature": "%s"}]' % (b"z" * 4000),
    "a key that is none": b'[{"data": {"url": "x", "timestamp": 0}, "signature": "", "owner": "\xc3\xa9"}]',
    "another shape": b'{"a": [1]}',
    "null": b"null",
}
"""What a hostile peer says of the other nodes."""


def answer_with(body: bytes) -> dict[str, bytes | None]:
    registered = HEAD + b"content-length: 0\r\n\r\n"
    nodes = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    return {f"/nodes/{TASK}": nodes, f"/register-node/{TASK}": registered}


def get_task() -> TaskView:
    return make_task([StakeView(str(NODE.pubkey()), 5, 0, "")])


@pytest.mark.parametrize("name", NODES)
def test_an_announcer_takes_what_is_good_beside_what_is_not(name: str) -> None:
    """With a hostile and an honest peer, this node is known to the honest one afterwards."""

    async def run() -> tuple[bool, list[dict[str, Any]]]:
        fetcher = Fetcher(is_development=True)
        there = Registrations(get_task, is_development=True)
        async with (
            serve_bytes(answer_with(NODES[name])) as hostile,
            serve(build_honest_gateway(there)) as honest,
        ):
            peers = [hostile, honest, "http://127.0.0.1:99999"]
            url = "http://node.example"
            here = Registrations(get_task, is_development=True)
            announcer = Announcer(TASK, NODE, url, here, fetcher, peers)
            is_known = await announcer.announce()
            await fetcher.close()
            return is_known, there.list_nodes()

    is_known, nodes = asyncio.run(run())

    assert is_known
    assert ["http://node.example"] == [node["data"]["url"] for node in nodes if node["signature"]]


def build_honest_gateway(registrations: Registrations) -> Any:
    return build_gateway(
        store=None,
        get_tasks=dict,
        registrations={TASK: registrations},
        get_metrics=dict,
    )


def test_an_announcer_outlives_any_fault_and_logs_it_once(caplog: pytest.LogCaptureFixture) -> None:
    """The task cannot be read at first, which no code expects. The announcer goes on, and is known later."""
    there = Registrations(get_task, is_development=True)
    faults = [ZeroDivisionError("a fault"), ZeroDivisionError("a fault")]

    def get_task_later() -> TaskView:
        if faults:
            raise faults.pop()
        return get_task()

    async def run() -> None:
        fetcher = Fetcher(is_development=True)
        async with serve(build_honest_gateway(there)) as honest:
            here = Registrations(get_task_later, is_development=True)
            announcer = Announcer(TASK, NODE, "http://node.example", here, fetcher, [honest])
            running = asyncio.create_task(announcer.run())
            async with asyncio.timeout(30):
                while not any(node["signature"] for node in there.list_nodes()):  # noqa: ASYNC110 -- another loop's state
                    await asyncio.sleep(0.05)
            running.cancel()
            await fetcher.close()

    asyncio.run(run())

    assert ["announcing failed"] == list_errors(caplog)


@pytest.mark.parametrize("method", ["fetch", "connect"])
def test_requests_that_are_given_up_take_no_turns_of_others_at_the_same_host(method: str) -> None:
    """Turns are half a second apart, and a request waits 20 s for its turn: it outlasts no hundred others."""

    async def run() -> None:
        fetcher = Fetcher(is_development=False, requests_per_second=2)

        async def request() -> None:
            """Its turn shows in the error: only then the address is looked at."""
            if method == "fetch":
                await fetcher.fetch("GET", "http://127.0.0.1:1/", hosts=None, timeout_seconds=20)
            else:
                await fetcher.connect("127.0.0.1", 1, ["127.0.0.1:1"])

        given_up = [asyncio.create_task(request()) for _ in range(100)]
        await asyncio.wait(given_up, return_when=asyncio.FIRST_COMPLETED)
        for each in given_up:
            each.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        with pytest.raises(ServiceError, match="private address"):
            await request()
        await fetcher.close()

    asyncio.run(run())


def test_connections_that_do_not_show_the_secret_take_no_tunnel_from_a_main_js() -> None:
    """The port is on loopback, so every process of the machine can connect to it."""

    async def run() -> None:
        async with serve_bytes({}) as site:
            host = site.removeprefix("http://")
            fetcher = Fetcher(is_development=True)
            tunnels = Tunnels(fetcher, [host], dict, "the secret", lambda line: None)
            port = await tunnels.open()
            strangers = []
            for _ in range(TUNNELS_MAX + 2):
                strangers.append(await asyncio.open_connection("127.0.0.1", port))
                strangers[-1][1].write(b"CONNECT ")

            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"CONNECT {host} HTTP/1.1\r\nProxy-Authorization: Bearer the secret\r\n\r\n"
            writer.write(head.encode())

            assert b"HTTP/1.1 200 OK\r\n" == await reader.readline()
            assert b"" == await strangers[0][0].read()  # the oldest has given way
            strangers[-1][1].write(b"\r\n\r\n")
            assert b"HTTP/1.1 400" in await strangers[-1][0].readline()
            for _, each in (*strangers, (reader, writer)):
                each.close()
            await tunnels.close()
            await fetcher.close()

    asyncio.run(run())
