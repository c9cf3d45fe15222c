"""The socket: frames, their order, and what bad ones get."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from roundwork.errors import EngineFailed
from roundwork.ledger.comet.schema import Request, Response
from roundwork.ledger.comet.server import FRAME_BYTES_MAX, Frames, Server, decode_request, encode_frame

from .standin import Connection, Refused


async def repeat(requests: list[Any]) -> list[Any]:
    """Answer each echo with its own text, everything else with an empty answer of its kind."""
    responses = []
    for request in requests:
        response, kind = Response(), request.WhichOneof("value")
        getattr(response, kind).SetInParent()
        if kind == "echo":
            response.echo.message = request.echo.message
        responses.append(response)
    return responses


async def break_down(requests: list[Any]) -> list[Any]:
    raise ZeroDivisionError("a bug in the application")


@contextmanager
def serve(path: Path, answer: Callable[[list[Any]], Awaitable[list[Any]]]) -> Iterator[list[BaseException]]:
    """A server on a thread of its own; what ended it is in the list afterwards."""
    endings: list[BaseException] = []
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    async def run() -> None:
        server = Server(answer)
        await server.listen(listening)
        try:
            await asyncio.wait_for(server.ended, 20)
        except (EngineFailed, ZeroDivisionError) as error:
            endings.append(error)
        await server.close()

    thread = Thread(target=asyncio.run, args=(run(),))
    thread.start()
    yield endings
    thread.join(20)
    assert not thread.is_alive(), "the server hangs"


def echo(text: str) -> bytes:
    request = Request()
    request.echo.message = text
    frame: bytes = encode_frame(request)
    return frame


def test_answers_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    with serve(tmp_path / "s", repeat) as endings:
        connection = Connection(tmp_path / "s")
        connection.send(b"".join(echo(str(n)) for n in range(500)))
        answers = [connection.receive().echo.message for _ in range(500)]
        connection.close()

    assert [str(n) for n in range(500)] == answers
    assert endings == []


def test_a_frame_may_come_byte_by_byte(tmp_path: Path) -> None:
    with serve(tmp_path / "s", repeat):
        connection = Connection(tmp_path / "s")
        for byte in echo("slow" * 50):
            connection.send(bytes([byte]))
        answer = connection.receive()
        connection.close()

    assert answer.echo.message == "slow" * 50


BAD = {
    "an unknown method": (b"\x04\xfa\x07\x01x", "unknown method: an ABCI request of field 127"),
    "a newer method": (b"\x03\xaa\x01\x00", "unknown method: an ABCI request of field 21"),
    "an empty request": (b"\x00", "unknown method: an ABCI request of none"),
    "bytes that are no message": (b"\x05\xff\xff\xff\xff\xff", "a frame of 5 bytes is not an ABCI request"),
    "a text that is no text": (b"\x05\x0a\x03\x0a\x01\xff", "a frame of 5 bytes is not an ABCI request"),
    "an oversized frame": (
        b"\x80\x80\x80\x80\x01",
        f"a frame of 268435456 bytes; {FRAME_BYTES_MAX} are allowed",
    ),
    "a length without end": (b"\xff" * 11, "the length of a frame has more than 10 bytes"),
}


@pytest.mark.parametrize(("raw", "text"), BAD.values(), ids=BAD.keys())
def test_a_bad_frame_is_named_after_those_before_it_are_answered(
    tmp_path: Path, raw: bytes, text: str
) -> None:
    with serve(tmp_path / "s", repeat) as endings:
        connection = Connection(tmp_path / "s")
        connection.send(echo("before") + raw)
        before = connection.receive()
        answer = connection.receive()
        with pytest.raises(ConnectionError):
            connection.receive()
        connection.close()

    assert before.echo.message == "before"
    assert text == answer.exception.error
    assert [text] == [str(error) for error in endings]


@pytest.mark.parametrize("cut", [b"\x80", echo("cut short")[:1], echo("cut short")[:-1]])
def test_a_frame_cut_short_is_named(tmp_path: Path, cut: bytes) -> None:
    with serve(tmp_path / "s", repeat) as endings:
        connection = Connection(tmp_path / "s")
        connection.send(cut)
        connection.end()
        answer = connection.receive()
        connection.close()

    assert f"a frame is cut short after {len(cut)} bytes" == answer.exception.error
    assert len(endings) == 1


def test_a_frame_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roundwork.ledger.comet.server.FRAME_SECONDS_MAX", 0.05)
    with serve(tmp_path / "s", repeat) as endings:
        connection = Connection(tmp_path / "s")
        connection.send(echo("half")[:-1])
        answer = connection.receive()
        connection.close()

    assert answer.exception.error == "a frame was not completed within 0 s"
    assert len(endings) == 1


def test_a_peer_that_takes_in_no_answers_holds_up_nobody_else(tmp_path: Path) -> None:
    with serve(tmp_path / "s", repeat) as endings:
        deaf, other = Connection(tmp_path / "s"), Connection(tmp_path / "s")
        deaf.wait_at_most(0.2)
        with pytest.raises(TimeoutError):
            deaf.send(echo("x" * 100_000) * 200)
        other.send(echo("hello"))
        answer = other.receive()
        other.close()
    deaf.close()

    assert "hello" == answer.echo.message
    assert endings == []


def test_a_peer_that_says_nothing_holds_up_nobody_else(tmp_path: Path) -> None:
    with serve(tmp_path / "s", repeat) as endings:
        silent, other = Connection(tmp_path / "s"), Connection(tmp_path / "s")
        other.send(echo("hello"))
        answer = other.receive()
        silent.close()
        other.close()

    assert "hello" == answer.echo.message
    assert endings == []


def test_a_bug_in_the_application_ends_the_connection_without_an_answer(tmp_path: Path) -> None:
    with serve(tmp_path / "s", break_down) as endings:
        connection = Connection(tmp_path / "s")
        connection.send(echo("boom"))
        with pytest.raises(ConnectionError):
            connection.receive()
        connection.close()

    assert [str(error) for error in endings] == ["a bug in the application"]


def test_a_refusal_reaches_whoever_called(tmp_path: Path) -> None:
    async def refuse(requests: list[Any]) -> list[Any]:
        raise EngineFailed("block 7 came; the state is at 3")

    with serve(tmp_path / "s", refuse):
        connection = Connection(tmp_path / "s")
        request = Request()
        request.commit.SetInParent()
        with pytest.raises(Refused, match="block 7 came; the state is at 3"):
            connection.call(request)
        connection.close()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 16_000, 16_384, 2**21, 3 * 2**21])
def test_frames_of_every_length_are_cut_right_wherever_the_stream_breaks(size: int) -> None:
    stream = echo("x" * size) + echo("next") + echo("last")

    for step in (1, 7, 1000, 2**18, len(stream)):
        if step < 1000 < size:
            continue
        frames: list[bytes] = []
        cutter = Frames()
        for at in range(0, len(stream), step):
            frames += cutter.feed(stream[at : at + step])
        cutter.check_end()

        assert ["x" * size, "next", "last"] == [decode_request(frame).echo.message for frame in frames]
