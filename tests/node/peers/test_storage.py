"""Blobs on disk and from peers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from roundwork.errors import StoreFull
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.storage import BLOB_BYTES_MAX, BlobStore, fetch_blob
from roundwork.package.content import compute_content_id

from .neighbours import serve


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", quota_bytes=1000)


def test_a_blob_is_got_by_its_content_id(store: BlobStore, tmp_path: Path) -> None:
    content_id = store.put(b"data", "task", 1)
    store.close()

    again = BlobStore(tmp_path / "blobs")

    assert content_id == compute_content_id(b"data")
    assert again.get(content_id) == b"data"
    assert again.get(compute_content_id(b"other")) is None
    assert again.get("../../etc/passwd") is None


def test_a_blob_that_was_changed_on_disk_is_not_there(store: BlobStore, tmp_path: Path) -> None:
    content_id = store.put(b"data", "task", 1)
    [path] = (tmp_path / "blobs").rglob(content_id)
    path.write_bytes(b"tampered")

    assert store.get(content_id) is None
    assert store.put(b"data", "task", 1) == content_id
    assert store.get(content_id) == b"data"


def test_a_blob_lives_as_long_as_the_last_round_that_put_it(store: BlobStore) -> None:
    shared = store.put(b"shared", "one", 1)
    store.put(b"shared", "two", 5)
    own = store.put(b"own", "one", 1)

    store.drop("one", 2)

    assert store.get(own) is None
    assert store.get(shared) == b"shared"
    store.drop("two", 6)
    assert store.get(shared) is None


def test_a_tasks_quota_bounds_what_it_keeps_and_is_freed_with_its_rounds(store: BlobStore) -> None:
    store.put(bytes(900), "task", 1)

    with pytest.raises(StoreFull, match="keeps 900 bytes of 1000: no room for 101"):
        store.put(bytes(101), "task", 1)
    store.put(bytes(101), "other", 1)
    store.drop("task", 2)
    store.put(bytes(101), "task", 3)

    assert store.measure("task") == 101


def test_a_blob_that_is_too_large_is_refused(store: BlobStore) -> None:
    with pytest.raises(StoreFull, match="is too large"):
        store.put(bytes(BLOB_BYTES_MAX + 1), "task", 1)


def _answering(status: int, body: bytes) -> Callable[..., Awaitable[None]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return app


def test_every_byte_from_a_peer_is_checked_against_the_id() -> None:
    content_id = compute_content_id(b"right")

    async def run() -> tuple[bytes | None, bytes | None]:
        fetcher = Fetcher(is_development=True)
        async with (
            serve(_answering(200, b"wrong")) as liar,
            serve(_answering(404, b"right")) as gone,
            serve(_answering(200, b"right")) as honest,
        ):
            wrong = [liar, gone, "http://127.0.0.1:1", "file:///etc/passwd", "", "http://["]
            answers = (
                await fetch_blob(content_id, fetcher, [*wrong, honest]),
                await fetch_blob(content_id, fetcher, wrong),
            )
        await fetcher.close()
        return answers

    assert asyncio.run(run()) == (b"right", None)


def test_a_blob_for_another_round_takes_no_further_room(store: BlobStore) -> None:
    data = bytes(900)
    content_id = store.put(data, "task", 1)

    store.put(data, "task", 2)

    assert 900 == store.measure("task")
    store.drop("task", 2)
    assert data == store.get(content_id)
