"""What leaves the node for a task: where it may go, and how much may come back."""

import asyncio
from typing import Any

import pytest

from roundwork.node.answers import ServiceError
from roundwork.node.peers.outgoing import Answer, Fetcher, describe_refusal, is_permitted

from .neighbours import serve


async def website(scope: Any, receive: Any, send: Any) -> None:
    """Echoes, redirects, floods and stalls, by path."""
    headers: list[tuple[bytes, bytes]] = [(b"X-Served", b"yes")]
    status, body = 200, f"{scope['method']} {scope['path']}".encode()
    path: str = scope["path"]
    match path:
        case "/echo":
            body = (await receive())["body"] + b" " + dict(scope["headers"]).get(b"x-asked", b"")
        case "/host":
            body = dict(scope["headers"])[b"host"]
        case "/moved":
            status, headers = 302, [(b"location", b"/here")]
        case "/away":
            status, headers = 302, [(b"location", b"http://127.0.0.2:1/")]
        case "/round":
            status, headers = 302, [(b"location", b"/round")]
        case "/large":
            body = bytes(5000)
        case "/stalls":
            while (await receive())["type"] != "http.disconnect":  # until nobody waits any more
                pass
        case _:
            pass
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def fetch(path: str, method: str = "GET", hosts: list[str] | None = None, **options: Any) -> Answer:
    async def run() -> Answer:
        fetcher = Fetcher(is_development=options.pop("is_development", True))
        async with serve(website) as url:
            allowed = [url.removeprefix("http://")] if hosts is None else hosts
            try:
                return await fetcher.fetch(method, url + path, hosts=allowed, **options)
            finally:
                await fetcher.close()

    return asyncio.run(run())


def test_a_permitted_host_answers() -> None:
    answer = fetch("/x?y=1")

    assert (answer.status, answer.body, answer.headers["x-served"]) == (200, b"GET /x", "yes")


def test_a_body_and_headers_are_sent_but_not_the_ones_that_are_the_nodes() -> None:
    headers = [("X-Asked", "please"), ("Host", "elsewhere"), ("Content-Length", "99")]

    assert fetch("/echo", "POST", body=b"data", headers=headers).body == b"data please"
    assert fetch("/host", headers=headers).body.startswith(b"127.0.0.1")


def test_a_redirect_is_followed_within_the_permitted_hosts_only() -> None:
    assert fetch("/moved").body == b"GET /here"
    assert fetch("/moved", "POST").status == 302
    with pytest.raises(ServiceError, match=r"127\.0\.0\.2:1 is not among the permitted hosts") as refused:
        fetch("/away")
    assert refused.value.kind == "Refused"
    with pytest.raises(ServiceError, match="redirects more than 5 times"):
        fetch("/round")


def test_an_answer_that_is_too_large_is_refused() -> None:
    with pytest.raises(ServiceError, match="answers more than 4999 bytes") as refused:
        fetch("/large", body_bytes_max=4999)

    assert refused.value.kind == "Refused"
    assert len(fetch("/large", body_bytes_max=5000).body) == 5000


def test_who_does_not_answer_in_time_is_unavailable() -> None:
    with pytest.raises(ServiceError, match="did not answer within") as gone:
        fetch("/stalls", timeout_seconds=0.2)

    assert gone.value.kind == "Unavailable"


def test_outside_development_nothing_private_is_reached() -> None:
    with pytest.raises(ServiceError, match="is at a private address") as refused:
        fetch("/", is_development=False)

    assert refused.value.kind == "Refused"


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "2130706433", "[::ffff:127.0.0.1]"]
)
def test_no_way_of_writing_loopback_gets_around_that(name: str) -> None:
    async def run() -> None:
        fetcher = Fetcher(is_development=False)
        try:
            await fetcher.fetch("GET", f"http://{name}:9/", hosts=None, timeout_seconds=5)
        finally:
            await fetcher.close()

    with pytest.raises(ServiceError) as refused:
        asyncio.run(run())

    assert refused.value.kind == "Refused" or "not known" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/",
        "http://",
        "http://u:p@example.org/",
        "x",
        "",
        "http://a\nb/",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    async def run() -> None:
        fetcher = Fetcher(is_development=True)
        try:
            await fetcher.fetch("GET", url, hosts=None)
        finally:
            await fetcher.close()

    with pytest.raises(ServiceError) as refused:
        asyncio.run(run())

    assert refused.value.kind == "Refused"


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(ServiceError, match="is not a request that can be sent") as refused:
        fetch("/", headers=[("X-A", "b\r\nX-C: d")])

    assert refused.value.kind == "Refused"


def test_requests_to_one_host_keep_their_distance() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        fetcher = Fetcher(is_development=False, requests_per_second=50)
        began = loop.time()
        for _ in range(5):
            await fetcher._wait_for_turn("example.org:80")
        await fetcher._wait_for_turn("example.com:80")
        await fetcher.close()
        return loop.time() - began

    assert asyncio.run(run()) >= 0.08


@pytest.mark.parametrize(
    ("host", "port", "pattern", "expected"),
    [
        ("example.org", 80, "example.org", True),
        ("example.org", 443, "Example.org", True),
        ("example.org", 8080, "example.org", False),
        ("example.org", 8080, "example.org:8080", True),
        ("example.org", 80, "example.org:8080", False),
        ("www.example.org", 80, "example.org", False),
        ("www.example.org", 80, "*.example.org", True),
        ("a.b.example.org", 80, "*.example.org", True),
        ("example.org", 80, "*.example.org", False),
        ("badexample.org", 80, "*.example.org", False),
        ("example.org.evil.com", 80, "example.org", False),
        ("::1", 8000, "[::1]:8000", True),
        ("::1", 80, "[::1]", True),
    ],
)
def test_a_pattern_permits_a_host(host: str, port: int, pattern: str, expected: bool) -> None:
    assert expected == is_permitted(host, port, [pattern])


@pytest.mark.parametrize(
    ("host", "port", "pattern", "hint"),
    [
        ("127.0.0.1", 8000, "127.0.0.1", "write 127.0.0.1:8000"),
        ("a.example.com", 81, "*.example.com", "write a.example.com:81"),
        ("127.0.0.1", 8000, "127.0.0.1:8001", "write 127.0.0.1:8000"),
        ("::1", 8000, "[::1]", "write [::1]:8000"),
        ("127.0.0.1", 8000, "127.0.0.2", ""),
    ],
)
def test_a_refusal_says_if_only_the_port_is_not_permitted(
    host: str, port: int, pattern: str, hint: str
) -> None:
    text = describe_refusal(host, port, [pattern])

    assert hint in text
    assert bool(hint) == ("(a name alone permits ports 80 and 443)" in text)
