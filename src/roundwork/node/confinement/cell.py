"""One program in its cell: two processes that stand between it and the node.

The *guard* stays outside. It makes the cell's control groups, watches what no limit of the kernel's bounds,
and kills the cell when the node closes their connection, whether it wants so or has died. The *keeper* is the
first process inside, in a pid namespace and under a user id of its own where the machine allows both; it
starts the program, and when it ends, the kernel ends all that is left of the cell.
"""

from __future__ import annotations

import os
import platform
import resource
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec

from ...host.process import die_with_parent
from . import backends, namespaces
from .disk import DiskExceeded, check_usage
from .groups import open_groups
from .order import (
    KILLED,
    MIB,
    Bounds,
    Ended,
    Failed,
    Order,
    Report,
    Started,
    decode_order,
    decode_report,
    encode_line,
    explain_end,
)
from .watch import count_threads, explain_memory, find_breach, list_descendants

THREADS_MAX = 64
"""Threads for each process that a task may have."""

OWN_THREADS = 32 + (os.cpu_count() or 1)
"""Threads of the keeper and its backend, which are counted with the program's."""

OWN_MEMORY_BYTES = 64 * MIB
"""Memory of the keeper and its backend."""

LANES = 3
"""Cells that one task may have at a time, all under the same user."""

USER_THREADS_SPARE = 512
"""Where the node's user is what is bounded: threads that its other programs may start after the task."""

PAUSE_SECONDS = 0.25
HIDDEN_MAX = 4
"""Times in a row that a guard may fail to see a process."""

DISK_SHARE = 20
"""Measuring the disk takes at most one part in so many of a guard's time."""

ORDER_BYTES_MAX = 4 * MIB


class Powers(msgspec.Struct, frozen=True, kw_only=True):
    """What this process may do for its cells on this machine."""

    can_separate: bool = False
    """Give them a pid namespace."""
    can_become: bool = False
    """As root: have their programs run as other users."""
    can_nest: bool = False
    """Have those users make namespaces, as bubblewrap does."""


def guard(control: socket.socket, streams: tuple[int, int, int], powers: Powers) -> NoReturn:
    """Run what the node orders over `control`, on the given standard streams, and report how it ended."""
    try:
        try:
            cell = _Cell(_receive_order(control), powers)
            try:
                cell.open(control, streams)
                ended = cell.watch(control)
            finally:
                cell.close()
            report: Report = ended
        except Exception as error:  # noqa: BLE001 -- whatever it was, the node must hear of it
            report = Failed(f"{type(error).__name__}: {error}")
        with suppress(OSError):  # the node may be gone
            control.sendall(encode_line(report))
    finally:
        os._exit(0)


class _Plan(NamedTuple):
    """What a keeper is to do."""

    order: Order
    bounds: Bounds
    threads_max: int | None
    """RLIMIT_NPROC, where that bounds the program."""


