"""Channel frames in process: a node's lanes, whose task says whatever it likes on its end of the pipes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from roundwork.errors import TaskFailed
from roundwork.node.answers import ServiceError
from roundwork.node.peers.gateway import build_gateway
from roundwork.node.peers.storage import BlobStore
from roundwork.node.python.channel import Services
from roundwork.node.python.environments import Environment
from roundwork.node.python.lane import TaskSetting
from roundwork.node.python.lanes import Lanes, Opinion
from roundwork.views import SubmissionView

from ...node.house import NODE, SECRET, SEED, TASK
from .bend import TEXTS, bend_bytes, bend_json, write
from .piped import PipedChild, PipedStarter, encode_frame, play_programs
from .surface import Wrong

SECONDS = 20.0
"""The deadline of a call. No input may let a call come to it: then the node waits for what never comes."""
ANSWERS: dict[str, Any] = {
    "work": None,
    "submit": "honest",
    "audit": ["valid", ""],
    "distribute": {str(NODE.pubkey()): 5},
    "serve": {"status": 200, "headers": [["content-type", "text/plain"]], "body": "aG9uZXN0"},
    "forget": None,
}
"""What an honest task answers to each call."""
LANES = {"work": "work", "serve": "web"}
"""The process that runs a step, where it is not the one for reviews."""

REQUESTS = [
    {"id": 1, "ask": "echo", "params": {"value": [1, "ü"]}},
    {"id": 2, "ask": "refuse", "params": {}},
    {"id": 3, "ask": "missing", "params": None},
]
LOG_PIECES = (
    b"a line\n",
    b"\xff\xfe\n",
    b"\x1b[2J\n",
    b"\r2026 forged\n",
    b"x" * 5000,
    b"\0\n",
    "\u202eevil\u2028\n".encode(),
)


class Exchange(NamedTuple):
    """A call of the node's, and what the task does before it answers."""

    step: str
    frames: tuple[bytes, ...]
    """Bodies that go out with their right length, `@id@` standing for the call's."""
    raw: bytes = b""
    """Bytes that go out as they are."""
    printed: bytes = b""
    spilled: tuple[str, bytes] | None = None
    """The name and the content of a file in the spill folder; a link or a folder for b"link", b"folder"."""


def make_exchange(random: Random) -> Exchange:
    """Frames that a task may send, changed."""
    step = random.choice(list(ANSWERS))
    honest: list[Any] = [
        {"id": "@id@", "answer": ANSWERS[step]},
        {"id": "@id@", "failed": "Traceback: it failed"},
        {"ready": ["audit", "submission", "work"]},
        {"spill": "up-1-1"},
        *REQUESTS,
    ]
    bodies = tuple(
        bend_json(random, random.choice(honest), honest).replace(b'"@id@"', b"@id@")
        for _ in range(random.choice((1, 1, 1, 2, 4)))
    )
    raw, spilled = b"", None
    printed = b"".join(random.choices(LOG_PIECES, k=random.choice((0, 0, 0, 1, 4))))
    if random.random() < 0.15:
        whole = encode_frame(write(random, random.choice(honest)))
        raw = bend_bytes(random, whole, [whole])
    if random.random() < 0.1:
        name = random.choice(("up-1-1", "up-1-1", "up-2-3", "../task.py", "down-1", random.choice(TEXTS)))
        body = bend_json(random, random.choice(honest), honest).replace(b'"@id@"', b"@id@")
        spilled = name, random.choice((body, body, body, b"", b"link", b"folder"))
        bodies = (*bodies, json.dumps({"spill": name}).encode())
    return Exchange(step, bodies, raw, printed, spilled)


