"""What nodes read of tasks, made once for all of them: heads, parts of rounds, stakes since a slot."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import zstandard

from ...package.content import compute_content_id
from ...protocol.execute import Block, Outcome
from ...protocol.params import NodeKey, TaskKey, base58_of
from ...protocol.read import list_frozen, list_head_rounds, read_part, view_head
from ...protocol.records import Record, Stake
from ...protocol.state import ROUND_TABLES, TABLE_KINDS, State, u64
from ...protocol.tasks.cursor import RoundCursor
from ...views import PAGE_ROWS, PartIndex, PartKey, Row, StakeView, compute_stakes_digest
from ...wire import read_text
from ..chain import Chain

_STAKES = TABLE_KINDS["stakes"].letter
_encode_json = msgspec.json.Encoder().encode
_encode_rows = msgspec.msgpack.Encoder().encode


class Blob(NamedTuple):
    """A page or an index of a part, and the same compressed with zstd."""

    data: bytes
    compressed: bytes


class Part(NamedTuple):
    """A part as it is served: the content id of its index, and its blobs by content id."""

    id: str
    blobs: dict[str, Blob]


class TaskReads:
    """Heads of tasks by slot, frozen parts of rounds, and when stakes changed.

    Parts are kept as long as their round has records.
    """

    def __init__(self, chain: Chain, wait_for_disk: Callable[[], Awaitable[None]]) -> None:
        """`wait_for_disk` waits until the whole state is on disk."""
        self._chain = chain
        self._encoder = ThreadPoolExecutor(1, "parts")
        """A thread of its own: no long read of a client holds up the heads of all nodes."""
        self._wait_for_disk = wait_for_disk
        self._heads: dict[TaskKey, tuple[int, msgspec.Raw]] = {}
        """The slot of the head and its JSON, by task."""
        self._parts: dict[tuple[TaskKey, PartKey], asyncio.Task[Part]] = {}
        self._blobs: dict[str, Blob] = {}
        self._uses = Counter[str]()
        """Parts that have a blob, by content id: equal pages are kept once."""
        self._stakes: dict[TaskKey, StakeChanges] = {}
        chain.listeners.append(self._note_block)

    # Heads

    async def get_head(self, task: TaskKey) -> msgspec.Raw | None:
        """The JSON of a task's head, the same bytes in all of a slot; None if there is no such task."""
        while True:
            state = self._chain.state
            record = state.tasks.rows.get(task)
            if record is None:
                return None
            known = self._heads.get(task)
            if known is not None and known[0] == state.head.slot:
                return known[1]
            if self._chain.journal.height < state.head.height:
                await self._wait_for_disk()
                continue
            unmade = [part for part in self._list_parts(state, task) if not self._is_made(task, part)]
            if not unmade:
                return self._make_head(state, task)
            # Every copy is taken here: the next block changes the state, and may prune a round.
            making = [self._begin_part(state, task, part) for part in unmade]
            await asyncio.gather(*map(asyncio.shield, making))

    def _make_head(self, state: State, task: TaskKey) -> msgspec.Raw:
        self._drop_pruned(state, task)
        head = view_head(
            state, task, lambda part: self._parts[task, part].result().id, self.get_stakes(task).last_slot
        )
        raw = msgspec.Raw(_encode_json(head))
        self._heads[task] = state.head.slot, raw
        return raw

    # Parts

    def find_blob(self, content_id: str) -> Blob | None:
        """A page or an index by its content id."""
        return self._blobs.get(content_id)

    @staticmethod
    def _list_parts(state: State, task: TaskKey) -> list[PartKey]:
        round_numbers = list_head_rounds(state.tasks.rows[task], state.head.slot)
        return [part for each in round_numbers for part in list_frozen(RoundCursor(state, task, each))]

    def _is_made(self, task: TaskKey, part: PartKey) -> bool:
        making = self._parts.get((task, part))
        return making is not None and making.done()

    def _begin_part(self, state: State, task: TaskKey, part: PartKey) -> asyncio.Task[Part]:
        """What makes a part, or has made it."""
        making = self._parts.get((task, part))
        if making is None:
            round_state = copy_round(state, task, part.round)
            making = asyncio.create_task(self._encode(round_state, task, part))
            self._parts[task, part] = making
        return making

    async def _encode(self, state: State, task: TaskKey, part: PartKey) -> Part:
        """Make a part. One that fails is forgotten, so the next head makes it anew."""
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._encoder, encode_part, state, task, part)
        except BaseException:
            self._parts.pop((task, part), None)  # it may be pruned by now
            raise
        self._blobs |= made.blobs
        self._uses.update(made.blobs.keys())
        return made

    def _drop_pruned(self, state: State, task: TaskKey) -> None:
        for of, part in list(self._parts):
            is_pruned = of == task and RoundCursor(state, task, part.round).record is None
            if is_pruned and self._is_made(task, part):  # else the next head drops it
                made = self._parts.pop((of, part)).result()
                self._uses.subtract(made.blobs.keys())
                for content_id in made.blobs:
                    if not self._uses[content_id]:
                        del self._uses[content_id], self._blobs[content_id]

    # Stakes

    def get_stakes(self, task: TaskKey) -> "StakeChanges":
        """When the stakes of a task changed."""
        if task not in self._stakes:
            state = self._chain.state
            self._stakes[task] = StakeChanges(state.get_stakes(task).rows, state.head.slot)
        return self._stakes[task]

    def _note_block(self, block: Block, outcome: Outcome) -> None:
        for change in outcome.changes:
            if change.name[:1] == _STAKES and change.name[1:] in self._stakes:
                self._stakes[TaskKey(change.name[1:])].note(change.rows, block.slot)


