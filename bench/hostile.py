"""How long a client waits while another address attacks the ledger, against how long it waits otherwise.

Run: python bench/hostile.py. A ledger process and two clients at addresses of their own run in a new network
namespace (Linux, `unshare` and `ip`), because limits spare 127.0.0.1. The attacker opens 100 websockets and
subscribes 100,000 times to slots, logs, accounts and programs, opens 2,000 connections that send half of a
request, and 1,000 that send nothing. What the ledger refuses or closes it opens again, 200 a second. The
honest client reads a balance, and sends a transfer that is answered when it is on disk, on a new connection
now and then. Half of its quiet calls come before the attack and half after. All of them share the processors
of this machine, the attacker's own work among them. Left out: the line between them.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import uvloop
from connections import Connection
from ledgers import PORT, Running, found_ledger, running_ledger, temporary_folder
from process import get_memory
from ref import measure_ref, print_machine
from signing import sign_transfers
from solders.keypair import Keypair
from solders.pubkey import Pubkey

LEDGER, ATTACKER, HONEST = "10.77.0.1", "10.77.0.2", "10.77.0.3"
PAUSE_SECONDS = 0.005
"""Between two honest calls."""

CALLS_OF_A_CONNECTION = 50
REOPENED_PER_SECOND = 200
SUBSCRIPTIONS_OF_A_WEBSOCKET = 1_000
SYSTEM = "11111111111111111111111111111111"
HANDSHAKE = (
    f"GET / HTTP/1.1\r\nhost: {LEDGER}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()
HALF = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\ncontent-type: "


# The attacker


class Attack:
    """All connections of the attacker; `seen` counts what became of them."""

    def __init__(self, half_open: int, idle: int, subscriptions: int) -> None:
        self.seen = Counter[str]()
        websockets = subscriptions // SUBSCRIPTIONS_OF_A_WEBSOCKET
        self._kinds = ["websocket"] * websockets + ["half"] * half_open + ["idle"] * idle
        self._turn = asyncio.Lock()
        self._all_opened = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Open everything, say so, and open again what is closed, until the process ends."""
        tasks = [asyncio.create_task(self._keep_open(kind)) for kind in self._kinds]
        await self._all_opened.wait()
        ready()
        await asyncio.gather(*tasks)

    async def _keep_open(self, kind: str) -> None:
        while True:
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection(LEDGER, PORT, local_addr=(ATTACKER, 0))
                self.seen[f"{kind} opened"] += 1
                if sum(self.seen[f"{each} opened"] for each in set(self._kinds)) >= len(self._kinds):
                    self._all_opened.set()
                writer.write({"websocket": HANDSHAKE, "half": HALF, "idle": b""}[kind])
                if kind == "websocket":
                    self._look_at(kind, await reader.readuntil(b"\r\n\r\n"))
                    writer.write(SUBSCRIPTIONS)
                while part := await reader.read(2**16):
                    self._look_at(kind, part)
                writer.close()
            self.seen[f"{kind} closed"] += 1
            async with self._turn:
                await asyncio.sleep(1 / REOPENED_PER_SECOND)

    def _look_at(self, kind: str, part: bytes) -> None:
        if part.startswith(b"HTTP/1.1 503"):
            self.seen[f"{kind} refused"] += 1
        self.seen["subscriptions accepted"] += part.count(b'"result":') - part.count(b"Notification")
        self.seen["subscriptions refused"] += part.count(b'"error":')
        self.seen["notifications"] += part.count(b"Notification")


