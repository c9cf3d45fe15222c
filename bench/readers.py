"""What reading costs a ledger: N light readers that read as nodes do, through quiet slots and a whole round.

Run: python bench/readers.py. A ledger process with N staked nodes. Each has a websocket that gets the head
of every slot; they lie in processes of low priority. In a round each node submits (at a moment of its
own in `--spread` of SUBMIT), reads its own records, reads the frozen parts (as many nodes as there are seeds
read them from the ledger; for the others the bytes from peers are computed, because no peers run), and a
hundredth of the nodes audits. One node uploads the list; it is paid. At the same time a client in a process
of its own sends a transfer every 50 ms and waits until it is durable. `--whole` reads whole tasks and rounds
twice in a slot instead, as nodes did before heads. Prints the processor time of the ledger, its workers
included, bytes per node, and the latency of the transfers; beside it how late the client wakes from a sleep,
and how long the ledger waits for a core, which are the machine's and not the ledger's. In quiet slots it also
stops the readers for some seconds, so that their own work is left out of the latency. At the end: what
stands in the way of a round that was not settled. Left out: the readers' own work and peers' traffic, which
would share this machine; networks slower than loopback.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import resource
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from multiprocessing.connection import Connection as Pipe
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
READER_PROCESSES = 2
READERS_NICE = 5
"""Readers give way to the ledger and its client, but a busy machine does not starve them."""

TEXT, PING = 1, 9
"""Opcodes of websockets."""

STOPPED_SECONDS_MAX = 10.0
"""The ledger closes a websocket that answers no ping for 20 s."""

MESSAGES_BEFORE = 3
"""Messages that a reader has had before anything is measured: its id, two heads."""


class PushReader(asyncio.Protocol):
    """A websocket that subscribes to the heads of a task and counts what comes."""

    def __init__(self, netloc: str, task: str) -> None:
        self.bytes = 0
        self.messages = 0
        self.ready = asyncio.Event()
        self.is_lost = False
        self._netloc = netloc
        self._task = task
        self._transport: asyncio.Transport | None = None
        self._is_open = False
        self._waiting = bytearray()
        """What came of a frame that is not whole yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET / HTTP/1.1\r\nHost: {self._netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        transport.write(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self.bytes += len(data)
        self._waiting += data
        if not self._is_open:
            _, end, rest = self._waiting.partition(b"\r\n\r\n")
            if not end:
                return
            self._is_open, self._waiting = True, rest
            request = {"jsonrpc": "2.0", "id": 1, "method": "taskHeadSubscribe", "params": [self._task]}
            text = msgspec.json.encode(request)
            self._transport.write(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
        while (frame := self._take_frame()) is not None:
            opcode, payload = frame
            if opcode == PING:  # a pong without the bytes of the ping does not count
                self._transport.write(b"\x8a" + bytes([0x80 | len(payload), 0, 0, 0, 0]) + payload)
            elif opcode == TEXT:
                self.messages += 1
                if self.messages == MESSAGES_BEFORE:
                    self.ready.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self.ready.set()

    def _take_frame(self) -> tuple[int, bytes] | None:
        """The opcode and the payload of the next frame, which is taken; None if it is not whole yet."""
        frame = self._waiting
        if len(frame) < 2:
            return None
        size, head = frame[1] & 127, 2
        if size >= 126:
            head = 4 if size == 126 else 10
            size = int.from_bytes(frame[2:head], "big")
        if len(frame) < head + size:
            return None
        opcode, payload = frame[0] & 15, bytes(frame[head : head + size])
        del frame[: head + size]
        return opcode, payload


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
        if signature is not None:  # else it was refused, and is counted
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


class Readers:
    """The websockets of all nodes, in processes of their own with low priority."""

    def __init__(self, url: str, task: str, count: int) -> None:
        """Returns when every websocket has had two heads."""
        shares = [
            count // READER_PROCESSES + (at < count % READER_PROCESSES) for at in range(READER_PROCESSES)
        ]
        self.count = count
        self.lost = 0
        """Websockets that the ledger has closed."""
        started = [_start(_keep_reading, url, task, share) for share in shares if share]
        self._pipes = [pipe for pipe, _ in started]
        self._processes = [process for _, process in started]
        for pipe in self._pipes:
            pipe.recv()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let the readers take no processor. What the ledger sends them meanwhile waits in the system."""
        for process in self._processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in self._processes:
                os.kill(process, signal.SIGCONT)

    def count_bytes(self) -> int:
        """The bytes that came so far."""
        for pipe in self._pipes:
            pipe.send(None)
        shares = [pipe.recv() for pipe in self._pipes]
        self.lost = sum(lost for _, lost in shares)
        return sum(size for size, _ in shares)


class Probe:
    """A process that sends a transfer every 50 ms. It measures how long each took to be durable."""

    def __init__(self, url: str, pair: Keypair) -> None:
        self._pipe, _ = _start(_keep_probing, url, bytes(pair))

    def take(self) -> tuple[list[float], list[float]]:
        """How long transfers took, and how late the process woke, in seconds; since the last call."""
        self._pipe.send(None)
        taken: tuple[list[float], list[float]] = self._pipe.recv()
        return taken


def _start(run: Any, *arguments: Any) -> tuple[Pipe, int]:
    """A process that ends with this one; the pipe to it, and its id."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(run, there, *arguments), daemon=True)
    process.start()
    assert process.pid is not None
    return here, process.pid


def _run(run: Any, pipe: Pipe, *arguments: Any) -> None:
    _raise_file_limit()
    main: Coroutine[Any, Any, None] = run(pipe, *arguments)
    with contextlib.suppress(EOFError):  # the process that started it has ended
        asyncio.run(main)


async def _wait_for_request(pipe: Pipe) -> None:
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe.fileno(), asked.set)
    await asked.wait()
    loop.remove_reader(pipe.fileno())
    pipe.recv()


async def _keep_reading(pipe: Pipe, url: str, task: str, count: int) -> None:
    os.nice(READERS_NICE)
    netloc = urlsplit(url).netloc
    host, _, port = netloc.rpartition(":")
    loop, readers = asyncio.get_running_loop(), []
    for at in range(count):
        _, reader = await loop.create_connection(lambda: PushReader(netloc, task), host, int(port))
        readers.append(reader)
        if at % 50 == 49:
            await asyncio.sleep(0.05)
    await asyncio.gather(*(reader.ready.wait() for reader in readers))
    pipe.send(None)
    while True:
        await _wait_for_request(pipe)
        lost = sum(reader.is_lost for reader in readers)
        pipe.send((sum(reader.bytes for reader in readers), lost))


async def _keep_probing(pipe: Pipe, url: str, secret: bytes) -> None:
    connection, pair, target = await Connection.open(url), Keypair.from_bytes(secret), Keypair().pubkey()
    took: list[float] = []
    late: list[float] = []

    async def probe() -> None:
        count = 0
        while True:
            latest = await connection.call("getLatestBlockhash")
            tick = Hash.from_string(latest["value"]["blockhash"])
            count += 1
            transfers = [give(target, pair.pubkey())] * (1 + count % 7)
            message = Message.new_with_blockhash(transfers, pair.pubkey(), tick)
            wire = base64.b64encode(bytes(Transaction([pair], message, tick))).decode()
            began = time.perf_counter()
            body = {"method": "sendTransaction", "params": [wire, {"encoding": "base64"}], "id": 1}
            await connection.post(msgspec.json.encode({"jsonrpc": "2.0", **body}))
            took.append(time.perf_counter() - began)
            due = time.perf_counter() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            late.append(max(time.perf_counter() - due, 0.0))

    probing = asyncio.create_task(probe())
    while not probing.done():
        await _wait_for_request(pipe)
        pipe.send((took[:], late[:]))
        took.clear()
        late.clear()


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def get_waited_seconds(process: int) -> float:
    """How long the main thread of a process was ready and had no core, so far."""
    with open(f"/proc/{process}/task/{process}/schedstat") as file:
        return int(file.read().split()[1]) / 10**9


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

    def __init__(self, crowd: Crowd, process: int, probe: Probe, spread: float) -> None:
        """`spread` is the share of SUBMIT in which nodes submit."""
        self.crowd = crowd
        self.results: dict[str, float] = {}
        self.readers: Readers | None = None
        self._process = process
        self._probe = probe
        self._spread = spread

    async def measure(self, name: str, seconds: float) -> None:
        """Let time pass; what it cost, by name."""
        sizes = self.readers.count_bytes() if self.readers else 0
        self._probe.take()
        began, before = time.perf_counter(), sum(get_processor_seconds(self._process))
        waited = get_waited_seconds(self._process)
        await asyncio.sleep(seconds)
        took, used = time.perf_counter() - began, sum(get_processor_seconds(self._process)) - before
        self._note_latency(name, (get_waited_seconds(self._process) - waited) / took)
        got = self.readers.count_bytes() - sizes if self.readers else 0
        self.results[f"{name}_cores"] = used / took
        self.results[f"{name}_ms_per_slot"] = used / took * SLOT_SECONDS * 1000
        nodes = self.readers.count if self.readers else 1
        self.results[f"{name}_bytes_per_node_and_slot"] = got / nodes / took * SLOT_SECONDS

    async def measure_stopped(self, seconds: float) -> None:
        """Quiet slots while the readers are stopped: what is slow then is slow in the ledger."""
        assert self.readers is not None
        self._probe.take()
        began, waited = time.perf_counter(), get_waited_seconds(self._process)
        with self.readers.stopped():
            await asyncio.sleep(seconds)
            took = time.perf_counter() - began
            self._note_latency("stopped", (get_waited_seconds(self._process) - waited) / took)

    def _note_latency(self, name: str, waiting_share: float) -> None:
        """`waiting_share` is the part of the time in which the ledger was ready and had no core."""
        for what, seconds in zip(("latency", "client_wakes_late"), self._probe.take(), strict=True):
            if seconds:
                self.results[f"{name}_{what}_median_ms"] = statistics.median(seconds) * 1000
                self.results[f"{name}_{what}_99_ms"] = sorted(seconds)[int(len(seconds) * 0.99)] * 1000
        self.results[f"{name}_ledger_waits_for_a_core"] = waiting_share

    async def run_round(self) -> None:
        """A whole round of real transactions."""
        crowd = self.crowd
        head = await self._wait_for(Phase.SUBMIT, 0)
        number = compute_moment(head, head.slot).ledger_round - 1
        began, before = time.perf_counter(), sum(get_processor_seconds(self._process))
        waited, own = get_waited_seconds(self._process), time.process_time()
        self._probe.take()
        await self._submit_all(head, number)
        self._note_submitting(head, time.perf_counter() - began, before, time.process_time() - own)
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
        if self.readers:
            self.readers.count_bytes()
            self.results["round_readers_lost"] = self.readers.lost
        end, _ = await crowd.call("getRound", crowd.task, number)
        self.results["round_settled"] = float(end["status"] == "PayoutSuccessful")
        self.results["round_nodes"] = nodes
        self.results["round_submissions"] = len(end["submissions"])
        self.results["round_cores"] = used / took
        self.results["round_ms_per_node"] = used / nodes * 1000
        for reason, count in Counter(reason[-60:] for reason in crowd.refused).most_common(3):
            self.results[f"round_refused: {reason}"] = count
        for name, size in crowd.bytes.items():
            self.results[f"round_bytes_per_node_{name.replace(' ', '_')}"] = size / nodes
        self._note_latency("round", (get_waited_seconds(self._process) - waited) / took)

    def _note_submitting(self, head: TaskHead, took: float, before: float, own: float) -> None:
        """What a submission costs, and how long all of them took. `own` is this process's processor time."""
        nodes, used = len(self.crowd.pairs), sum(get_processor_seconds(self._process)) - before
        self.results["submit_seconds"] = took
        self.results["submit_window_seconds"] = (head.submission_window + 1) * SLOT_SECONDS
        self.results["submit_ledger_ms_per_node"] = used / nodes * 1000
        self.results["submit_clients_ms_per_node"] = own / nodes * 1000

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
        window = (head.submission_window + 1) * SLOT_SECONDS * self._spread

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
    run = Run(crowd, process, Probe(url, pairs[0]), options.spread)
    await run.measure("alone", options.seconds)
    run.readers = await asyncio.to_thread(Readers, url, task, len(pairs))
    await run.measure("quiet", options.seconds)
    await run.measure_stopped(min(options.seconds, STOPPED_SECONDS_MAX))
    if options.round_seconds:
        await run.run_round()
    return run.results


def explain(row: dict[str, float], cores: float) -> list[str]:
    """What stands in the way of a round that was not settled, and of a quiet latency."""
    lines = []
    if row.get("round_settled") == 0.0:
        needed = {
            who: row[f"submit_{who}_ms_per_node"] * row["round_nodes"] / 1000 / row["submit_window_seconds"]
            for who in ("ledger", "clients")
        }
        shown = ", ".join(f"{count:.2f} for the {who}" for who, count in needed.items())
        lines.append(
            f"The round was not settled: {row['round_submissions']:,.0f} of {row['round_nodes']:,.0f} nodes"
            f" submitted; to send all took {row['submit_seconds']:.1f} s of a window of"
            f" {row['submit_window_seconds']:.1f} s."
        )
        lines.append(f"To submit in the window takes {shown} cores; {cores:.2f} of this machine were idle.")
        if needed["ledger"] >= 1.0:
            lines.append("So the ledger stands in the way: its main thread has one core.")
        elif sum(needed.values()) > cores:
            lines.append(
                "So the machine stands in the way: other work and the clients of this bench use its cores."
            )
    for name in ("quiet", "round"):
        late, taken = row.get(f"{name}_client_wakes_late_99_ms", 0.0), row.get(f"{name}_latency_99_ms", 0.0)
        if taken > 3 * row.get("alone_latency_99_ms", taken):
            lines.append(
                f"Transfers ({name}) take {taken:.0f} ms at the 99th percentile, alone"
                f" {row['alone_latency_99_ms']:.0f} ms; the client wakes {late:.0f} ms late, and the"
                f" ledger waits for a core in {row[f'{name}_ledger_waits_for_a_core']:.0%} of the time."
            )
    if "stopped_latency_99_ms" in row:
        quiet, stopped = row["quiet_latency_99_ms"], row["stopped_latency_99_ms"]
        lines.append(
            "While the readers of this bench are stopped and the ledger pushes on, transfers take"
            f" {stopped:.0f} ms at the 99th percentile; with the readers {quiet:.0f} ms. The difference,"
            f" {max(quiet - stopped, 0):.0f} ms, is the work of the readers, which share this machine."
        )
    return lines


def measure_idle_cores(seconds: float = 2.0) -> float:
    """The cores of this machine that have nothing to do."""

    def read() -> int:
        with open("/proc/stat") as file:
            fields = file.readline().split()
        return int(fields[4]) + int(fields[5])

    before = read()
    time.sleep(seconds)
    return (read() - before) / os.sysconf("SC_CLK_TCK") / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--seconds", type=float, default=10.0, help="of quiet slots")
    parser.add_argument("--round-seconds", type=float, default=60.0, help="0: no round")
    parser.add_argument("--spread", type=float, default=0.5, help="share of SUBMIT in which nodes submit")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    _raise_file_limit()
    ref, cores = measure_ref(), measure_idle_cores()
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
        json.dump({"ref": ref, "idle_cores": cores, "nodes": results}, sys.stdout)
        print()
        return
    print_machine(ref)
    for count, row in results.items():
        print(f"{count:,} nodes")
        for name, value in row.items():
            print(f"  {name.replace('_', ' '):<48} {value:>14,.2f}")
        for line in explain(row, cores):
            print(f"  {line}")


if __name__ == "__main__":
    main()
