"""What reading costs a ledger: N light readers that read as nodes do, through quiet slots and a whole round.

Run: python bench/readers.py. A ledger process with N staked nodes. Each has a websocket that gets the head
of every slot. In a round each node submits (at a moment of its own in the first half of SUBMIT), reads its
own records, reads the frozen parts (as many nodes as there are seeds read them from the ledger; for the
others the bytes from peers are computed, because no peers run), and a hundredth of the nodes audits. One
node uploads the list; it is paid. At the same time a client sends a transfer every 50 ms and waits until it
is durable. `--whole` reads whole tasks and rounds twice in a slot instead, as nodes did before heads.
Prints the processor time of the ledger, its workers included, bytes per node, and the latency of the
transfers. Left out: the readers' own work and peers' traffic, which would share this machine; networks
slower than loopback.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import resource
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from connections import Connection, get_processor_seconds
from law import World, give, wrap
from ledgers import running_ledger, temporary_folder
from ref import measure_ref, print_machine
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from roundwork.client.operations import build_uploads
from roundwork.node.peers.parts import SEEDS
from roundwork.participant.moment import compute_moment, compute_timetable
from roundwork.protocol.clock import Phase
from roundwork.protocol.params import NodeKey, TaskKey, key_of
from roundwork.protocol.tasks.instructions import AuditSubmission, SubmitDistributionList, SubmitTask
from roundwork.views import PartIndex, TaskHead, TaskView
from roundwork.wire import convert

SLOT_SECONDS = 0.4
PROBE_SECONDS = 0.05
CONNECTIONS = 64
"""Kept HTTP connections that all nodes share for what they send and request."""

AUDITORS_SHARE = 100
LIARS = 1


class PushReader(asyncio.Protocol):
    """A websocket that subscribes to the heads of a task and counts what comes."""

    def __init__(self, netloc: str, task: str) -> None:
        self.bytes = 0
        self._netloc = netloc
        self._task = task
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET / HTTP/1.1\r\nHost: {self._netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        transport.write(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if not self.bytes:  # the handshake is answered
            request = {"jsonrpc": "2.0", "id": 1, "method": "taskHeadSubscribe", "params": [self._task]}
            text = msgspec.json.encode(request)
            assert self._transport is not None
            self._transport.write(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
        elif data[:1] == b"\x89":  # a ping
            assert self._transport is not None
            self._transport.write(b"\x8a\x80" + bytes(4))
        self.bytes += len(data)


class Crowd:
    """All nodes of a task, their connections, and what they have read."""

    def __init__(self, url: str, task: str, pairs: list[Keypair], connections: list[Connection]) -> None:
        self.url = url
        self.task = task
        self.pairs = pairs
        self.bytes = {"own records": 0, "parts from the ledger": 0, "parts from peers": 0}
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

    async def send(self, pair: Keypair, *instructions: Instruction) -> None:
        """Send a transaction as a node does: a tick, the transaction, its status."""
        latest, _ = await self.call("getLatestBlockhash")
        tick = Hash.from_string(latest["value"]["blockhash"])
        message = Message.new_with_blockhash(list(instructions), pair.pubkey(), tick)
        wire = base64.b64encode(bytes(Transaction([pair], message, tick))).decode()
        signature, _ = await self.call("sendTransaction", wire, {"encoding": "base64"})
        await self.call("getSignatureStatuses", [signature])

    async def read_own(self, pair: Keypair) -> None:
        """Read a node's own records."""
        _, size = await self.call("getTaskHead", self.task, str(pair.pubkey()))
        self.bytes["own records"] += size

    async def read_head(self) -> TaskHead:
        result, _ = await self.call("getTaskHead", self.task)
        head: TaskHead = convert(result["head"], TaskHead)
        return head

    async def read_part(self, content_id: str) -> None:
        """Let every node have a part: about SEEDS of them from the ledger, the others from peers."""
        sizes = [len(index := await self._get(content_id))]
        for page in msgspec.msgpack.decode(index, type=PartIndex).pages:
            sizes.append(len(await self._get(page)))
        for _ in range(SEEDS - 1):
            for page in msgspec.msgpack.decode(index, type=PartIndex).pages:
                await self._get(page)
        self.bytes["parts from the ledger"] += SEEDS * sum(sizes)
        self.bytes["parts from peers"] += max(len(self.pairs) - SEEDS, 0) * sum(sizes)

    async def _get(self, content_id: str) -> bytes:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(f"GET /ipfs/{content_id} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        body = await reader.read()
        writer.close()
        return body


class Probe:
    """A client that sends a transfer every 50 ms; how long each took to be durable, in seconds."""

    def __init__(self, crowd: Crowd, connection: Connection) -> None:
        self.seconds: list[float] = []
        self._crowd = crowd
        self._connection = connection
        self._count = 0

    async def run(self) -> None:
        pair, target = self._crowd.pairs[0], Keypair().pubkey()
        while True:
            latest = await self._connection.call("getLatestBlockhash")
            tick = Hash.from_string(latest["value"]["blockhash"])
            self._count += 1
            transfers = [give(target, pair.pubkey())] * (1 + self._count % 7)
            message = Message.new_with_blockhash(transfers, pair.pubkey(), tick)
            wire = base64.b64encode(bytes(Transaction([pair], message, tick))).decode()
            began = time.perf_counter()
            body = {"method": "sendTransaction", "params": [wire, {"encoding": "base64"}], "id": 1}
            await self._connection.post(msgspec.json.encode({"jsonrpc": "2.0", **body}))
            self.seconds.append(time.perf_counter() - began)
            await asyncio.sleep(PROBE_SECONDS)

    def take(self) -> list[float]:
        """What was measured since the last call."""
        taken, self.seconds = self.seconds, []
        return taken


def found(directory: Path, count: int, round_seconds: float) -> tuple[str, list[Keypair], int]:
    """A ledger with staked nodes; its task, their keys, and the round that they work on."""
    pairs = [Keypair() for _ in range(count)]
    round_slots = int(round_seconds / SLOT_SECONDS)
    window = round_slots * 2 // 5
    world = World(count, directory, [pair.pubkey() for pair in pairs], (round_slots, window - 1, window))
    assert world.chain is not None
    task = world.state.tasks.rows[TaskKey(bytes(world.task))]
    number = task.timetable.compute_round(world.state.head.slot)
    world.chain.close()
    return str(world.task), pairs, number


async def read_whole(connection: Connection, task: str) -> int:
    """Read the whole task and whole rounds, as nodes did before heads; the bytes of the answers."""
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "getTask", "params": [task]})
    answer = await connection.post(body)
    view = convert(msgspec.json.decode(answer)["result"], TaskView)
    reviewed = compute_timetable(view).compute_round(view.slot) - 1
    wanted = {reviewed} | {number - before for number in view.open_rounds for before in range(3)}
    batch = [
        {"jsonrpc": "2.0", "id": at, "method": "getRound", "params": [task, at]} for at in wanted if at >= 0
    ]
    return len(answer) + len(await connection.post(msgspec.json.encode(batch)))


