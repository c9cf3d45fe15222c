"""Serving: beside the work, until a signal comes or the work ends."""

import asyncio
import os
import signal
import socket

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from roundwork.errors import BadConfig, PortInUse
from roundwork.host.serve import listen, serve


class Site:
    """An app with a page that answers at once and one that never does."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.cut: list[str] = []
        self.app = Starlette(routes=[Route("/", self._answer), Route("/never", self._hang)])

    async def _answer(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("here")

    async def _hang(self, request: Request) -> PlainTextResponse:
        self.requested.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cut.append(request.url.path)
            raise
        raise AssertionError("an event that nobody sets was set")


async def fetch(listening: socket.socket, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
    response = await reader.read()
    writer.close()
    return response


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_the_work(signal_number: signal.Signals) -> None:
    async def run() -> bytes:
        stopped = asyncio.Event()

        async def request_page() -> bytes:
            response = await fetch(listening, "/")
            os.kill(os.getpid(), signal_number)
            return response

        with listen("127.0.0.1", 0) as listening:
            requesting = asyncio.ensure_future(request_page())
            await serve(
                Site().app,
                [listening],
                wait_for(stopped),
                stop=stopped.set,
                ready=lambda: None,
                shutdown_seconds=5,
            )
        return await requesting

    assert b"here" in asyncio.run(run())


async def wait_for(event: asyncio.Event) -> None:
    await event.wait()


def test_what_the_work_raises_ends_the_server_and_is_raised() -> None:
    async def fail() -> None:
        raise BadConfig("the work failed")

    async def run() -> None:
        with listen("127.0.0.1", 0) as listening:
            await serve(
                Site().app,
                [listening],
                fail(),
                stop=lambda: None,
                ready=lambda: None,
                shutdown_seconds=5,
            )

    with pytest.raises(BadConfig, match="the work failed"):
        asyncio.run(run())


def test_a_request_that_outlasts_the_shutdown_is_cut() -> None:
    async def run() -> list[str]:
        site = Site()
        with listen("127.0.0.1", 0) as listening:
            hanging = asyncio.ensure_future(fetch(listening, "/never"))
            await serve(
                site.app,
                [listening],
                wait_for(site.requested),
                stop=lambda: None,
                ready=lambda: None,
                shutdown_seconds=0,
            )
            await asyncio.gather(hanging, return_exceptions=True)
        return site.cut

    assert ["/never"] == asyncio.run(run())


def test_a_port_in_use_is_refused_with_its_number() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1"):
            listen("127.0.0.1", port)
