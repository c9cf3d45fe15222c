"""Commitments: processed is on disk, confirmed is a slot that is over, finalized is one slot more."""

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    CreateAccountParams,
    InitializeNonceAccountParams,
    advance_nonce_account,
    create_account,
    initialize_nonce_account,
)
from solders.transaction import Transaction

from roundwork.host.keypairs import read_keypair
from roundwork.ledger.chain import Chain
from roundwork.ledger.embedded.producer import Producer
from roundwork.ledger.limits import LIMITS
from roundwork.ledger.rpc.budget import Budget
from roundwork.ledger.rpc.commitments import COMMITMENTS, Commitment, Standing
from roundwork.ledger.rpc.dispatch import METHODS, Request, Rpc
from roundwork.ledger.rpc.ledger import Ledger
from roundwork.ledger.rpc.rates import Rates
from roundwork.ledger.rpc.subscriptions import Subscriptions
from roundwork.ledger.server import FAUCET_FILE
from roundwork.ledger.signatures import Verifier
from roundwork.protocol.execute import decode_block, execute
from roundwork.protocol.genesis import create_state, decode_genesis
from roundwork.protocol.transaction import decode_transaction
from roundwork.wire import base58_encode

from ...protocol.make_journal import read
from ..blocks import dump, make_block, sign
from ..process import NEWEST, RunningLedger, give, running

NAMES = ("processed", "confirmed", "finalized")


def test_a_state_that_follows_another_is_what_that_was_so_many_slots_ago() -> None:
    vector = read()
    state = create_state(decode_genesis(vector.genesis, "vector"))
    standings = {each: Standing(each, state) for each in Commitment}
    past = [(0, state.head, dump(state), dict(state.tick_slots))]

    for entry in vector.entries:
        block = decode_block(entry.block)
        outcome = execute(state, block, list(map(bool, entry.verified)))
        past.append((block.slot, state.head, dump(state), dict(state.tick_slots)))
        for commitment, standing in standings.items():
            standing.follow(block, outcome, state.head)

            expected = [each for each in past if each[0] <= max(0, block.slot - commitment.value)][-1]
            followed = standing.state
            assert expected[1:] == (followed.head, dump(followed), followed.tick_slots)


class Bench:
    """A ledger whose blocks the test makes itself, a slot after the other."""

    def __init__(self, directory: Path) -> None:
        self.chain = Chain(directory)
        self.faucet = read_keypair(directory / FAUCET_FILE)
        self.ledger = Ledger(self.chain, Producer(self.chain, Verifier(workers=0)))
        self.rpc = Rpc(self.ledger, METHODS, Rates(LIMITS))
        make_block(self.chain)

    def close(self) -> None:
        self.chain.close()

    def pay(self, amount: int) -> str:
        """A block with a payment of the faucet; the signature."""
        wire = sign(self.chain, self.faucet, amount)
        make_block(self.chain, wire)
        return base58_encode(decode_transaction(wire).signatures[0])

    def read(self, method: str, *params: Any) -> Any:
        async def run() -> Any:
            answer = await self.rpc.call(Request(method, list(params)), Budget("", LIMITS))
            return json.loads(bytes(answer)) if isinstance(answer, msgspec.Raw) else answer

        return asyncio.run(run())


@pytest.fixture
def bench(directory: Path) -> Any:
    with closing(Bench(directory)) as bench:
        yield bench


def test_each_read_is_of_the_block_that_has_reached_its_commitment(bench: Bench) -> None:
    faucet = str(bench.faucet.pubkey())

    def look() -> list[tuple[int, int, bool, bool]]:
        rows = []
        for name in NAMES:
            config = {"commitment": name}
            balance = bench.read("getBalance", faucet, config)
            shown = bench.read("getTransaction", signature, config)
            listed = bench.read("getSignaturesForAddress", faucet, config)
            slot = bench.read("getSlot", config)
            assert slot == balance["context"]["slot"] == bench.read("getBlockHeight", config)
            rows.append((slot, balance["value"], shown is not None, bool(listed)))
        return rows

    before = bench.read("getBalance", faucet)["value"]
    signature = bench.pay(7)
    slot = bench.read("getSlot", NEWEST)
    after = before - 7 - 5000

    old = (before, False, False)
    new = (after, True, True)
    assert [(slot, *new), (slot - 1, *old), (slot - 1, *old)][:2] == look()[:2]
    assert look()[2][1:] == old
    make_block(bench.chain)
    assert [(slot + 1, *new), (slot, *new), (slot - 1, *old)] == look()
    make_block(bench.chain)
    assert [(slot + 2, *new), (slot + 1, *new), (slot, *new)] == look()