async def measure_whole(url: str, process: int, task: str, count: int, seconds: float) -> dict[str, float]:
    """Quiet slots in which every node reads everything twice."""
    connections = [await Connection.open(url) for _ in range(count)]
    ends_at, sizes = time.perf_counter() + seconds, []

    async def keep_looking(connection: Connection, at: int) -> None:
        await asyncio.sleep(SLOT_SECONDS / 2 * at / count)
        while time.perf_counter() < ends_at:
            sizes.append(await read_whole(connection, task))
            await asyncio.sleep(SLOT_SECONDS / 2)

    began, before = time.perf_counter(), sum(get_processor_seconds(process))
    await asyncio.gather(*map(keep_looking, connections, range(count)))
    took = time.perf_counter() - began
    used = sum(get_processor_seconds(process)) - before
    return {
        "quiet_cores": used / took,
        "quiet_ms_per_slot": used / took * SLOT_SECONDS * 1000,
        "quiet_bytes_per_node_and_slot": sum(sizes) / count / took * SLOT_SECONDS,
    }


class Run:
    """One ledger with one crowd: quiet slots, then a round."""

    def __init__(self, crowd: Crowd, process: int, readers: list[PushReader], probe: Probe) -> None:
        self.crowd = crowd
        self.results: dict[str, float] = {}
        self._process = process
        self._readers = readers
        self._probe = probe
        self._lags: list[float] = []

    async def measure(self, name: str, seconds: float) -> None:
        """Let time pass; what it cost, by name."""
        self._probe.take()
        began, before = time.perf_counter(), sum(get_processor_seconds(self._process))
        sizes = sum(reader.bytes for reader in self._readers)
        await asyncio.sleep(seconds)
        took, used = time.perf_counter() - began, sum(get_processor_seconds(self._process)) - before
        got = sum(reader.bytes for reader in self._readers) - sizes
        self.results[f"{name}_cores"] = used / took
        self.results[f"{name}_ms_per_slot"] = used / took * SLOT_SECONDS * 1000
        nodes = max(len(self._readers), 1)
        self.results[f"{name}_bytes_per_node_and_slot"] = got / nodes / took * SLOT_SECONDS
        self._note_latency(name)

    def _note_latency(self, name: str) -> None:
        taken = sorted(self._probe.take())
        if taken:
            self.results[f"{name}_latency_median_ms"] = statistics.median(taken) * 1000
            self.results[f"{name}_latency_99_ms"] = taken[int(len(taken) * 0.99)] * 1000

    async def run_round(self) -> None:
        """A whole round of real transactions."""
        crowd = self.crowd
        head = await self._wait_for(Phase.SUBMIT, 0)
        number = compute_moment(head, head.slot).ledger_round - 1
        began, before = time.perf_counter(), sum(get_processor_seconds(self._process))
        self._probe.take()
        await self._submit_all(head, number)
        head = await self._wait_for(Phase.AUDIT, 0)
        await self._read_parts(head, number)
        await self._audit(number)
        head = await self._wait_for(Phase.SUBMIT, 1)
        await self._read_parts(head, number)
        await self._hand_in(head, number)
        head = await self._wait_for(Phase.AUDIT, 0)
        await self._read_parts(head, number)
        head = await self._wait_for(Phase.SETTLE, 0)
        while number in head.open_rounds:
            await asyncio.sleep(SLOT_SECONDS)
            head = await crowd.read_head()
        took, used = time.perf_counter() - began, sum(get_processor_seconds(self._process)) - before
        nodes = len(crowd.pairs)
        end, _ = await crowd.call("getRound", crowd.task, number)
        self.results["round_settled"] = float(end["status"] == "PayoutSuccessful")
        self.results["round_submissions"] = len(end["submissions"])
        self.results["round_cores"] = used / took
        self.results["round_ms_per_node"] = used / nodes * 1000
        for reason, count in Counter(crowd.refused).most_common(3):
            self.results[f"round_refused: {reason[:60]}"] = count
        for name, size in crowd.bytes.items():
            self.results[f"round_bytes_per_node_{name.replace(' ', '_')}"] = size / nodes
        self._note_latency("round")

    async def _wait_for(self, phase: Phase, rounds_later: int) -> TaskHead:
        """The head when a phase begins, of this ledger round or of a later one."""
        head = await self.crowd.read_head()
        now = compute_moment(head, head.slot)
        start = now.table.compute_start(now.ledger_round + rounds_later)
        target = start + now.table.compute_offset_after(phase, 0, 1)
        if phase is Phase.SUBMIT and not rounds_later:
            target = now.table.compute_start(now.ledger_round + 1)
        while head.slot < target:
            await asyncio.sleep(SLOT_SECONDS / 2)
            head = await self.crowd.read_head()
        return head

    async def _submit_all(self, head: TaskHead, number: int) -> None:
        task, crowd = TaskKey(key_of(head.task)), self.crowd
        window = (head.submission_window + 1) * SLOT_SECONDS / 2

        async def submit(pair: Keypair) -> None:
            await asyncio.sleep(random.uniform(0, window))
            node = NodeKey(bytes(pair.pubkey()))
            value = b"bafkrei" + hashlib.sha256(node).hexdigest()[:52].encode()
            await crowd.send(pair, wrap(SubmitTask(task, node, value, number)))
            await crowd.read_own(pair)

        await asyncio.gather(*map(submit, crowd.pairs))

    async def _read_parts(self, head: TaskHead, number: int) -> None:
        [shown] = [each for each in head.rounds if each.round == number]
        newest = {part.kind: part for part in shown.parts}
        wanted = [part for part in newest.values() if part.id not in self._parts_read]
        for part in wanted:
            self._parts_read.add(part.id)
            await self.crowd.read_part(part.id)

    _parts_read: set[str] = set()  # noqa: RUF012 -- names of content, the same for all

    async def _audit(self, number: int) -> None:
        """A hundredth of the nodes finds the proof of the first node invalid."""
        crowd, task = self.crowd, TaskKey(key_of(self.crowd.task))
        liar = NodeKey(bytes(crowd.pairs[0].pubkey()))

        async def audit(pair: Keypair) -> None:
            opinion = AuditSubmission(task, NodeKey(bytes(pair.pubkey())), liar, 0, number)
            await crowd.send(pair, wrap(opinion))
            await crowd.read_own(pair)

        auditors = crowd.pairs[1 :: max(AUDITORS_SHARE, len(crowd.pairs) // 100)][:100]
        await asyncio.gather(*map(audit, auditors))

    async def _hand_in(self, head: TaskHead, number: int) -> None:
        crowd, task = self.crowd, TaskKey(key_of(self.crowd.task))
        pair = crowd.pairs[1]
        node, share = NodeKey(bytes(pair.pubkey())), head.bounty_per_round // len(crowd.pairs)
        amounts = {str(each.pubkey()): share for each in crowd.pairs[1:]}
        uploads = build_uploads(task, node, number, msgspec.json.encode(amounts, order="sorted"))
        for at in range(0, len(uploads), 16):
            await asyncio.gather(*(crowd.send(pair, wrap(each)) for each in uploads[at : at + 16]))
        await crowd.send(pair, wrap(SubmitDistributionList(task, node, node, number)))


async def measure_heads(url: str, process: int, options: argparse.Namespace, place: Any) -> dict[str, float]:
    """Quiet slots without readers and with them, then a round."""
    task, pairs, _ = place
    connections = [await Connection.open(url) for _ in range(CONNECTIONS)]
    crowd = Crowd(url, task, pairs, connections)
    probe = Probe(crowd, await Connection.open(url))
    probing = asyncio.create_task(probe.run())
    readers: list[PushReader] = []
    run = Run(crowd, process, readers, probe)
    await run.measure("alone", options.seconds)
    netloc = urlsplit(url).netloc
    host, _, port = netloc.rpartition(":")
    loop = asyncio.get_running_loop()
    for at in range(len(pairs)):
        _, reader = await loop.create_connection(lambda: PushReader(netloc, task), host, int(port))
        readers.append(reader)
        if at % 50 == 49:
            await asyncio.sleep(0.05)
    await run.measure("quiet", options.seconds)
    if options.round_seconds:
        await run.run_round()
    probing.cancel()
    return run.results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--seconds", type=float, default=10.0, help="of quiet slots")
    parser.add_argument("--round-seconds", type=float, default=60.0, help="0: no round")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ref = measure_ref()
    results: dict[int, dict[str, float]] = {}
    for count in options.nodes:
        with temporary_folder() as folder:
            place = found(folder / "ledger", count, options.round_seconds or 60.0)
            limits = [f"--limit=connections={count + 1_000}"]
            with running_ledger(folder / "ledger", options=limits) as running:
                if options.whole:
                    reading = measure_whole(running.url, running.pid, place[0], count, options.seconds)
                else:
                    reading = measure_heads(running.url, running.pid, options, place)
                results[count] = asyncio.run(reading)
    if options.json:
        json.dump({"ref": ref, "nodes": results}, sys.stdout)
        print()
        return
    print_machine(ref)
    for count, row in results.items():
        print(f"{count:,} nodes")
        for name, value in row.items():
            print(f"  {name.replace('_', ' '):<48} {value:>14,.2f}")


if __name__ == "__main__":
    main()
