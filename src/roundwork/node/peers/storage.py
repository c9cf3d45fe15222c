"""Content-addressed blobs: kept on disk under their content id, fetched from peers, always checked."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...errors import StoreCorrupt, StoreFull
from ...host.files import READABLE_BY_OWNER, replace_file
from ...package.content import compute_content_id, is_content_id
from ...sdk.saved import shows_damage
from ..answers import ServiceError
from .endpoints import FindEndpoint
from .outgoing import Fetcher

BLOB_BYTES_MAX = 32 * 1024 * 1024
QUOTA_BYTES = 1024 * 1024 * 1024
PEERS_MAX = 8
"""At most this many endpoints get a request for a blob."""
PEER_SECONDS = 10.0
PATIENCE_SECONDS = 1.0
"""A peer that takes longer no longer holds up the request to the next one."""

INDEX = "index.sqlite"
"""The file that says for which task and round each blob was put."""


class BlobStore:
    """Blobs of one node on disk, and for which task and round each was put. Safe to use from threads."""

    def __init__(self, directory: Path, quota_bytes: int = QUOTA_BYTES) -> None:
        """Raises StoreCorrupt, StoreFull."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._quota_bytes = quota_bytes
        self._lock = threading.Lock()
        path = directory / INDEX
        self._index = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._index.execute("PRAGMA journal_mode = WAL")
            self._index.execute(
                "CREATE TABLE IF NOT EXISTS puts (content_id TEXT, task TEXT, round INTEGER, size INTEGER,"
                " PRIMARY KEY (content_id, task, round)) WITHOUT ROWID"
            )
            [(fault,)] = self._index.execute("PRAGMA integrity_check(1)").fetchall()
            if fault != "ok":
                raise sqlite3.DatabaseError(fault)
            self._index.execute("SELECT content_id, task, round, size FROM puts").fetchall()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            self._index.close()
            if not shows_damage(error):
                raise StoreFull(f"{path}: {error}") from error
            raise StoreCorrupt(
                f"{path}: {error}; delete it: blobs stay and are served, and are not dropped any more"
            ) from error

    def put(self, data: bytes, task: str, round: int) -> str:
        """Keep a blob for a task's round; its content id. Durable when this returns.

        Raises StoreFull when the blob is too large, or the task's quota or the disk is used up.
        """
        if len(data) > BLOB_BYTES_MAX:
            raise StoreFull(f"a blob of {len(data)} bytes is too large; {BLOB_BYTES_MAX} are allowed")
        content_id = compute_content_id(data)
        with self._lock:
            used = self._measure(task)
            if not self._has(task, content_id) and used + len(data) > self._quota_bytes:
                raise StoreFull(
                    f"task {task} keeps {used} bytes of {self._quota_bytes}: no room for {len(data)}"
                )
            try:
                self._write(content_id, data)
                row = (content_id, task, round, len(data))
                self._index.execute("INSERT OR IGNORE INTO puts VALUES (?, ?, ?, ?)", row)
            except (OSError, sqlite3.Error) as error:
                raise StoreFull(f"blob {content_id} cannot be written: {error}") from error
        return content_id

    def get(self, content_id: str) -> bytes | None:
        """A blob that is here and is what its id says; None otherwise."""
        return read_blob(self._directory, content_id)

    def drop(self, task: str, before_round: int) -> None:
        """Drop what was put for rounds below `before_round`; delete blobs that no other put keeps."""
        with self._lock:
            gone = self._index.execute(
                "SELECT DISTINCT content_id FROM puts WHERE task = ? AND round < ?", (task, before_round)
            ).fetchall()
            self._index.execute("DELETE FROM puts WHERE task = ? AND round < ?", (task, before_round))
            for (content_id,) in gone:
                row = self._index.execute("SELECT 1 FROM puts WHERE content_id = ?", (content_id,))
                if row.fetchone() is None:
                    self._path_of(content_id).unlink(missing_ok=True)

    def measure(self, task: str) -> int:
        """Bytes kept for a task."""
        with self._lock:
            return self._measure(task)

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def _measure(self, task: str) -> int:
        sizes = "SELECT sum(size) FROM (SELECT DISTINCT content_id, size FROM puts WHERE task = ?)"
        return int(self._index.execute(sizes, (task,)).fetchone()[0] or 0)

    def _has(self, task: str, content_id: str) -> bool:
        """Whether a task has put a blob already: for another round it takes no further room."""
        found = self._index.execute(
            "SELECT 1 FROM puts WHERE (task, content_id) = (?, ?)", (task, content_id)
        )
        return found.fetchone() is not None

    def _write(self, content_id: str, data: bytes) -> None:
        path = self._path_of(content_id)
        if self.get(content_id) is not None:
            return
        path.parent.mkdir(exist_ok=True)
        replace_file(path, data, READABLE_BY_OWNER)

    def _path_of(self, content_id: str) -> Path:
        return _find_path(self._directory, content_id)


