"""Frames of a hostile worker end its call, or are refused, and cost neither the node nor the next call."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from roundwork.errors import RemoteError, TaskFailed
from roundwork.node.python.channel import Services
from roundwork.node.python.environments import Environment
from roundwork.node.python.lanes import Lanes

from ..node.house import SEED, House, require_sandbox

CHANNEL = """
import gc
from roundwork.sdk.worker import Channel

def send(body):
    [channel] = [each for each in gc.get_objects() if isinstance(each, Channel)]
    channel._sink.write(len(body).to_bytes(4, "little") + body)
    channel._sink.flush()

def request(method):
    [channel] = [each for each in gc.get_objects() if isinstance(each, Channel)]
    try:
        return channel.request(method, {})
    except (Refused, Unavailable) as error:
        return f"{type(error).__name__}: {error}"

def spill(name, body):
    open(os.path.join("HOME", "spill-review", name), "wb").write(body)
    return b'{"spill": "' + name.encode() + b'"}'
"""

FRAMES = {
    "a text that is not UTF-8": b'{"id": 1, "failed": "\xff"}',
    "an answer that is not UTF-8": b'{"id": 1, "answer": "\xff\xfe"}',
    "a name that is not UTF-8": b'{"id": 1, "\xc3": 1}',
    "half of a surrogate pair in UTF-8": b'{"id": 1, "failed": "\xed\xa0\x80"}',
    "half of a surrogate pair as an escape": rb'{"id": 1, "failed": "\ud800"}',
    "deep nesting": b'{"id": 1, "answer": ' + b"[" * 129 + b"]" * 129 + b"}",
    "very deep nesting": b'{"id": 1, "x": ' + b'{"a":' * 90_000 + b"1" + b"}" * 90_000 + b"}",
    "an id beyond 63 bits": b'{"id": 9223372036854775808, "ask": "sign"}',
    "a negative id": b'{"id": -1, "ask": "sign"}',
    "a number out of range": b'{"id": 1e999}',
    "a service that is not UTF-8": b'{"id": 1, "ask": "\xff"}',
    "params that are not UTF-8": b'{"id": 1, "ask": "echo", "params": "\xff"}',
    "no bytes": b"",
}
SPILLED = {
    "not UTF-8": b'{"failed": "\xff"}',
    "deep nesting": b"[" * 200_000,
    "no bytes": b"",
}


@pytest.fixture(params=["sandlock", "bwrap"])
def house(request: pytest.FixtureRequest, tmp_path: Path, environment: Environment) -> House:
    return House(tmp_path, environment, require_sandbox(request.param))


def write_source(house: House, frame: str) -> str:
    return CHANNEL.replace("HOME", str(house.home)) + (
        "\n@task.submission\ndef submission(ctx):\n"
        "    if ctx.round == 1:\n        return 'honest'\n"
        f"    {frame}\n"
    )


def submit_twice(house: House, frame: str) -> str | None:
    """Send a frame in a first call, which must fail; what a second, honest call returns."""
    source = write_source(house, f"send({frame}); import time; time.sleep(60)")

    async def use(lanes: Lanes) -> str | None:
        with pytest.raises(TaskFailed, match=r"it sent a bad frame|answered nonsense"):
            await lanes.submit(0, SEED, 20)
        return await lanes.submit(1, SEED, 20)

    return house.run(source, use)


@pytest.mark.parametrize("name", FRAMES)
def test_a_bad_frame_is_the_failure_of_its_call_and_of_no_other(house: House, name: str) -> None:
    assert "honest" == submit_twice(house, repr(FRAMES[name]))


@pytest.mark.parametrize("name", SPILLED)
def test_so_is_a_bad_frame_in_a_file(house: House, name: str) -> None:
    assert "honest" == submit_twice(house, f"spill('up-1-1', {SPILLED[name]!r})")


async def fail(params: msgspec.Raw) -> Any:
    raise ZeroDivisionError("a fault of ours")


async def fail_for_the_world(params: msgspec.Raw) -> Any:
    raise RemoteError("the ledger does not answer")


async def answer_what_json_cannot_say(params: msgspec.Raw) -> Any:
    return {(1, 2): object()}


async def answer_half_of_a_pair(params: msgspec.Raw) -> Any:
    return "\ud800"


SERVICES: Services = {
    "fails": fail,
    "world": fail_for_the_world,
    "object": answer_what_json_cannot_say,
    "surrogate": answer_half_of_a_pair,
}


@pytest.mark.parametrize(
    ("service", "answer"),
    [
        ("fails", "Unavailable: fails: ZeroDivisionError"),
        ("world", "Unavailable: world: the ledger does not answer"),
        ("object", "Unavailable: object: TypeError"),
        ("surrogate", "Unavailable: surrogate: UnicodeEncodeError"),
        ("nothing", "Refused: 'nothing' is not a service"),
    ],
)
def test_every_request_is_answered_at_once_and_a_fault_is_logged_once(
    house: House, service: str, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_source(house, f"return request({service!r}) + '; ' + request({service!r})")

    replies = house.submit(source, services=SERVICES)

    assert f"{answer}; {answer}" == replies
    is_fault = "Error" in answer
    assert [f"the service {service} failed"] * is_fault == [
        record.getMessage() for record in caplog.records if "failed" in record.getMessage()
    ]