def test_a_status_says_which_commitment_is_reached(bench: Bench) -> None:
    signature = bench.pay(7)

    seen = []
    for _ in range(4):
        [status] = bench.read("getSignatureStatuses", [signature])["value"]
        seen.append((status["confirmationStatus"], status["confirmations"]))
        make_block(bench.chain)

    assert [("processed", 0), ("confirmed", 1), ("finalized", None), ("finalized", None)] == seen


def test_the_older_names_of_commitments_mean_what_they_meant(bench: Bench) -> None:
    bench.pay(1), bench.pay(2), bench.pay(3)
    slots = {name: bench.read("getSlot", {"commitment": name}) for name in COMMITMENTS}

    assert slots["processed"] == slots["recent"] == slots["confirmed"] + 1
    assert slots["confirmed"] == slots["single"] == slots["singleGossip"] == slots["finalized"] + 1
    assert slots["finalized"] == slots["root"] == slots["max"] == bench.read("getSlot")


def test_methods_of_ours_read_the_last_block_unless_a_commitment_is_named(bench: Bench) -> None:
    bench.pay(7)

    slots = [bench.read("getLedger", *config).slot for config in ([], [{"commitment": "finalized"}])]

    assert [bench.read("getSlot", NEWEST), bench.read("getSlot")] == slots
    assert slots[0] > slots[1]


async def open_websocket(subscriptions: Subscriptions) -> tuple[asyncio.Queue[Any], asyncio.Queue[Any], Any]:
    """What the client sends, what it receives, and the task that serves it."""
    sent: asyncio.Queue[Any] = asyncio.Queue()
    received: asyncio.Queue[Any] = asyncio.Queue()

    async def receive() -> Any:
        return await sent.get()

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            received.put_nowait(json.loads(message["text"]))

    sent.put_nowait({"type": "websocket.connect"})
    scope = {"type": "websocket", "client": ("127.0.0.1", 1), "headers": []}
    return sent, received, asyncio.create_task(subscriptions.serve(scope, receive, send))


@pytest.mark.parametrize("kind", ["account", "logs"])
@pytest.mark.parametrize(("name", "slots"), [("processed", 0), ("confirmed", 1), ("finalized", 2)])
def test_what_a_client_does_while_it_subscribes_is_notified_at_every_commitment(
    bench: Bench, kind: str, name: str, slots: int
) -> None:
    faucet = str(bench.faucet.pubkey())

    async def run() -> tuple[int, dict[str, Any]]:
        sent, received, serving = await open_websocket(Subscriptions(bench.rpc))
        bench.pay(7)  # it lands before the subscription begins
        slot = bench.chain.state.head.slot
        about = {"mentions": [faucet]} if kind == "logs" else faucet
        params = [
            about,
            {"commitment": name, "encoding": "base64"} if kind == "account" else {"commitment": name},
        ]
        request = {"jsonrpc": "2.0", "id": 1, "method": f"{kind}Subscribe", "params": params}
        sent.put_nowait({"type": "websocket.receive", "text": json.dumps(request)})
        async with asyncio.timeout(10):
            assert "result" in await received.get()
            for _ in range(slots):
                make_block(bench.chain)
            note = await received.get()
        sent.put_nowait({"type": "websocket.disconnect"})
        await serving
        return slot, note

    slot, note = asyncio.run(run())

    assert (f"{kind}Notification", slot) == (note["method"], note["params"]["result"]["context"]["slot"])


