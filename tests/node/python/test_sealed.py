"""What a node sends under roundwork-1: wave after wave, and the fees of a challenge to the key that pays."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from solders.instruction import Instruction as SignedInstruction
from solders.keypair import Keypair

from roundwork.client.messages import pay, wrap
from roundwork.client.rpc import Client
from roundwork.errors import AlreadyChallenged, RemoteError
from roundwork.node.lookout import CurrentTask, Identity
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.proofs import Proofs
from roundwork.node.peers.storage import BlobStore
from roundwork.node.python.sealed import SENDING_MAX, SealedSending
from roundwork.participant import sealed as duties
from roundwork.participant.sealed_step import DrawnRound
from roundwork.protocol.params import NodeKey, base58_of
from roundwork.protocol.read import view_ledger, view_round, view_task
from roundwork.protocol.read_hardened import view_assignments
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.commitments import PIECES_MAX, SealKind

from ...protocol.hardened import FEE, NODES, Hardened, name_proof
from ..peers.neighbours import serve

PROOF = b"p" * 800 + b"q" * 8
STAKING, PAYER = Keypair.from_seed(bytes([1]) * 32), Keypair.from_seed(bytes([2]) * 32)
HELD = PIECES_MAX * FEE


class Post:
    """A sender whose transactions are durable, refused, or on their way until `go` is set."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.sent: list[list[SignedInstruction]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.under_way = 0
        self.most = 0
        self._refusal = refusal

    async def send(self, instructions: list[SignedInstruction]) -> None:
        self.sent.append(instructions)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.go.wait()
        await asyncio.sleep(0)
        self.under_way -= 1
        if self._refusal is not None:
            raise self._refusal


class Place:
    """A round whose proofs are revealed, and a ledger that answers who has how much."""

    def __init__(self, directory: Path, balance: int = 0) -> None:
        self.world = Hardened().submitted({"n01": name_proof(PROOF)})
        self.store = BlobStore(directory / "blobs")
        self.balance = balance
        self.owner = base58_of(self.world.key("n01"))
        node = NodeKey(bytes(STAKING.pubkey()))
        self.shown = DrawnRound(
            view_round(self.world.state, self.world.task, 0),
            view_assignments(self.world.state, self.world.task, 0, node),
        )

    @asynccontextmanager
    async def open(self, post: Post) -> AsyncIterator[SealedSending]:
        identity = Identity(PAYER, STAKING, b"s" * 32, 0, "")
        current = CurrentTask(view_task(self.world.state, self.world.task))
        fetcher = Fetcher(is_development=True)
        async with serve(self.make_ledger()) as url, Client(url) as client:
            proofs = Proofs(client, current.task.address, identity.node, self.store, fetcher, dict)
            yield SealedSending(client, identity, current, proofs, post.send)
        await fetcher.close()

    def make_ledger(self) -> Any:
        """A ledger that answers its parameters and a balance."""
        answers: dict[str, Callable[[], Any]] = {
            "getLedger": lambda: view_ledger(self.world.state),
            "getBalance": lambda: {"value": self.balance},
        }

        async def app(scope: Any, receive: Any, send: Any) -> None:
            request = msgspec.json.decode((await receive())["body"])
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": answers[request["method"]]()}
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})

        return app

    def send(
        self, duty: Any, post: Post, amounts: dict[str, int] | None = None
    ) -> list[list[SignedInstruction]]:
        async def run() -> None:
            async with self.open(post) as sending:
                await sending.send(duty, self.shown, amounts or {})

        asyncio.run(run())
        return post.sent


