"""A flood of transactions that pay any price does not keep nodes from doing the work of their rounds."""

import base64
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from roundwork.client.messages import make_account, wrap
from roundwork.protocol.params import TASK_PROGRAM, NodeKey, TaskKey
from roundwork.protocol.tasks.instructions import CreateTask, SetActive, Stake, SubmitTask

from ..ledger.comet.conftest import BINARY, require_cometbft
from ..ledger.process import NEWEST, LedgerClient, RunningLedger, give, running

ROUND, SUBMISSION, AUDIT = 90, 70, 10
"""Slots of a round, and of its first two windows."""

STAKE = 5000
DEADLINE_SECONDS = 60
NODES = 4
POOL = 60
"""Transactions that may wait for a block."""


def base58_of_signature(wire: bytes) -> str:
    return str(Transaction.from_bytes(wire).signatures[0])


def get_node_key(pair: Keypair) -> NodeKey:
    return NodeKey(bytes(pair.pubkey()))


class Field:
    """A ledger with a task, nodes that have stake in it, and a stranger with much money."""

    def __init__(self, ledger: RunningLedger) -> None:
        self.ledger = ledger
        self.manager, self.task, self.pot, self.rich = (Keypair() for _ in range(4))
        self.nodes = [Keypair() for _ in range(NODES)]
        for pair in (self.manager, self.rich, *self.nodes):
            ledger.fund(pair, 10**12)
        owners = [str(pair.pubkey()) for pair in (self.manager, self.rich, *self.nodes)]
        wait_for(lambda: all(ledger.call("getBalance", owner, NEWEST)["value"] for owner in owners))
        self.send([self.manager, self.task], *self._create())
        wait_for(lambda: ledger.call("getTask", str(self.task.pubkey())))
        for node in self.nodes:
            staked = Stake(self.key, get_node_key(node), bytes(self.pot.pubkey()), STAKE)
            self.send([node], wrap(staked))
        wait_for(lambda: len(self.read()["stakes"]) == NODES)
        self.start: int = self.read()["starting_slot"]

    @property
    def key(self) -> TaskKey:
        return TaskKey(bytes(self.task.pubkey()))

    def read(self) -> Any:
        """What the ledger says of the task."""
        return self.ledger.call("getTask", str(self.task.pubkey()))

    def _create(self) -> list[Instruction]:
        manager = bytes(self.manager.pubkey())
        created = CreateTask(
            manager, self.key, bytes(self.pot.pubkey()), b"hello", b"", b"", b"DEVELOPMENT", 1000, 100, ROUND,
            AUDIT, SUBMISSION, 1000, b"", b"", 2,
        )  # fmt: skip
        account = make_account(self.manager, self.task, 0, 1_000_000, TASK_PROGRAM)
        return [account, wrap(created), wrap(SetActive(self.key, manager, 1))]

    def sign(
        self, signers: Sequence[Keypair], *asked: Instruction, price: int = 0, tick: Hash | None = None
    ) -> bytes:
        """A transaction that pays a price (in roe) and that no other equals."""
        self.ledger.nonce += 1
        units = 1_000_000 + self.ledger.nonce % 400_000
        budget = [set_compute_unit_limit(units), set_compute_unit_price(price * 1_000_000 // units)]
        tick = tick or self.get_tick()
        message = Message.new_with_blockhash([*asked, *budget], signers[0].pubkey(), tick)
        return bytes(Transaction(signers, message, tick))

    def get_tick(self) -> Hash:
        return Hash.from_string(self.ledger.call("getLatestBlockhash")["value"]["blockhash"])

    def send(self, signers: Sequence[Keypair], *asked: Instruction) -> None:
        self.ledger.send(self.sign(signers, *asked))

    def wait_for_window(self, round_number: int) -> None:
        """Wait until the submissions of a round are taken."""
        first = self.start + (round_number + 1) * ROUND
        wait_for(lambda: self.ledger.call("getSlot", NEWEST) >= first)

    def sign_submissions(self, round_number: int) -> list[bytes]:
        return [
            self.sign([node], wrap(SubmitTask(self.key, get_node_key(node), b"proof", round_number)))
            for node in self.nodes
        ]

    def get_submitters(self, round_number: int) -> set[str]:
        found = self.ledger.call("getRound", str(self.task.pubkey()), round_number)
        return {submission["node"] for submission in found["submissions"]} if found else set()


def wait_for(is_so: Callable[[], Any]) -> None:
    """Ask the ledger until something is so."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"it is not so after {DEADLINE_SECONDS} s"
        time.sleep(0.02)


def make_transfers(field: Field, count: int, price: int) -> list[bytes]:
    """Transfers of a stranger with much money."""
    gift, tick = give(field.rich, Keypair().pubkey(), 1), field.get_tick()
    return [field.sign([field.rich], gift, price=price, tick=tick) for _ in range(count)]


def make_false_work(field: Field, count: int, price: int) -> list[bytes]:
    """Submissions of strangers without a stake, which look like work and are rejected for a fee."""
    stranger, tick = Keypair(), field.get_tick()
    submission = wrap(SubmitTask(field.key, get_node_key(stranger), b"lie", 0))
    return [field.sign([field.rich, stranger], submission, price=price, tick=tick) for _ in range(count)]


def compose_batch(wires: Sequence[bytes]) -> list[Any]:
    config = {"encoding": "base64", "skipPreflight": True}
    return [
        {
            "jsonrpc": "2.0",
            "id": at,
            "method": "sendTransaction",
            "params": [base64.b64encode(wire).decode(), config],
        }
        for at, wire in enumerate(wires)
    ]


@contextmanager
def held(journal: Path) -> Iterator[Callable[[], None]]:
    """No block becomes durable until the function is called, so what is sent waits in the pool."""
    with closing(sqlite3.connect(journal, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")

        def release() -> None:
            other.execute("ROLLBACK")

        yield release


def post(ledger: RunningLedger, wires: Sequence[bytes]) -> list[Any]:
    """Send transactions in one batch; the answers."""
    client = LedgerClient(ledger.url)
    try:
        answers: list[Any] = client.post(compose_batch(wires))
        return answers
    finally:
        client.http.close()


def is_refused(answer: Any) -> bool:
    """Whether a transaction found no place."""
    return "error" in answer and answer["error"]["code"] == -32005


@pytest.mark.parametrize("make", [make_transfers, make_false_work])
def test_work_finds_a_place_in_a_pool_that_a_paying_flood_has_filled(
    tmp_path: Path, make: Callable[[Field, int, int], list[bytes]]
) -> None:
    with running(tmp_path, None, "--limit", f"pool_transactions={POOL}") as ledger:
        field = Field(ledger)
        field.wait_for_window(0)
        work, flood = field.sign_submissions(0), make(field, POOL - NODES, 100_000)
        cheap, cheapest = make(field, NODES, 10_000), make(field, 1, 0)
        with held(tmp_path / "journal.db") as release, ThreadPoolExecutor(2 * NODES + 2) as threads:
            sent = [threads.submit(post, ledger, wires) for wires in (cheapest, flood)]
            losers = [threads.submit(post, ledger, [wire]) for wire in cheap]
            gone = sent[0].result()  # the pool is full
            working = [threads.submit(post, ledger, [wire]) for wire in work]
            gone += [answer for loser in losers for answer in loser.result()]  # and the work has its place
            release()
            answers = [answer for future in working for answer in future.result()]
            flooded = sent[1].result()

        assert [True] * (1 + NODES) == [is_refused(answer) for answer in gone]
        assert [] == [answer for answer in [*answers, *flooded] if "error" in answer]
        assert {str(node.pubkey()) for node in field.nodes} == field.get_submitters(0)


def test_all_submissions_land_in_their_window_while_strangers_flood_the_ledger(tmp_path: Path) -> None:
    with running(tmp_path, None, "--limit", f"pool_transactions={POOL}") as ledger:
        field = Field(ledger)
        floods = [
            [make(field, 3 * POOL, 1_000_000) for _ in range(4)] for make in (make_transfers, make_false_work)
        ]
        field.wait_for_window(0)
        work, is_over = field.sign_submissions(0), threading.Event()

        def flood(batches: list[list[bytes]]) -> int:
            """Send one batch after another; how many transactions found no place."""
            return sum(sum(map(is_refused, post(ledger, wires))) for wires in batches if not is_over.is_set())

        with ThreadPoolExecutor(2) as threads:
            flooding = threads.map(flood, floods)
            answers = [post(ledger, [wire])[0] for wire in work]
            submitters = field.get_submitters(0)
            is_over.set()
            refused = sum(flooding)

    assert [] == [answer for answer in answers if "error" in answer]
    assert {str(node.pubkey()) for node in field.nodes} == submitters
    assert refused > POOL


def test_on_cometbft_all_submissions_land_while_a_flood_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_cometbft(BINARY)
    monkeypatch.setenv("COMETBFT", str(BINARY))
    with running(tmp_path, engine="comet") as ledger:
        field = Field(ledger)
        floods = [make_transfers(field, 400, 1_000_000) for _ in range(5)]
        field.wait_for_window(0)
        work = field.sign_submissions(0)

        with ThreadPoolExecutor(5) as threads:
            flooding = [threads.submit(post, ledger, wires) for wires in floods]
            answers = post(ledger, work)
            for done in flooding:
                done.result()

        assert [] == [answer for answer in answers if "error" in answer]
        wait_for(lambda: field.get_submitters(0) == {str(node.pubkey()) for node in field.nodes})
        last = field.start + ROUND + SUBMISSION
        slots = [ledger.call("getTransaction", base58_of_signature(wire), NEWEST)["slot"] for wire in work]
        assert max(slots) <= last
