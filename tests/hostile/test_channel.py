"""What a task does on its channel between calls, or in its spill folder, costs the node no deadline."""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roundwork.errors import TaskFailed
from roundwork.node.python import channel
from roundwork.node.python.budget import ByteBudget
from roundwork.node.python.environments import Environment
from roundwork.node.python.lanes import Lanes, Opinion

from ..node.house import NODE, SEED, House, require_sandbox

SECONDS = 60.0

TASK = """
import gc
channel = next(each for each in gc.get_objects() if type(each).__name__ == "Channel")
write = channel.write

marker = os.path.join(os.environ["HOME"], "done")

def write_more(message):
    write(message)
    if message.get("answer") == "honest" and not os.path.exists(marker):
        open(marker, "w").close()
        {act}

channel.write = write_more

@task.submission
def submission(ctx):
    return "honest"

@task.audit
def audit(ctx, candidate):
    {act}
    return True
"""

BETWEEN_CALLS = {
    "a bad frame": 'channel._sink.write(b"\\5\\0\\0\\0[1,2]"); channel._sink.flush()',
    "an answer to nothing": 'write({"failed": "why not"})',
    "its end": "os._exit(0)",
}


@pytest.fixture(params=["sandlock", "bwrap"])
def house(request: pytest.FixtureRequest, tmp_path: Path, environment: Environment) -> House:
    return House(tmp_path, environment, require_sandbox(request.param))


@pytest.mark.parametrize("act", BETWEEN_CALLS.values(), ids=BETWEEN_CALLS)
def test_a_process_that_breaks_after_its_answer_is_a_new_one_at_the_next_call(house: House, act: str) -> None:
    async def use(lanes: Lanes) -> tuple[str | None, str | None, int]:
        first = await lanes.submit(0, SEED, SECONDS)
        process = lanes._lanes["review"]._process
        assert process is not None
        while process.failure is None:
            await asyncio.wait(process._jobs, return_when=asyncio.FIRST_COMPLETED)
        second = await lanes.submit(1, SEED, SECONDS)
        return first, second, lanes.count_starts()["review"]

    assert ("honest", "honest", 2) == house.run(TASK.format(act=act), use)


def test_a_request_that_no_caller_waits_for_costs_the_process_nothing(house: House) -> None:
    act = 'write({"id": 2**31, "ask": "refuse", "params": {}})'

    async def use(lanes: Lanes) -> tuple[list[Opinion], int]:
        opinions = [await lanes.audit(0, SEED, str(NODE.pubkey()), "honest", 5, SECONDS) for _ in range(9)]
        return opinions, lanes.count_starts()["review"]

    assert ([Opinion("valid")] * 9, 1) == house.run(TASK.format(act=act), use)


FLOODS = {
    "answers": '{"id": 9999, "answer": 1}',
    "readiness": '{"ready": []}',
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_frames_that_no_caller_waits_for_leaves_others_their_turn(
    house: House, frame: str
) -> None:
    frames = 20_000
    body = len(frame).to_bytes(4, "little") + frame.encode()
    act = f"channel._sink.write({body!r} * {frames}); channel._sink.flush()"

    async def use(lanes: Lanes) -> tuple[str | None, Counter[int]]:
        await lanes.submit(0, SEED, SECONDS)
        process = lanes._lanes["review"]._process
        assert process is not None
        turns, taken, handle = 0, Counter[int](), process._handle

        async def count(frame: Any) -> Any:
            taken[turns] += 1
            return await handle(frame)

        process._handle = count  # type: ignore[method-assign]
        second = asyncio.create_task(lanes.submit(1, SEED, SECONDS))
        while not second.done():
            turns += 1
            await asyncio.sleep(0)
        return await second, taken

    value, taken = house.run(TASK.format(act=act), use)

    assert "honest" == value
    assert taken.total() > frames // 2
    assert max(taken.values()) <= 2


IN_THE_FOLDER = {
    "a folder": "os.mkdir(path)",
    "a link": "os.symlink('/etc/passwd', path)",
    "nothing": "pass",
    "an empty file": "open(path, 'w').close()",
}


@pytest.mark.parametrize("act", IN_THE_FOLDER.values(), ids=IN_THE_FOLDER)
def test_a_long_message_that_is_no_file_ends_its_call_at_once(house: House, act: str) -> None:
    spill = f"path = os.path.join(channel.spill, 'up-1-1'); {act}; write({{'spill': 'up-1-1'}})"

    async def use(lanes: Lanes) -> tuple[str | None, int]:
        await lanes.submit(0, SEED, SECONDS)
        files = len(os.listdir("/proc/self/fd"))
        with pytest.raises(TaskFailed, match=r"message up-1-1|bad frame"):
            await lanes.audit(0, SEED, str(NODE.pubkey()), "value", 5, SECONDS)
        value = await lanes.submit(1, SEED, SECONDS)
        return value, len(os.listdir("/proc/self/fd")) - files

    value, left_open = house.run(TASK.format(act=spill), use)

    assert "honest" == value
    assert left_open <= 0


def test_a_long_message_that_cannot_be_written_ends_its_call_at_once(house: House) -> None:
    """The task moves the folder away and puts a file where the node's next long message goes."""
    away = "away = channel.spill + '-away'; os.rename(channel.spill, away)"
    act = f"{away}; open(os.path.join(away, 'down-1'), 'w')"

    async def use(lanes: Lanes) -> str | None:
        node = str(NODE.pubkey())
        assert Opinion("valid") == await lanes.audit(0, SEED, node, "short", 5, SECONDS)
        with pytest.raises(TaskFailed, match="message down-1 cannot be written"):
            await lanes.audit(0, SEED, node, "x" * 2_000_000, 5, SECONDS)
        return await lanes.submit(1, SEED, SECONDS)

    assert "honest" == house.run(TASK.format(act=act), use)


MANY = """
from threading import Thread

@task.submission
def submission(ctx):
    def request():
        ctx.storage._request("hold", {"text": "x" * 1_500_000})
    threads = [Thread(target=request) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return "done"
"""


def test_long_requests_of_all_tasks_share_the_memory_of_their_node(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = ByteBudget(4_000_000)
    monkeypatch.setattr(channel, "requests", budget)
    held: list[int] = []

    async def hold(params: msgspec.Raw) -> None:
        held.append(budget.held)
        await asyncio.sleep(0)

    answer = house.run(MANY, lambda lanes: lanes.submit(0, SEED, SECONDS), services={"hold": hold})

    assert "done" == answer
    assert 8 == len(held)
    assert all(1_500_000 < each <= 4_000_000 for each in held)
    assert 0 == budget.held
