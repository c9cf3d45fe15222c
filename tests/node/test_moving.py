"""A task is updated in mid-round on real processes: what is open is paid where it was, and its nodes move."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, set_active, update
from roundwork.client.rpc import Client
from roundwork.node.moving import settle_directory
from roundwork.node.setting import NodeSetting
from roundwork.package.folder import load_package, pack
from roundwork.protocol.params import KOII

from ..ledger.process import NEWEST, RunningLedger, running
from ..localnet.test_supervisor import wait_until
from .house import require_sandbox
from .test_server import HELLO, fail, make_rich, read_stakes, run_node

NAMES = ("first", "second", "third")
SLOTS = {"round_time": 100, "submission_window": 40, "audit_window": 40}
SEALED = {"round_time": 66, "submission_window": 15, "audit_window": 48}
PATIENCE_SECONDS = 150
ROUNDS_MAX = 40
"""More rounds than end within this time."""

T = TypeVar("T")


def test_what_is_remembered_of_one_task_is_never_taken_for_another_ones(tmp_path: Path) -> None:
    first, second = str(Keypair().pubkey()), str(Keypair().pubkey())

    homes = [
        settle_directory(NodeSetting(ledger_url="", task=task, directory=tmp_path)).home
        for task in (first, second, first, second)
    ]

    assert [tmp_path, tmp_path / second[:8]] * 2 == homes


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path / "ledger") as ledger:
        yield ledger


def do(ledger: RunningLedger, act: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Client(ledger.url) as client:
            return await act(client)

    return asyncio.run(run())


@pytest.mark.timeout(400)
def test_a_task_that_is_updated_in_mid_round_takes_its_nodes_along(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    manager = Keypair()
    package = msgspec.structs.replace(load_package(HELLO), **SLOTS)
    do(ledger, lambda client: airdrop(client, str(manager.pubkey()), 5_000 * KOII))
    task = do(ledger, lambda client: deploy(client, manager, package, pack(package)[0]))
    do(ledger, lambda client: set_active(client, manager, task, True))
    supply = ledger.call("getSupply", NEWEST)["value"]["total"]
    for name in NAMES:
        make_rich(ledger, tmp_path / name)

    def show(address: str) -> Any:
        return ledger.call("getTask", address)

    def find_full() -> list[int]:
        """Open rounds that all three have submitted in."""
        numbers = show(task)["open_rounds"]
        return [n for n in numbers if len(ledger.call("getRound", task, n)["submissions"]) == len(NAMES)]

    with ExitStack() as stack:
        for name in NAMES:
            options = ("--package", HELLO, "--stake", KOII)
            stack.enter_context(run_node(ledger, task, tmp_path / name, *options))
        wait_until(lambda: bool(find_full()), PATIENCE_SECONDS)
        [opened] = find_full()[-1:]

        successor = do(ledger, lambda client: update(client, manager, task, package, pack(package)[0]))
        still_open = show(task)["open_rounds"]
        wait_until(lambda: len(read_stakes(ledger, successor)) == 3, PATIENCE_SECONDS)
        wait_until(lambda: not show(task)["open_rounds"], PATIENCE_SECONDS)
        wait_until(lambda: ledger.call("getRound", successor, 1)["payments"], PATIENCE_SECONDS)
        wait_until(lambda: not read_stakes(ledger, task), PATIENCE_SECONDS)
        wait_until(lambda: not any(one["available"] for one in show(task)["stakes"]), PATIENCE_SECONDS)

    assert opened in still_open
    paid = ledger.call("getRound", task, opened)
    assert ("PayoutSuccessful", 3) == (paid["status"], len(paid["payments"]))
    assert (0, successor) == (show(task)["bounty"], show(task)["migrated_to"])
    assert task == show(successor)["migrated_from"]
    assert supply == ledger.call("getSupply", NEWEST)["value"]["total"]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nodes_that_move_take_what_the_old_task_releases_later_to_the_address_of_their_claims(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    manager, other = Keypair(), str(Keypair().pubkey())
    package = msgspec.structs.replace(load_package(HELLO), **SEALED, rules="roundwork-1")
    do(ledger, lambda client: airdrop(client, str(manager.pubkey()), 5_000 * KOII))
    task = do(ledger, lambda client: deploy(client, manager, package, pack(package)[0]))
    do(ledger, lambda client: set_active(client, manager, task, True))
    for name in NAMES:
        make_rich(ledger, tmp_path / name)

    rounds = cycle(range(ROUNDS_MAX))  # on a busy machine the first ones are too short for the nodes

    def has_paid() -> bool:
        return bool(ledger.call("getRound", task, next(rounds))["payments"])

    def read_left() -> int:
        """The stakes and available balances in the old task."""
        return sum(each["amount"] + each["available"] for each in ledger.call("getTask", task)["stakes"])

    with ExitStack() as stack:
        for name in NAMES:
            options = ("--package", HELLO, "--stake", 5 * KOII, "--claim-to", other)
            stack.enter_context(run_node(ledger, task, tmp_path / name, *options))
        wait_until(has_paid, PATIENCE_SECONDS)
        do(ledger, lambda client: update(client, manager, task, package, pack(package)[0]))
        wait_until(lambda: not ledger.call("getTask", task)["open_rounds"], PATIENCE_SECONDS)
        released = ledger.call("getTask", task)["slot"] + 4 * SEALED["round_time"]
        wait_until(lambda: ledger.call("getTask", task)["slot"] > released, PATIENCE_SECONDS)
        wait_until(lambda: read_left() == 0, PATIENCE_SECONDS)

    rewards = [
        payment["reward"]
        for round_number in range(ROUNDS_MAX)
        for payment in ledger.call("getRound", task, round_number)["payments"]
    ]
    assert len(rewards) > len(NAMES)
    assert ledger.call("getBalance", other)["value"] >= sum(rewards) + len(NAMES) * 5 * KOII


def test_one_node_at_a_time_works_in_a_directory(ledger: RunningLedger, tmp_path: Path) -> None:
    manager, package = Keypair(), load_package(HELLO)
    do(ledger, lambda client: airdrop(client, str(manager.pubkey()), 5_000 * KOII))
    task = do(ledger, lambda client: deploy(client, manager, package, pack(package)[0]))
    with run_node(ledger, task, tmp_path / "node", "--package", HELLO):
        told = fail(ledger, task, tmp_path / "node", "--package", HELLO)

    assert told.startswith("StoreInUse: ")
    assert "another node works there" in told


def test_claims_to_the_pot_of_the_task_are_refused_at_the_start(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    manager, package = Keypair(), load_package(HELLO)
    do(ledger, lambda client: airdrop(client, str(manager.pubkey()), 5_000 * KOII))
    task = do(ledger, lambda client: deploy(client, manager, package, pack(package)[0]))
    pot = ledger.call("getTask", task)["pot"]

    told = fail(ledger, task, tmp_path / "node", "--package", HELLO, "--claim-to", pot)

    assert told.startswith(
        f"BadConfig: {pot} is the pot of this task: native money cannot be taken out there"
    )
