"""A program that may have sockets, as a main.js may, reaches what it was ordered to reach, and no more."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from roundwork.node.confinement.cell import Powers, guard
from roundwork.node.confinement.interpreter import find_interpreter
from roundwork.node.confinement.order import (
    KILLED,
    MIB,
    Ended,
    Limits,
    Network,
    Order,
    Report,
    Started,
    encode_line,
)
from roundwork.node.confinement.starter import starter
from roundwork.node.javascript.process import find_free_port

from ..node.javascript.mainjs import require_node, run_main
from .features import require_backend
from .users import OrdinaryUser

ATTEMPTS = {
    "connect elsewhere": "S().connect(there)",
    "connect elsewhere without connecting": "S().sendto(b'x', 0x20000000, there)",
    "the same with a message": "S().sendmsg([b'x'], [], 0x20000000, there)",
    "connect by MPTCP": "S(socket.AF_INET, socket.SOCK_STREAM, 262)",
    "connect to a unix socket": "S(socket.AF_UNIX).connect(folder + '/node.sock')",
    "listen at a unix socket": "S(socket.AF_UNIX).bind('mine.sock')",
    "read all packets": "S(socket.AF_INET, 10, 0)",
    "read all packets, in short": "S(socket.AF_PACKET, socket.SOCK_RAW)",
    "forge packets": "S(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)",
    "forge packets of the other version": "S(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_UDP)",
    "ping": "S(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)",
    "see the machine's networks": "S(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "change a network interface": (
        "fcntl.ioctl(S(), 0x8943, b'lo' + bytes(14) + (1000).to_bytes(24, 'little'))"
    ),
    "take more memory than sockets may": "S().setsockopt(socket.SOL_SOCKET, 33, 1 << 20)",
    "forge a connection": "S().setsockopt(socket.IPPROTO_TCP, 19, 1)",
    "choose its network interface": "S().setsockopt(socket.SOL_SOCKET, 25, b'lo')",
    "speak for another address": "S().setsockopt(socket.IPPROTO_IP, 19, 1)",
    "choose how its bytes are handled": "S().setsockopt(socket.IPPROTO_TCP, 31, b'tls')",
    "filter its own packets": "S().setsockopt(socket.SOL_SOCKET, 26, bytes(16))",
    "hide from its node": "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) and refuse()",
    "outlive its node": "ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) and refuse()",
    "leave memory behind": "ctypes.CDLL(None).shmget(0, 4096, 0o1777) < 0 and refuse()",
    "hide open files in a socket": "socket.socketpair()",
    "fork": "os.fork() or os._exit(0)",
    "watch files": "ctypes.CDLL(None).inotify_init() < 0 and refuse()",
    "hide memory": "os.memfd_create('x')",
}

PROGRAM = """
import ctypes, fcntl, os, socket, sys

S, folder, there = socket.socket, sys.argv[1], ("127.0.0.1", int(sys.argv[2]))

def refuse():
    raise OSError("refused")

S().connect(("127.0.0.1", int(sys.argv[3])))
try:
    {attempt}
except OSError as error:
    print("refused:", error)
else:
    print("done")
"""


@pytest.fixture(params=["sandlock", "bwrap"])
def sandbox(request: pytest.FixtureRequest) -> str:
    return require_backend(request.param)


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A port that the program must not reach, and one that it may; a unix socket in its parent's folder."""
    with ExitStack() as stack:
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(tmp_path / "node.sock"))
        unix.listen()
        forbidden, allowed = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        yield forbidden.getsockname()[1], allowed.getsockname()[1]


def run(
    sandbox: str, folder: Path, source: str, ports: tuple[int, int], limits: Limits | None = None
) -> tuple[str, Ended]:
    """Run Python in the place of Node.js; what it prints, and how it ended."""
    home = folder / "home"
    home.mkdir()
    python = os.path.realpath(sys.executable)
    order = Order(
        sandbox=sandbox,
        command=(python, "-I", "-S", "-c", source, str(folder), *map(str, ports)),
        environment={},
        readable=(python, *map(str, find_interpreter())),
        home=str(home),
        limits=limits or Limits(),
        network=Network(endpoints=(f"127.0.0.1:{ports[1]}",), listen=find_free_port()),
    )

    async def start() -> tuple[str, Ended]:
        child = await starter.start(order)
        assert child.stdin is not None
        child.stdin.close()
        printed = [await asyncio.to_thread(stream.read) for stream in (child.stdout, child.stderr)]
        ended = await child.wait()
        child.abandon()
        return b"".join(printed).decode(), ended

    return asyncio.run(start())


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_a_program_with_sockets_cannot(
    tmp_path: Path, sandbox: str, ports: tuple[int, int], attempt: str
) -> None:
    printed, _ = run(sandbox, tmp_path, PROGRAM.format(attempt=attempt), ports)

    assert printed.startswith("refused"), printed