class StakeChanges:
    """The nodes of a task in the order in which their stake or endpoint changed last."""

    def __init__(self, rows: dict[NodeKey, Stake], slot: int) -> None:
        """`slot` counts as the slot of the last change of all rows that exist already."""
        self.last_slot = slot
        """The slot of the last change."""
        self.first_slot = slot
        """What changed before this slot is not known."""
        self._digest: str | None = None
        """The digest of all stakes; None if it was not computed after the last change."""
        self._known = {node: (row.amount, row.endpoint, slot) for node, row in rows.items()}

    def note(self, rows: Sequence[tuple[bytes, Record | None]], slot: int) -> None:
        """Note the rows that a block of a slot has changed."""
        for key, row in rows:
            node, stake = NodeKey(key), row if isinstance(row, Stake) else Stake()
            if self._known.get(node, (0, b"", 0))[:2] != (stake.amount, stake.endpoint):
                self._known.pop(node, None)
                self._known[node] = stake.amount, stake.endpoint, slot
                self.last_slot = slot
                self._digest = None

    def get_digest(self, state: State, task: TaskKey) -> str:
        """The digest of all stakes and endpoints."""
        if self._digest is None:
            self._digest = compute_stakes_digest(self.list_since(state, task, 0))
        return self._digest

    def list_since(self, state: State, task: TaskKey, slot: int) -> list[StakeView]:
        """The nodes whose stake or endpoint changed in a slot or later."""
        rows, views = state.get_stakes(task).rows, []
        for node in reversed(self._known):
            amount, endpoint, changed_slot = self._known[node]
            if changed_slot < slot:
                break
            available = rows[node].available if node in rows else 0
            views.append(StakeView(base58_of(node), amount, available, read_text(endpoint)))
        return views


def copy_round(state: State, task: TaskKey, round_number: int) -> State:
    """A state that has the records of one round of a task, for another thread."""
    copied = State(state.genesis, state.genesis_hash, state.head)
    copied.tasks.rows[task] = state.tasks.rows[task]
    rounds = RoundCursor(copied, task, round_number).rounds
    rounds.rows[u64(round_number)] = RoundCursor(state, task, round_number).opened
    for letter in ROUND_TABLES:
        name = letter + task + u64(round_number)
        if name in state.tables:
            copied.get_table(name).rows = state.tables[name].rows.copy()
    return copied


def encode_part(state: State, task: TaskKey, part: PartKey) -> Part:
    """A frozen part as it is served. Source: docs/RPC.md, parts."""
    rows = read_part(state, task, part)
    pages = [make_blob(_encode_rows(page)) for page in cut_pages(rows)]
    index = PartIndex(task, part.round, part.kind.value, part.attempt, len(rows), [name for name, _ in pages])
    name, blob = make_blob(_encode_rows(index))
    return Part(name, {name: blob, **dict(pages)})


def cut_pages(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Rows in pages."""
    return [rows[at : at + PAGE_ROWS] for at in range(0, len(rows), PAGE_ROWS)]


def make_blob(data: bytes) -> tuple[str, Blob]:
    """A blob under its content id."""
    return compute_content_id(data), Blob(data, zstandard.ZstdCompressor().compress(data))
