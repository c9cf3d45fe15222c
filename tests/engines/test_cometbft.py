"""The real CometBFT: it and its application are killed under load; both engines reach the same hashes."""

import asyncio
import os
import random
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from solders.keypair import Keypair
from solders.transaction import Transaction

from roundwork.client import Client
from roundwork.errors import Rejected
from roundwork.ledger.chain import Chain
from roundwork.ledger.inspect import verify
from roundwork.ledger.journal import Journal
from roundwork.operations import build_uploads, deploy, read_task, send, set_active, stake, wrap
from roundwork.package import load_package, pack
from roundwork.protocol import instructions as ins
from roundwork.protocol.params import key_of

from ..ledger.process import RpcFailure, RunningLedger, give, running

ROOT = Path(__file__).parents[2]
BINARY = ROOT / ".tools" / "bin" / "cometbft"
KILLS = int(os.environ.get("ROUNDWORK_KILLS", "6"))
"""How often something is killed; 100 for a thorough run."""

DEADLINE_SECONDS = 40


@pytest.fixture(autouse=True)
def binary(monkeypatch: pytest.MonkeyPatch) -> None:
    if not BINARY.exists() and not os.environ.get("CI"):
        pytest.skip("CometBFT is not installed: make cometbft")
    monkeypatch.setenv("COMETBFT", str(BINARY))


def find_pair(supervisor: int) -> dict[str, int]:
    """The pids of engine and application, by name."""
    pair = {}
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        try:
            command = Path(f"/proc/{child}/cmdline").read_text()
        except FileNotFoundError:
            continue
        pair["engine" if "cometbft" in command.split("\0")[0] else "application"] = int(child)
    return pair


def wait_until_it_goes_on(ledger: RunningLedger) -> None:
    """Wait until the ledger makes blocks again."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    before = None
    while time.monotonic() < deadline:
        try:
            height = ledger.call("getLedger")["height"]
        except (httpx2.TransportError, RpcFailure):
            before = None
        else:
            if before is not None and height > before + 1:
                return
            before = height if before is None else before
        time.sleep(0.1)
    raise AssertionError(f"no block for {DEADLINE_SECONDS} s; {ledger.process.poll()=}")


class Load:
    """Transfers sent one after another, each until it is confirmed: those are the acknowledged ones."""

    def __init__(self, ledger: RunningLedger) -> None:
        self.ledger = ledger
        self.acknowledged: list[str] = []
        self.is_over = False
        self.pair = Keypair()
        ledger.fund(self.pair, 10**12)
        self.wait_for_money()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def wait_for_money(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.ledger.call("getBalance", str(self.pair.pubkey()))["value"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def run(self) -> None:
        while not self.is_over:
            try:
                wire = self.ledger.sign(self.pair, give(self.pair, Keypair().pubkey(), 1))
                self.confirm(wire)
            except (httpx2.TransportError, RpcFailure):
                time.sleep(0.05)  # it is down: what was not confirmed is not acknowledged

    def confirm(self, wire: bytes) -> None:
        signature = str(Transaction.from_bytes(wire).signatures[0])
        self.ledger.send(wire)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            [status] = self.ledger.call("getSignatureStatuses", [signature])["value"]
            if status is not None:
                assert status["err"] is None
                self.acknowledged.append(signature)
                return
            time.sleep(0.02)

    def end(self) -> None:
        self.is_over = True
        self.thread.join(30)


def count_journalled(directory: Path) -> dict[str, int]:
    """How often each signature stands in the journal."""
    counts: dict[str, int] = {}
    with closing(Journal(directory / "journal.db")) as journal:
        for entry in journal.read_from(1):
            for wire in entry.block.transactions:
                name = str(Transaction.from_bytes(wire).signatures[0])
                counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.mark.timeout(60 + 30 * KILLS)
def test_no_kill_loses_or_doubles_an_acknowledged_transaction(tmp_path):
    directory = tmp_path / "ledger"
    chance = random.Random(KILLS)
    with running(directory, engine="comet") as ledger:
        load = Load(ledger)
        for number in range(KILLS):
            expected = len(load.acknowledged) + 3
            deadline = time.monotonic() + DEADLINE_SECONDS
            while len(load.acknowledged) < expected and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(chance.random() / 5)
            pair = find_pair(ledger.process.pid)
            victims = [["engine"], ["application"], ["engine", "application"]][number % 3]
            for victim in victims:
                os.kill(pair[victim], signal.SIGKILL)
            wait_until_it_goes_on(ledger)
        load.end()
        check_app_hashes(directory)

    counts = count_journalled(directory)
    assert len(load.acknowledged) >= 3 * KILLS
    assert [] == [name for name in load.acknowledged if counts.get(name) != 1]
    facts = verify(directory, lambda done, total: None)
    assert 10**18 == facts["supply"]


def check_app_hashes(directory: Path) -> None:
    """The hashes that CometBFT agreed on are those in our journal."""
    transport = httpx2.HTTPTransport(uds=str(directory / "comet" / "rpc.sock"))
    with (
        httpx2.Client(transport=transport, base_url="http://comet") as comet,
        closing(Journal(directory / "journal.db")) as journal,
    ):
        newest = int(comet.get("/status").json()["result"]["sync_info"]["latest_block_height"])
        checked = 0
        for height in range(max(2, newest - 50), newest):
            header = comet.get(f"/block?height={height}").json()["result"]["block"]["header"]
            entry = journal.read(height - 1)
            assert entry is not None
            assert entry.state_hash.hex() == header["app_hash"].lower()
            checked += 1
        assert checked > 5


@pytest.fixture(params=["", "comet"], ids=["embedded", "cometbft"])
def lived(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The directory of a ledger on which a task has lived through a round."""
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
