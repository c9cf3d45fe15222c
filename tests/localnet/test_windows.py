"""No window is lost: with a ledger that is killed in mid-round, with peers that serve wrong parts or none."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, read_task, stake
from roundwork.client.rpc import Client
from roundwork.participant.moment import compute_moment, compute_timetable
from roundwork.protocol.params import KOII
from roundwork.protocol.tasks.round import Activity
from roundwork.views import RoundView

from ..node.house import require_sandbox
from .test_network import Up, verify

LONG = ["--round-slots", "250", "--rounds", "1000", "--nodes", "4", "--liars", "1"]
"""Rounds of 15 seconds with two windows of 6 seconds: a busy machine is not late in them."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    require_sandbox("sandlock")
    return tmp_path / "up"


async def wait_for_window(client: Client, task: str, activity: Activity, round_number: int) -> None:
    """Wait until a tenth of a window of a round is over."""
    while True:
        view = await read_task(client, task)
        now = compute_moment(view, view.slot)
        middle, end = now.compute_middle(activity, round_number), now.compute_end(activity, round_number)
        if now.slot >= end - (end - middle) * 9 // 5:
            assert now.is_open(activity, round_number), f"slot {now.slot}, {activity} of {round_number}"
            return
        await asyncio.sleep(0.05)


async def read_settled(client: Client, task: str, round_numbers: Collection[int]) -> list[RoundView]:
    """Rounds, once the ledger rounds in which their first lists are due have passed."""
    while True:
        view = await read_task(client, task)
        if view.slot >= compute_timetable(view).compute_start(max(round_numbers) + 3):
            rounds = await client.get_rounds(task, list(round_numbers))
            return [rounds[each] for each in round_numbers]
        await asyncio.sleep(0.1)


def check_windows(view: RoundView, honest: set[str], liar: str) -> None:
    """Every node's submission, every honest node's opinion of the liar's, and the first list have arrived."""
    submitted = {each.node: each for each in view.submissions}
    assert {*honest, liar} == submitted.keys()
    assert honest == {node for node, is_valid in submitted[liar].auditors.items() if not is_valid}
    assert all(submitted[node].votes > 0 for node in honest)
    assert ("PayoutSuccessful", 0, [0]) == (view.status, view.attempt, [each.attempt for each in view.lists])
    assert all(each.votes > 0 for each in view.lists)
    assert honest == {each.node for each in view.payments if each.reward}
    assert [liar] == [each.node for each in view.payments if each.slash]


def find_nodes(up: Up) -> tuple[set[str], str]:
    """The addresses of the honest nodes, and of the liar."""
    by_role: dict[str, list[str]] = {"honest": [], "liar": []}
    for member in up.network.members:
        by_role.get(member.role, []).append(member.address)
    [liar] = by_role["liar"]
    return {*by_role["honest"]}, liar


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_ledger_that_is_killed_in_every_window_costs_nobody_a_window(directory: Path) -> None:
    up = Up(directory, *LONG)

    async def run() -> list[RoundView]:
        async with Client(up.network.url) as client:
            task = up.network.task
            view = await read_task(client, task)
            first = compute_timetable(view).compute_round(view.slot) + 1
            killed = 0
            for round_number in (first, first + 1):
                for activity in (Activity.SUBMIT, Activity.AUDIT):
                    await wait_for_window(client, task, activity, round_number)
                    os.kill(up.find("ledger"), signal.SIGKILL)
                    answer = await asyncio.to_thread(up.restart, "ledger")
                    assert 0 == answer.returncode, answer.stderr
                    killed += 1
            assert 4 == killed
            return await read_settled(client, task, [first, first + 1])

    try:
        up.wait_for_nodes(4)
        honest, liar = find_nodes(up)
        for view in asyncio.run(run()):
            check_windows(view, honest, liar)
    finally:
        up.end()
    assert verify(directory)["blocks"] > 0


@asynccontextmanager
async def serve_badly(kind: str, url: str, requests: Counter[str]) -> AsyncIterator[str]:
    """A peer that serves every blob in one bad way; it takes the right bytes from the ledger at `url`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode("latin-1")
            if not path.startswith("/ipfs/"):
                writer.write(b"HTTP/1.1 404 x\r\n\r\n")
                return
            requests[kind] += 1
            async with Client(url) as client:
                data = await client.get_blob(path.removeprefix("/ipfs/"))
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data)
            match kind:
                case "wrong":
                    writer.write(head + bytes(len(data)))
                case "short":
                    writer.write(head + data[:-1])
                case "slow":
                    writer.write(head + data[:1])
                    await reader.read()  # until the node gives up
                case _:
                    await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_peers_that_serve_wrong_short_or_no_parts_cost_nobody_a_window(directory: Path) -> None:
    up = Up(directory, *LONG)
    requests = Counter[str]()

    async def run() -> list[RoundView]:
        async with Client(up.network.url) as client, AsyncExitStack() as stack:
            task = up.network.task
            for kind in ("wrong", "short", "slow", "silent") * 2:
                endpoint = await stack.enter_async_context(serve_badly(kind, client.url, requests))
                await airdrop(client, str((payer := Keypair()).pubkey()), 100 * KOII)
                await stake(client, payer, Keypair(), task, 10 * KOII, endpoint)
            view = await read_task(client, task)
            first = compute_timetable(view).compute_round(view.slot) + 1
            return await read_settled(client, task, [first, first + 1])

    try:
        up.wait_for_nodes(4)
        honest, liar = find_nodes(up)
        views = asyncio.run(run())
    finally:
        up.end()
    assert {"wrong", "short", "slow", "silent"} == requests.keys()
    for view in views:
        check_windows(view, honest, liar)
