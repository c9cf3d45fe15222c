"""The examples, run as nodes run them: in sandboxed processes, against a real website."""

import asyncio
import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import httpx2
import pytest

from roundwork.node.python.environments import Environment
from roundwork.package.content import compute_content_id
from roundwork.package.folder import load_package, pack, resolve_hosts
from roundwork.participant.seeds import compute_node_seed
from roundwork.testing import Played, run_round
from roundwork.views import SubmissionView

from ..node.house import SEED, require_sandbox
from ..node.javascript.mainjs import require_node
from ..node.peers.neighbours import Neighbour, open_neighbours

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
STAKE = 1_000_000_000


@pytest.fixture(scope="module")
def website() -> Iterator[str]:
    """The standard library's own documentation, as `roundwork up` starts it for the crawler."""
    demo = load_package(EXAMPLES / "crawler").demo
    assert demo is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable if word == "python" else word.replace("{port}", port) for word in demo.command]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as server:
        url = demo.params["start"].replace("{port}", port)
        _wait_for(url)
        yield url
        server.kill()


def test_the_hello_task_is_at_most_twenty_lines() -> None:
    lines = (EXAMPLES / "hello" / "task.py").read_text().splitlines()

    assert len(lines) <= 20


def test_every_example_is_a_good_package() -> None:
    for folder in EXAMPLES.iterdir():
        package = load_package(folder)

        assert package.warnings == ()
        assert pack(package) == pack(load_package(folder))


