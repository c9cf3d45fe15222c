"""Tasks that are a main.js: started under Node.js in their sandbox, called when due, restarted, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import msgspec

from ...errors import BadConfig, TaskFailed
from ...shown import Blackout
from ..answers import WEB_SECONDS, WebAnswer
from ..confinement.disk import DiskExceeded, check_disk
from ..confinement.order import Ended, Limits, Network, Order
from ..confinement.starter import Child, starter
from ..python.channel import FLOOD_PAUSE_SECONDS, TaskLog, open_reader
from .standing import Standing
from .steps import Step

CANNOT_GO_ON = 86
"""What the exit code 1 becomes when the program itself chose it (preload.cjs): it is not started again.

Node.js also ends with 1 after an uncaught exception. After that, and after every other code, the program is
started again.
"""

PAUSE_SECONDS_MAX = 300
RESET_SECONDS = 5 * 3600
"""The failures of a task that ran this long are forgotten."""

UNREAD_BYTES_MAX = 64 * 1024
"""Unread messages of a task; beyond this size further messages are dropped."""

LOAD_SECONDS = 30.0
LOAD_FAILED = "cannot be loaded: "
LOADER = """
import(require('url').pathToFileURL(process.argv[1])).then(() => process.exit(0), (error) => {
  const [place] = String(error?.stack).split('\\n');
  const [reason] = String(error).split('\\n');
  console.error(`cannot be loaded: ${/:\\d+$/.test(place) ? `${reason} (${place})` : reason}`);
  process.exit(1);
});
"""
"""Loads a main.js and ends. The arguments of the program stand where they always do."""

PRELOAD = Path(__file__).with_name("preload.cjs")
"""Gives a main.js its arguments, because every process on the machine can read a command line."""

NETWORK = Path(__file__).with_name("network.cjs")
"""Sends its HTTP and HTTPS through the node."""

PORTS = range(20_000, 32_000)
"""Where tasks serve: below what kernels hand out for connections."""

KILL_SECONDS = 5
WEB_BODY_BYTES_MAX = 50 * 1024 * 1024
ANSWER_BYTES_MAX = 50 * 1024 * 1024
ANSWERS_BYTES_MAX = 128 * 1024 * 1024
"""Of all web answers of a task that are under way: it can request them itself, as often as it likes."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class JavascriptSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One main.js on one node: what it receives when it starts, and what it may use."""

    task: str
    """Address of the task, base58."""
    name: str
    program: Path
    """main.js; its folder is what the task can read."""
    home: Path
    """The only directory that it can write. Made if missing."""
    main_key: str
    """Public key that pays the node's fees."""
    secret: str
    """The task shows this with every request to its node."""
    ledger_url: str
    service_url: str
    web_port: int
    node_port: int
    tunnel_port: int | None = None
    """Where the node opens tunnels to other hosts for it; None for none."""
    variables: dict[str, str] = {}
    limits: Limits = Limits()


