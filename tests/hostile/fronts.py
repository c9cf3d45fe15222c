"""A ledger and a gateway, each as a process with narrow limits, and clients at addresses of their own."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..ledger.process import find_port, running

LIMITS = {
    "connections": 40,
    "connections_per_address": 10,
    "head_bytes": 3_000,
    "head_fields": 20,
    "request_seconds": 2,
    "held_bytes": 8_000_000,
    "held_bytes_per_address": 1_000_000,
}

HOSTILE, HONEST = "127.0.0.2", "127.0.0.3"
"""Where clients call from. The limits spare 127.0.0.1 only."""

GATEWAY = """
import asyncio, json, sys
from pathlib import Path
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from roundwork.host.front import FrontLimits
from roundwork.host.serve import listen, serve
from roundwork.node.peers.gateway import build_gateway, read_body
from roundwork.node.peers.storage import BlobStore

async def measure(request):
    body = await read_body(request, 4_000_000)
    return PlainTextResponse(str(len(body)))

async def main(directory, port, limits):
    store = BlobStore(Path(directory))
    store.put(bytes(8_000_000), "task", 0)
    gateway = build_gateway(store=store, get_tasks=dict, registrations={}, get_metrics=dict,
                            routes=[Route("/measure", measure, methods=["POST"])])
    stop = asyncio.Event()
    await serve(gateway, [listen("127.0.0.1", port)], stop.wait(), stop=stop.set,
                ready=lambda: print("ready", flush=True), shutdown_seconds=0, limits=FrontLimits(**limits))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])))
"""


class Front:
    """A process that serves HTTP on 127.0.0.1."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def connect(self, address: str = HONEST) -> socket.socket:
        """A connection from an address."""
        return connect_from(address, self.port)

    def request(self, data: bytes, address: str = HONEST) -> bytes:
        """Everything that a connection is answered until it is closed."""
        with self.connect(address) as connection:
            connection.sendall(data)
            return read_all(connection)

    def is_healthy(self, address: str = HONEST) -> bool:
        """Whether a request from an address is answered."""
        return self.request(HEALTH, address).startswith(b"HTTP/1.1 200 ")


HEALTH = b"GET /health HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"


@contextmanager
def running_front(kind: str, directory: Path, **limits: int) -> Iterator[Front]:
    """A front of a kind, "ledger" or "gateway"."""
    limits = {**LIMITS, **limits}
    if kind == "ledger":
        options = [part for name, value in limits.items() for part in ("--limit", f"{name}={value}")]
        with running(directory, None, *options) as ledger:
            yield Front(ledger.port, ledger.process)
        return
    port = find_port()
    command = [sys.executable, "-c", GATEWAY, str(directory), str(port), json.dumps(limits)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", process.communicate()
        yield Front(port, process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def connect_from(address: str, port: int) -> socket.socket:
    """A connection from an address to a port of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other end closes, or resets the connection."""
    parts = []
    try:
        while part := connection.recv(2**16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def compose_post(body: bytes, size: int | None = None) -> bytes:
    """The request of a body, of which `size` says how long it will be."""
    length = len(body) if size is None else size
    return b"POST /measure HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n%s" % (length, body)


def get_status(answer: bytes) -> int:
    """The status of an answer; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def compose_call(method: str, *params: Any) -> bytes:
    """The body of an RPC request."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
