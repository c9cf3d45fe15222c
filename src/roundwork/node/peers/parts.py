"""Parts of rounds on a node: read from peers or the ledger, checked, kept, and served to peers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ...client.rpc import BLOB_BYTES_MAX, Client
from ...errors import Malformed, RemoteError, StoreFull
from ...package.content import compute_content_id
from ...participant.moment import compute_moment
from ...participant.parts import RoundParts, compose_round
from ...participant.sealed_parts import count_rows
from ...protocol.params import KOII_1, ROUNDWORK_1
from ...protocol.tasks.round import WINDOWS, Activity
from ...views import GROWING, PART_ROWS, PartIndex, PartKey, PartView, RoundHead, Row, TaskHead
from ...wire import decode_msgpack
from .outgoing import Fetcher
from .storage import BlobStore, fetch_blob

SEEDS = 4
"""So many nodes of a task read a blob from the ledger at once; the others wait for them."""

NODES_PER_SEED = 8
"""If a task has few nodes, one node reads from the ledger at once, and one more for so many nodes."""

RANKED_SHARE = 16
"""Only the nodes with the smallest digests, this many for each seed, count whose digest is smaller."""

PEERS_AT_ONCE = 3
"""Peers that get a request for a blob before the node pauses."""

PAUSE_SECONDS = 0.3
"""A pause before the peers are requested again; each is a random part of it, at least a half."""

PATIENCE_SECONDS_MAX = 5.0
PATIENCE: dict[str, tuple[int, tuple[Activity, ...]]] = {
    KOII_1.name: (8, (Activity.SUBMIT, Activity.AUDIT)),
    ROUNDWORK_1.name: (4, (Activity.CHALLENGE, Activity.CHECK, Activity.ACCUSE)),
}
"""Peers have this part of the shortest of these windows, at most PATIENCE_SECONDS_MAX.

