"""One scenario, two engines: what either made, the embedded engine makes again with the same hashes."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.client.messages import build_uploads, wrap
from roundwork.client.operations import deploy, read_task, send, set_active, stake
from roundwork.client.rpc import Client
from roundwork.errors import Rejected
from roundwork.ledger.chain import Chain, read_genesis
from roundwork.ledger.inspect import verify
from roundwork.ledger.store.journal import Entry, Journal
from roundwork.package.folder import load_package, pack
from roundwork.protocol.params import Genesis, NodeKey, TaskKey, key_of
from roundwork.protocol.tasks import instructions as ins

from ..process import running
from .driven import Ledger

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["", "comet"], ids=["embedded", "cometbft"])
def lived(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The directory of a ledger on which a task has lived through a round."""
    if request.param:
        request.getfixturevalue("cometbft")
    directory = tmp_path / "ledger"
    with running(directory, engine=request.param) as ledger:
        asyncio.run(live(ledger.url))
    return directory


async def live(url: str) -> None:
    """Deploy, stake, submit, audit, list and pay, as nodes do it."""
    async with Client(url) as client:
        manager, payer, nodes = Keypair(), Keypair(), [Keypair(), Keypair()]
        for pair in (manager, payer):
            await client.request_airdrop(str(pair.pubkey()), 10**13)
            while not await client.get_balance(str(pair.pubkey())):  # noqa: ASYNC110 # another process pays
                await asyncio.sleep(0.05)
        package = load_package(ROOT / "examples" / "hello")
        task = await deploy(client, manager, package, pack(package)[0])
        await set_active(client, manager, task, True)
        for node in nodes:
            await stake(client, payer, node, task, package.minimum_stake)
        key = TaskKey(key_of(task))
        first, second = (NodeKey(bytes(node.pubkey())) for node in nodes[:2])

        async def do(number: int, offset: int, pair: Keypair, ask: ins.Instruction) -> None:
            while True:
                view = await read_task(client, task)
                if view.slot >= view.starting_slot + number * view.round_time + offset:
                    break
                await asyncio.sleep(0.05)
            await send(client, [wrap(ask)], [payer, pair])

        view = await read_task(client, task)
        begun = (view.slot - view.starting_slot) // view.round_time + 1
        number, audit = begun, view.submission_window + 1
        await do(begun + 1, 0, nodes[0], ins.SubmitTask(key, first, b"Hello, World!", number))
        await do(begun + 1, 0, nodes[1], ins.SubmitTask(key, second, b"Hello", number))
        await do(begun + 1, audit, nodes[0], ins.AuditSubmission(key, first, second, 0, number))
        text = f'{{"{nodes[0].pubkey()}": 5}}'.encode()
        for upload in build_uploads(key, first, number, text):
            await do(begun + 2, 0, nodes[0], upload)
        await do(begun + 2, 0, nodes[0], ins.SubmitDistributionList(key, first, first, number))
        with pytest.raises(Rejected):
            await send(client, [wrap(ins.Payout(key, number))], [payer, nodes[0]])
        while (paid := await client.get_round(task, number)) is None or paid.status != "PayoutSuccessful":  # noqa: ASYNC110 # likewise
            await asyncio.sleep(0.1)


def test_the_same_blocks_give_the_same_hashes_in_every_engine(lived: Path) -> None:
    """What one of them made is made again by the embedded engine, and through the socket of the other."""
    verify(lived, lambda done, total: None)
    with closing(Journal(lived / "journal.db")) as journal:
        entries = list(journal.read_from(1))
    genesis = read_genesis(lived)

    embedded, delivered = lived.parent / "embedded", lived.parent / "delivered"
    run_embedded(embedded, genesis, entries)
    deliver(delivered, genesis, entries)

    for directory in (embedded, delivered):
        with closing(Journal(directory / "journal.db")) as journal:
            for expected, found in zip(entries, journal.read_from(1), strict=True):
                assert expected == found
    assert any(event.kind == "paid" for entry in entries for event in entry.events)


def run_embedded(directory: Path, genesis: Genesis, entries: list[Entry]) -> None:
    """Have the embedded engine's chain make the blocks."""
    Chain.create(directory, genesis)
    with closing(Chain(directory)) as chain:
        for entry in entries:
            outcome = chain.execute(entry.block, [bool(one) for one in entry.verified])
            chain.persist(entry.block, outcome)
            chain.publish(entry.block, outcome)


def deliver(directory: Path, genesis: Genesis, entries: list[Entry]) -> None:
    """Deliver the blocks to the application behind CometBFT; it must answer with the same hashes."""
    ledger = Ledger(directory, "usual", genesis)
    engine = ledger.start()
    for entry in entries:
        engine.decide(entry.block.time_ms, entry.block.transactions)
    assert 0 == ledger.stop()
    assert [entry.state_hash for entry in entries] == list(ledger.disk.app_hashes.values())
