"""Nodes under roundwork-1 that are killed right before and right after each kind of transaction.

Each of them reaches the ledger through a relay, which reads what the node sends. At each moment of a list the
relay kills a node: before the ledger has the transaction, or when the ledger has taken it and the node does
not know. The node starts again, and what it says a second time must be the same.
"""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, read_task, set_active
from roundwork.client.rpc import Client
from roundwork.host.keypairs import make_keypair
from roundwork.package.folder import load_package, pack
from roundwork.package.terms import fit_long_windows
from roundwork.participant.moment import compute_timetable
from roundwork.protocol.layout import Call
from roundwork.protocol.params import KOII, TASK_PROGRAM, key_of
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.commitments import SealKind, compute_commitment
from roundwork.protocol.tasks.layouts import TASKS, decode_task_call
from roundwork.protocol.transaction import decode_transaction
from roundwork.views import RoundView

from ..ledger.process import find_port
from ..node.house import require_sandbox
from .proving import write_proving
from .test_network import ROUNDWORK

VICTIMS = 3
CHEATS = ("liar", "reluctant", "slanderer")
STAKE, CHEAT_STAKE = 10 * KOII, 2 * KOII
"""Checks, seats and ranks follow stake: so the victims get most of them."""

SECONDS_MAX = 300

KINDS = (
    *(f"Commit {kind.name}" for kind in SealKind),
    *(f"Reveal {kind.name}" for kind in SealKind),
    *(
        "Challenge",
        "Answer",
        "Accuse",
        "UploadDistributionList",
        "SubmitDistributionList",
        "AuditDistribution",
        "Claim",
    ),
)
"""An honest node accuses no list that is right, so each AuditDistribution here is a vote."""


LEDGER = """
import os, sys
from functools import partial
from roundwork.ledger.embedded import producer
from roundwork.ledger.embedded.clock import BlockClock, read_steady_ms

class Watch:
    def __init__(self, path):
        self.path, self.shown, self.read = path, 0, read_steady_ms()

    def __call__(self):
        now = read_steady_ms()
        if not os.path.exists(self.path):
            self.shown += now - self.read
        self.read = now
        return self.shown

producer.BlockClock = partial(BlockClock, read_steady=Watch(sys.argv.pop(1)))
from roundwork.cli import main
main()
"""
"""`roundwork` with a clock that stands still while a file is there: a start takes no slots."""


class Moments:
    """The moments at which a node is still to be killed, each once, whichever node comes to it first."""

    def __init__(self) -> None:
        self._left = set(product(KINDS, ("before", "after")))
        self._lock = threading.Lock()

    def take(self, kind: str, when: str) -> bool:
        with self._lock:
            is_due = (kind, when) in self._left
            self._left.discard((kind, when))
            return is_due

    def list_left(self) -> list[tuple[str, str]]:
        with self._lock:
            return sorted(self._left)