class JavascriptTask:
    """The process of one main.js, from `run` to `close`.

    `log` gets the lines that the task prints, secrets blacked out. `starts` counts the processes so far.
    """

    web_body_bytes_max = WEB_BODY_BYTES_MAX

    def __init__(self, setting: JavascriptSetting, sandbox: str, log: Callable[[str], None]) -> None:
        """Raises BadConfig if this machine cannot run main.js under `sandbox`."""
        if sandbox == "bwrap" and urlsplit(setting.ledger_url).hostname not in LOOPBACK:
            raise BadConfig(
                f"under bwrap a JavaScript task reaches a ledger on this machine only, not "
                f"{setting.ledger_url}; sandlock needs a Linux kernel of 6.12 or newer"
            )
        self.setting = setting
        self.starts = 0
        self._node = find_node()
        self._sandbox = sandbox
        self._secrets = Blackout({**setting.variables, "secret": setting.secret})
        self._secrets.add_url(setting.ledger_url)
        self._log = TaskLog(lambda line: log(f"javascript: {line}"), self._secrets)
        self._answer_bytes = 0
        """Of the web answers that are under way."""
        self._channel: asyncio.StreamWriter | None = None
        self._http = httpx2.AsyncClient(trust_env=False, timeout=WEB_SECONDS, follow_redirects=False)

    @property
    def is_running(self) -> bool:
        """Whether a process runs that takes steps."""
        return self._channel is not None

    async def run(self, stake: int, report: Callable[[Standing], None]) -> None:
        """Keep the task running until it says that it cannot continue (exit 1). Cancel to end it.

        `stake` is what the node has at stake in it, in roe. `report` gets each new standing of the program.
        """
        loop = asyncio.get_running_loop()
        failures, end = 0, ""
        while True:
            began = loop.time()
            report(Standing("runs", self.starts + 1, end))
            how, code = await self._run_once(stake)
            if code == CANNOT_GO_ON:
                end = f"{how}: it is not started again"
                self._log.write(end)
                report(Standing("stopped", self.starts, end))
                return
            if loop.time() - began > RESET_SECONDS:
                failures = 0
            pause_seconds = compute_pause_seconds(failures)
            end = f"{how}: started again in {pause_seconds} s"
            self._log.write(end)
            report(Standing("waits", self.starts, end))
            failures += 1
            await asyncio.sleep(pause_seconds)

    async def load(self) -> tuple[str, int]:
        """Load the program once, without any step: how that ended in words, and the exit code.

        A program that goes on loading is good: it waits for its node, which is not there. The reason of a
        failure is logged behind LOAD_FAILED.
        """
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await self._run_once(0, is_load=True)
        except TimeoutError:
            return f"loads for more than {LOAD_SECONDS:g} s", 0

    def send(self, step: Step) -> None:
        """Send a step that is due. The task acknowledges nothing; a step that it does not read is dropped."""
        if self._channel is None:
            return
        message = {
            "functionCall": step.function,
            "roundNumber": step.round,
            "isPreviousRoundFailed": step.is_retry,
        }
        if self._channel.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            self._log.write(f"{step.function} of round {step.round} dropped: it does not read its messages")
            return
        self._channel.write(msgspec.json.encode(message) + b"\n")

    async def serve(
        self, method: str, path: str, query: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> WebAnswer:
        """Give a web request to the task's own server. Raises TaskFailed."""
        if self._channel is None:
            raise TaskFailed(f"task {self.setting.task} does not run")
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        try:
            target = httpx2.URL(
                scheme="http",
                host="127.0.0.1",
                port=self.setting.web_port,
                path=path,
                query=query.encode("latin-1") or None,
            )
            async with self._http.stream(method, target, headers=lines, content=body) as answer:
                whole = await self._read_answer(path, answer)
                answered = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in answer.headers.raw]
                return WebAnswer(answer.status_code, answered, whole)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TaskFailed(f"{method} {path}: {error!r}") from error

    def write_log(self, line: str) -> None:
        """Log a line that the task gave to its node: it counts with those that it prints."""
        self._log.write(line)

    async def _read_answer(self, path: str, answer: httpx2.Response) -> bytes:
        """The body of a web answer. Raises TaskFailed if it, or all that are under way, are too long."""
        whole = bytearray()
        try:
            async for chunk in answer.aiter_raw():
                whole += chunk
                self._answer_bytes += len(chunk)
                if len(whole) > ANSWER_BYTES_MAX:
                    raise TaskFailed(f"{path} answers more than {ANSWER_BYTES_MAX} bytes")
                if self._answer_bytes > ANSWERS_BYTES_MAX:
                    raise TaskFailed(f"answers under way have more than {ANSWERS_BYTES_MAX} bytes together")
            return bytes(whole)
        finally:
            self._answer_bytes -= len(whole)

    async def close(self) -> None:
        """Close connections to the task's server; cancel `run` first."""
        await self._http.aclose()

    async def _run_once(self, stake: int, is_load: bool = False) -> tuple[str, int]:
        """One process, from start to end: how it ended in words, and its exit code (-1: it did not run)."""
        setting = self.setting
        setting.home.mkdir(parents=True, exist_ok=True)
        try:
            await check_disk(setting.home, setting.limits.disk_bytes)
        except DiskExceeded as error:
            return str(error), -1
        try:
            async with self._start(self._build_order(stake, is_load)) as child:
                ended = await child.wait()
                return _describe_end(ended), ended.code
        except OSError as error:
            return f"could not be started: {error}", -1

    @asynccontextmanager
    async def _start(self, order: Order) -> AsyncIterator[Child]:
        """The program, and our end of its channel; both are gone afterwards. Raises OSError."""
        ours, theirs = socket.socketpair()
        child = await starter.start(order, theirs)
        self.starts += 1
        reader, self._channel = await asyncio.open_unix_connection(sock=ours)
        jobs = [
            _spawn(self._log.follow(await open_reader(child.stdout))),
            _spawn(self._log.follow(await open_reader(child.stderr))),
            _spawn(_drain(reader)),
        ]
        try:
            yield child
        finally:
            self._channel.transport.abort()
            self._channel = None
            child.kill()
            await child.wait()
            await asyncio.wait(jobs, timeout=KILL_SECONDS)
            for job in jobs:
                job.cancel()

    def _build_order(self, stake: int, is_load: bool) -> Order:
        setting = self.setting
        memory_mib = setting.limits.memory_bytes // (1024 * 1024)
        command = (
            self._node,
            # V8 collects garbage in time if it knows its limit; the program does not see this argument.
            f"--max-old-space-size={memory_mib * 3 // 4}",
            *("--require", str(PRELOAD), "--require", str(NETWORK)),
            *(("-e", LOADER) if is_load else ()),
            str(setting.program),
        )
        arguments = (
            setting.name,
            setting.task,
            str(setting.web_port),
            "service",
            setting.main_key,
            setting.secret,
            setting.ledger_url,
            setting.service_url,
            str(stake),
            str(setting.node_port),
        )
        environment = {
            **setting.variables,
            "MAIN_JS_ARGUMENTS": msgspec.json.encode(arguments).decode(),
            **self._describe_network(),
            "PATH": os.path.dirname(self._node),
            "NODE_CHANNEL_FD": "0",
            "NODE_CHANNEL_SERIALIZATION_MODE": "json",
        }
        return Order(
            sandbox=self._sandbox,
            command=command,
            environment=environment,
            readable=(self._node, str(setting.program.parent), str(PRELOAD), str(NETWORK)),
            home=str(setting.home),
            limits=setting.limits,
            network=Network(
                endpoints=(*self._list_endpoints(), *self._list_tunnels()),
                listen=setting.web_port,
            ),
        )

    def _list_endpoints(self) -> tuple[str, ...]:
        return compute_endpoints(self.setting.ledger_url, self.setting.node_port)

    def _list_tunnels(self) -> list[str]:
        port = self.setting.tunnel_port
        return [] if port is None else [f"127.0.0.1:{port}"]

    def _describe_network(self) -> dict[str, str]:
        """The variable that network.cjs reads, and takes out of the environment."""
        if self.setting.tunnel_port is None:
            return {}
        fields = {
            "port": self.setting.tunnel_port,
            "secret": self.setting.secret,
            "direct": self._list_endpoints(),
        }
        return {"MAIN_JS_NETWORK": msgspec.json.encode(fields).decode()}


