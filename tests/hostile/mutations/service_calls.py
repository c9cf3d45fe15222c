"""Service calls in process: the services of a node on a ledger, and a played task that requests them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import httpx2
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from roundwork.client.operations import airdrop, read_task
from roundwork.client.rpc import Client
from roundwork.node.confinement.starter import Child
from roundwork.node.javascript.namespace import Namespace
from roundwork.node.javascript.namespace_route import build_namespace_route
from roundwork.node.javascript.process import JavascriptSetting
from roundwork.node.javascript.task_files import TaskFiles
from roundwork.node.javascript.task_wallet import TaskWallet
from roundwork.node.lookout import CurrentTask
from roundwork.node.peers.endpoints import read_endpoint
from roundwork.node.peers.gateway import build_gateway
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.parts import PartBook
from roundwork.node.peers.payload import sign_payload
from roundwork.node.peers.storage import BlobStore, TaskBlobs
from roundwork.node.python.channel import TaskLog, WorkerProcess
from roundwork.node.python.services import TaskServices
from roundwork.node.python.spill import SpillFolder
from roundwork.protocol.params import KOII
from roundwork.shown import Blackout

from ...node.peers.neighbours import serve
from ..servers import HEAD, HOSTILE_ANSWERS, serve_bytes
from .piped import PipedChild, encode_frame
from .room import InProcess, OpenLedger, fill, make_pair, open_ledger, renew_names
from .service_requests import (
    CANARY,
    SECRET,
    ServiceCall,
    check_post,
    check_reply,
    make_call,
    read_frame,
)
from .surface import Wrong

PAGE = HEAD + b"content-length: 6\r\n\r\nhonest"
OWN_NAMES = {
    "home",
    "canary.txt",
    "blobs",
    "far",
    "ledger",
    "package",
    "environments",
    "lane-home",
    "main-home",
}
"""What lies beside the task's folder."""

FEES_MAX = 20_000
"""Roe that one call of a main.js may cost its node: four signatures."""