class Clock:
    """The clock of a ledger, which stands still while a file is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stop(self) -> None:
        self.path.touch()

    def go_on(self) -> None:
        self.path.unlink(missing_ok=True)


class Place(NamedTuple):
    """A ledger with a task, for nodes."""

    directory: Path
    url: str
    task: str
    genesis_hash: bytes
    clock: Clock


class Words:
    """What a node has said, delivered or not: of one matter it says one thing, however often."""

    def __init__(self, genesis_hash: bytes) -> None:
        self.contradictions: list[tuple[object, object, object]] = []
        """A matter, what was said of it first, and what was said later."""
        self._genesis_hash = genesis_hash
        self._said: dict[object, object] = {}

    def hear(self, each: ins.Instruction | None) -> None:
        match each:
            case ins.Commit():
                self._note(("commitment", each.round, each.kind), each.commitment)
            case ins.Reveal():
                opened = compute_commitment(
                    self._genesis_hash, each.task, each.round, each.kind, each.node, each.salt, each.payload
                )
                self._note(("commitment", each.round, each.kind), opened)
            case ins.AuditDistribution():
                self._note(("vote", each.round, each.candidate), each.is_valid)
            case ins.UploadDistributionList():
                self._note(("list", each.round, each.chunk), each.data)
            case ins.Answer():
                self._note(("proof", each.round, each.candidate, each.chunk), each.data)
            case _:
                pass

    def _note(self, matter: object, said: object) -> None:
        first = self._said.setdefault(matter, said)
        if first != said:
            self.contradictions.append((matter, first, said))


class Node:
    """A node with its relay."""

    def __init__(self, place: Place, name: str, play: str, moments: Moments | None) -> None:
        self.words = Words(place.genesis_hash)
        self.address = ""
        self._moments = moments
        self._clock = place.clock
        self._relay = Relay(place.url, self)
        self._log = place.directory / f"{name}.log"
        self._environment = {**os.environ, "ROUNDWORK_CACHE": str(place.directory / "cache")}
        directory = place.directory / name
        self.main = str(make_keypair(directory / "main.json").pubkey())
        command = [*ROUNDWORK, "node", "run", "--json", "--url", self._relay.url, "--task", place.task]
        command += ["--directory", str(directory), "--package", str(place.directory / "proving")]
        command += ["--stake", str(STAKE if moments else CHEAT_STAKE), "--play", play]
        self._command = [*command, "--sandbox", "sandlock", "--yes"]
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_dead(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start the node, for the first time or after it was killed, and wait until it works."""
        assert self._process is None or -signal.SIGKILL == self._process.returncode, self._log.read_text()
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )
        assert self._process.stdout is not None
        with self._process.stdout as out:
            line = out.readline()
        if line:  # it may be killed before it is ready
            ready = json.loads(line)
            assert "node" in ready, ready
            self.address = ready["node"]

    def relay(self, wire: bytes, deliver: Callable[[], Any]) -> Any:
        """The ledger's answer to a transaction; None if the node is killed, before or after it is sent."""
        instruction = read_instruction(wire)
        kind = name_kind(instruction)
        self.words.hear(instruction)
        if self._moments is not None and self._moments.take(kind, "before"):
            return self._kill()
        answer = deliver()
        if self._moments is not None and "result" in answer and self._moments.take(kind, "after"):
            return self._kill()
        return answer

    def _kill(self) -> None:
        assert self._process is not None
        self._clock.stop()
        self._process.kill()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        self._relay.shutdown()
        self._relay.server_close()