def find_node() -> str:
    """The Node.js of this machine. Raises BadConfig."""
    found = shutil.which("node")
    if found is None:
        raise BadConfig("JavaScript tasks need Node.js 18 or newer: `node` is not on the PATH")
    return os.path.realpath(found)


def find_free_port() -> int:
    """A free port, outside the range that the kernel gives to connections."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def compute_pause_seconds(failures: int) -> int:
    """How long a task waits for its restart after `failures` earlier failures."""
    return min(2 ** (failures + 1), PAUSE_SECONDS_MAX) if failures < 10 else PAUSE_SECONDS_MAX


def compute_endpoints(ledger_url: str, node_port: int) -> tuple[str, ...]:
    """All that a task may connect to by itself: the ledger's HTTP and websocket ports, and the node's."""
    parts = urlsplit(ledger_url)
    host = parts.hostname or "localhost"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    hosts = ("127.0.0.1", "[::1]") if host == "localhost" else (f"[{host}]" if ":" in host else host,)
    ledger = [f"{host}:{at}" for host in hosts for at in (port, port + 1)]
    return (*ledger, f"127.0.0.1:{node_port}", f"[::1]:{node_port}")


async def _drain(reader: asyncio.StreamReader) -> None:
    """Read and ignore what a task sends on its channel, so that the channel does not fill."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):  # noqa: ASYNC110 -- it waits for no event: it bounds a rate
            await asyncio.sleep(FLOOD_PAUSE_SECONDS)


def _describe_end(ended: Ended) -> str:
    if ended.reason != f"exit {ended.code}":
        return f"ended: {ended.reason}"
    match ended.code:
        case 1:
            return "ended by an exception that nothing caught"
        case code if code == CANNOT_GO_ON:
            return "ended itself with exit code 1"
        case code:
            return f"ended with exit code {code}"


def _spawn(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)
