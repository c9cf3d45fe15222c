"""Parts of rounds, from peers that serve wrong, short or endless bytes, and from a ledger that is killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from roundwork.client.rpc import Client
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.parts import SEEDS, PartBook
from roundwork.node.peers.storage import BlobStore
from roundwork.participant.parts import RoundParts
from roundwork.views import PartIndex, PartKey, PartKind, TaskHead

from ..ledger.process import RunningLedger, running
from ..ledger.rpc.test_reads import NODES, Place, submit_all
from .servers import HEAD, serve_bytes

SLOT_SECONDS = 0.05


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running(tmp_path_factory.mktemp("parts") / "ledger") as ledger:
        yield Place(ledger, *asyncio.run(submit_all(ledger)))


@asynccontextmanager
async def open_book(
    directory: Path, url: str, endpoints: Mapping[str, str], node: str = "me"
) -> AsyncIterator[PartBook]:
    fetcher, store = Fetcher(is_development=True), BlobStore(directory / "blobs")
    async with Client(url) as client:
        book = PartBook(client, fetcher, store, node, lambda: endpoints)
        try:
            yield book
        finally:
            await book.close()
            await fetcher.close()
            store.close()


async def read(book: PartBook, head: TaskHead, part: PartKey) -> RoundParts:
    """Wait for a part."""
    async with asyncio.timeout(30):
        while not (found := book.compose([part])):
            book.news.clear()
            book.need([part], head, SLOT_SECONDS)
            await book.news.wait()
    return found[part.round]


def list_blobs(place: Place) -> dict[str, bytes]:
    """The index and the pages of the submissions, by content id."""
    name = place.find_part(PartKind.SUBMISSIONS)
    index = place.get(name).content
    pages = msgspec.msgpack.decode(index, type=PartIndex).pages
    return {name: index, **{page: place.get(page).content for page in pages}}


def serve_with(blobs: Mapping[str, bytes], change: str) -> dict[str, bytes | None]:
    """What a peer answers by path, that serves blobs changed in a way."""
    answers: dict[str, bytes | None] = {}
    for name, data in blobs.items():
        whole = HEAD + b"content-length: %d\r\n\r\n" % len(data)
        answers[f"/ipfs/{name}"] = {
            "right": whole + data,
            "wrong": whole + bytes(len(data)),
            "another": HEAD + b"\r\n" + next(other for other in blobs.values() if other != data),
            "short": whole + data[:-3],
            "longer": HEAD + b"content-length: %d\r\n\r\n" % (len(data) + 1) + data + b"x",
            "endless": HEAD + b"\r\n" + bytes(3 * 2**20),
            "garbage": b"\xff\x00",
            "silent": None,
        }[change]
    return answers


def make_peers(url: str, count: int = 8) -> dict[str, str]:
    return {f"peer {at}": url for at in range(count)}


def find_follower(names: Mapping[str, bytes], peers: Mapping[str, str]) -> str:
    """A node's name that reads none of the blobs from the ledger at once."""
    for at in range(1_000):
        book = PartBook(None, None, None, f"node {at}", lambda: peers)  # type: ignore[arg-type] # only hashes
        if not any(book.is_seed(name) for name in names):
            return f"node {at}"
    raise AssertionError("every node is a seed")


@pytest.mark.parametrize(
    ("nodes", "seeds"), [(1, 1), (2, 1), (7, 1), (8, 2), (12, 2), (16, 3), (24, 4), (300, SEEDS)]
)
def test_so_many_nodes_read_a_blob_from_the_ledger_at_once_and_never_none(nodes: int, seeds: int) -> None:
    names = [f"node {at}" for at in range(nodes)]
    endpoints = dict.fromkeys(names, "http://x")
    books = [PartBook(None, None, None, name, lambda: endpoints) for name in names]  # type: ignore[arg-type] # only hashes

    for blob in range(40):
        assert seeds == sum(book.is_seed(f"blob {blob}") for book in books)


@pytest.mark.parametrize(
    "change", ["wrong", "another", "short", "longer", "endless", "garbage", "silent", "none"]
)
def test_a_peer_that_serves_no_part_costs_its_patience_and_not_the_window(
    place: Place, tmp_path: Path, change: str
) -> None:
    part, head, blobs = PartKey(place.round, PartKind.SUBMISSIONS), place.get_head(), list_blobs(place)

    async def run() -> None:
        answers = serve_with(blobs, change) if change != "none" else {}
        async with serve_bytes(answers) as url:
            node = find_follower(blobs, make_peers(url))
            async with open_book(tmp_path, place.ledger.url, make_peers(url), node) as book:
                round_parts = await read(book, head, part)
                assert NODES == len(round_parts.submissions or ())
                assert 0 == book.read_from_peers
                assert sum(map(len, blobs.values())) == book.read_from_ledger

    asyncio.run(run())


def test_a_part_comes_from_peers_and_is_served_to_the_next(place: Place, tmp_path: Path) -> None:
    part, head, blobs = PartKey(place.round, PartKind.SUBMISSIONS), place.get_head(), list_blobs(place)

    async def run() -> None:
        async with serve_bytes(serve_with(blobs, "right")) as url, serve_bytes({}) as nowhere:
            peers = {"good": url, "bad": nowhere}
            node = find_follower(blobs, peers)
            async with open_book(tmp_path, place.ledger.url, peers, node) as book:
                await read(book, head, part)
                assert 0 == book.read_from_ledger
                assert sum(map(len, blobs.values())) == book.read_from_peers

    asyncio.run(run())
    kept = BlobStore(tmp_path / "blobs")
    assert blobs == {name: kept.get(name) for name in blobs}


def test_a_node_that_starts_again_reads_its_parts_from_its_disk(place: Place, tmp_path: Path) -> None:
    part, head = PartKey(place.round, PartKind.SUBMISSIONS), place.get_head()

    async def run() -> list[int]:
        counts = []
        for url in (place.ledger.url, "http://127.0.0.1:1"):  # the second time nothing answers
            async with open_book(tmp_path, url, {}) as book:
                await read(book, head, part)
                counts.append(book.read_from_ledger)
        return counts

    first, second = asyncio.run(run())
    assert first > 0
    assert 0 == second


def test_a_ledger_that_is_killed_leaves_parts_to_be_had_from_peers_and_then_serves_them_again(
    tmp_path: Path,
) -> None:
    ledger = RunningLedger(tmp_path / "ledger")
    place = Place(ledger, *asyncio.run(submit_all(ledger)))
    part, head, blobs = PartKey(place.round, PartKind.SUBMISSIONS), place.get_head(), list_blobs(place)
    ledger.kill()

    async def read_from_peers() -> None:
        async with serve_bytes(serve_with(blobs, "right")) as url:
            for node in ("a seed", find_follower(blobs, {"peer": url})):
                async with open_book(tmp_path / node, ledger.url, {"peer": url}, node) as book:
                    await read(book, head, part)
                    assert 0 == book.read_from_ledger

    async def read_from_ledger(again: Place) -> None:
        async with open_book(tmp_path / "last", ledger.url, {}) as book:
            reading = asyncio.create_task(read(book, again.get_head(), part))
            assert NODES == len((await reading).submissions or ())

    asyncio.run(read_from_peers())
    with running(tmp_path / "ledger", ledger.port) as again:
        asyncio.run(read_from_ledger(Place(again, place.task, place.nodes, place.round)))
