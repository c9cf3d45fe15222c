"""The network of a main.js under bubblewrap: it runs inside the sandbox and is the only way in and out.

The sandbox has a network of its own, in which nothing else listens. This program listens there at the
ports that the task may reach and hands these sockets out to `confine`, which connects them to the same
ports of the machine; for the way in it was given a socket that listens on the machine. What it starts may
start nothing. Standard library only: it runs where nothing else is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

HOSTS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
ORDER_BYTES_MAX = 1024 * 1024
CONNECTIONS_MAX = 64
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_CAPBSET_DROP, CAPABILITY_VERSION = 24, 0x20080522
KILLED = 137


async def main() -> int:
    """Read the order from the socket whose number is the first argument; end as the program ends."""
    # The filter keeps the task from taking a socket out of this process. It does not hide itself: the guard
    # of an ordinary user's node counts the files that every process holds, and ends what it cannot see.
    control, way_in = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    with control.makefile("rb") as lines:
        order = json.loads(lines.readline(ORDER_BYTES_MAX))
    for port in order["ports"]:
        listening = listen(port)
        socket.send_fds(control, [b"%d\n" % port], [each.fileno() for each in listening])
        for each in listening:
            each.close()
    control.close()
    await forward(way_in, lambda: asyncio.open_connection("127.0.0.1", order["web_port"]))
    rules = base64.b64decode(order["filter"])
    process = await asyncio.create_subprocess_exec(
        *order["command"], env=order["environment"], preexec_fn=lambda: refuse(rules)
    )
    code = await process.wait()
    return code if code >= 0 else KILLED


def listen(port: int) -> list[socket.socket]:
    """A port of loopback, in each family that there is."""
    listening = []
    for family, host in HOSTS:
        with contextlib.suppress(OSError):
            listening.append(socket.create_server((host, port), family=family))
    return listening


async def forward(listening: socket.socket, connect: Connect) -> asyncio.Server:
    """Connect each client to where `connect` leads, a bounded number at a time."""
    places = asyncio.Semaphore(CONNECTIONS_MAX)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with places:
            with contextlib.suppress(OSError), contextlib.closing(writer):
                far_reader, far_writer = await connect()
                with contextlib.closing(far_writer):
                    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    return await asyncio.start_server(serve, sock=listening)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


class _Rules(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("rules", ctypes.c_char_p))


def refuse(rules: bytes) -> None:
    """Put this process under a seccomp filter, for good. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Rules(len(rules) // 8, rules)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


def drop_capabilities() -> None:
    """Give up what root may do, for good; other users may do none of it anyway. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    capability = 0
    while libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if libc.capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


def become(rules: bytes, command: list[str]) -> None:
    """Go on as another program, without root's capabilities and under a seccomp filter."""
    drop_capabilities()
    refuse(rules)
    os.environ.pop("LC_CTYPE", None)  # this interpreter's own, in the place of a locale that it does not like
    os.execv(command[0], command)


if __name__ == "__main__":
    if sys.argv[1] == "become":
        become(base64.b64decode(sys.argv[2]), sys.argv[3:])
    sys.exit(asyncio.run(main()))
