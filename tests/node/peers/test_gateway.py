"""A node's HTTP face, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from roundwork.node.python.environments import Environment

from ..house import HEADER
from .neighbours import TASK, Neighbour, open_neighbours

ROUTES = """
import json, asyncio

@task.routes
def routes(ctx):
    ctx.store["mark"] = "kept"
    async def later(request):
        await asyncio.sleep(0)
        return 201, {"query": request.query, "method": request.method, "body": request.body.decode()}
    def fail(request):
        raise ValueError("secret of the author")
    return {
        "/text": lambda request: "plain",
        "/bytes": lambda request: b"\\x00raw",
        "/later": later,
        "/fail": fail,
        "/below/": lambda request: request.path,
        "/nonsense": lambda request: object(),
        "/status": lambda request: (9999, "x"),
        "/huge": lambda request: "x" * 3_000_000,
        "/store": lambda request: ctx.store["mark"],
    }
"""

APP = """
async def app(scope, receive, send):
    body = (await receive())["body"]
    headers = [(b"x-seen", dict(scope["headers"]).get(b"x-asked", b"")), (b"connection", b"close"),
               (b"content-length", b"1")]
    if scope["path"] == "/smuggle":
        headers = [(b"x-a", b"b\\r\\nx-c: d")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["query_string"], "more_body": True})
    await send({"type": "http.response.body", "body": b" " + body})

task.routes(lambda ctx: app)
"""


def ask(
    tmp_path: Path,
    environment: Environment,
    source: str,
    use: Callable[[httpx2.AsyncClient, Neighbour], Awaitable[None]],
) -> None:
    (tmp_path / "task").mkdir()
    program = tmp_path / "task" / "task.py"
    program.write_text(HEADER + source)

    async def run() -> None:
        async with (
            open_neighbours(tmp_path, program, environment, count=1) as [node],
            httpx2.AsyncClient(base_url=node.endpoint, trust_env=False) as client,
        ):
            await use(client, node)

    asyncio.run(run())


def test_a_node_says_that_it_runs(tmp_path: Path, environment: Environment) -> None:
    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        assert (await client.get("/")).json() == {"status": "OK", "message": "Node is running"}
        assert (await client.get("/health")).text == "ok"
        assert (await client.get("/metrics")).text == "roundwork_blobs 1\n"
        assert (await client.get(f"/nodes/{TASK}")).status_code == 404
        assert (await client.get(f"/task/{TASK}/id")).json() == {"taskId": TASK}

    ask(tmp_path, environment, "", use)


def test_blobs_are_served_by_their_content_id(tmp_path: Path, environment: Environment) -> None:
    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        content_id = node.store.put(b"\x00proof", TASK, 1)

        found = await client.get(f"/ipfs/{content_id}")

        assert found.content == b"\x00proof"
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/ipfs/bafkrei" + "a" * 52)).status_code == 404
        assert (await client.get("/ipfs/nonsense")).status_code == 400
        assert (await client.get("/ipfs/..%2f..%2findex.sqlite")).status_code in (400, 404)

    ask(tmp_path, environment, "", use)


def test_blobs_come_in_ranges_as_from_the_ledger(tmp_path: Path, environment: Environment) -> None:
    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        data = bytes(range(256)) * 1000
        url = f"/ipfs/{(content_id := node.store.put(data, TASK, 1))}"

        for wanted, expected in (("0-9", data[:10]), ("250-260", data[250:261]), ("-7", data[-7:])):
            part = await client.get(url, headers={"range": f"bytes={wanted}"})
            assert (206, expected) == (part.status_code, part.content)
            assert part.headers["content-range"].endswith(f"/{len(data)}")
            assert part.headers["x-content-type-options"] == "nosniff"
        assert 416 == (await client.get(url, headers={"range": f"bytes={len(data)}-"})).status_code
        known = await client.get(url, headers={"if-none-match": f'"{content_id}"'})
        assert (304, b"") == (known.status_code, known.content)
        head = await client.head(url)
        assert (200, b"", "bytes") == (head.status_code, head.content, head.headers["accept-ranges"])
        assert str(len(data)) == head.headers["content-length"]

    ask(tmp_path, environment, "", use)


def test_plain_functions_answer_text_bytes_json_and_a_status(
    tmp_path: Path, environment: Environment
) -> None:
    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        async def get(path: str) -> httpx2.Response:
            return await client.get(f"/task/{TASK}{path}")

        assert (await get("/text")).text == "plain"
        assert (await get("/bytes")).content == b"\x00raw"
        later = await client.post(f"/task/{TASK}/later?a=1", content=b"sent")
        assert later.status_code == 201
        assert later.json() == {"query": {"a": "1"}, "method": "POST", "body": "sent"}
        assert (await get("/below/deep/path")).text == "/below/deep/path"
        assert (await get("/nothing")).status_code == 404
        assert len((await get("/huge")).content) == 3_000_000
        assert (await get("/store")).text == "kept"

    ask(tmp_path, environment, ROUTES, use)


@pytest.mark.parametrize("path", ["/fail", "/nonsense", "/status"])
def test_a_route_that_fails_tells_strangers_nothing(
    tmp_path: Path, environment: Environment, path: str
) -> None:
    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        failed = await client.get(f"/task/{TASK}{path}")

        assert failed.status_code == 502
        assert "secret of the author" not in failed.text
        assert (await client.get(f"/task/{TASK}/text")).text == "plain"

    ask(tmp_path, environment, ROUTES, use)


def test_an_asgi_app_is_asked_like_any_server_would(tmp_path: Path, environment: Environment) -> None:
    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        url = f"/task/{TASK}/x?q=1"
        answer = await client.request("PUT", url, content=b"sent", headers={"X-Asked": "7"})

        assert answer.text == "q=1 sent"
        assert answer.headers["x-seen"] == "7"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert (await client.get(f"/task/{TASK}/smuggle")).status_code == 502

    ask(tmp_path, environment, APP, use)


def test_one_slow_request_holds_up_no_other(tmp_path: Path, environment: Environment) -> None:
    source = """
import asyncio
waiting = asyncio.Event()

async def wait(request):
    await waiting.wait()
    return "waited"

async def go(request):
    waiting.set()
    return "gone"

task.routes(lambda ctx: {"/wait": wait, "/go": go})
"""

    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        waiting = asyncio.create_task(client.get(f"/task/{TASK}/wait"))
        await asyncio.sleep(0)
        assert (await client.get(f"/task/{TASK}/go")).text == "gone"
        assert (await waiting).text == "waited"

    ask(tmp_path, environment, source, use)


def test_a_task_that_does_not_run_here_is_422(tmp_path: Path, environment: Environment) -> None:
    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        answer = await client.get("/task/unknown/x")

        assert answer.status_code == 422
        assert json.loads(answer.text) == {"message": "task unknown is not running"}

    ask(tmp_path, environment, "", use)


def test_a_body_without_end_is_refused(tmp_path: Path, environment: Environment) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield bytes(1024 * 1024)

    async def use(client: httpx2.AsyncClient, node: Neighbour) -> None:
        answer = await client.post(f"/task/{TASK}/text", content=flood())

        assert answer.status_code == 413

    ask(tmp_path, environment, ROUTES, use)
