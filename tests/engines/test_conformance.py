"""One scenario, two engines: what either made, the embedded engine makes again with the same hashes."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.client import Client
from roundwork.errors import Rejected
from roundwork.ledger.chain import Chain
from roundwork.ledger.inspect import verify
from roundwork.ledger.journal import Journal
from roundwork.messages import wrap
from roundwork.operations import build_uploads, deploy, read_task, send, set_active, stake
from roundwork.package import load_package, pack
from roundwork.protocol import instructions as ins
from roundwork.protocol.params import key_of

from ..ledger.process import running

ROOT = Path(__file__).parents[2]


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
        key, first, second = key_of(task), bytes(nodes[0].pubkey()), bytes(nodes[1].pubkey())

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
        while (await client.get_round(task, number)).status != "PayoutSuccessful":  # noqa: ASYNC110 # likewise
            await asyncio.sleep(0.1)


def test_the_same_blocks_give_the_same_hashes_in_every_engine(lived):
    verify(lived, lambda done, total: None)
    other = lived.parent / "embedded"
    with closing(Journal(lived / "journal.db")) as journal:
        entries = list(journal.read_from(1))
    chain = Chain(lived)  # recovers from checkpoint and journal, whatever engine wrote them
    genesis, expected = chain.genesis, chain.state.head
    chain.close()
    Chain.create(other, genesis)

    with closing(Chain(other)) as embedded:
        for entry in entries:
            outcome = embedded.execute(entry.block, [bool(one) for one in entry.verified])
            embedded.persist(entry.block, outcome)
            embedded.publish(entry.block, outcome)
            assert (entry.block_hash, entry.state_hash) == (outcome.block_hash, outcome.state_hash)
            assert entry.receipts == outcome.receipts

        assert expected == embedded.state.head
        assert any(event.kind == "paid" for entry in entries for event in entry.events)
