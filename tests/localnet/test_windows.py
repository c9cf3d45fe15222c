"""Peers that serve no parts, or wrong ones, and a ledger that is killed in mid-round cost nobody a window."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, read_task, stake
from roundwork.client.rpc import Client
from roundwork.participant.moment import compute_timetable
from roundwork.protocol.params import KOII
from roundwork.views import RoundView

from ..node.house import require_sandbox
from .proving import run_proving
from .test_network import Up
from .test_network import directory as directory

ANSWERS = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 3000\r\n\r\n" + bytes(3000),
    b"HTTP/1.1 200 OK\r\ncontent-length: 3000\r\n\r\nshort",
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    b"",
)
"""A wrong part, a short one, none, and silence until the other side gives up."""


@contextmanager
def serve_no_part() -> Iterator[tuple[str, list[str]]]:
    """A place that gives each request the next of ANSWERS; its URL, and the paths of the requests."""
    asked: list[str] = []
    turns = count()
    started = threading.Event()
    urls: list[str] = []
    end: list[Callable[[], object]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(head.split(b" ")[1].decode("latin-1"))
            raw = ANSWERS[next(turns) % len(ANSWERS)]
            if raw:
                writer.write(raw)
                await writer.drain()
            else:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        loop, ending = asyncio.get_running_loop(), asyncio.Event()
        end.append(partial(loop.call_soon_threadsafe, ending.set))
        started.set()
        await ending.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield urls[0], asked
    finally:
        end[0]()
        thread.join()


def count_stakes(up: Up) -> int:
    async def run() -> int:
        async with Client(up.network.url) as client:
            return len((await read_task(client, up.network.task)).stakes)

    return asyncio.run(run()) if up.network.task else 0


def stake_at(up: Up, url: str, nodes: int) -> int:
    """Nodes stake that do nothing but name a place; the number of the next round."""

    async def run() -> int:
        async with Client(up.network.url) as client:
            payer = Keypair()
            await airdrop(client, str(payer.pubkey()), 100 * KOII)
            for _ in range(nodes):
                await stake(client, payer, Keypair(), up.network.task, 5 * KOII, url)
            task = await read_task(client, up.network.task)
            return compute_timetable(task).compute_round(task.slot) + 1

    return asyncio.run(run())


def read_rounds(up: Up, first: int, count: int) -> list[RoundView]:
    async def run() -> list[RoundView]:
        async with Client(up.network.url) as client:
            views = await client.get_rounds(up.network.task, list(range(first, first + count)))
            return [views[number] for number in sorted(views)]

    return asyncio.run(run())


def is_at(up: Up, offset: int) -> bool:
    """Whether the slot is at an offset in a round, or up to four later."""

    async def run() -> int:
        async with Client(up.network.url) as client:
            task = await read_task(client, up.network.task)
            return (task.slot - task.starting_slot) % task.round_time - offset

    return 0 <= asyncio.run(run()) < 5


class Seen(NamedTuple):
    """The rounds of a network whose ledger was killed; the keys of its honest nodes and of its liar."""

    rounds: list[RoundView]
    honest: set[str]
    liars: set[str]


def play(up: Up, count: int, *kills: int) -> Seen:
    """A network of 5 nodes whose peers serve no part, and whose ledger is killed at some offsets."""
    try:
        up.wait_for(lambda: count_stakes(up) == 5)
        with serve_no_part() as (url, asked):
            first = stake_at(up, url, 3)
            for offset in kills:
                up.wait_for(partial(is_at, up, offset))
                os.kill(up.find("ledger"), signal.SIGKILL)
                assert 0 == up.restart("ledger").returncode
            up.wait_for(lambda: read_rounds(up, first, count)[-1].status not in ("Unopened", "Open"), 120)
            rounds = read_rounds(up, first, count)
        up.process.send_signal(signal.SIGINT)
        summary, told = up.finish(code=1)
    finally:
        up.end()

    assert any(path.startswith("/ipfs/") for path in asked)
    roles = {node["key"]: node["role"] for node in summary["nodes"]}
    honest = {node for node, role in roles.items() if role == "honest"}
    assert (4, 1) == (len(honest), len(roles.keys() - honest))
    for view in rounds:
        assert ("PayoutSuccessful", 0) == (view.status, view.attempt), view
        submitters = {submission.node for submission in view.submissions}
        assert set() == roles.keys() - submitters, (view, told)
    return Seen(rounds, honest, roles.keys() - honest)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_window_is_missed(directory: Path) -> None:
    up = Up(directory, "--nodes", "5", "--rounds", "1000", "--slot-ms", "120")

    seen = play(up, 5, 5, 22, 40)  # in SUBMIT, in AUDIT, and while lists are audited

    for view in seen.rounds:
        [lie] = [submission for submission in view.submissions if submission.node in seen.liars]
        assert dict.fromkeys(seen.honest, False) == lie.auditors
        assert seen.honest == {payment.node for payment in view.payments if payment.reward}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_window_is_missed_under_roundwork_1(tmp_path: Path) -> None:
    require_sandbox("sandlock")
    up = run_proving(tmp_path, "--nodes", "5", "--liars", "1", "--rounds", "1000")

    seen = play(up, 3, 2, 13, 32)  # while submissions are committed, proofs fetched and accused

    for view in seen.rounds:
        assert view.hardened is not None
        verdicts = {each.node: each.verdict for each in view.submissions}
        assert {**dict.fromkeys(seen.honest, "untried"), **dict.fromkeys(seen.liars, "convicted")} == verdicts
        assert seen.honest == {payment.node for payment in view.payments if payment.reward}
        assert min(view.hardened.nets[node] for node in seen.honest) > 0  # none paid a fine