@pytest.mark.parametrize(
    ("name", "excused"),
    [("hello", {"splitting", "exclusion"}), ("cipher", set()), ("crawler", {"exclusion"})],
)
def test_an_example_passes_check_and_is_excused_only_from_what_its_rewards_cannot_have(
    name: str, excused: set[str]
) -> None:
    require_sandbox("sandlock")
    command = [sys.executable, "-m", "roundwork", "check", str(EXAMPLES / name), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    results = {each["property"]: each for each in json.loads(done.stdout)["properties"]}

    assert 0 == done.returncode
    assert excused == {each for each, found in results.items() if found["result"] == "excused"}
    assert {"holds", "excused"} >= {each["result"] for each in results.values()}
    assert all(results[each]["reason"] for each in excused)


def test_hello_clears_the_honest_and_convicts_the_liar(tmp_path: Path, environment: Environment) -> None:
    async def run() -> tuple[str, str, dict[str, int]]:
        program = EXAMPLES / "hello" / "task.py"
        async with open_neighbours(tmp_path, program, environment) as (honest, liar):
            await honest.lanes.work(0, SEED, 20)
            await liar.lanes.work(0, SEED, 20)
            truth = await honest.lanes.submit(0, SEED, 20) or ""
            untruth = await liar.lanes.lie(0, SEED, 20) or ""
            of_truth = await liar.lanes.audit(0, SEED, honest.key, truth, STAKE, 20)
            of_untruth = await honest.lanes.audit(0, SEED, liar.key, untruth, STAKE, 20)
            views = [_view(honest, truth, 1), _view(liar, untruth, -1)]
            amounts = await honest.lanes.distribute(0, 1000, views, 20)
            return of_truth.kind, of_untruth.kind, {"honest": amounts[honest.key], "liar": amounts[liar.key]}

    assert ("valid", "invalid", {"honest": 1000, "liar": -700_000_000}) == asyncio.run(run())


def test_a_crawl_is_proved_by_its_content_id_and_an_invented_one_is_not(
    tmp_path: Path, environment: Environment, website: str
) -> None:
    package = load_package(EXAMPLES / "crawler")
    params = {**package.params, "start": website}

    async def run() -> None:
        async with open_neighbours(
            tmp_path, package.program, environment, params=params, hosts=resolve_hosts(package, params)
        ) as (crawler, liar):
            await crawler.lanes.work(3, SEED, 60)
            value = await crawler.lanes.submit(3, SEED, 20) or ""
            lie = await liar.lanes.lie(3, SEED, 20) or ""

            content_id, _, count = value.partition(" ")
            proof = crawler.store.get(content_id) or b""
            pages = json.loads(proof)
            assert int(count) == len(pages) == params["pages"]
            assert len(proof) <= 16_000
            assert len({page["url"] for page in pages}) == len(pages)
            assert any("Python" in page["title"] or "Pydoc" in page["title"] for page in pages)

            async def audit(by: Neighbour, of: Neighbour, value: str) -> str:
                return (await by.lanes.audit(3, SEED, of.key, value, STAKE, 60)).kind

            assert await audit(liar, crawler, value) == "valid"
            assert await audit(crawler, liar, lie) == "invalid"
            # A copied proof walks the path of whom it was copied from.
            assert await audit(crawler, liar, value) == "invalid"
            assert await audit(crawler, liar, "nonsense") == "invalid"
            assert await audit(crawler, liar, "../../x 1") == "invalid"
            assert await audit(crawler, liar, f"{content_id}  {count}") == "invalid"
            assert await audit(liar, crawler, f"{content_id} 0{count}") == "invalid"
            nowhere = compute_content_id(b"what no node has")
            assert await audit(crawler, liar, f"{nowhere} 1") == "unavailable"

            views = [_view(crawler, value, 1), _view(liar, lie, -1)]
            amounts = await crawler.lanes.distribute(3, 10 * STAKE, views, 20)
            assert amounts == {crawler.key: 8 * 20_000_000, liar.key: -700_000_000}  # a fifth of the price
            scarce = await crawler.lanes.distribute(3, 80, [_view(crawler, value, 1)], 20)
            assert scarce == {crawler.key: 80}

    asyncio.run(run())


SITE = "http://site.invalid"


class Site:
    """A website in memory: a start page with six links, pages that never answer, and pages that lead away."""

    def __init__(self) -> None:
        self.is_down = False

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/robots.txt":
            return httpx2.Response(404)
        if path == "/away":
            return httpx2.Response(302, headers={"location": "http://elsewhere.invalid/"})
        if path == "/broken" or (self.is_down and path != "/"):
            return httpx2.Response(503)
        links = "".join(f"<a href='/{number}'>x</a>" for number in range(6)) if path == "/" else ""
        text = f"<title>{path}</title>{links}"
        return httpx2.Response(200, headers={"content-type": "text/html"}, text=text)


def bait(played: Played, shape: str) -> str:
    """A submission of eight pages, of which the start alone was fetched: the path leads behind it at once."""
    seed = compute_node_seed(played._seed, played.node)

    def rank(link: str) -> bytes:
        return hashlib.sha256(seed + (SITE + link).encode(errors="replace")).digest()

    best = min(rank(f"/{number}") for number in range(6))
    links = (link for number in range(10**6) if rank(link := shape.format(number)) < best)
    following = [next(links) for _ in range(8)]
    start = json.loads(played._worker.commons.blobs[(played.value or "")[:59]])[0]
    pages = [{**start, "links": [*start["links"], following[0]]}]
    for link, behind in pairwise(following):
        pages.append({**start, "url": SITE + link, "title": link[:9], "links": [behind], "digest": "0" * 64})
    proof = json.dumps(pages, separators=(",", ":")).encode()
    commons, content_id = played._worker.commons, compute_content_id(proof)
    commons.blobs[content_id], commons.holders[content_id] = proof, {played.node}
    return f"{content_id} {len(pages)}"


@pytest.mark.parametrize(
    "shape", [":99999/{}", "@{}.invalid", "/away?{}", "/broken?{}", "/\ud800{}", "/\n{}"]
)
def test_a_crawl_is_not_paid_because_no_auditor_can_fetch_it(shape: str) -> None:
    """An audit that raises is no opinion, and what nobody has an opinion of is paid."""
    site = Site()
    transport = httpx2.MockTransport(site.answer)
    played = run_round(EXAMPLES / "crawler", network=transport, params={"start": f"{SITE}/", "pages": 8})

    assert "valid" == played.opinion
    before = len(played.requests)
    assert "invalid" == played.audit(bait(played, shape)).opinion
    assert len(played.requests) - before <= 3 + 8, "the robots, a sample of two, and each page once"
    site.is_down = True
    assert "unavailable" == played.audit(played.value).opinion


@pytest.mark.slow
def test_hello_in_javascript_pays_the_honest_and_slashes_the_liar(tmp_path: Path) -> None:
    require_node()
    require_sandbox("sandlock")
    command = [sys.executable, "-m", "roundwork", "up", str(EXAMPLES / "hello-js"), "--json"]
    command += ["--nodes", "4", "--rounds", "2", "--directory", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=110)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["supply_constant"]
    *honest, liar = told["nodes"]
    assert all(node["earned"] > 0 == node["slashed"] for node in honest)
    assert liar["slashed"] > 0 == liar["earned"]


def _view(node: Neighbour, value: str, votes: int) -> SubmissionView:
    verdict = "untried" if votes > 0 else "convicted"
    return SubmissionView(node.key, value, 1, STAKE, votes, verdict, None, {})


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urlopen(url, timeout=5) as answer:
                answer.read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