class ServiceRoom:
    """One node's services for a Python task and for a main.js, over a real ledger, real peers and real files.

    `services` are for the channel of a Python task; `gateway` answers a main.js. `posts` counts its requests.
    """

    def __init__(self, directory: Path, ledger: OpenLedger, client: Client) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.home.mkdir()
        (directory / "canary.txt").write_text(CANARY)
        self.ledger = ledger
        self.client = client
        self.main, self.staking, self.own = map(make_pair, ("main", "staking", "own"))
        self.task = ledger.names["task"]
        self.posts = 0
        self.names = dict(ledger.names)
        self.lines: list[str] = []
        self._begun_with = 0

    @property
    def node(self) -> str:
        return str(self.staking.pubkey())

    async def open(self, stack: AsyncExitStack) -> None:
        """Open what is closed by the stack."""
        store, far = BlobStore(self.directory / "blobs"), BlobStore(self.directory / "far")
        files = TaskFiles(self.home, 1_000_000)
        fetcher = Fetcher(is_development=True)
        for close in (store.close, far.close, files.close):
            stack.callback(close)
        stack.push_async_callback(fetcher.close)
        site = await stack.enter_async_context(serve_bytes({**HOSTILE_ANSWERS, "/page": PAGE}))
        peer = await stack.enter_async_context(
            serve(build_gateway(store=far, get_tasks=dict, registrations={}, get_metrics=dict))
        )
        others = [str(Keypair.from_seed(bytes([n]) * 32).pubkey()) for n in (21, 22)]
        endpoints = {self.node: "http://127.0.0.1:1", others[0]: peer, others[1]: site}
        find_endpoint = partial(read_endpoint, self.client, self.task)
        self.services = TaskServices(
            task=self.task,
            keypair=self.staking,
            hosts=(site.removeprefix("http://"),),
            fetcher=fetcher,
            store=store,
            get_endpoints=lambda: endpoints,
            find_endpoint=find_endpoint,
            read_ledger=lambda method, params: self.client.call(method, *params),
        ).list_services()
        blobs = TaskBlobs(self.task, self.node, store, fetcher, lambda: endpoints, find_endpoint)
        parts = PartBook(self.client, fetcher, store, self.node, lambda: endpoints)
        stack.push_async_callback(parts.close)
        current = CurrentTask(await read_task(self.client, self.task))
        namespaces = {self.task: self._open_namespace(files, blobs, parts, current)}
        self.gateway = build_gateway(
            store=store,
            get_tasks=dict,
            registrations={},
            get_metrics=dict,
            routes=[build_namespace_route(lambda: namespaces)],
        )
        self.names |= {
            "site": site, "peer": others[0], "hostile_peer": others[1], "node": self.node,
            "main": str(self.main.pubkey()), "home": str(self.home),
            "content_id": store.put(b"here", self.task, 1), "far_id": far.put(b"far", self.task, 1),
            "signed": sign_payload(self.staking, {"a": [1, "ü"]}),
        }  # fmt: skip
        for pair in (self.main, self.own):
            await airdrop(self.client, str(pair.pubkey()), 1000 * KOII)
        self._begun_with = await self.client.get_balance(self.names["main"])

    def fill(self, raw: bytes) -> bytes:
        """An input with its names filled in. A transaction and a key of the task are Buffers of JSON."""
        for name, content in (("wire_bytes", self._make_transaction()), ("own_bytes", bytes(self.own))):
            buffer = json.dumps({"type": "Buffer", "data": list(content)}).encode()
            raw = raw.replace(b'"{%s}"' % name.encode(), buffer)
        return fill(raw, self.names)

    def _make_transaction(self) -> bytes:
        """A transfer of the task's own money. The node's main key is named to pay the fee."""
        params = TransferParams(from_pubkey=self.own.pubkey(), to_pubkey=self.staking.pubkey(), lamports=1)
        message = Message.new_with_blockhash(
            [transfer(params)], self.main.pubkey(), Hash.from_string(self.names["blockhash"])
        )
        return bytes(Transaction.new_unsigned(message))

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """The request of a main.js through the gateway: the status and the body of its answer."""
        self.posts += 1
        return await InProcess(self.gateway, "/namespace-wrapper").post(body)

    async def confirm(self) -> None:
        """Raises Wrong if an honest main.js is answered wrongly, or if money or a file was moved."""
        for args, expected in (
            (["getRpcUrl"], self.client.url),
            (["fs", "writeFile", "honest.txt", "honest"], None),
            (["fs", "readFile", "honest.txt", "utf8"], "honest"),
        ):
            body = json.dumps({"args": args, "taskId": self.task, "secret": SECRET}).encode()
            status, answer = await self.post(body)
            if (status, json.loads(answer).get("response")) != (200, expected):
                raise Wrong(f"an honest {args[0]} is answered with {status} {answer!r:.300}")
        left = await self.client.get_balance(self.names["main"])
        if left < self._begun_with - FEES_MAX * self.posts:
            raise Wrong(f"the main key had {self._begun_with} roe and has {left}")
        beside = {path.name for path in self.directory.iterdir()} - OWN_NAMES
        if beside or (self.directory / "canary.txt").read_text() != CANARY:
            raise Wrong(f"files beside the task's folder were changed: {sorted(beside)}")
        self.ledger.check_books()
        self.names |= await renew_names(InProcess(self.ledger.app))

    def _open_namespace(
        self, files: TaskFiles, blobs: TaskBlobs, parts: PartBook, current: CurrentTask
    ) -> Namespace:
        """The namespace of a node that has no head and no part yet."""
        setting = JavascriptSetting(
            task=self.task, name="hello", program=self.directory, home=self.home,
            main_key=str(self.main.pubkey()), secret=SECRET, ledger_url=self.client.url, service_url="http://a",
            web_port=1, node_port=1,
        )  # fmt: skip
        return Namespace(
            setting=setting,
            wallet=TaskWallet(self.client, self.main, self.staking),
            files=files,
            read_ledger=lambda method, params: self.client.call(method, *params),
            parts=parts,
            current=current,
            list_nodes=list,
            blobs=blobs,
            log=self.lines.append,
        )


