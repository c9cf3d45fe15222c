"""Service calls of real processes: a Python task and a main.js send mutated requests to their node."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from roundwork.errors import TaskFailed
from roundwork.node.confinement.sandbox import choose_sandbox
from roundwork.node.javascript.steps import Step
from roundwork.node.python.lane import TaskSetting
from roundwork.node.python.lanes import Lanes

from ...node.house import HEADER, SECRET, SEED, make_environment
from ...node.javascript.mainjs import MainJs, require_node, run_main
from ...node.peers.neighbours import serve
from .piped import encode_frame
from .service_calls import ServiceRoom, open_room
from .service_requests import ServiceCall, check_post, check_reply, make_call, read_frame
from .surface import Wrong

SECONDS = 20.0
FIRST_ID = 1_000_000
"""Of requests in an input; the SDK's own begin at 1."""

PYTHON_TASK = """
import gc, json
from queue import SimpleQueue
channel = next(each for each in gc.get_objects() if type(each).__name__ == "Channel")
inputs = os.path.join(os.path.dirname(__file__), "inputs")

@task.submission
def submission(ctx):
    with open(os.path.join(inputs, f"{ctx.round}.frames"), "rb") as file:
        raw = file.read()
    with open(os.path.join(inputs, f"{ctx.round}.ids"), "rb") as file:
        waiting = {request_id: SimpleQueue() for request_id in json.load(file)}
    channel._requests.update(waiting)
    channel._sink.write(raw)
    channel._sink.flush()
    replies = {request_id: queue.get() for request_id, queue in waiting.items()}
    with open(os.path.join(ctx.files, "replies"), "w") as file:
        json.dump(replies, file)
    return "done"
"""
"""Sends the frames of its round's file, and writes down the replies."""

MAIN_JS = """
const fs = require('fs'), http = require('http'), path = require('path');
process.on('message', ({ roundNumber }) => {
  const body = fs.readFileSync(path.join(__dirname, 'inputs', `${roundNumber}.body`));
  const options = { host: '127.0.0.1', port: process.argv[11], path: '/namespace-wrapper', method: 'POST' };
  const request = http.request(options, (answer) => {
    const pieces = [];
    answer.on('data', (piece) => pieces.push(piece));
    answer.on('end', () => {
      fs.writeFileSync(`reply-${roundNumber}`, Buffer.concat(pieces));
      console.log('done', JSON.stringify([roundNumber, answer.statusCode]));
    });
  });
  request.on('error', (error) => console.log('done', JSON.stringify([roundNumber, String(error)])));
  request.end(body);
});
console.log('ready');
"""
"""Posts the body of its round's file, and writes down the answer."""


class ServiceProcesses:
    """A room whose tasks are processes in the sandbox. Each kind is started when an input needs it."""

    def __init__(self, directory: Path, room: ServiceRoom, stack: AsyncExitStack) -> None:
        self._room = room
        self._stack = stack
        self._directory = directory
        self._package = directory / "package"
        self._inputs = self._package / "inputs"
        self._inputs.mkdir(parents=True)
        self._lane_home, self._main_home = directory / "lane-home", directory / "main-home"
        self._round = 0
        self._lanes: Lanes | None = None
        self._main: MainJs | None = None

    def make(self, random: Random) -> ServiceCall:
        return make_call(random)

    async def attack(self, made: ServiceCall) -> None:
        self._round += 1
        if made.bodies:
            await self._attack_from_python([self._room.fill(body) for body in made.bodies])
        else:
            await self._attack_from_javascript(self._room.fill(made.post))

    async def confirm(self) -> None:
        await self._room.confirm()

    async def _attack_from_python(self, bodies: list[bytes]) -> None:
        frames = [
            body.replace(b"@id@", str(FIRST_ID + at).encode()) for at, body in enumerate(bodies)
        ]  # fmt: skip
        requests = {str(FIRST_ID + at): read_frame(frame) for at, frame in enumerate(frames)}
        (self._inputs / f"{self._round}.frames").write_bytes(b"".join(map(encode_frame, frames)))
        (self._inputs / f"{self._round}.ids").write_text(json.dumps([*map(int, requests)]))
        lanes = await self._start_python()
        try:
            await lanes.submit(self._round, SEED, SECONDS)
        except TaskFailed as failure:
            if "it sent a bad frame: " not in str(failure):
                raise
            return
        [path] = self._lane_home.rglob("replies")
        for request_id, reply in json.loads(path.read_text()).items():
            check_reply(requests[request_id], reply, self._room.names)

    async def _attack_from_javascript(self, body: bytes) -> None:
        (self._inputs / f"{self._round}.body").write_bytes(body)
        main = await self._start_javascript()
        main.program.send(Step("executeTask", self._round))
        at, status = json.loads(
            (await main.wait_for(lambda line: f"done [{self._round}," in line)).partition("done ")[2]
        )
        if not isinstance(status, int):
            raise Wrong(f"request {at} was not answered: {status}")
        check_post(body, status, (self._main_home / f"reply-{self._round}").read_bytes(), self._room.names)

    async def _start_python(self) -> Lanes:
        if self._lanes is None:
            environment = await asyncio.to_thread(make_environment, self._directory / "environments")
            program = self._package / "task.py"
            program.write_text(HEADER + PYTHON_TASK)
            setting = TaskSetting(
                task=self._room.task,
                node=self._room.node,
                program=program,
                home=self._lane_home,
                environment=environment,
            )
            self._lanes = Lanes(
                setting, choose_sandbox(), self._room.services, SECRET, self._room.lines.append
            )
            self._stack.push_async_callback(self._lanes.close)
        return self._lanes

    async def _start_javascript(self) -> MainJs:
        if self._main is None:
            require_node()
            url = await self._stack.enter_async_context(serve(self._room.gateway))
            self._main = await self._stack.enter_async_context(
                run_main(
                    self._directory,
                    MAIN_JS,
                    choose_sandbox(),
                    node_port=urlsplit(url).port,
                    home=self._main_home,
                )
            )
            await self._main.wait_for(lambda line: "ready" in line)
        return self._main


@asynccontextmanager
async def open_service_processes(directory: Path) -> AsyncIterator[ServiceProcesses]:
    """A room and processes."""
    async with open_room(directory) as room, AsyncExitStack() as stack:
        yield ServiceProcesses(directory, room, stack)
