"""The process of a node that starts its tasks, and the node's side of it.

A node has threads and libraries that may panic, and it may be killed. So its tasks depend on another
process: the starter has one thread and only forks. Each program gets a cell (cell.py), which holds a
connection to the node. The kernel closes that connection whatever becomes of the node, and the cell ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO

from . import namespaces
from .cell import Powers, guard
from .groups import remove_left_over
from .order import KILLED, Bounds, Ended, Failed, Order, Started, decode_report, encode_line

MODULE = "roundwork.node.confinement.starter"
START_SECONDS = 20
"""For a cell to be made and its program to be started."""


class Child:
    """A started program. The pipes belong to the caller, who closes them; stdin is None if it was given."""

    def __init__(
        self,
        control: socket.socket,
        bounds: Bounds,
        pipes: tuple[IO[bytes] | None, IO[bytes], IO[bytes]],
    ) -> None:
        self.bounds = bounds
        self.stdin, self.stdout, self.stderr = pipes
        self._control = control
        self._ended: asyncio.Task[Ended] | None = None

    def kill(self) -> None:
        """End the program and everything it started. May be called twice, also by other threads."""
        with contextlib.suppress(OSError):  # it is gone already
            self._control.shutdown(socket.SHUT_WR)

    def abandon(self) -> None:
        """End a program that no caller waits for."""
        self._control.close()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    async def wait(self) -> Ended:
        """How it ended, once it has. Several may wait, in one event loop."""
        if self._ended is None:
            self._ended = asyncio.create_task(self._read_end())
        return await asyncio.shield(self._ended)

    async def _read_end(self) -> Ended:
        loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        line = b""
        with self._control:
            while read := await loop.sock_recv(self._control, 65536):
                line += read
        match decode_report(line) if line else None:
            case Ended() as ended:
                return ended
            case Failed(reason):
                return Ended(KILLED, reason)
            case _:
                return Ended(KILLED, "its guard was killed")


class Starter:
    """The node's side: a process that is started when it is first needed, and again when it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, order: Order, stdin: socket.socket | None = None) -> Child:
        """Start a program, which takes some 20 ms. Raises OSError.

        `stdin`: a socket for its standard input, in the place of a pipe; it is closed here.
        """
        starting = asyncio.ensure_future(asyncio.to_thread(self._start, order, stdin))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be stopped: end the program that it starts.
            starting.add_done_callback(_abandon)
            raise

    def _start(self, order: Order, stdin: socket.socket | None) -> Child:
        with contextlib.ExitStack() as stack:
            pipes, theirs = _open_pipes(stdin, stack)
            control, far = socket.socketpair()
            with far:
                self._send([far.fileno(), *theirs])
            control.settimeout(START_SECONDS)
            try:
                control.sendall(encode_line(order))
                bounds = _receive_start(control)
            except BaseException:  # whatever ends the start, what it opened is closed
                control.close()
                for pipe in pipes:
                    if pipe is not None:
                        pipe.close()
                raise
            return Child(control, bounds, pipes)

    def _send(self, descriptors: list[int]) -> None:
        with self._lock:
            for _ in range(2):
                if self._socket is None:
                    self._spawn()
                assert self._socket is not None
                try:
                    socket.send_fds(self._socket, [b"\0"], descriptors)
                    return
                except OSError:
                    self._socket.close()
                    self._socket = None
        raise OSError("the process that starts tasks cannot be kept alive")

    def _spawn(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a terminal's interrupt is for the node alone
            )


starter = Starter()
"""That of this process."""


def _abandon(starting: asyncio.Future[Child]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().abandon()


def _open_pipes(
    stdin: socket.socket | None, stack: contextlib.ExitStack
) -> tuple[tuple[IO[bytes] | None, IO[bytes], IO[bytes]], list[int]]:
    """Our ends of the standard streams, and the program's, which close with the stack."""
    theirs: list[int] = []
    entry: IO[bytes] | None = None
    if stdin is None:
        source, sink = os.pipe()
        stack.callback(os.close, source)
        theirs.append(source)
        entry = os.fdopen(sink, "wb", buffering=0)
    else:
        stack.enter_context(stdin)
        theirs.append(stdin.fileno())
    outputs = []
    for _ in range(2):
        source, sink = os.pipe()
        stack.callback(os.close, sink)
        theirs.append(sink)
        outputs.append(os.fdopen(source, "rb", buffering=0))
    return (entry, *outputs), theirs  # type: ignore[return-value]


def _receive_start(control: socket.socket) -> Bounds:
    line = b""
    while not line.endswith(b"\n"):
        read = control.recv(1)
        if not read:
            raise OSError("its guard was killed before it had started")
        line += read
    report = decode_report(line)
    if isinstance(report, Started):
        return report.bounds
    raise OSError(report.reason)


def main() -> None:
    """Fork a cell for each message of the node; end when the node does."""
    node = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(node.fileno(), False)
    with contextlib.suppress(ImportError, OSError):
        import sandlock  # noqa: F401 -- loaded once, for all cells
    remove_left_over()
    powers = find_powers()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the guards
    while True:
        message, descriptors, _, _ = socket.recv_fds(node, 1, 4)
        if not message:
            return
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            node.close()
            control, source, sink, errors = descriptors
            guard(socket.socket(fileno=control), (source, sink, errors), powers)
        for descriptor in descriptors:
            os.close(descriptor)


def find_powers() -> Powers:
    """What this process may do for its cells, found by doing it in children."""
    can_separate = _try(lambda: None)
    can_become = can_separate and os.geteuid() == 0 and _try(_become_trial_user)
    can_nest = can_become and shutil.which("bwrap") is not None and _try(_nest)
    return Powers(can_separate=can_separate, can_become=can_become, can_nest=can_nest)


def _try(trial: Callable[[], None]) -> bool:
    """Whether something raises no OSError in the first process of a new cell."""
    guard_pid = os.fork()
    if guard_pid == 0:
        try:
            namespaces.separate()
            keeper = os.fork()
            if keeper == 0:
                namespaces.mount_own()
                trial()
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1]) and 1)
        except OSError:
            os._exit(1)
        finally:
            os._exit(1)
    return os.waitpid(guard_pid, 0)[1] == 0


def _become_trial_user() -> None:
    namespaces.open_ways([sys.executable], "/", namespaces.FIRST_USER)
    namespaces.become(namespaces.FIRST_USER)


def _nest() -> None:
    _become_trial_user()
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    if subprocess.run(command, capture_output=True, timeout=10).returncode:
        raise OSError("bubblewrap cannot be used by another user")


if __name__ == "__main__":
    main()