def test_a_program_with_sockets_cannot_as_an_ordinary_user_either(
    ordinary_user: OrdinaryUser, sandbox: str, ports: tuple[int, int]
) -> None:
    outcomes = ask_ordinary_user(ordinary_user, "try", sandbox, ports)

    assert outcomes.keys() == ATTEMPTS.keys()
    assert {} == {name: outcome for name, outcome in outcomes.items() if not outcome.startswith("refused")}


def ask_ordinary_user(
    user: OrdinaryUser, wanted: str, sandbox: str, ports: tuple[int, int]
) -> dict[str, str]:
    """What its node's program was told: the lines "name: outcome" of `main` below."""
    folder = f"javascript-{wanted}-{sandbox}-{os.getpid()}"
    words = ["-m", "tests.hostile.test_sandbox_javascript", wanted, sandbox, folder, *map(str, ports)]
    with user.popen(words) as process:
        printed, errors = process.communicate(timeout=100)
    assert 0 == process.returncode, errors
    return dict(line.split(": ", 1) for line in printed.splitlines())


TRY_ALL = """
import ctypes, fcntl, os, socket, sys

S, folder, there = socket.socket, sys.argv[1], ("127.0.0.1", int(sys.argv[2]))

def refuse():
    raise OSError("refused")

S().connect(("127.0.0.1", int(sys.argv[3])))
for name, attempt in ATTEMPTS.items():
    try:
        exec(attempt)
    except OSError as error:
        print(f"{name}: refused, {error}", flush=True)
    else:
        print(f"{name}: done", flush=True)
"""


def try_all(sandbox: str, folder: Path, ports: tuple[int, int]) -> None:
    """Print an outcome for each attempt of a program."""
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(folder / "node.sock"))
        unix.listen()
        source = TRY_ALL.replace("ATTEMPTS.items()", f"{ATTEMPTS!r}.items()")
        printed, _ = run(sandbox, folder, source, ports)
    print(printed, end="")


FATAL = {
    "take a socket out of its parent": "ctypes.CDLL(None).syscall(438, 3, 3, 0)",
    "stop its parent to look into it": "ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)",
    "read its parent's memory": "ctypes.CDLL(None).process_vm_readv(os.getppid(), None, 0, None, 0, 0)",
}
"""No program does these by accident: it is ended at once."""


@pytest.mark.parametrize("attempt", FATAL.values(), ids=FATAL)
def test_a_program_with_sockets_is_ended_when_it_would(
    tmp_path: Path, sandbox: str, ports: tuple[int, int], attempt: str
) -> None:
    printed, ended = run(sandbox, tmp_path, PROGRAM.format(attempt=attempt), ports)

    assert "" == printed
    assert ended.code in (128 + signal.SIGSYS, KILLED)


SMALL = Limits(memory_bytes=192 * MIB, disk_bytes=10 * MIB)
GREEDY = {
    # Slowly enough to be seen before the limit of the process itself, which lies above, is reached.
    "memory": ("kept.append(b'x' * MIB)", "bytes of memory"),
    "files": ("open(f'file-{len(kept)}', 'wb').write(bytes(MIB)); kept.append(0)", "are allowed"),
    "deleted files": (
        "kept.append(open('file', 'wb')); kept[-1].write(bytes(MIB)); kept[-1].flush(); os.unlink('file')",
        "are allowed",
    ),
    "threads": (
        "kept.append(threading.Thread(target=time.sleep, args=(60,), daemon=True)); kept[-1].start()",
        "can't start new thread",
    ),
}
"""What a program takes, step by step, and the words by which it ends."""

TAKE = """
import os, threading, time

MIB, kept = 1 << 20, []
threading.stack_size(1 << 16)
for step in range(2000):
    {step}
    time.sleep(0.005)
print("took all")
"""


def take(sandbox: str, folder: Path, ports: tuple[int, int], greed: str) -> str:
    """What a program that takes too much of something has printed, and why it ended, in a line."""
    printed, ended = run(sandbox, folder, TAKE.format(step=GREEDY[greed][0]), ports, SMALL)
    return f"{printed} {ended.reason}".replace("\n", " ")


@pytest.mark.parametrize("greed", GREEDY)
def test_a_program_with_sockets_takes_no_more_than_its_limits(
    tmp_path: Path, sandbox: str, ports: tuple[int, int], greed: str
) -> None:
    outcome = take(sandbox, tmp_path, ports, greed)

    assert GREEDY[greed][1] in outcome
    assert "took all" not in outcome