def test_a_signature_is_notified_when_it_has_the_commitment(bench: Bench) -> None:
    async def run() -> list[int]:
        sent, received, serving = await open_websocket(Subscriptions(bench.rpc))
        signature, slots = bench.pay(7), []
        for at, name in enumerate(NAMES):
            request = {"jsonrpc": "2.0", "id": at, "method": "signatureSubscribe"}
            params = [signature, {"commitment": name}]
            sent.put_nowait({"type": "websocket.receive", "text": json.dumps({**request, "params": params})})
        async with asyncio.timeout(10):
            assert [0, 1, 2] == sorted([(await received.get())["id"] for _ in NAMES])
            for _ in NAMES:
                assert (await received.get())["params"]["result"]["value"] == {"err": None}
                slots.append(bench.chain.state.head.slot)
                make_block(bench.chain)
        sent.put_nowait({"type": "websocket.disconnect"})
        await serving
        return slots

    slots = asyncio.run(run())

    assert [slots[0], slots[0] + 1, slots[0] + 2] == slots


# A running ledger


@pytest.fixture(scope="module")
def running_ledger(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("commitments") / "ledger") as ledger:
        yield ledger


def wait_for(ledger: RunningLedger, signature: str, name: str) -> None:
    while (
        ledger.call("getSignatureStatuses", [signature])["value"][0]["confirmationStatus"]
        not in (NAMES[NAMES.index(name) :])
    ):
        pass  # the ledger makes blocks until it is final


def test_after_confirmed_the_same_transaction_can_be_built_again(running_ledger: RunningLedger) -> None:
    ledger, payer, target = running_ledger, Keypair(), Keypair().pubkey()
    ledger.fund(payer)

    def build() -> bytes:
        tick = Hash.from_string(
            ledger.call("getLatestBlockhash", {"commitment": "confirmed"})["value"]["blockhash"]
        )
        message = Message.new_with_blockhash([give(payer, target, 1000)], payer.pubkey(), tick)
        return bytes(Transaction([payer], message, tick))

    for count in range(1, 6):
        wait_for(ledger, ledger.send(build()), "confirmed")
        config = {"commitment": "confirmed"}
        assert 1000 * count == ledger.call("getBalance", str(target), config)["value"]


def test_after_confirmed_a_nonce_that_was_moved_on_can_be_used(running_ledger: RunningLedger) -> None:
    ledger, payer, nonce = running_ledger, Keypair(), Keypair()
    ledger.fund(payer)
    create = create_account(
        CreateAccountParams(
            from_pubkey=payer.pubkey(),
            to_pubkey=nonce.pubkey(),
            lamports=2_000_000,
            space=80,
            owner=Pubkey.default(),
        )
    )
    init = initialize_nonce_account(
        InitializeNonceAccountParams(nonce_pubkey=nonce.pubkey(), authority=payer.pubkey())
    )
    advance = advance_nonce_account(
        AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=payer.pubkey())
    )
    tick = Hash.from_string(ledger.call("getLatestBlockhash")["value"]["blockhash"])
    message = Message.new_with_blockhash([create, init], payer.pubkey(), tick)
    wait_for(ledger, ledger.send(bytes(Transaction([payer, nonce], message, tick))), "confirmed")

    values = []
    for _ in range(4):
        config = {"commitment": "confirmed", "encoding": "jsonParsed"}
        account = ledger.call("getAccountInfo", str(nonce.pubkey()), config)["value"]
        values.append(account["data"]["parsed"]["info"]["blockhash"])
        tick = Hash.from_string(values[-1])
        message = Message.new_with_blockhash([advance], payer.pubkey(), tick)
        wait_for(ledger, ledger.send(bytes(Transaction([payer], message, tick))), "confirmed")

    assert len(set(values)) == 4


def test_an_idle_ledger_makes_blocks_until_the_last_transactions_are_final(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", None, "--slot-ms", "200") as ledger:
        payer = Keypair()
        signature = ledger.call("requestAirdrop", str(payer.pubkey()), 5)
        wait_for(ledger, signature, "finalized")

        landed = ledger.call("getTransaction", signature)["slot"]
        assert ledger.call("getLedger")["slot"] - landed <= 3
