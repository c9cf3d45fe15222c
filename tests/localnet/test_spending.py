"""A node spends no more by itself than its operator allows, shown on real processes."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, read_task, set_active
from roundwork.client.rpc import Client
from roundwork.host.keypairs import make_keypair
from roundwork.package.folder import load_package, pack
from roundwork.participant.moment import compute_moment
from roundwork.protocol.params import KOII
from roundwork.protocol.tasks.round import Activity
from roundwork.views import RoundView

from ..ledger.process import running
from ..node.house import require_sandbox
from .proving import write_proving
from .test_network import ROUNDWORK

PLAYS = ("honest", "honest", "honest", "withholder")
SLOT_MS = 150


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("challenges", [0, 1])
def test_a_node_makes_as_many_challenges_as_its_operator_allows(tmp_path: Path, challenges: int) -> None:
    require_sandbox("sandlock")
    with running(tmp_path / "ledger", None, "--slot-ms", str(SLOT_MS)) as ledger:
        task = asyncio.run(deploy_task(ledger.url, tmp_path))
        with run_nodes(tmp_path, ledger.url, task, f"challenges={challenges}") as addresses:
            view = asyncio.run(read_judged(ledger.url, task))

    assert view.hardened is not None
    made = [each.challenge.challenger for each in view.hardened.submissions if each.challenge]
    assert bool(challenges) == bool(made)  # the proof of the last node is served to none
    assert max(map(made.count, made), default=0) <= challenges
    assert set(made) <= set(addresses)


async def deploy_task(url: str, directory: Path) -> str:
    package = load_package(write_proving(directory))
    async with Client(url) as client:
        manager = Keypair()
        await airdrop(client, str(manager.pubkey()), 10_000 * KOII)
        task = await deploy(client, manager, package, pack(package)[0])
        await set_active(client, manager, task, True)
        for at in range(len(PLAYS)):
            main = make_keypair(directory / f"node-{at}" / "main.json")
            await airdrop(client, str(main.pubkey()), 100 * KOII)
        return task


@contextmanager
def run_nodes(directory: Path, url: str, task: str, spending: str) -> Iterator[list[str]]:
    """A node for each of PLAYS; their addresses."""
    started = []
    try:
        for at, play in enumerate(PLAYS):
            command = [*ROUNDWORK, "node", "run", "--json", "--url", url, "--task", task, "--yes"]
            command += ["--directory", str(directory / f"node-{at}"), "--package", str(directory / "proving")]
            command += ["--stake", str(10 * KOII), "--play", play, "--sandbox", "sandlock"]
            with (directory / f"node-{at}.log").open("w") as log:
                started.append(
                    subprocess.Popen(
                        [*command, "--spend", spending], stdout=subprocess.PIPE, stderr=log, text=True
                    )
                )
        addresses = []
        for node in started:
            assert node.stdout is not None
            with node.stdout as out:
                addresses.append(json.loads(out.readline())["node"])
        yield addresses
    finally:
        for node in started:
            node.terminate()
        for node in started:
            node.wait(30)


async def read_judged(url: str, task: str) -> RoundView:
    """The first round with a submission of each node, when its AUDIT has ended."""
    async with Client(url) as client:
        round_number = 0
        while True:
            shown = await read_task(client, task)
            now = compute_moment(shown, shown.slot)
            if shown.slot < now.compute_end(Activity.DISCLOSE, round_number):
                await asyncio.sleep(SLOT_MS / 1000)
                continue
            view = await client.get_round(task, round_number)
            if view is not None and len(view.submissions) == len(PLAYS):
                return view
            round_number += 1