class Relay(ThreadingHTTPServer):
    """Hands each request on to the ledger, and its answer back. Heads are not pushed through it."""

    daemon_threads = True

    def __init__(self, ledger_url: str, node: Node) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ledger = ledger_url.removeprefix("http://")
        self.node = node
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The node was killed, or the ledger has stopped: the connection ends."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Relay

    def do_GET(self) -> None:
        if "upgrade" in self.headers:
            self.send_error(404)
            return
        self._reply(*self._hand_on(b""))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = json.loads(body)
        if isinstance(request, list) or request["method"] != "sendTransaction":
            self._reply(*self._hand_on(body))
            return
        answer = self.server.node.relay(
            base64.b64decode(request["params"][0]), lambda: json.loads(self._hand_on(body)[1])
        )
        if answer is None:
            self.close_connection = True
            return
        self._reply(200, json.dumps(answer).encode(), "application/json")

    def _hand_on(self, body: bytes) -> tuple[int, bytes, str]:
        upstream = HTTPConnection(self.server.ledger, timeout=60)
        try:
            kept = {name: self.headers[name] for name in ("content-type", "range") if name in self.headers}
            upstream.request(self.command, self.path, body or None, kept)
            answer = upstream.getresponse()
            return answer.status, answer.read(), answer.headers.get("content-type", "")
        finally:
            upstream.close()

    def _reply(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def read_instruction(wire: bytes) -> ins.Instruction | None:
    """The instruction of the task program in a transaction; None if it has none."""
    transaction = decode_transaction(wire)
    for each in transaction.instructions:
        if transaction.keys[each.program] == TASK_PROGRAM:
            keys = [transaction.keys[at] for at in each.accounts]
            call = Call(keys, bytes(each.accounts), transaction.signers, each.data, 0, transaction.keys[0])
            decoded: ins.Instruction = decode_task_call(TASKS, call)[1][0]
            return decoded
    return None


def name_kind(instruction: ins.Instruction | None) -> str:
    name = type(instruction).__name__
    if isinstance(instruction, ins.Commit | ins.Reveal):
        return f"{name} {SealKind(instruction.kind).name}"
    return name


@contextmanager
def run_ledger(directory: Path) -> Iterator[tuple[str, Clock]]:
    """A ledger process with a clock that can be stopped; its URL."""
    clock = Clock(directory / "clock-stands")
    command = [sys.executable, "-c", LEDGER, str(clock.path), "ledger", "run", "--json", "--slot-ms", "150"]
    command += ["--directory", str(directory / "ledger"), "--host", "127.0.0.1", "--port", str(find_port())]
    with (directory / "ledger.log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        with process.stdout as out:
            yield json.loads(out.readline())["url"], clock
    finally:
        process.terminate()
        process.wait(30)


async def deploy_task(url: str, directory: Path) -> tuple[str, bytes]:
    """The task of proving.py with rounds of 96 slots; its address, and the hash of the genesis."""
    package = fit_long_windows(load_package(write_proving(directory)), 96)
    async with Client(url) as client:
        manager = Keypair()
        await airdrop(client, str(manager.pubkey()), 10_000 * KOII)
        task = await deploy(client, manager, package, pack(package)[0])
        await set_active(client, manager, task, True)
        return task, key_of((await client.get_ledger()).genesis_hash)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 120)
def test_a_node_that_is_killed_around_any_transaction_says_nothing_else_afterwards(tmp_path: Path) -> None:
    require_sandbox("sandlock")
    moments = Moments()
    with run_ledger(tmp_path) as (url, clock), ExitStack() as stack:
        place = Place(tmp_path, url, *asyncio.run(deploy_task(url, tmp_path)), clock)
        victims = [Node(place, f"victim-{at}", "honest", moments) for at in range(VICTIMS)]
        nodes = [*victims, *(Node(place, name, name, None) for name in CHEATS)]
        asyncio.run(give_money(url, [node.main for node in nodes]))
        clock.stop()
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        clock.go_on()
        deadline = time.monotonic() + SECONDS_MAX
        while moments.list_left():
            assert time.monotonic() < deadline, moments.list_left()
            assert [] == [each for victim in victims for each in victim.words.contradictions]
            time.sleep(0.02)
            if any(victim.is_dead for victim in victims):
                for victim in victims:
                    if victim.is_dead:
                        victim.start()
                if not any(victim.is_dead for victim in victims):
                    clock.go_on()
        rounds = asyncio.run(read_rounds(url, place.task))

    for victim in victims:
        assert [] == victim.words.contradictions
        for view in rounds:
            own = [each for each in view.submissions if each.node == victim.address]
            assert [] == [each for each in own if each.verdict == "convicted"]
            assert [] == [each for each in view.payments if each.node == victim.address and each.slash]
            assert 1 >= sum(each.submitter == victim.address for each in view.lists)


async def give_money(url: str, addresses: Sequence[str]) -> None:
    async with Client(url) as client:
        for address in addresses:
            await airdrop(client, address, 100 * STAKE)


async def read_rounds(url: str, task: str) -> list[RoundView]:
    async with Client(url) as client:
        shown = await read_task(client, task)
        newest = compute_timetable(shown).compute_round(shown.slot)
        return list((await client.get_rounds(task, list(range(newest + 1)))).values())