def compose_subscriptions() -> bytes:
    """Frames that subscribe to everything that makes work, each program subscription with its own filter."""
    filters = [
        {"encoding": "base64", "filters": [{"memcmp": {"offset": at, "bytes": "2"}}]}
        for at in range(SUBSCRIPTIONS_OF_A_WEBSOCKET // 5)
    ]
    calls: list[tuple[str, list[object]]] = []
    for each in filters:
        calls += [("slot", []), ("root", []), ("logs", ["all"]), ("program", [SYSTEM, each])]
        calls += [("account", [SYSTEM])]
    bodies = [
        msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": f"{kind}Subscribe", "params": params})
        for kind, params in calls
    ]
    return b"".join(compose_frame(body) for body in bodies)


def compose_frame(body: bytes) -> bytes:
    """A text as a client sends it, masked with zeros."""
    size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + body


SUBSCRIPTIONS = compose_subscriptions()


def attack(half_open: int, idle: int, subscriptions: int) -> None:
    """Attack until the standard input ends; then say what was seen."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def run() -> None:
        attacking = Attack(half_open, idle, subscriptions)
        task = asyncio.create_task(attacking.run(lambda: print("ready", flush=True)))
        await asyncio.to_thread(sys.stdin.read)
        task.cancel()
        print(json.dumps(attacking.seen), flush=True)
        os._exit(0)  # thousands of connections need no farewell

    uvloop.run(run())


# The honest client


class Honest:
    """A client that reads and pays; `seconds` is how long each call took, by what it was."""

    def __init__(self, payer: Keypair, targets: list[Pubkey]) -> None:
        self.seconds: dict[str, list[float]] = {"read": [], "transfer": []}
        self._payer = payer
        self._targets = targets
        self._transfers = 1

    async def measure(self, count: int) -> None:
        """So many calls of each kind."""
        for first in range(0, count, CALLS_OF_A_CONNECTION):
            calls = min(CALLS_OF_A_CONNECTION, count - first)
            connection = await Connection.open(f"http://{LEDGER}:{PORT}", local=HONEST)
            tick = (await connection.call("getLatestBlockhash"))["value"]["blockhash"]
            numbers = range(self._transfers, self._transfers + calls)
            self._transfers += calls
            bodies = sign_transfers([self._payer], self._targets, tick, numbers, 1)
            for body in bodies:
                await self._time("read", connection.call("getBalance", str(self._payer.pubkey())))
                await self._time("transfer", connection.post(body))
            connection.close()

    async def _time(self, name: str, call: Awaitable[object]) -> None:
        begin = time.perf_counter()
        answer = await call
        self.seconds[name].append(time.perf_counter() - begin)
        assert not isinstance(answer, bytes) or b'"result"' in answer, answer
        await asyncio.sleep(PAUSE_SECONDS)


def get_quantile(values: list[float], part: float) -> float:
    """In milliseconds."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] * 1000


# The bench


class Result(msgspec.Struct):
    """What an honest client waited, in milliseconds, and the most memory of the ledger, in MiB."""

    quiet: dict[str, tuple[float, float]]
    """Median and 99th percentile by kind of call."""
    attacked: dict[str, tuple[float, float]]
    memory: float
    seen: dict[str, int]
    load: float


def describe_waits(honest: Honest) -> dict[str, tuple[float, float]]:
    return {
        name: (get_quantile(seconds, 0.5), get_quantile(seconds, 0.99))
        for name, seconds in honest.seconds.items()
    }


def measure(running: Running, quiet: Honest, attacked: Honest, samples: int, command: list[str]) -> Result:
    """Call before, during and after the attack."""
    uvloop.run(quiet.measure(samples // 2))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attacker:
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == b"ready\n"
        uvloop.run(attacked.measure(samples))
        load = os.getloadavg()[0]
        attacker.stdin.close()
        seen = json.loads(attacker.stdout.read())
    memory = get_memory(running.pid, "VmHWM")
    uvloop.run(quiet.measure(samples - samples // 2))
    return Result(describe_waits(quiet), describe_waits(attacked), memory, seen, load)


def enter_namespace() -> None:
    """Start this program again in a network namespace of its own."""
    if os.environ.get("ROUNDWORK_NAMESPACE") == "1":
        return
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    links = " && ".join(
        ["ip link set lo up", *(f"ip address add {each}/32 dev lo" for each in (LEDGER, ATTACKER, HONEST))]
    )
    command = [
        "unshare",
        *user,
        "--net",
        "sh",
        "-c",
        f'{links} && exec "$@"',
        "sh",
        sys.executable,
        *sys.argv,
    ]
    os.execvpe("unshare", command, {**os.environ, "ROUNDWORK_NAMESPACE": "1"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--half-open", type=int, default=2_000)
    parser.add_argument("--idle", type=int, default=1_000)
    parser.add_argument("--subscriptions", type=int, default=100_000)
    parser.add_argument("--attack", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    numbers = options.half_open, options.idle, options.subscriptions
    if options.attack:
        attack(*numbers)
        return

    enter_namespace()
    ref = measure_ref()
    command = [sys.executable, __file__, "--attack", "--half-open", str(options.half_open)]
    command += ["--idle", str(options.idle), "--subscriptions", str(options.subscriptions)]
    payers = [Keypair(), Keypair()]
    with temporary_folder() as folder:
        targets = found_ledger(folder / "ledger", payers, 1_000)
        quiet, attacked = (Honest(payer, targets) for payer in payers)
        with running_ledger(folder / "ledger", host=LEDGER) as running:
            result = measure(running, quiet, attacked, options.samples, command)

    if options.json:
        print(json.dumps({"ref": ref, **msgspec.to_builtins(result)}))
        return
    print_machine(ref)
    print(f"load under attack: {result.load:.1f}; {options.samples} calls of each kind, quiet and attacked")
    for name, (median, slowest) in result.quiet.items():
        now = result.attacked[name]
        print(f"a {name}, quiet: {median:.1f} ms, 99th percentile {slowest:.1f} ms; under attack: "
              f"{now[0]:.1f} ms, 99th percentile {now[1]:.1f} ms, {now[1] / slowest:.2f} x")  # fmt: skip
    print(f"most memory of the ledger: {result.memory:.0f} MiB")
    print("the attacker: " + ", ".join(f"{name} {count:,}" for name, count in sorted(result.seen.items())))


if __name__ == "__main__":
    main()