class ChannelFrames:
    """The lanes of one task, against what its processes may send."""

    def __init__(self, directory: Path, starter: PipedStarter) -> None:
        self.lines: list[str] = []
        self._home = directory / "home"
        self._starter = starter
        setting = TaskSetting(
            task=TASK,
            node=str(NODE.pubkey()),
            program=directory / "task.py",
            home=self._home,
            environment=Environment((), ()),
            secrets={"PASSWORD": "a secret"},
        )
        self._lanes = Lanes(setting, "none", _SERVICES, SECRET, self.lines.append)
        self._store = BlobStore(directory / "blobs")
        self._gateway = build_gateway(
            store=self._store, get_tasks=lambda: {TASK: self._lanes}, registrations={}, get_metrics=dict
        )
        self._children: dict[str, PipedChild] = {}

    def make(self, random: Random) -> Exchange:
        return make_exchange(random)

    async def attack(self, made: Exchange) -> None:
        await self._exchange(made)
        for line in self.lines:
            if not line.isprintable() and not line.replace("\t", "").isprintable():
                raise Wrong(f"a log line with control characters: {line!r:.300}")
        self.lines.clear()

    async def confirm(self) -> None:
        for step, expected in (
            ("submit", "honest"),
            ("audit", Opinion("valid")),
            ("serve", (200, b"honest")),
        ):
            got = await self._exchange(Exchange(step, ()))
            if got != expected:
                raise Wrong(f"an honest {step} gives {got!r:.300}")

    async def close(self) -> None:
        """End all processes."""
        await self._lanes.close()
        for child in self._children.values():
            child.end()
        self._store.close()

    async def _exchange(self, made: Exchange) -> Any:
        """What the node makes of a call that the task answers so; the failure where it fails."""
        calling = asyncio.create_task(self._call(made.step))
        playing = asyncio.create_task(self._play(made, LANES.get(made.step, "review")))
        try:
            return await calling
        except TaskFailed as failure:
            if not str(failure) or "still running" in str(failure):
                raise Wrong(f"a call is answered by its deadline only: {failure}") from failure
            return failure
        finally:
            playing.cancel()
            await asyncio.wait([playing])
            if not playing.cancelled():
                playing.result()

    async def _call(self, step: str) -> Any:
        node = str(NODE.pubkey())
        match step:
            case "work":
                return await self._lanes.work(1, SEED, SECONDS)
            case "submit":
                value = await self._lanes.submit(1, SEED, SECONDS)
                if value is not None and not 1 <= len(value.encode()) <= 512:
                    raise Wrong(f"a value of {len(value.encode())} bytes")
                return value
            case "audit":
                return await self._lanes.audit(1, SEED, node, "value", 5, SECONDS)
            case "distribute":
                submission = SubmissionView(node, "value", 1, 5, 1, "untried", None, {})
                return await self._lanes.distribute(1, 5, [submission], SECONDS)
            case "serve":
                return await self._serve()
            case _:
                return await self._lanes.forget(1)

    async def _serve(self) -> tuple[int, bytes]:
        """A web request through the gateway: the status and the body of its answer."""
        headers = [(b"host", b"node"), (b"accept", b"*/*")]
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "raw_path": b"",
            "path": f"/task/{TASK}/page", "query_string": b"a=1", "root_path": "", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        sent: list[Any] = []
        unread = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            return unread.pop() if unread else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._gateway(scope, receive, send)
        status = sent[0]["status"]
        if not 200 <= status <= 599 or status == 500:
            raise Wrong(f"status {status}")
        for name, value in sent[0]["headers"]:
            if set(name + value) & set(b"\r\n\0"):
                raise Wrong(f"a header that ends headers: {name!r} {value!r:.100}")
        return status, b"".join(message.get("body", b"") for message in sent[1:])

    async def _play(self, made: Exchange, kind: str) -> None:
        """Be the task: start where a new process is started, then answer one call as it was made."""
        child = self._children.get(kind)
        while True:
            if child is None or child.is_ended:
                child = self._children[kind] = await self._starter.wait_for_start()
            message = await child.read()
            if message is None:
                child.end()
            elif "call" in message:
                await self._answer(child, message["id"], made)
                return
            elif "lane" in message:
                await child.write(encode_frame(b'{"ready":["audit","submission","work"]}'))

    async def _answer(self, child: PipedChild, call_id: int, made: Exchange) -> None:
        if made.spilled is not None:
            _spill(self._home, *made.spilled, call_id)
        number = str(call_id).encode()
        frames = [encode_frame(body.replace(b"@id@", number)) for body in made.frames]
        raw = b"".join(frames) + made.raw.replace(b'"@id@"', number)
        honest = {"id": call_id, "answer": ANSWERS[made.step]}
        if is_whole(raw):
            await child.write(raw + encode_frame(json.dumps(honest).encode()), made.printed)
        else:
            await child.write(raw, made.printed)
            child.end()
        while (reply := await child.read()) is not None:
            _check_reply(reply)


def is_whole(raw: bytes) -> bool:
    """Whether bytes end where a frame ends."""
    at = 0
    while at + 4 <= len(raw):
        at += 4 + int.from_bytes(raw[at : at + 4], "little")
    return at == len(raw)


def _check_reply(reply: Any) -> None:
    """Raises Wrong unless a request of the task's has one answer or one error with a name."""
    if "call" in reply or not {"answer", "error"} & reply.keys():
        raise Wrong(f"the node says {reply!r:.300}")
    if "error" in reply and reply["error"]["kind"] not in ("Unavailable", "Refused", "InvalidSubmission"):
        raise Wrong(f"a request ends with {reply!r:.300}")


def _spill(home: Path, name: str, content: bytes, call_id: int) -> None:
    """Put a file, a link or a folder where the node looks for a long message."""
    path = home / "spill-review" / name
    with suppress(OSError, ValueError):
        if content == b"link":
            path.symlink_to("/proc/self/environ")
        elif content == b"folder":
            path.mkdir()
        else:
            path.write_bytes(content.replace(b"@id@", str(call_id).encode()))


async def _echo(params: msgspec.Raw) -> Any:
    return msgspec.json.decode(params)


async def _refuse(params: msgspec.Raw) -> Any:
    raise ServiceError("Refused", "no")


_SERVICES: Services = {"echo": _echo, "refuse": _refuse}


@asynccontextmanager
async def open_frames(directory: Path) -> AsyncIterator[ChannelFrames]:
    """The lanes of a task of their own."""
    (directory / "home").mkdir()
    with play_programs() as starter:
        frames = ChannelFrames(directory, starter)
        try:
            yield frames
        finally:
            await frames.close()
