"""The program inside the sandbox: reads calls from the node, runs the author's functions, answers.

Standard library and the SDK only; nothing of the node is here. A frame is a u32 (little endian) length
and so many bytes of JSON; a longer one is a file in the spill folder, and the
frame holds its name. The node sends `start`, then `call`; the worker sends `ready`, `ask`, `answer`,
`failed`. Every frame but the first has an `id`, and a reply has the id of what it replies to.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from binascii import a2b_base64, b2a_base64
from queue import SimpleQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .saved import SavedFile
    from .task import Context, Task

FRAME_BYTES_MAX = 1024 * 1024
SPILL_BYTES_MAX = 64 * 1024 * 1024
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_CAPBSET_DROP, CAPABILITY_VERSION = 24, 0x20080522
FILES = "files"
STATE = "state.sqlite"


def main() -> None:
    """Serve calls until the node closes the channel."""
    channel = Channel(*_take_channel())
    start = channel.read()
    if start is None:
        return
    channel.spill = start["spill_folder"]
    if start["filter"]:
        _refuse(a2b_base64(start["filter"]))
    try:
        worker = Worker(channel, start)
    except BaseException as error:  # noqa: BLE001 -- the author's file may raise anything while it is imported
        channel.write({"failed": _describe(error)})
        return
    channel.write({"ready": sorted(worker.task.functions)})
    if start["lane"] == "web":
        _serve_web(channel, worker)
    else:
        channel.serve(worker.answer)


class Channel:
    """Frames in both directions. One thread reads; any thread may write and request."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = os.fdopen(source, "rb")
        self._sink = os.fdopen(sink, "wb")
        self._writing = threading.Lock()
        self._calls: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._requests: dict[int, SimpleQueue[dict[str, Any]]] = {}
        self._last_id = 0
        self.spill = ""

    def serve(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Answer calls one by one, for ever; the process ends when the channel does."""
        self.listen(self._calls.put)
        while True:
            call = self._calls.get()
            self.reply(call["id"], answer(call))

    def reply(self, call_id: int, reply: dict[str, Any]) -> None:
        """Send the reply to a call; why it cannot be sent if it is too long or not Unicode."""
        try:
            self.write({"id": call_id, **reply})
        except ValueError as error:
            self.write({"id": call_id, "failed": f"its answer cannot be sent: {error}"})

    def listen(self, take: Callable[[dict[str, Any]], None]) -> None:
        """Start the reading thread, which hands calls to `take` and replies to the thread that waits."""
        threading.Thread(target=self._listen, args=(take,), daemon=True).start()

    def request(self, method: str, params: dict[str, Any]) -> Any:
        """Request a service and wait for its reply. Raises Unavailable, Refused, InvalidSubmission."""
        from . import task as sdk

        waiting: SimpleQueue[dict[str, Any]] = SimpleQueue()
        with self._writing:
            self._last_id += 1
            request_id = self._last_id
            self._requests[request_id] = waiting
        self.write({"id": request_id, "ask": method, "params": params})
        reply = waiting.get()
        if "error" in reply:
            raise getattr(sdk, reply["error"]["kind"])(reply["error"]["text"])
        return reply["answer"]

    def read(self) -> dict[str, Any] | None:
        """The next frame; None when the node has closed the channel."""
        head = self._source.read(4)
        if len(head) < 4:
            return None
        body = self._source.read(int.from_bytes(head, "little"))
        message: dict[str, Any] = json.loads(body)
        if "spill" not in message:
            return message
        path = os.path.join(self.spill, message["spill"])
        with open(path, "rb") as file:
            whole: dict[str, Any] = json.loads(file.read())
        os.unlink(path)
        return whole

    def write(self, message: dict[str, Any]) -> None:
        """Send one frame. Raises ValueError if it is too long, too deep or has half of a surrogate pair."""
        from .task import JSON_DEPTH_MAX, is_deep

        try:
            body = json.dumps(message, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ValueError(str(error)) from error
        if body.count(b"[") + body.count(b"{") > JSON_DEPTH_MAX and is_deep(message):
            raise ValueError(f"a value has more than {JSON_DEPTH_MAX} levels")
        with self._writing:
            if len(body) > FRAME_BYTES_MAX:
                body = self._write_spill(body)
            self._sink.write(len(body).to_bytes(4, "little") + body)
            self._sink.flush()

    def _write_spill(self, body: bytes) -> bytes:
        if len(body) > SPILL_BYTES_MAX:
            raise ValueError(f"{len(body)} bytes are too many for one message; {SPILL_BYTES_MAX} are allowed")
        name = f"up-{os.getpid()}-{time.monotonic_ns()}"
        with open(os.path.join(self.spill, name), "wb") as file:
            file.write(body)
        return json.dumps({"spill": name}).encode()

    def _listen(self, take: Callable[[dict[str, Any]], None]) -> None:
        try:
            while (message := self.read()) is not None:
                if "call" in message:
                    take(message)
                elif message["id"] in self._requests:
                    self._requests.pop(message["id"]).put(message)
                # else the author's code wrote to the channel by itself, and nothing waits for the answer
        except BaseException as error:  # noqa: BLE001 -- whatever it is, no further frame can be read
            print(_describe(error), file=sys.stderr, flush=True)
        # The node has closed the channel, or sends what is not a frame: there is no work left,
        # whatever the main thread is busy with.
        os._exit(0)


class Worker:
    """The author's task in this process, and what its functions are given."""

    def __init__(self, channel: Channel, start: dict[str, Any]) -> None:
        self._channel = channel
        self._start = start
        self._files = os.path.join(start["home"], FILES)
        self._saved: SavedFile | None = None
        self._is_set_up = False
        os.makedirs(self._files, exist_ok=True)
        self.task = _import_task(start["program"])

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """Run one call; the reply, `answer` or `failed`."""
        try:
            return {"answer": self._run(call["call"], call)}
        except BaseException as error:  # noqa: BLE001 -- the author's code may raise anything, SystemExit too
            return {"failed": _describe(error)}

    def get_routes(self, call: dict[str, Any]) -> Any:
        """What `@task.routes` returned for the round of `call`."""
        return self.task.call("routes", self._prepare(call))

    def _run(self, step: str, call: dict[str, Any]) -> Any:
        from .task import Candidate, Round, Submitter

        if step == "forget":
            return self._get_saved().forget(call["before_round"])
        if step == "distribution":
            submitters = [Submitter(**each) for each in call["submitters"]]
            return self.task.call(step, given=Round(call["round"], call["bounty"], submitters))
        ctx = self._prepare(call)
        if step != "audit":
            return self.task.call(step, ctx)
        given = call["candidate"]
        seed = bytes.fromhex(given["seed"])
        return self.task.call(
            step, ctx, Candidate(given["node"], given["value"], call["round"], seed, given["stake"])
        )

    def _prepare(self, call: dict[str, Any]) -> Context:
        ctx = self._build_context(call)
        if not self._is_set_up:
            self._is_set_up = True
            self.task.call("setup", ctx)
        return ctx

    def _build_context(self, call: dict[str, Any]) -> Context:
        from .task import Context

        deadline = time.monotonic() + call["seconds"]
        return Context(
            task=self._start["task"],
            node=self._start["node"],
            round=call["round"],
            seed=bytes.fromhex(call["seed"]),
            random_seed=bytes.fromhex(call["random_seed"]),
            seconds_left=lambda: deadline - time.monotonic(),
            params=self._start["params"],
            secrets=self._start["secrets"],
            files=self._files,
            saved=self._get_saved(),
            request=self._channel.request,
            submitter=call["candidate"]["node"] if "candidate" in call else None,
        )

    def _get_saved(self) -> SavedFile:
        if self._saved is None:
            from .saved import SavedFile

            self._saved = SavedFile(os.path.join(self._start["home"], STATE))
        return self._saved


def _take_channel() -> tuple[int, int]:
    """Move the channel off 0 and 1, so that `print` is a line of the log and reading stdin is empty."""
    source, sink = os.dup(0), os.dup(1)
    nothing, unused = os.pipe()
    os.close(unused)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return source, sink


def _refuse(rules: bytes) -> None:
    """Give up what root may do, and every system call that the node's BPF program does not allow.

    Raises OSError.
    """
    import ctypes

    class Rules(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("rules", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    capability = 0
    while libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if libc.capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")
    program = Rules(len(rules) // 8, rules)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


def _import_task(program: str) -> Task:
    """Import the author's file; the Task in it. Raises whatever it raises, or TypeError."""
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_loader

    from .task import Task

    sys.path.insert(0, os.path.dirname(program))
    loader = SourceFileLoader("task", program)
    spec = spec_from_loader("task", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules["task"] = module
    loader.exec_module(module)
    tasks = [value for value in vars(module).values() if isinstance(value, Task)]
    if len(tasks) != 1:
        raise TypeError(f"task.py has {len(tasks)} Task objects; it must have one: task = Task('name')")
    return tasks[0]


def _serve_web(channel: Channel, worker: Worker) -> None:
    """Answer web requests side by side on one event loop."""
    import asyncio

    from .routes import answer_request

    async def answer(call: dict[str, Any], routes: Any) -> None:
        try:
            status, headers, body = await answer_request(routes, call)
        except BaseException as error:  # noqa: BLE001 -- as in Worker.answer
            channel.reply(call["id"], {"failed": _describe(error)})
        else:
            text = b2a_base64(body, newline=False).decode()
            channel.reply(call["id"], {"answer": {"status": status, "headers": headers, "body": text}})

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        calls: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def take(call: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(calls.put_nowait, call)

        channel.listen(take)
        routes: Any = None
        running = set()
        while True:
            call = await calls.get()
            call["body"] = a2b_base64(call["body"])
            try:
                if routes is None:
                    routes = await asyncio.to_thread(worker.get_routes, call)
            except BaseException as error:  # noqa: BLE001 -- as in Worker.answer
                channel.reply(call["id"], {"failed": _describe(error)})
                continue
            task = asyncio.create_task(answer(call, routes))
            running.add(task)
            task.add_done_callback(running.discard)

    asyncio.run(serve())


def _describe(error: BaseException) -> str:
    """The traceback from the author's first line on."""
    import traceback

    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    trace = error.__traceback__
    while trace is not None and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(here):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace)).strip()
    return text.encode("utf-8", "backslashreplace").decode()
