"""How long a node waits for peers, and what it puts together from the parts that it has."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from roundwork.client.rpc import Client
from roundwork.ledger.rpc.reads import make_blob
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.parts import PATIENCE_SECONDS_MAX, PartBook, compute_patience, name_store
from roundwork.node.peers.storage import BlobStore
from roundwork.protocol.read import view_head
from roundwork.views import AmountRow, PartIndex, PartKey, PartKind, PartView, TaskHead

from ...protocol.hardened import Hardened
from ...town import Town

NOWHERE = "http://127.0.0.1:1"
LISTS = [PartKey(0, PartKind.LIST, attempt) for attempt in (0, 1)]


def read_head(rules: str) -> TaskHead:
    if rules == "roundwork-1":
        world = Hardened().submitted()
        return view_head(world.state, world.task)
    town = Town(3)
    town.live_until(12, 1)
    return view_head(town.world.state, town.world.task)


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
def test_peers_have_a_part_of_the_shortest_window_that_needs_parts(rules: str) -> None:
    head = msgspec.structs.replace(
        read_head(rules), round_time=200, submission_window=63, audit_window=128, starting_slot=0
    )

    assert {"koii-1": 64 / 8, "roundwork-1": 16 / 4}[rules] * 0.25 == compute_patience(head, 0.25)
    assert PATIENCE_SECONDS_MAX == compute_patience(head, 10.0)


def test_the_list_of_a_retry_is_not_taken_for_the_first_one(tmp_path: Path) -> None:
    """Both have as many rows; the parts lie on disk, so that nothing else is read."""
    head, store = read_head("roundwork-1"), BlobStore(tmp_path)
    parts = []
    for part in LISTS:
        [page, index] = compose_list(head, part)
        for data in (page, index):
            store.put(data, name_store(head.task), 0)
        parts.append(PartView(part.kind, part.attempt, 1, make_blob(index)[0]))
    rounds = [msgspec.structs.replace(shown, parts=parts) for shown in head.rounds if shown.round == 0]
    head = msgspec.structs.replace(head, rounds=rounds)

    async def read() -> list[list[int]]:
        async with Client(NOWHERE) as client:
            fetcher = Fetcher(is_development=True)
            book = PartBook(client, fetcher, store, "me", dict)
            try:
                book.need(LISTS, head, 0.1)
                async with asyncio.timeout(30):
                    while len([part for part in LISTS if book.compose([part])]) < len(LISTS):
                        await book.news.wait()
                        book.news.clear()
                return [[*(book.compose([part])[0].amounts or {}).values()] for part in LISTS]
            finally:
                await book.close()
                await fetcher.close()

    amounts = asyncio.run(read())
    store.close()

    assert [[1], [2]] == amounts


def compose_list(head: TaskHead, part: PartKey) -> tuple[bytes, bytes]:
    """A page with one amount, and its index."""
    page = msgspec.msgpack.encode([AmountRow(bytes(32), part.attempt + 1)])
    index = PartIndex(bytes(32), part.round, part.kind.value, part.attempt, 1, [make_blob(page)[0]])
    return page, msgspec.msgpack.encode(index)