def test_each_instruction_is_a_transaction_of_its_own(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store.put(PROOF, "task", 0)

    sent = place.send(duties.PostProof(0, place.owner), Post())

    key = NodeKey(bytes(STAKING.pubkey()))
    pieces = enumerate((PROOF[:800], PROOF[800:]))
    owner = place.world.key("n01")
    assert [
        [wrap(ins.Answer(place.world.task, key, owner, 0, chunk, data))] for chunk, data in pieces
    ] == sent


def test_a_list_is_handed_in_when_all_of_its_amounts_are_durable(tmp_path: Path) -> None:
    place, post = Place(tmp_path), Post()

    async def run() -> int:
        async with place.open(post) as sending:
            post.go.clear()
            job = asyncio.create_task(sending.send(duties.SendAmounts(0, 0), place.shown, {}))
            while not post.sent:  # noqa: ASYNC110 -- the first wave is under way then
                await asyncio.sleep(0)
            before = len(post.sent)
            post.go.set()
            await job
            return before

    assert 1 == asyncio.run(run())
    assert 2 == len(post.sent)
    key = NodeKey(bytes(STAKING.pubkey()))
    assert [wrap(ins.SubmitDistributionList(place.world.task, key, key, 0))] == post.sent[1]


def test_a_list_is_not_handed_in_when_an_upload_was_refused(tmp_path: Path) -> None:
    place, post = Place(tmp_path), Post(RemoteError("no"))

    with pytest.raises(RemoteError):
        place.send(duties.SendAmounts(0, 0), post)

    assert 1 == len(post.sent)


def test_no_more_than_a_few_transactions_are_under_way(tmp_path: Path) -> None:
    place, post = Place(tmp_path), Post()
    proof = b"p" * 800 * PIECES_MAX
    world = Hardened().submitted({"n01": name_proof(proof)})
    place.world = world
    place.shown = DrawnRound(view_round(world.state, world.task, 0), place.shown.own)
    place.store.put(proof, "task", 0)

    place.send(duties.PostProof(0, base58_of(world.key("n01"))), post)

    assert (PIECES_MAX, SENDING_MAX) == (len(post.sent), post.most)


@pytest.mark.parametrize(("balance", "is_filled"), [(0, True), (HELD - 1, True), (HELD, False)])
def test_the_main_key_fills_up_what_a_challenge_sets_aside(
    tmp_path: Path, balance: int, is_filled: bool
) -> None:
    place = Place(tmp_path, balance)

    *filled, challenge = place.send(duties.SendChallenge(0, place.owner), Post())

    assert ([[pay(PAYER, STAKING.pubkey(), HELD)]] if is_filled else []) == filled
    key, owner = NodeKey(bytes(STAKING.pubkey())), place.world.key("n01")
    assert [wrap(ins.Challenge(place.world.task, key, owner, 0))] == challenge


def test_a_refusal_is_raised_by_name(tmp_path: Path) -> None:
    place = Place(tmp_path, HELD)

    with pytest.raises(AlreadyChallenged):
        place.send(duties.SendChallenge(0, place.owner), Post(AlreadyChallenged("another node was faster")))


def test_a_proof_that_is_gone_is_not_posted(tmp_path: Path) -> None:
    place, post = Place(tmp_path), Post()

    with pytest.raises(RemoteError, match="is not here any more"):
        place.send(duties.PostProof(0, place.owner), post)

    assert [] == post.sent


def test_a_commitment_and_its_reveal_have_the_same_salt_in_every_process(tmp_path: Path) -> None:
    place = Place(tmp_path)
    numbers = count()

    def reveal() -> list[list[SignedInstruction]]:
        duty = duties.SendReveal(0, SealKind.SUBMISSION, b"the work")
        return Place(tmp_path / str(next(numbers))).send(duty, Post())

    assert reveal() == reveal()
    assert reveal() != place.send(duties.SendReveal(0, SealKind.SUBMISSION, b"other work"), Post())


def test_which_proofs_are_here_is_known_until_their_round_is_closed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store.put(PROOF, "task", 0)
    nobody = next(each.node for each in place.shown.round.submissions if each.node != place.owner)

    async def run() -> list[dict[int, frozenset[str]]]:
        async with place.open(Post()) as sending:
            await sending.fetch(duties.FetchProof(0, place.owner), place.shown)
            seen = [dict(sending.fetched)]
            with pytest.raises(RemoteError, match=f"no node serves the proof of {nobody}"):
                await sending.fetch(duties.FetchProof(0, nobody), place.shown)
            for closed in (0, 1):
                sending.forget(closed)
                seen.append(dict(sending.fetched))
            return seen

    here = {0: frozenset((place.owner,))}
    assert [here, here, {}] == asyncio.run(run())
    assert len(NODES) == len(place.shown.round.submissions)