class _Cell:
    """A cell from outside."""

    def __init__(self, order: Order, powers: Powers) -> None:
        self._order = order
        self._powers = powers if order.sandbox != "none" else Powers()
        self._groups = {}
        if order.sandbox != "none":
            threads = order.limits.processes * THREADS_MAX + OWN_THREADS
            self._groups = open_groups(threads, order.limits.memory_bytes + OWN_MEMORY_BYTES)
        self._keeper = 0
        self._report = -1
        self._next_disk = 0.0
        self._times_hidden = 0

    def open(self, control: socket.socket, streams: tuple[int, int, int]) -> None:
        """Make the cell; its keeper starts the program. Raises OSError."""
        user = self._choose_user()
        plan = self._plan(user)
        self._report, reporting = os.pipe()
        life, self._held = os.pipe()
        if plan.bounds.has_namespace:
            namespaces.separate()
        else:
            namespaces.adopt_orphans()
        self._keeper = os.fork()
        if self._keeper == 0:
            control.close()
            os.close(self._held)
            _keep(plan, streams, life, reporting)
        for descriptor in (*streams, reporting, life):
            os.close(descriptor)
        for group in self._groups.values():
            group.add(self._keeper)
        # The keeper waits for this byte. If this process dies before, it reads the end instead.
        os.write(self._held, b"\0")

    def watch(self, control: socket.socket) -> Ended:
        """Wait for the program's end. Bring it about when the node goes or the program breaks a bound."""
        ended, reason, rest = None, "", b""
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        poll.register(control, select.POLLIN)
        while True:
            ready = dict(poll.poll(PAUSE_SECONDS * 1000))
            if self._report in ready:
                read = os.read(self._report, 65536)
                if not read:
                    break
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    message = decode_report(line)
                    if isinstance(message, Ended):
                        ended = message
                    else:
                        control.sendall(encode_line(message))
            elif control.fileno() in ready:  # the node sends nothing more: this is the end of its stream
                poll.unregister(control)
                self._kill()
            elif not reason:
                reason = self._find_breach()
                if reason:
                    self._kill()
        self._reap()
        if reason:
            return Ended(KILLED, reason)
        ended = ended or Ended(KILLED, explain_end(KILLED))
        if ended.code == KILLED and self._has_outgrown():
            return Ended(KILLED, explain_memory(self._order.limits.memory_bytes))
        return ended

    def close(self) -> None:
        """End what still runs, and remove the control groups."""
        if self._keeper:
            self._kill()
            self._reap()
        for group in set(self._groups.values()):
            group.close()

    def _has_outgrown(self) -> bool:
        """Whether the kernel has killed a process of the cell for its memory."""
        return "memory" in self._groups and self._groups["memory"].has_outgrown()

    def _find_breach(self) -> str:
        try:
            if self._has_outgrown():
                return explain_memory(self._order.limits.memory_bytes)
            processes = list_descendants(self._keeper)
            breach = find_breach(self._order, processes, "memory" in self._groups)
            self._check_disk(processes)
            self._times_hidden = 0
            return breach
        except DiskExceeded as error:
            return str(error)
        except PermissionError as error:
            self._times_hidden += 1  # for a moment, a process that ends or begins cannot be seen either
            return f"it hides from the node: {error.filename}" if self._times_hidden >= HIDDEN_MAX else ""
        except Exception as error:  # noqa: BLE001 -- whatever it was, the program must not run on unwatched
            return f"the node can no longer watch it: {error!r}"

    def _check_disk(self, processes: list[int]) -> None:
        """Measure as often as takes a small part of the time. Raises DiskExceeded, PermissionError."""
        begin = time.monotonic()
        if begin < self._next_disk:
            return
        check_usage(Path(self._order.home), self._order.limits.disk_bytes, processes)
        end = time.monotonic()
        self._next_disk = end + DISK_SHARE * (end - begin)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._keeper, signal.SIGKILL)

    def _reap(self) -> None:
        """Kill and wait until nothing is left. Without a namespace, orphans come to this process."""
        while True:
            for orphan in list_descendants(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                self._keeper = 0
                return

    def _choose_user(self) -> int:
        can_become = self._powers.can_become
        if self._order.sandbox == "bwrap":
            can_become = can_become and self._powers.can_nest
        return namespaces.give_user(Path(self._order.home)) if can_become else os.geteuid()

    def _plan(self, user: int) -> _Plan:
        """What bounds the program on this machine."""
        threads, threads_max = self._order.limits.processes * THREADS_MAX + OWN_THREADS, None
        groups = {name: f"control group v{group.version}" for name, group in self._groups.items()}
        if self._order.sandbox == "none" or "pids" in groups:
            kind = groups.get("pids", "")
        elif user != os.geteuid():
            kind, threads_max = "user", LANES * threads
        elif user == 0:
            kind = ""
        elif self._powers.can_separate and _counts_by_namespace():
            kind, threads_max = "user namespace", threads
        else:
            kind, threads_max = "user", compute_user_max(threads)
        bounds = Bounds(
            threads=kind,
            memory=groups.get("memory", ""),
            has_namespace=self._powers.can_separate,
            user=user,
        )
        return _Plan(self._order, bounds, threads_max)


def compute_user_max(threads: int) -> int:
    """The RLIMIT_NPROC that leaves a new process of this user so many threads, and not many more."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    bound = count_threads(os.getuid()) + threads + USER_THREADS_SPARE
    return bound if hard == resource.RLIM_INFINITY else min(bound, hard)


def _counts_by_namespace() -> bool:
    """Whether RLIMIT_NPROC counts the threads of a user namespace by themselves, as Linux does since 5.14."""
    major, minor, *_ = platform.release().split(".")
    return (int(major), int(minor)) >= (5, 14)


def _receive_order(control: socket.socket) -> Order:
    with control.makefile("rb", buffering=0) as lines:
        line = b""
        while not line.endswith(b"\n"):
            read = lines.read(65536)
            if not read or len(line) > ORDER_BYTES_MAX:
                raise OSError("the node closed its order before it was whole")
            line += read
    return decode_order(line)


def _keep(plan: _Plan, streams: tuple[int, int, int], life: int, reporting: int) -> NoReturn:
    """Be the keeper: start the program, wait for it, report both."""
    order, bounds = plan.order, plan.bounds

    def report(message: Report) -> None:
        os.write(reporting, encode_line(message))

    try:
        if os.read(life, 1):
            _enter(order, bounds, streams, life)
            backends.limit_self(order.limits, order.network is not None, plan.threads_max)
            pid, wait = backends.start(order, bounds.memory != "")
            _let_go_of_streams()
            if bounds.has_namespace:
                threading.Thread(target=_reap_orphans, args=(pid,), daemon=True).start()
            report(Started(bounds))
            code = wait()
            report(Ended(code, explain_end(code)))
    except Exception as error:  # noqa: BLE001 -- whatever it was, the node must hear of it
        report(Failed(f"it cannot be started under {order.sandbox}: {error}"))
    finally:
        os._exit(0)


def _enter(order: Order, bounds: Bounds, streams: tuple[int, int, int], life: int) -> None:
    """Take on the cell's mounts, user and streams. Raises OSError."""
    if bounds.has_namespace:
        namespaces.mount_own()
    if bounds.user != os.geteuid():
        namespaces.open_ways(backends.list_paths(order), order.home, bounds.user)
        namespaces.become(bounds.user)
        for path in order.readable:
            if os.path.exists(path) and not os.access(path, os.R_OK):
                raise PermissionError(f"{path} must be readable by every user: chmod -R o+rX {path}")
    # Not before: who changes the user loses the death signal.
    die_with_parent(signal.SIGKILL)
    if select.select([life], [], [], 0)[0]:
        os._exit(0)  # the guard was gone before
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)


def _let_go_of_streams() -> None:
    """Who reads them must see their end when the program has closed them."""
    null = os.open("/dev/null", os.O_RDWR)
    for target in range(3):
        os.dup2(null, target)
    os.close(null)


def _reap_orphans(program: int) -> None:
    """Wait for orphans, which come to the first process of a namespace; the backend waits for the program."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == program:
            return
        with suppress(ChildProcessError):
            os.waitpid(ended.si_pid, 0)
