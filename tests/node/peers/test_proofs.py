"""Where a node gets a proof: its own disk, the ledger, the proof's node, other nodes. Never a large one."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roundwork.client.rpc import Client
from roundwork.node.peers.gateway import build_gateway
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.proofs import PROOF_BYTES_MAX, Proofs
from roundwork.node.peers.storage import BlobStore
from roundwork.package.content import compute_content_id
from roundwork.views import HeadView, OwnView

from ...participant.test_reading import head_of
from .neighbours import serve

PROOF, OTHER = b"the work of a round", b"other work"
VALUE = compute_content_id(PROOF)
TASK, ROUND = "task", 7


class Street:
    """The node "own", other nodes, and a ledger that answers what is posted on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = BlobStore(directory / "own")
        self.posted: bytes | None = None
        self.endpoint = ""
        """The URL of "owner" by the ledger; the word "new" stands for that of the node "new"."""
        self.requests: list[str] = []
        """Who got a request, in order."""

    @asynccontextmanager
    async def open(self, nodes: Mapping[str, tuple[bytes, ...]]) -> AsyncIterator[Proofs]:
        """The proofs of "own". Each of the nodes serves its blobs."""
        async with AsyncExitStack() as stack:
            fetcher = Fetcher(is_development=True)
            stack.push_async_callback(fetcher.close)
            url = await stack.enter_async_context(serve(self.make_ledger()))
            client = await stack.enter_async_context(Client(url))
            endpoints = {
                name: await stack.enter_async_context(serve(self.make_node(name, blobs)))
                for name, blobs in nodes.items()
            }
            if self.endpoint == "new":  # the node has not read of it yet
                self.endpoint = endpoints.pop("new")
            yield Proofs(client, TASK, "own", self.store, fetcher, lambda: endpoints)

    def make_node(self, name: str, blobs: tuple[bytes, ...]) -> Any:
        """The gateway of a node; it notes each request."""
        store = BlobStore(self.directory / f"{name}'s")
        for blob in blobs:
            store.put(blob, TASK, ROUND)
        gateway = build_gateway(store=store, get_tasks=dict, registrations={}, get_metrics=dict)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            self.requests.append(name)
            await gateway(scope, receive, send)

        return app

    def make_ledger(self) -> Any:
        """A ledger that answers what is posted, and where "owner" can be reached."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            self.requests.append("ledger")
            request = msgspec.json.decode((await receive())["body"])
            result: Any = None if self.posted is None else self.posted.hex()
            if request["method"] == "getTaskHead":
                assert [TASK, "owner"] == request["params"]
                own = OwnView(node="owner", slot=0, amount=1, endpoint=self.endpoint)
                result = HeadView(head_of(), own)
            else:
                assert ("getPostedProof", [TASK, ROUND, "owner"]) == (request["method"], request["params"])
            body = msgspec.json.encode({"jsonrpc": "2.0", "id": request["id"], "result": result})
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return app

    def fetch(
        self, nodes: Mapping[str, tuple[bytes, ...]], is_posted: bool = False, value: str = VALUE
    ) -> bytes | None:
        """What "own" gets of a value that "owner" submitted."""

        async def run() -> bytes | None:
            async with self.open(nodes) as proofs:
                return await proofs.fetch(value, ROUND, "owner", is_posted)

        return asyncio.run(run())


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path)


def test_a_proof_that_is_here_is_requested_nowhere(street: Street) -> None:
    street.store.put(PROOF, TASK, ROUND)

    assert PROOF == street.fetch({"owner": (PROOF,)}, is_posted=True)
    assert [] == street.requests


def test_a_proof_that_was_here_for_an_earlier_round_is_kept_for_the_later_one_too(street: Street) -> None:
    street.store.put(PROOF, TASK, ROUND - 3)

    assert PROOF == street.fetch({})

    street.store.drop(TASK, ROUND)
    assert PROOF == street.store.get(VALUE)


def test_its_node_gets_the_first_request_and_the_proof_is_kept_for_its_round(street: Street) -> None:
    assert PROOF == street.fetch({"own": (PROOF,), "other": (PROOF,), "owner": (PROOF,)})

    assert "owner" == street.requests[0]  # a busy machine may request the next one beside it
    assert "own" not in street.requests
    street.store.drop(TASK, ROUND)
    assert PROOF == street.store.get(VALUE)  # served to others until the round is closed
    street.store.drop(TASK, ROUND + 1)
    assert street.store.get(VALUE) is None


def test_a_proof_that_its_node_withholds_comes_from_another_that_has_it(street: Street) -> None:
    assert PROOF == street.fetch({"owner": (), "other": (PROOF,)})

    assert ["owner", "other"] == street.requests


def test_a_node_sends_itself_no_request_and_what_nobody_serves_is_not_had(street: Street) -> None:
    assert street.fetch({"own": (PROOF,), "owner": (OTHER,)}) is None

    assert ["owner", "ledger"] == street.requests
    assert street.store.get(VALUE) is None


@pytest.mark.parametrize("others", [{}, {"other": ()}, {"other": (), "owner": ()}])
def test_a_node_that_has_just_staked_or_moved_is_found_by_the_ledger(
    street: Street, others: dict[str, tuple[bytes, ...]]
) -> None:
    street.endpoint = "new"

    assert PROOF == street.fetch({**others, "new": (PROOF,)})

    assert 1 == street.requests.count("ledger")
    assert 1 == street.requests.count("new")


def test_an_owner_that_is_known_and_serves_costs_no_request_to_the_ledger(street: Street) -> None:
    assert PROOF == street.fetch({"owner": (PROOF,)})

    assert ["owner"] == street.requests


def test_a_posted_proof_comes_from_the_ledger_alone(street: Street) -> None:
    street.posted = PROOF

    assert PROOF == street.fetch({"owner": (PROOF,)}, is_posted=True)

    assert ["ledger"] == street.requests
    assert PROOF == street.store.get(VALUE)


@pytest.mark.parametrize("posted", [None, b"", OTHER])
def test_a_ledger_that_answers_other_bytes_is_not_believed(street: Street, posted: bytes | None) -> None:
    street.posted = posted

    assert PROOF == street.fetch({"owner": (PROOF,)}, is_posted=True)

    assert ["ledger", "owner"] == street.requests
    assert street.store.get(compute_content_id(OTHER)) is None


def test_the_text_behind_a_content_id_belongs_to_the_author(street: Street) -> None:
    assert PROOF == street.fetch({"owner": (PROOF,)}, value=f"{VALUE} 12 pages")


@pytest.mark.parametrize(("size", "is_had"), [(PROOF_BYTES_MAX, True), (PROOF_BYTES_MAX + 1, False)])
def test_a_proof_that_cannot_be_posted_is_not_had(street: Street, size: int, is_had: bool) -> None:
    proof = b"p" * size
    value = compute_content_id(proof)

    assert is_had == (street.fetch({"owner": (proof,)}, value=value) == proof)
    assert is_had == (street.store.get(value) is not None)


@pytest.mark.parametrize(("size", "is_had"), [(0, False), (1, True), (16_000, True), (16_001, False)])
def test_only_a_proof_of_1_to_16_000_bytes_is_posted(street: Street, size: int, is_had: bool) -> None:
    proof = b"p" * size
    value = street.store.put(proof, TASK, ROUND)

    async def run() -> bytes | None:
        async with street.open({}) as proofs:
            return await proofs.get(value)

    assert (proof if is_had else None) == asyncio.run(run())