Then the ledger is requested. By rule set; a challenge is sent from the middle of its window on.
"""

RETRY_SECONDS = 1.0
READ_SECONDS = 10.0
"""How long a task that requests a part waits for its rows."""

PAGES_AT_ONCE = 4

log = logging.getLogger(__name__)


class PartBook:
    """The parts that one node has read for one task.

    `read_from_peers` and `read_from_ledger` count the bytes of blobs by their source.
    """

    def __init__(
        self,
        client: Client,
        fetcher: Fetcher,
        store: BlobStore,
        node: str,
        get_endpoints: Callable[[], Mapping[str, str]],
    ) -> None:
        """`get_endpoints` gives the URLs of the task's nodes by address."""
        self.news = asyncio.Event()
        """Set when a part has come."""
        self.read_from_peers = 0
        self.read_from_ledger = 0
        self._client = client
        self._fetcher = fetcher
        self._store = store
        self._node = node
        self._get_endpoints = get_endpoints
        self._rows: dict[PartKey, list[Row]] = {}
        self._reading: dict[PartKey, asyncio.Task[None]] = {}
        self._composed: dict[int, tuple[object, RoundParts]] = {}
        """By round: the rows that it was composed of, and what came of them."""
        self._pages = asyncio.Semaphore(PAGES_AT_ONCE)
        self._first_round = 0
        self._head: TaskHead | None = None
        """The newest head."""
        self._next_head = asyncio.Event()
        """Set when the next head comes."""
        self._patience = 0.0
        """How many seconds peers have to serve a blob."""

    def need(self, parts: Collection[PartKey], head: TaskHead, slot_seconds: float) -> None:
        """Begin to read those of the parts that are not at hand, and forget the rounds that are closed."""
        self._forget(head)
        self._head = head
        self._next_head.set()
        self._next_head = asyncio.Event()
        self._patience = compute_patience(head, slot_seconds)
        for part in parts:
            frozen = find_part(head, part)
            if part in self._reading:
                continue
            if frozen is not None and part not in self._rows:
                self._begin(part, self._read_frozen(head.task, part, frozen))
            elif part.kind in GROWING and count_rows_of(head, part) > len(self._rows.get(part, ())):
                self._begin(part, self._read_growing(head.task, part))

    async def read_rows(self, part: PartKey, head: TaskHead) -> Sequence[Row] | None:
        """All rows that a part has at a head; None if they do not come within READ_SECONDS.

        None as well for a part that is neither frozen then nor grows.
        """
        frozen = find_part(head, part)
        if part.kind not in GROWING and frozen is None:
            return None
        count = count_rows_of(head, part) if frozen is None else frozen.rows
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_SECONDS):
                while count and len(self._rows.get(part, ())) < count:
                    if part not in self._reading:
                        read = (
                            self._read_growing(head.task, part)
                            if frozen is None
                            else self._read_frozen(head.task, part, frozen)
                        )
                        self._begin(part, read)
                    known = len(self._rows.get(part, ()))
                    await asyncio.wait([self._reading[part]])
                    if len(self._rows.get(part, ())) == known:  # it failed
                        break
        rows = self._rows.get(part, [])
        return rows if len(rows) >= count else None

    async def wait_for_head(self, slot: int) -> TaskHead | None:
        """The newest head, once it is of this slot or a later one; None before the first head."""
        while self._head is not None and self._head.slot < slot:
            await self._next_head.wait()
        return self._head

    def compose(self, parts: Collection[PartKey]) -> dict[int, RoundParts]:
        """Rounds, from those of the parts that are at hand."""
        at_hand: dict[int, dict[PartKey, Sequence[Row]]] = {}
        for part in parts:
            if part in self._rows:
                at_hand.setdefault(part.round, {})[part] = self._rows[part]
        rounds = {}
        for round_number, rows in at_hand.items():
            state = {part: len(each) for part, each in rows.items()}
            known, composed = self._composed.get(round_number, (None, None))
            if composed is None or known != state:
                composed = compose_round({part.kind: each for part, each in rows.items()})
                self._composed[round_number] = state, composed
            rounds[round_number] = composed
        return rounds

    def get_slot(self) -> int | None:
        """The slot of the newest head; None before the first."""
        return None if self._head is None else self._head.slot

    def get_metrics(self) -> dict[str, float]:
        """Bytes of parts that were read, by Prometheus name."""
        return {
            'roundwork_part_bytes{source="peers"}': float(self.read_from_peers),
            'roundwork_part_bytes{source="ledger"}': float(self.read_from_ledger),
        }

    async def close(self) -> None:
        """End what is being read."""
        for reading in self._reading.values():
            reading.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    def _forget(self, head: TaskHead) -> None:
        first = min((shown.round for shown in head.rounds), default=self._first_round)
        if first <= self._first_round:
            return
        self._first_round = first
        for part, reading in self._reading.items():
            if part.round < first:
                reading.cancel()
        self._rows = {part: rows for part, rows in self._rows.items() if part.round >= first}
        self._composed = {at: each for at, each in self._composed.items() if at >= first}
        self._store.drop(name_store(head.task), first)

    def _begin(self, part: PartKey, reading: Coroutine[None, None, list[Row]]) -> None:
        async def read() -> None:
            try:
                self._rows[part] = await reading
                self.news.set()
            except RemoteError as error:  # it is needed again in the next slot
                log.debug("%s of round %d: %s", part.kind.value, part.round, error)
            finally:
                del self._reading[part]

        self._reading[part] = asyncio.create_task(read())

    async def _read_growing(self, task: str, part: PartKey) -> list[Row]:
        known = self._rows.get(part, [])
        since = max((getattr(row, "slot", 0) for row in known), default=0)
        fresh = await self._client.get_rows(task, part, since)
        return list(dict.fromkeys([*known, *fresh]))

    async def _read_frozen(self, task: str, part: PartKey, frozen: PartView) -> list[Row]:
        """Raises RemoteError if the part is not what the head of the ledger says."""
        place = Place(task, part.round)
        index = decode(await self._read_blob(frozen.id, place), PartIndex)

        async def read_page(content_id: str) -> list[Row]:
            async with self._pages:
                data = await self._read_blob(content_id, place)
            row: Any = PART_ROWS[part.kind]
            rows: list[Row] = await asyncio.to_thread(decode, data, list[row])
            return rows

        pages = await asyncio.gather(*map(read_page, index.pages))
        rows = [row for page in pages for row in page]
        if not len(rows) == index.rows == frozen.rows:
            raise RemoteError(f"{frozen.id} has {len(rows)} rows; the ledger names {frozen.rows}")
        return rows

    # Blobs

    async def _read_blob(self, content_id: str, place: Place) -> bytes:
        """A blob from disk, from peers, or from the ledger. It is kept on disk."""
        found = await asyncio.to_thread(self._store.get, content_id)
        if found is not None:
            return found
        if not self.is_seed(content_id):
            found = await self._read_from_peers(content_id, self._patience)
        while found is None:
            found = await self._read_from_ledger(content_id)
            if found is None:
                found = await self._read_from_peers(content_id, RETRY_SECONDS)
        try:
            await asyncio.to_thread(self._store.put, found, name_store(place.task), place.round)
        except StoreFull as error:
            log.warning("%s of round %d cannot be served to peers: %s", content_id, place.round, error)
        return found

    def is_seed(self, content_id: str) -> bool:
        """Whether this node reads the blob from the ledger at once.

        The seeds are the nodes with the smallest digests of the blob's name and their address: all nodes that
        know one another agree on them, and there is always one.
        """
        peers = [node for node, url in self._get_endpoints().items() if url and node != self._node]
        seeds = min(SEEDS, 1 + (len(peers) + 1) // NODES_PER_SEED)
        own = _rank(content_id, self._node)
        if own * len(peers) > seeds * RANKED_SHARE << 64:
            return False
        smaller = (node for node in peers if _rank(content_id, node) < own)
        return len(list(islice(smaller, seeds))) < seeds

    def _list_peers(self) -> list[str]:
        return [url for node, url in self._get_endpoints().items() if url and node != self._node]

    async def _read_from_peers(self, content_id: str, seconds: float) -> bytes | None:
        """A blob from peers, which are requested again and again: they get it from one another."""
        endpoints = self._list_peers()
        pause = min(PAUSE_SECONDS, seconds / 4)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    some = random.sample(endpoints, min(PEERS_AT_ONCE, len(endpoints)))
                    found = await fetch_blob(content_id, self._fetcher, some, BLOB_BYTES_MAX)
                    if found is not None:
                        self.read_from_peers += len(found)
                        return found
                    await asyncio.sleep(pause * random.uniform(0.5, 1))
        except TimeoutError:
            return None

    async def _read_from_ledger(self, content_id: str) -> bytes | None:
        try:
            found = await self._client.get_blob(content_id)
        except RemoteError as error:
            log.debug("%s", error)
            return None
        if compute_content_id(found) != content_id:
            log.warning("the ledger serves other bytes as %s", content_id)
            return None
        self.read_from_ledger += len(found)
        return found


def _rank(content_id: str, node: str) -> int:
    """The digest of a blob's name and a node, below 2^64."""
    return int.from_bytes(hashlib.sha256(f"{content_id}/{node}".encode()).digest()[:8], "big")


class Place(NamedTuple):
    """The round of a task that a blob belongs to."""

    task: str
    round: int


def name_store(task: str) -> str:
    """The name under which a node's store has the parts of a task, beside what the task itself puts there."""
    return f"parts of {task}"


def find_part(head: TaskHead, part: PartKey) -> PartView | None:
    """What a head says of a frozen part; None if it is not frozen."""
    found = (
        each
        for shown in head.rounds
        if shown.round == part.round
        for each in shown.parts
        if (each.kind, each.attempt) == (part.kind, part.attempt)
    )
    return next(found, None)


def find_round(head: TaskHead, round_number: int) -> RoundHead | None:
    """What a head says of a round; None if it has nothing of it."""
    return next((shown for shown in head.rounds if shown.round == round_number), None)


def count_rows_of(head: TaskHead, part: PartKey) -> int:
    """The rows that a part which grows has by now."""
    shown = find_round(head, part.round)
    return 0 if shown is None else count_rows(shown, part.kind)


def compute_patience(head: TaskHead, slot_seconds: float) -> float:
    """How many seconds peers have to serve a blob."""
    share, activities = PATIENCE[head.rules]
    table = compute_moment(head, head.slot).table
    slots = [WINDOWS[head.rules][activity].compute_slots(table, 0) for activity in activities]
    shortest = min(last - first + 1 for first, last in slots)
    return min(shortest * slot_seconds / share, PATIENCE_SECONDS_MAX)


def decode(data: bytes, kind: Any) -> Any:
    """A blob's value. Raises RemoteError."""
    try:
        return decode_msgpack(data, kind)
    except Malformed as error:
        raise RemoteError(f"the ledger names a blob that is not a {kind}: {error}") from error
