"""All nodes of a task in one process: what they send, and what they read when their heads say so."""

import asyncio
import base64
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from connections import Connection
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from roundwork.client.heads import watch_heads
from roundwork.node.peers.parts import SEEDS, count_rows_of, find_part
from roundwork.participant.decisions import Memory
from roundwork.participant.reading import OWN_SLOTS, find_stakes_slot, has_changed, list_own_slots, pick_slot
from roundwork.participant.sealed_parts import compute_draw_slots, list_sealed_parts
from roundwork.participant.step import View, list_needed
from roundwork.protocol.params import KOII_1
from roundwork.views import (
    GROWING,
    PART_ROWS,
    HeadView,
    OwnView,
    PartIndex,
    PartKey,
    Row,
    StakeNews,
    TaskHead,
)
from roundwork.wire import convert

NEVER = sys.maxsize
"""A slot that does not come."""

SILENCE_SECONDS = 30.0


class Crowd:
    """All nodes of a task, the HTTP connections that they share, and what they have read."""

    def __init__(self, url: str, task: str, pairs: list[Keypair], connections: list[Connection]) -> None:
        self.url = url
        self.task = task
        self.pairs = pairs
        self.nodes = [str(pair.pubkey()) for pair in pairs]
        self.secrets = [bytes(pair)[:32] for pair in pairs]
        self.own = [OwnView(node=node, slot=-1) for node in self.nodes]
        """The records of each node as it has read them last."""
        self.bytes = Counter[str]()
        """By kind, the bytes that all nodes have read."""
        self.refused: list[str] = []
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in connections:
            self._free.put_nowait(connection)

    async def call(self, method: str, *params: object) -> tuple[Any, int]:
        """A result, and the bytes of the answer."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection = await self._free.get()
        try:
            answer = await connection.post(body)
        except (asyncio.IncompleteReadError, ConnectionError):  # the ledger closes silent connections
            connection.close()
            connection = await Connection.open(self.url)
            answer = await connection.post(body)
        finally:
            self._free.put_nowait(connection)
        decoded = msgspec.json.decode(answer)
        if "error" in decoded:
            self.refused.append(decoded["error"]["message"])
        return decoded.get("result"), len(answer)

    async def send(self, at: int, *instructions: Instruction) -> bool:
        """Send a transaction as a node does: a tick, the transaction, its status; whether it was taken."""
        pair = self.pairs[at]
        latest, _ = await self.call("getLatestBlockhash")
        tick = Hash.from_string(latest["value"]["blockhash"])
        message = Message.new_with_blockhash(list(instructions), pair.pubkey(), tick)
        wire = base64.b64encode(bytes(Transaction([pair], message, tick))).decode()
        signature, _ = await self.call("sendTransaction", wire, {"encoding": "base64"})
        if signature is None:  # it was refused, and is counted
            return False
        statuses, _ = await self.call("getSignatureStatuses", [signature])
        status = statuses["value"][0]
        if status is not None and status["err"] is not None:
            self.refused.append(str(status["err"]))
        return status is not None and status["err"] is None

    async def read_own(self, at: int) -> None:
        """Read a node's own records."""
        result, size = await self.call("getTaskHead", self.task, self.nodes[at])
        answer = convert(result, HeadView)
        assert answer.own is not None
        self.own[at] = answer.own
        self.bytes["own records"] += size

    async def read_part(self, part: PartKey, content_id: str) -> list[Row]:
        """Let every node have a part: about SEEDS of them from the ledger, the others from peers."""
        sizes = [len(index := await self._get(content_id))]
        names = msgspec.msgpack.decode(index, type=PartIndex).pages
        rows: list[Row] = []
        kind: Any = PART_ROWS[part.kind]
        for name in names:
            page = await self._get(name)
            sizes.append(len(page))
            rows += msgspec.msgpack.decode(page, type=list[kind])
        for _ in range(SEEDS - 1):
            for name in (content_id, *names):
                await self._get(name)
        self.bytes["parts from the ledger"] += min(SEEDS, len(self.pairs)) * sum(sizes)
        self.bytes["parts from peers"] += max(len(self.pairs) - SEEDS, 0) * sum(sizes)
        return rows

    async def read_rows(self, part: PartKey, since_slot: int) -> list[Row]:
        """Let every node read what a part has from a slot on."""
        kind: Any = PART_ROWS[part.kind]
        place = (self.task, part.round, part.kind.value, since_slot)
        answers = await asyncio.gather(*(self.call("getRoundRows", *place) for _ in self.pairs))
        self.bytes["rows that grow"] += sum(size for _, size in answers)
        rows: list[Row] = convert(answers[-1][0]["rows"], list[kind])
        return rows

    async def read_stakes(self, since_slot: int) -> StakeNews:
        """Read the stakes that have changed from a slot on."""
        answer, size = await self.call("getTaskStakes", self.task, since_slot)
        self.bytes["stakes"] += size
        news: StakeNews = convert(answer, StakeNews)
        return news

    async def _get(self, content_id: str) -> bytes:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(f"GET /ipfs/{content_id} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        body = await reader.read()
        writer.close()
        return body


class Lookouts:
    """Reads for all nodes what each of them would read after a head, by the nodes' own functions.

    The parts are those that a node needs that has submitted: all the others need the same.
    """

    def __init__(self, crowd: Crowd) -> None:
        self.head: TaskHead | None = None
        """The newest head."""
        self.parts: dict[PartKey, list[Row]] = {}
        """What each node has of the parts."""
        self._crowd = crowd
        self._due_slots = [0] * len(crowd.pairs)
        """From this slot on, each node reads its own records again."""
        self._stakes_slots = [-1] * len(crowd.pairs)
        """Stakes that changed in this slot or later are read by each node; -1 before the first head."""
        self._stakes_due_slots = [NEVER] * len(crowd.pairs)
        """From this slot on."""
        self._reading: dict[object, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._watching = asyncio.create_task(self._watch())
        self._watching.add_done_callback(lambda _: self._tell())

    async def close(self) -> None:
        """End all reading."""
        tasks = [self._watching, *self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self, is_so: Callable[[TaskHead], bool]) -> TaskHead:
        """The first head for which something holds; it is also checked when a part has come.

        Raises what has ended the reading.
        """
        while self.head is None or not is_so(self.head):
            if self._watching.done():
                self._watching.result()
            await self._news.wait()
        return self.head

    async def _watch(self) -> None:
        async for head in watch_heads(self._crowd.url, self._crowd.task, SILENCE_SECONDS):
            for name in [name for name, reading in self._reading.items() if reading.done()]:
                self._reading.pop(name).result()
            if self.head is None:  # every node has read the whole task before
                self._stakes_slots = [head.slot + 1] * len(self._crowd.pairs)
            self._note_dues(head)
            self.head = head
            self._begin("own records", self._read_own(head))
            self._begin("stakes", self._read_stakes(head))
            for part in self._list_parts(head):
                frozen = find_part(head, part)
                if frozen is not None and part not in self.parts:
                    self._begin(part, self._read_part(part, frozen.id))
                elif part.kind in GROWING and count_rows_of(head, part) > len(self.parts.get(part, ())):
                    self._begin(part, self._read_rows(part))
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _begin(self, name: object, reading: Any) -> None:
        """Read, unless the same is being read: a node reads it when the next head comes."""
        if name in self._reading:
            reading.close()
            return
        self._reading[name] = asyncio.create_task(reading)

    def _note_dues(self, head: TaskHead) -> None:
        """Note which nodes read their own records and stakes again, and in which slot."""
        crowd, drawn = self._crowd, compute_draw_slots(head)
        changed = list_own_slots(head.slot)
        is_changed = self.head is not None and has_changed(self.head, head)
        for at, secret in enumerate(crowd.secrets):
            if is_changed:
                self._due_slots[at] = min(self._due_slots[at], pick_slot(secret, changed))
            if 0 <= crowd.own[at].slot < drawn.start:
                self._due_slots[at] = min(self._due_slots[at], pick_slot(secret, drawn[:OWN_SLOTS]))
            if head.stakes_slot >= self._stakes_slots[at] and self._stakes_due_slots[at] == NEVER:
                self._stakes_due_slots[at] = find_stakes_slot(secret, head.slot, len(crowd.pairs))

    async def _read_own(self, head: TaskHead) -> None:
        due = [at for at, slot in enumerate(self._due_slots) if slot <= head.slot]
        for at in due:
            self._due_slots[at] = NEVER
        await asyncio.gather(*map(self._crowd.read_own, due))

    async def _read_stakes(self, head: TaskHead) -> None:
        async def read(at: int) -> None:
            news = await self._crowd.read_stakes(self._stakes_slots[at])
            self._stakes_slots[at], self._stakes_due_slots[at] = news.slot, NEVER
            if any(stake.node == self._crowd.nodes[at] for stake in news.stakes):
                self._due_slots[at] = 0

        await asyncio.gather(
            *(read(at) for at, slot in enumerate(self._stakes_due_slots) if slot <= head.slot)
        )

    def _list_parts(self, head: TaskHead) -> Sequence[PartKey]:
        crowd = self._crowd
        submitters = (at for at, own in enumerate(crowd.own) if any(each.value for each in own.rounds))
        at = next(submitters, 0)
        view = View(crowd.nodes[at], head, crowd.own[at], {}, crowd.secrets[at], 0)
        if head.rules == KOII_1.name:
            return list_needed(Memory(), view, head.slot)
        return list_sealed_parts(view, head.slot)

    async def _read_part(self, part: PartKey, content_id: str) -> None:
        self.parts[part] = await self._crowd.read_part(part, content_id)
        self._tell()

    async def _read_rows(self, part: PartKey) -> None:
        known = self.parts.get(part, [])
        since_slot = max((getattr(row, "slot", 0) for row in known), default=0)
        fresh = await self._crowd.read_rows(part, since_slot)
        self.parts[part] = list(dict.fromkeys([*known, *fresh]))
        self._tell()
