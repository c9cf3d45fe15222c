"""A main.js reaches the hosts that its operator agreed to, through its node, and no others."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roundwork.node.javascript.steps import Step
from roundwork.node.javascript.tunnels import TUNNELS_MAX, Tunnels
from roundwork.node.peers.outgoing import Fetcher

from ..house import require_sandbox
from .mainjs import SECRET, require_node, run_main
from .website import open_website

STAY = "setInterval(() => {}, 1000);\n"
READ = """
const tell = (name, value) => console.log(name, JSON.stringify(value));
const explain = (error) => `${error.message}${error.cause ? `: ${error.cause.message}` : ''}`;
const byFetch = (url) => fetch(url).then((answer) => answer.text(), explain);
const byModule = (url, options = {}) => new Promise((resolve) => {
    require(url.split(':')[0]).get(url, options, (answer) => {
        let text = '';
        answer.on('data', (chunk) => { text += chunk; }).on('end', () => resolve(text));
    }).on('error', (error) => resolve(explain(error)));
});
const readAll = (urls) => Promise.all(urls.map((url) => Promise.all([byFetch(url), byModule(url)])));
"""
SITE = "this is the site"


@pytest.fixture(autouse=True)
def node() -> None:
    require_node()


@pytest.fixture(params=["sandlock", "bwrap"])
def sandbox(request: pytest.FixtureRequest) -> str:
    return require_sandbox(request.param)


@asynccontextmanager
async def open_tunnels(
    hosts: Sequence[str], endpoints: Mapping[str, str] | None = None, is_development: bool = True
) -> AsyncIterator[tuple[int, list[str]]]:
    """Tunnels of a node: their port, and its log."""
    fetcher = Fetcher(is_development=is_development)
    lines: list[str] = []
    tunnels = Tunnels(fetcher, hosts, lambda: endpoints or {}, SECRET, lines.append)
    try:
        yield await tunnels.open(), lines
    finally:
        await tunnels.close()
        await fetcher.close()


def trust(directory: Path, authority: Path) -> dict[str, str]:
    """The variable by which Node.js trusts an authority; its file goes into the package."""
    (directory / "package").mkdir(exist_ok=True)
    shutil.copy(authority, directory / "package" / "authority.pem")
    return {"NODE_EXTRA_CA_CERTS": str(directory / "package" / "authority.pem")}


def test_a_website_is_fetched_by_its_name_and_its_certificate_is_verified(
    tmp_path: Path, sandbox: str
) -> None:
    async def run() -> None:
        async with open_website(tmp_path / "site") as site, open_website(tmp_path / "plain", False) as plain:
            secure, bare = f"localhost:{site.port}", f"localhost:{plain.port}"
            async with open_tunnels([secure, bare]) as (port, lines):
                source = (
                    READ
                    + f"readAll(['https://{secure}/a', 'http://{bare}/b']).then((all) => tell('all', all));"
                )
                trusted = trust(tmp_path, site.authority)
                async with run_main(
                    tmp_path, source + STAY, sandbox, tunnel_port=port, variables=trusted
                ) as main:
                    assert [[SITE, SITE], [SITE, SITE]] == await main.read("all")
                async with run_main(tmp_path, source + STAY, sandbox, tunnel_port=port) as main:
                    [refused, answered] = await main.read("all")
                    assert all("unable to verify the first certificate" in text for text in refused), refused
                    assert [SITE, SITE] == answered
            assert ["GET /a HTTP/1.1"] * 2 == site.lines
            assert [] == lines

    asyncio.run(run())


def test_every_other_place_is_refused_by_its_name(tmp_path: Path, sandbox: str) -> None:
    async def run() -> None:
        async with open_website(tmp_path / "site", False) as site:
            urls = [f"http://localhost:{site.port}/", f"http://127.0.0.1:{site.port}/", "https://example.org/x",
                    "http://[::1]:8443/", "http://169.254.169.254/latest"]  # fmt: skip
            async with open_tunnels(["example.com", "*.example.net"]) as (port, lines):
                source = READ + f"readAll({urls}).then((all) => tell('all', all));"
                async with run_main(tmp_path, source + STAY, sandbox, tunnel_port=port) as main:
                    answers = await main.read("all")
            places = [f"localhost:{site.port}", f"127.0.0.1:{site.port}", "example.org:443", "[::1]:8443",
                      "169.254.169.254:80"]  # fmt: skip
            for place, answered in zip(places, answers, strict=True):
                reason = f"{place} is not among the permitted hosts ['example.com', '*.example.net']"
                assert all(reason in text for text in answered), answered
                assert 1 == sum(reason in line for line in lines)
            assert [] == site.lines

    asyncio.run(run())


def test_the_ledger_and_the_node_are_reached_without_a_tunnel(tmp_path: Path, sandbox: str) -> None:
    async def run() -> None:
        async with open_website(tmp_path / "site", False) as site, open_tunnels([]) as (port, lines):
            source = READ + f"readAll(['http://localhost:{site.port}/']).then((all) => tell('all', all));"
            places = {"tunnel_port": port, "node_port": site.port}
            async with run_main(tmp_path, source + STAY, sandbox, **places) as main:
                assert [[SITE, SITE]] == await main.read("all")
            assert [] == lines

    asyncio.run(run())


def test_the_nodes_of_the_task_are_reached_as_they_become_known(tmp_path: Path) -> None:
    require_sandbox("sandlock")

    async def run() -> None:
        endpoints: dict[str, str] = {"strange": "ftp://x", "none": "", "bad": "http://x:99999"}
        async with open_website(tmp_path / "site", False) as site, open_tunnels([], endpoints) as (port, _):
            url = f"http://127.0.0.1:{site.port}/task/x"
            source = (
                READ + f"process.on('message', () => byFetch('{url}').then((text) => tell('text', text)));"
            )
            source += "console.log('ready');"
            async with run_main(tmp_path, source, tunnel_port=port) as main:
                await main.wait_for(lambda line: "ready" in line)
                main.program.send(Step("executeTask", 0))
                assert "is not among the permitted hosts" in await main.read("text")
                endpoints["peer"] = f"http://127.0.0.1:{site.port}"
                main.program.send(Step("executeTask", 1))
                assert SITE == await main.read("text", 2)

    asyncio.run(run())


def test_agents_of_a_library_and_threads_go_through_the_node_too(tmp_path: Path) -> None:
    require_sandbox("sandlock")

    async def run() -> None:
        async with open_website(tmp_path / "site") as site:
            place = f"localhost:{site.port}"
            async with open_tunnels([place]) as (port, _):
                source = (
                    READ
                    + f"""
                    const https = require('https');
                    class Own extends https.Agent {{}}
                    const agents = [new https.Agent({{ keepAlive: true }}), new Own(), false];
                    Promise.all(agents.map((agent) => byModule('https://{place}/', {{ agent }})))
                        .then((all) => tell('agents', all));
                    const {{ Worker }} = require('worker_threads');
                    new Worker(`fetch('https://{place}/').then((answer) => answer.text()).then(
                        (text) => require('worker_threads').parentPort.postMessage(text))`, {{ eval: true }})
                        .on('message', (text) => tell('thread', text));
                    tell('environment', Object.keys(process.env));
                """
                )
                trusted = trust(tmp_path, site.authority)
                async with run_main(tmp_path, source + STAY, tunnel_port=port, variables=trusted) as main:
                    assert [SITE] * 3 == await main.read("agents")
                    assert SITE == await main.read("thread")
                    assert {"NODE_EXTRA_CA_CERTS", "PATH"} == set(await main.read("environment"))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("request_head", "answer"),
    [
        (f"CONNECT localhost:PORT HTTP/1.1\r\nProxy-Authorization: Bearer {SECRET}\r\n\r\n", "200 OK"),
        (
            "CONNECT localhost:PORT HTTP/1.1\r\nProxy-Authorization: Bearer x\r\n\r\n",
            "407 this is not the secret",
        ),
        ("CONNECT localhost:PORT HTTP/1.1\r\n\r\n", "400 only CONNECT"),
        (
            f"GET http://localhost:PORT/ HTTP/1.1\r\nProxy-Authorization: Bearer {SECRET}\r\n\r\n",
            "400 only CONNECT",
        ),
        (
            f"CONNECT localhost:99999 HTTP/1.1\r\nProxy-Authorization: Bearer {SECRET}\r\n\r\n",
            "400 only CONNECT",
        ),
        (f"CONNECT {'x' * 5000}:PORT HTTP/1.1\r\n\r\n", "400 only CONNECT"),
    ],
)
def test_a_request_is_answered_as_it_deserves(tmp_path: Path, request_head: str, answer: str) -> None:
    async def run() -> None:
        async with (
            open_website(tmp_path, False) as site,
            open_tunnels([f"localhost:{site.port}"]) as (port, _),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_head.replace("PORT", str(site.port)).encode())
            line = (await reader.readline()).decode()
            writer.close()
            assert line.startswith(f"HTTP/1.1 {answer}")

    asyncio.run(run())


def test_a_task_has_a_bounded_number_of_tunnels(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            open_website(tmp_path, False) as site,
            open_tunnels([f"localhost:{site.port}"]) as (port, _),
        ):
            place = f"localhost:{site.port}"
            head = f"CONNECT {place} HTTP/1.1\r\nProxy-Authorization: Bearer {SECRET}\r\n\r\n".encode()
            writers, lines = [], []
            for _ in range(TUNNELS_MAX + 1):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(head)
                lines.append((await reader.readline()).decode())
                writers.append(writer)
            for writer in writers:
                writer.close()
            assert ["HTTP/1.1 200 OK\r\n"] * TUNNELS_MAX == lines[:-1]
            assert lines[-1].startswith("HTTP/1.1 503")

    asyncio.run(run())


def test_any_host_means_the_ports_of_http_and_https_and_public_addresses() -> None:
    async def run() -> None:
        async with open_tunnels(["*"], is_development=False) as (port, _):
            for place, answer in {
                "example.org:25": "403 example.org:25 is not among the permitted hosts",
                "localhost:80": "403 localhost is at a private address",
                "127.0.0.1:443": "403 127.0.0.1 is at a private address",
                "169.254.169.254:80": "403 169.254.169.254 is at a private address",
            }.items():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(
                    f"CONNECT {place} HTTP/1.1\r\nProxy-Authorization: Bearer {SECRET}\r\n\r\n".encode()
                )
                assert (await reader.readline()).decode().startswith(f"HTTP/1.1 {answer}")
                writer.close()

    asyncio.run(run())