def read_blob(directory: Path, content_id: str) -> bytes | None:
    """A blob in the directory of a store that is what its id says; None otherwise."""
    if not is_content_id(content_id):
        return None
    try:
        data = _find_path(directory, content_id).read_bytes()
    except FileNotFoundError:
        return None
    return data if compute_content_id(data) == content_id else None


def is_store(directory: Path) -> bool:
    """Whether a directory has the index of a store, or blobs."""
    blobs = (path for path in directory.glob("??/*") if is_content_id(path.name))
    return (directory / INDEX).is_file() or any(blobs)


def _find_path(directory: Path, content_id: str) -> Path:
    return directory / content_id[-2:] / content_id


class TaskBlobs:
    """The blobs of one task on a node: put here for the others to get, fetched from them when needed.

    `node` is this node's address; `get_endpoints` gives the URL of each of the task's nodes that is known
    now, `find_endpoint` that of one that is not.
    """

    def __init__(
        self,
        task: str,
        node: str,
        store: BlobStore,
        fetcher: Fetcher,
        get_endpoints: Callable[[], Mapping[str, str]],
        find_endpoint: FindEndpoint,
    ) -> None:
        self._task = task
        self._node = node
        self._store = store
        self._fetcher = fetcher
        self._get_endpoints = get_endpoints
        self._find_endpoint = find_endpoint

    async def put(self, data: bytes, round_number: int) -> str:
        """Keep a blob for a round; its content id. Raises StoreFull."""
        return await asyncio.to_thread(self._store.put, data, self._task, round_number)

    async def get(self, content_id: str, round_number: int, first: str | None) -> bytes:
        """A blob: from here, from the node `first`, from others. What is fetched is kept for the round.

        Raises ServiceError: InvalidSubmission for a text that is not a content id, Unavailable. StoreFull.
        """
        if not is_content_id(content_id):
            raise ServiceError("InvalidSubmission", f"{content_id[:100]!r} is not a content id")
        data = await asyncio.to_thread(self._store.get, content_id)
        if data is None:
            endpoints = dict(self._get_endpoints())
            endpoints.pop(self._node, None)
            chosen = ""
            if first and first != self._node:
                chosen = endpoints.pop(first, "") or await self._find_endpoint(first)
            urls = [*filter(None, (chosen, *endpoints.values()))]
            data = await fetch_blob(content_id, self._fetcher, urls)
            if data is None:
                raise ServiceError("Unavailable", f"no node serves {content_id}")
            await self.put(data, round_number)
        return data

    async def drop(self, before_round: int) -> None:
        """Drop what was put for rounds below `before_round`."""
        await asyncio.to_thread(self._store.drop, self._task, before_round)


async def fetch_blob(
    content_id: str, fetcher: Fetcher, endpoints: Sequence[str], bytes_max: int = BLOB_BYTES_MAX
) -> bytes | None:
    """A blob from the first of the endpoints that serves the right bytes; None if none does.

    The first endpoint gets the first request, the others follow in random order: so a stranger cannot decide
    which endpoint is left out. Each has PATIENCE_SECONDS before the next is requested beside it.
    """
    first, *others = dict.fromkeys(endpoints) or [""]
    chosen = [first, *random.sample(others, len(others))][:PEERS_MAX] if first else []
    requests: set[asyncio.Task[bytes | None]] = set()
    try:
        while chosen or requests:
            if chosen:
                requests.add(asyncio.create_task(_fetch_from(content_id, fetcher, chosen.pop(0), bytes_max)))
            patience = PATIENCE_SECONDS if chosen else None
            done, requests = await asyncio.wait(
                requests, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            found = next((request.result() for request in done if request.result() is not None), None)
            if found is not None:
                return found
    finally:
        for request in requests:
            request.cancel()
    return None


async def _fetch_from(content_id: str, fetcher: Fetcher, endpoint: str, bytes_max: int) -> bytes | None:
    """A blob from one endpoint, which a stranger wrote into the ledger: anything may be wrong with it."""
    try:
        answer = await fetcher.fetch(
            "GET",
            f"{endpoint.rstrip('/')}/ipfs/{content_id}",
            hosts=None,
            body_bytes_max=bytes_max,
            timeout_seconds=PEER_SECONDS,
        )
    except ServiceError:
        return None
    computed = await asyncio.to_thread(compute_content_id, answer.body)
    return answer.body if answer.status == 200 and computed == content_id else None