class ServiceCalls:
    """A room, and the node's end of a task's channel."""

    def __init__(self, room: ServiceRoom) -> None:
        self._room = room
        self._last_id = 0
        self._child: PipedChild | None = None
        self._worker: WorkerProcess | None = None
        self._ending: asyncio.Task[Any] | None = None
        """A call that the played task never answers: it ends when the channel does."""

    def make(self, random: Random) -> ServiceCall:
        return make_call(random)

    async def attack(self, made: ServiceCall) -> None:
        if made.bodies:
            await self._request([self._room.fill(body) for body in made.bodies])
        else:
            body = self._room.fill(made.post)
            check_post(body, *await self._room.post(body), self._room.names)
        self._room.lines.clear()

    async def confirm(self) -> None:
        await self._request([b'{"id":@id@,"ask":"sign","params":{"value":[1]}}'], must_answer=True)
        await self._room.confirm()

    async def close(self) -> None:
        """End the played task."""
        if self._worker is not None and self._child is not None:
            await self._worker.end()
            self._child.end()
            if self._ending is not None:
                await asyncio.wait([self._ending])
                self._ending.exception()

    async def _request(self, bodies: list[bytes], must_answer: bool = False) -> None:
        """Each request has one reply; or one of them is no frame, and the channel ends with its name."""
        child, ending = await self._open_channel()
        requests = {}
        raw = b""
        for body in bodies:
            self._last_id += 1
            body = body.replace(b"@id@", str(self._last_id).encode())
            requests[self._last_id] = read_frame(body)
            raw += encode_frame(body)
        await child.write(raw)
        left = set(requests)
        while left:
            reading = asyncio.create_task(child.read())
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                if must_answer or "it sent a bad frame: " not in str(ending.exception()):
                    raise Wrong(f"the channel ended: {ending.exception()}")
                return
            reply = reading.result()
            if reply["id"] not in left:
                raise Wrong(f"a reply to nothing, or a second one: {reply!r:.300}")
            left.remove(reply["id"])
            check_reply(requests[reply["id"]], reply, self._room.names)

    async def _open_channel(self) -> tuple[PipedChild, asyncio.Task[Any]]:
        """The played task's channel, a new one if the last has ended; and what ends when it does."""
        if self._child is not None and self._worker is not None and self._ending is not None:
            if not self._ending.done():
                return self._child, self._ending
            await self._worker.end()
        child = self._child = PipedChild()
        await child.connect()
        log = TaskLog(self._room.lines.append, Blackout({}))
        spill = SpillFolder(self._room.home / "spill")
        worker = WorkerProcess(cast(Child, child), spill, self._room.services, log)
        self._worker = worker
        starting = asyncio.create_task(worker.start({}))
        await child.read()
        await child.write(encode_frame(b'{"ready":["work"]}'))
        await starting
        self._ending = asyncio.create_task(worker.call({"call": "wait"}))
        await child.read()
        return child, self._ending


@asynccontextmanager
async def open_room(directory: Path) -> AsyncIterator[ServiceRoom]:
    """A ledger, two peers and a node's services."""
    async with AsyncExitStack() as stack:
        (directory / "ledger").mkdir()
        ledger = await stack.enter_async_context(open_ledger(directory / "ledger"))
        transport = httpx2.ASGITransport(app=ledger.app)
        client = await stack.enter_async_context(Client(ledger.url, transport))
        room = ServiceRoom(directory, ledger, client)
        await room.open(stack)
        yield room


@asynccontextmanager
async def open_calls(directory: Path) -> AsyncIterator[ServiceCalls]:
    """A room and a played task."""
    async with open_room(directory) as room:
        calls = ServiceCalls(room)
        try:
            yield calls
        finally:
            await calls.close()