def test_a_program_of_an_ordinary_user_takes_no_more_than_its_limits(
    ordinary_user: OrdinaryUser, sandbox: str, ports: tuple[int, int]
) -> None:
    outcomes = ask_ordinary_user(ordinary_user, "take", sandbox, ports)

    assert outcomes.keys() == GREEDY.keys()
    assert {} == {greed: outcome for greed, outcome in outcomes.items() if GREEDY[greed][1] not in outcome}
    assert "took all" not in str(outcomes)


MAIN_JS = """
const kept = [];
let step = 0;
setInterval(() => {
  step += 1;
  if (step % 20 === 0) console.log(`step ${step}`);
  if (step > 60) kept.push(Buffer.alloc(2_000_000, 1));
}, 25);
"""


async def run_javascript(sandbox: str, folder: Path) -> str:
    """What a real main.js printed before it took too much memory, and why it ended, in a line."""
    async with run_main(folder, MAIN_JS, sandbox, limits=SMALL) as main:
        await main.wait_for(lambda line: "step 60" in line)  # it has been watched, and was left alone
        return await main.wait_for(lambda line: "started again" in line)


def test_a_main_js_of_an_ordinary_user_runs_until_it_takes_too_much(
    ordinary_user: OrdinaryUser, sandbox: str, ports: tuple[int, int]
) -> None:
    require_node()

    [outcome] = ask_ordinary_user(ordinary_user, "javascript", sandbox, ports).values()

    assert f"more than {SMALL.memory_bytes} bytes of memory" in outcome


LISTENER = """
import ctypes, socket, sys, threading, time

def unshare_files():
    if ctypes.CDLL(None).close_range(900, 901, 2):
        raise OSError("files cannot be unshared")

{listen}
print("listens", flush=True)
time.sleep(60)
"""


WAYS = {
    "at once": "s = socket.socket(); s.listen()",
    "by the other version": "s = socket.socket(socket.AF_INET6); s.listen()",
    "among files that come and go": (
        "s = socket.socket(); s.listen()\n"
        "def churn():\n"
        "    while True: open('f', 'w').close()\n"
        "threading.Thread(target=churn, daemon=True).start()"
    ),
    "in a thread with files of its own": (
        "def hide():\n"
        "    unshare_files(); s = socket.socket(); s.listen(); time.sleep(60)\n"
        "threading.Thread(target=hide).start()"
    ),
}


@pytest.mark.parametrize("listen", WAYS.values(), ids=WAYS)
def test_a_program_that_listens_without_binding_is_ended(
    tmp_path: Path, ports: tuple[int, int], listen: str
) -> None:
    source = LISTENER.format(listen=listen)

    _, ended = run(require_backend("sandlock"), tmp_path, source, ports)

    assert "is its own" in ended.reason
    assert ended.code == KILLED


def test_a_program_that_can_no_longer_be_watched_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(order: Order, processes: list[int], has_memory_group: bool) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("roundwork.node.confinement.cell.find_breach", fail)
    null = os.open(os.devnull, os.O_RDWR)
    order = Order(
        sandbox="none",
        command=("sleep", "60"),
        environment={},
        readable=(),
        home=str(tmp_path),
        limits=Limits(),
    )
    ours, theirs = socket.socketpair()

    if os.fork() == 0:
        guard(theirs, (os.dup(null), os.dup(null), os.dup(null)), Powers())
    theirs.close()
    os.close(null)
    with ours, ours.makefile("rwb") as control:
        control.write(encode_line(order))
        control.flush()
        started, ended = (msgspec.json.decode(line, type=Report) for line in control)

    assert isinstance(started, Started)
    assert Ended(KILLED, "the node can no longer watch it: OSError(5, 'Input/output error')") == ended


def main() -> None:
    """As an ordinary user: print "name: outcome" for each attempt, or for each thing that can be taken."""
    wanted, sandbox, name, *numbers = sys.argv[1:]
    folder = Path(name).absolute()
    folder.mkdir()
    ports = int(numbers[0]), int(numbers[1])
    if wanted == "try":
        try_all(sandbox, folder, ports)
        return
    if wanted == "javascript":
        print("end:", asyncio.run(run_javascript(sandbox, folder)))
        return
    for greed in GREEDY:
        place = folder / greed
        place.mkdir()
        print(f"{greed}: {take(sandbox, place, ports, greed)}", flush=True)


if __name__ == "__main__":
    main()
