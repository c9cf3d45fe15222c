"""Task code is hostile until shown otherwise: what it tries here must fail, and cost nobody but itself."""

import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest

from roundwork.errors import TaskFailed
from roundwork.node.confinement.pids import THREADS_MAX, USER_THREADS_SPARE, has_groups
from roundwork.node.confinement.sandbox import Limits
from roundwork.node.python.environments import Environment

from ..node.house import SEED, House, require_sandbox

MIB = 1024 * 1024


@pytest.fixture(params=["sandlock", "bwrap"])
def house(request: pytest.FixtureRequest, tmp_path: Path, environment: Environment) -> House:
    """A node's directory: its key, another task's state, and this task's home."""
    house = House(tmp_path, environment, require_sandbox(request.param))
    (tmp_path / "node-key.json").write_text("the node's key")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "state.sqlite").write_text("another task's state")
    return house


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[int]:
    """A TCP port that answers, a unix socket in the node's directory and an abstract one."""
    tcp, unix, abstract = socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    with tcp, unix, abstract:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "node.sock"))
        abstract.bind(f"\0roundwork-{os.getpid()}")
        for server in (tcp, unix, abstract):
            server.listen()
        yield tcp.getsockname()[1]


ATTEMPTS = {
    "read the machine's users": "open('/etc/passwd').read()",
    "read the node's key": "open(node + '/node-key.json').read()",
    "read another task's state": "open(node + '/other/state.sqlite').read()",
    "list the node's directory": "os.listdir(node).index('node-key.json')",
    "list the root's home": "os.listdir(os.path.expanduser('~root'))",
    "climb out of its home": "open(str(ctx.files) + '/../../node-key.json').read()",
    "follow a link out": "os.symlink(node + '/node-key.json', 'link'); open('link').read()",
    "follow a linked folder out": "os.symlink(node, 'folder'); open('folder/node-key.json')",
    "link a file in": "os.link(node + '/node-key.json', 'linked'); open('linked').read()",
    "rename a file in": "os.rename(node + '/node-key.json', 'mine')",
    "write outside": "open(node + '/written', 'w').write('x')",
    "write its own program": "open(folder + '/task.py', 'a').write('x')",
    "write the SDK": "open(sdk + '/task.py', 'a').write('x')",
    "delete outside": "os.unlink(node + '/node-key.json')",
    "change modes outside": "os.chmod(node + '/node-key.json', 0o777)",
    "read the node's environment": "open(f'/proc/{parent}/environ').read()",
    "read the node's memory": "open(f'/proc/{parent}/mem').read(1)",
    "use the node's descriptors": "os.listdir(f'/proc/{parent}/fd')",
    "read the machine's memory": "open('/dev/mem', 'rb').read(1)",
    "connect to the node": "socket.create_connection(('127.0.0.1', port), 2)",
    "connect to the world": "socket.create_connection(('192.0.2.1', 80), 2)",
    "listen": "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); s.accept()",
    "send datagrams": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "open an MPTCP socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
    "open an SCTP socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)",
    "open a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "listen without binding": "socket.socket().listen()",
    "listen on one of a pair": "socket.socketpair()[0].listen()",
    "connect to a unix socket": "socket.socket(socket.AF_UNIX).connect(node + '/node.sock')",
    "connect to an abstract socket": "socket.socket(socket.AF_UNIX).connect(chr(0) + f'roundwork-{parent}')",
    "bound the node's files": "resource.prlimit(parent, resource.RLIMIT_CORE, (0, 0))",
    "slow the node down": "os.setpriority(os.PRIO_PROCESS, parent, 1)",
    "crowd the node": "os.sched_setaffinity(parent, os.sched_getaffinity(0))",
    "change times outside": "os.utime(node + '/node-key.json', (1, 1))",
    "change owners outside": "os.chown(node + '/node-key.json', os.getuid(), os.getgid())",
    "mark a file outside": "os.setxattr(node + '/node-key.json', 'user.x', b'x')",
    "become somebody else": "os.setuid(12345)",
    "watch the node's files": (
        "key = (node + '/node-key.json').encode(); call(254, call(253), address(key), 2)"
    ),
    "signal the node": "os.kill(parent, 0)",
    "kill the node": "os.kill(parent, 9)",
    "kill its parent": "os.kill(os.getppid() if os.getppid() > 1 else parent, 9)",
    "fork": "os.fork() or os._exit(0)",
    "run a program": "subprocess.run([sys.executable, '-c', 'pass'], check=True)",
    "become a shell": "os.execv('/bin/sh', ['sh'])",
    "open an io_uring": "call(425, 8, 0)",
    "make a namespace": "call(272, 0x10000000)",
    "change its root": "os.chroot('/')",
    "take the node's descriptor": "fd = call(434, parent, 0); call(438, fd, 1, 0)",
    "hide memory in a file": "os.memfd_create('x')",
    "hide memory in a shared segment": "call(29, 0, 4096, 0o1777)",
    "leave a semaphore behind": "call(64, 0, 1, 0o1777)",
    "leave a message queue behind": "call(68, 0, 0o1777)",
    "outlive the node": "call(157, 1, 0, 0, 0, 0)",
    "clone itself": "call(56, 17, 0, 0, 0, 0) or os._exit(0)",
    "clone itself in a new namespace": "call(56, 0x20000011, 0, 0, 0, 0) or os._exit(0)",
    "use what root may do": (
        "head, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n"
        "call(125, ctypes.addressof(head), ctypes.addressof(data))\n"
        "if not any(data): raise OSError('nothing')"
    ),
    "change a network interface": (
        "fcntl.ioctl(pair[0], 0x8943, b'lo' + bytes(14) + (1000).to_bytes(24, 'little'))"
    ),
    "look at a network interface": "fcntl.ioctl(pair[0], 0x8912, bytes(16))",
    "mark a file for the file system": "fcntl.ioctl(open('f', 'w'), 0x40086602, bytes(8))",
    "look at a file's marks": "fcntl.ioctl(open('f', 'w'), 0x80086601, bytes(8))",
    "hide memory in a pipe": "fcntl.fcntl(pipe[1], 1031, 1 << 20)",
    "hide pages in a pipe": "call(278, pipe[1], 0, 0, 0)",
    "hide memory in a socket": "pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)",
    "hide open files in a socket": "socket.send_fds(pair[0], [b'x'], [pipe[0]])",
    "hide memory in rules": "call(444, 0, 0, 1)",
    "take the machine's asynchronous requests": (
        "place = (ctypes.c_ulong * 1)(); call(206, 1, ctypes.addressof(place))"
    ),
    "take the machine's watches": "call(253)",
    "take the machine's watches again": "call(294, 0)",
    "let other programs wait for its lease": "fcntl.fcntl(open('f', 'w').fileno(), 1024, fcntl.F_RDLCK)",
    "have signals sent": "fcntl.fcntl(pipe[0], 8, os.getpid())",
    "have a signal chosen": "fcntl.fcntl(pipe[0], 10, 9)",
    "stack a filter": "action = (ctypes.c_uint32 * 1)(0x7FFF0000); call(317, 2, 0, ctypes.addressof(action))",
    "open a unix socket": "socket.socket(socket.AF_UNIX)",
    "open a virtual machine's socket": "socket.socket(40, socket.SOCK_STREAM)",
    "open a crypto socket": "socket.socket(38, socket.SOCK_SEQPACKET)",
    "open a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "signal a thread of the node": "call(200, parent, 0)",
    "signal the node's group of threads": "call(234, parent, parent, 0)",
    "signal the node by a descriptor": "fd = call(434, parent, 0); call(424, fd, 0, 0, 0)",
    "raise its memory limit": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "raise its file limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (9999, 9999))",
    "hide from its node": "call(157, 4, 0, 0, 0, 0)",
    "give up its name": "call(157, 59, 0, 0, 0, 0)",
    "open a file by a struct": "call(437, -100, 0, 0, 0)",
    "let nobody wait for its child": "call(56, 0x50F00 | 0x2000, 0, 0, 0, 0)",
    "make a thread in a namespace": "call(56, 0x50F00 | 0x4000000, 0, 0, 0, 0)",
    "make a child by a struct": "call(435, 0, 0)",
    "call what does not exist yet": "call(500, 0)",
    "hide pages between pipes": "call(276, pipe[0], pipe[1], 1, 0)",
    "change modes at home": "os.chmod(open('f', 'w').name, 0o4755)",
    "mark a file at home": "os.setxattr(open('f', 'w').name, 'user.x', bytes(4096))",
    "make a device": "os.mknod('device', 0o20666, os.makedev(1, 3))",
    "lock memory": "call(149, 0, 4096)",
}

KILLED = {
    "set the clock": "import time; time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "read the kernel's log": "call(103, 10, 0, 0)",
    "trace the node": "call(101, 16, parent, 0, 0)",
    "read the node through the kernel": "call(310, parent, 0, 0, 0, 0, 0)",
    "load a BPF program": "call(321, 0, 0, 0)",
    "mount": "call(165, 0, 0, 0, 0, 0)",
    "open by handle": "call(304, -100, 0, 0)",
    "hide memory from the kernel": "call(447, 0)",
    "compare the node's descriptors": "call(312, parent, parent, 0, 0, 0)",
    "catch page faults": "call(323, 0)",
    "hide memory in a keyring": "call(250, 0, -2, 1)",
    "change its descriptor table": "call(154, 0, 0, 0)",
    "read its own memory through the kernel": "call(310, os.getpid(), 0, 0, 0, 0, 0)",
    "open another's mounts": "call(428, -100, 0, 0)",
    "measure the machine": "call(298, 0, 0, -1, -1, 0)",
    "load a module": "call(313, 0, 0, 0)",
    "call the kernel as another kind of program": "call(0x40000000 + 39)",
    "call the kernel as a 32-bit program": "run('b814000000cd80c3')",
}
"""What no library calls: no refusal, the end."""

PROBE = """
import ctypes, fcntl, resource, socket, subprocess

def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.syscall(number, *[ctypes.c_long(argument) for argument in arguments])
    if answer < 0:
        raise OSError(ctypes.get_errno(), "system call")
    return answer

def address(data):
    return id(data) + bytes.__basicsize__ - 1

def run(code):
    import mmap
    place = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    place.write(bytes.fromhex(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(place)))()

@task.submission
def submission(ctx):
    node, parent, port = ctx.params["node"], ctx.params["parent"], ctx.params["port"]
    folder = os.path.dirname(sys.modules["task"].__spec__.origin)
    sdk = os.path.dirname(sys.modules["roundwork"].__file__)
    pair, pipe = socket.socketpair(), os.pipe()
    try:
{attempt}
    except (OSError, ValueError) as error:
        return "refused: " + repr(error)
    return "done"
"""


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_a_task_cannot(house: House, listener: int, attempt: str) -> None:
    params = {"node": str(house.directory), "parent": os.getpid(), "port": listener}

    answer = house.submit(PROBE.format(attempt=indent(attempt, " " * 8)), params=params)

    assert str(answer).startswith("refused"), answer
    assert (house.directory / "node-key.json").read_text() == "the node's key"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of these calls are x86_64's")
@pytest.mark.parametrize("attempt", KILLED.values(), ids=KILLED)
def test_a_task_is_killed_that_tries_to(house: House, listener: int, attempt: str) -> None:
    params = {"node": str(house.directory), "parent": os.getpid(), "port": listener}

    with pytest.raises(TaskFailed, match="SIGSYS"):
        house.submit(PROBE.format(attempt=indent(attempt, " " * 8)), params=params)


CHILDREN = {
    "in a new namespace": "call(56, 0x10000011, 0, 0, 0, 0) or os._exit(0)",
    "in a new network": "call(56, 0x40000011, 0, 0, 0, 0) or os._exit(0)",
    "in new mounts": "call(56, 0x20011, 0, 0, 0, 0) or os._exit(0)",
    "with other users": "subprocess.run([sys.executable], user=12345)",
    "of the node's": "call(56, 0x8011, 0, 0, 0, 0) or os._exit(0)",
    "whom nobody can trace": "call(56, 0x800011, 0, 0, 0, 0) or os._exit(0)",
}


@pytest.mark.parametrize("attempt", CHILDREN.values(), ids=CHILDREN)
def test_a_task_that_may_have_children_cannot_have_one(house: House, attempt: str) -> None:
    params = {"node": str(house.directory), "parent": os.getpid(), "port": 0}

    answer = house.submit(
        PROBE.format(attempt=indent(attempt, " " * 8)), params=params, limits=Limits(processes=4)
    )

    assert str(answer).startswith("refused"), answer


def test_a_task_may_have_the_children_that_it_asked_for(house: House) -> None:
    answer = house.submit(
        """
        @task.submission
        def submission(ctx):
            child = os.fork()
            if child == 0:
                os._exit(7)
            return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """,
        limits=Limits(processes=4),
    )

    assert answer == "7"


def test_a_task_sees_nothing_of_the_nodes_environment(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_PASSPHRASE", "do not tell")

    answer = house.submit("""
        @task.submission
        def submission(ctx):
            return " ".join(sorted(os.environ))
    """)

    assert answer is not None
    assert "NODE_PASSPHRASE" not in answer
    assert "PYTHONHASHSEED" in answer


MISBEHAVIOUR = {
    "raises": "raise OSError('my own fault')",
    "exits": "sys.exit(0)",
    "exits at once": "os._exit(0)",
    "kills itself": "os.kill(os.getpid(), 9)",
    "recurses": "sys.setrecursionlimit(10**9); f = lambda: f(); f()",
    "takes too much memory": "x = [bytes(MIB) for MIB in [1 << 20] * 4000]",
    "takes it in one piece": "x = bytearray(4 << 30)",
    "hangs": "while True: pass",
    "sleeps": "import time; time.sleep(600)",
    "closes everything": "os.closerange(0, 200)",
    "returns nonsense": "return 7",
    "returns too much": "return 'x' * 513",
    "returns what cannot be sent": "return '\\ud800'",
    "sends a huge frame": "write(b'\\xff\\xff\\xff\\xff')",
    "sends a frame that ends early": "write(b'\\x10\\x00\\x00\\x00abc'); os._exit(0)",
    "sends garbage": "write(frame(b'garbage'))",
    "sends a list": "write(frame(b'[1, 2]'))",
    "sends deep nesting": "write(frame(b'{\"answer\":' + b'[' * 100000 + b']' * 100000 + b'}'))",
    "sends wrong types": 'write(frame(b\'{"id": "x"}\'))',
    "spills outside": 'write(frame(b\'{"spill": "../../node-key.json"}\'))',
    "spills a link": "os.symlink(node + '/node-key.json', spill + '/up-1-1'); write(named)",
    "spills a pipe": "os.mkfifo(spill + '/up-1-1'); write(named)",
    "spills a giant": "os.truncate(open(spill + '/up-1-1', 'w').name, 1 << 29); write(named)",
    "spills nothing": "write(named)",
    "swaps the spill folder": "os.rename(spill, 'away'); os.symlink(node, spill); write(named)",
    "fills the disk": "[open(f'data{i}', 'wb').write(bytes(1 << 20)) for i in range(40)]; return 'x'",
    "writes one giant file": "open('data', 'wb').write(bytes(40 << 20))",
    "makes a million files": (
        "open('data', 'w'); [os.link('data', f'data{i}') for i in range(110_000)]; return 'x'"
    ),
}

MISBEHAVE = """
import stat

def frame(body):
    return len(body).to_bytes(4, "little") + body

named = frame(b'{{"spill": "up-1-1"}}')

def write(data):
    for fd in range(3, 30):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, data)
        except OSError:
            pass
    import time
    time.sleep(30)

@task.work
def work(ctx):
    pass

@task.submission
def submission(ctx):
    node, spill = ctx.params["node"], os.path.join(os.getcwd(), "spill-review")
    if ctx.round == 1:
        return "well again"
    {misbehave}
"""


@pytest.mark.parametrize("misbehave", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR)
def test_misbehaviour_costs_one_step_and_the_next_one_is_well(house: House, misbehave: str) -> None:
    async def step_twice(lanes):  # type: ignore[no-untyped-def]
        with pytest.raises(TaskFailed) as failure:
            await lanes.submit(0, SEED, 3)
        for name in house.home.glob("data*"):
            name.unlink()
        return failure.value, await lanes.submit(1, SEED, 20), lanes.count_starts()

    failure, answer, starts = house.run(
        MISBEHAVE.format(misbehave=misbehave),
        step_twice,
        limits=Limits(disk_bytes=16 * MIB, memory_bytes=256 * MIB),
        params={"node": str(house.directory)},
    )

    assert answer == "well again"
    assert starts["review"] == 2
    assert str(failure)
    assert "the node's key" not in str(failure)


BOMB = """
import ctypes, mmap

@task.submission
def submission(ctx):
    global code, stacks  # the threads run in them until the process ends
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("b8220000000f05ebf7"))  # pause, for ever
    start = ctypes.addressof(ctypes.c_char.from_buffer(code))
    stacks = mmap.mmap(-1, 1 << 20)
    top = ctypes.addressof(ctypes.c_char.from_buffer(stacks))
    clone = ctypes.CDLL(None, use_errno=True).clone
    clone.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
    made = 0
    while made < 2000 and clone(start, top + 512 * (made + 1), 0x50F00, None) > 0:
        made += 1
    return str(made)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bomb is written for x86_64")
def test_threads_that_need_no_memory_are_bounded(house: House) -> None:
    if not has_groups():
        pytest.skip("this kernel, or this user, has no pids control group")

    made = house.submit(BOMB, seconds=20)

    assert made is not None
    assert int(made) < THREADS_MAX


CROWD = """
import os, sys, threading
from roundwork.node.confinement.pids import PidsGroup

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
group = PidsGroup(1)
assert group.path is None, "this user may make control groups"
wait, go = os.pipe()
child = os.fork()
if child == 0:
    os.read(wait, 1)
    threading.stack_size(65536)
    made = 0
    try:
        while made < 2000:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            made += 1
    except RuntimeError:
        pass
    print(made, flush=True)
    os._exit(0)
group.add(child)
os.write(go, b"x")
os.waitpid(child, 0)
"""


def test_threads_are_bounded_by_the_nodes_user_where_there_are_no_groups() -> None:
    node = subprocess.run([sys.executable, "-c", CROWD], capture_output=True, text=True, timeout=30)

    assert node.returncode == 0, node.stderr
    assert THREADS_MAX <= int(node.stdout) <= THREADS_MAX + USER_THREADS_SPARE


def test_the_command_of_a_bounded_process_bounds_it_too() -> None:
    script = CROWD.partition("wait, go")[0]
    script += """
print(group._user_max, flush=True)
command = group.wrap(["prlimit", "--nproc", "--noheadings", "--raw", "--output", "SOFT,HARD"])
os.execvp(command[0], command)
"""
    node = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)

    expected, *found = node.stdout.split()
    assert found == [expected, expected], node.stderr


def test_the_filter_stands_before_the_authors_file_is_read(house: House) -> None:
    with pytest.raises(TaskFailed, match="PermissionError"):
        house.submit("""
            import socket
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)

            @task.submission
            def submission(ctx):
                return "x"
        """)


def test_a_fork_bomb_is_refused_and_leaves_nothing_behind(house: House) -> None:
    marker = "a" * 40 + str(os.getpid())

    with pytest.raises(TaskFailed):
        house.submit(
            f"""
            @task.submission
            def submission(ctx):
                sys.argv.append("{marker}")
                children = 0
                while True:
                    try:
                        children += os.fork() > 0
                    except OSError:
                        pass
                    if children > 50:
                        os.write(2, b"escaped")
        """,
            seconds=3,
            limits=Limits(processes=4 if house.sandbox == "sandlock" else 1),
        )

    assert not any("escaped" in line for line in house.lines)
    # The kernel closes a process's pipes, by which we know its end, a moment before it lists it no more.
    while _count_processes(house.environment.command[-1]):
        time.sleep(0.01)


def test_what_a_task_prints_is_its_log_and_never_its_channel(house: House) -> None:
    answer = house.submit("""
        print("while imported")

        @task.submission
        def submission(ctx):
            print("to stdout")
            print("to stderr", file=sys.stderr)
            os.write(1, b"raw\\n")
            ctx.log("logged", 7)
            print("\\x1b[2Jcursor")
            return "read " + repr(sys.stdin.read())
    """)

    assert answer == "read ''"
    text = "\n".join(house.lines)
    for line in ("while imported", "to stdout", "to stderr", "raw", "logged 7"):
        assert f"review: {line}" in text
    assert "\x1b" not in text


def test_a_flood_of_lines_is_cut_and_counted(house: House) -> None:
    answer = house.submit("""
        @task.submission
        def submission(ctx):
            for number in range(20_000):
                print("x" * 100)
            print("y" * 100_000)
            return "printed"
    """)

    assert answer == "printed"
    assert len(house.lines) <= 1001
    assert max(map(len, house.lines)) < 5000


def test_secrets_reach_the_task_and_never_the_log(house: House) -> None:
    def submit(lanes):  # type: ignore[no-untyped-def]
        return lanes.submit(0, SEED, 20)

    source = """
        @task.submission
        def submission(ctx):
            print("the key is", ctx.secrets["API_KEY"])
            if ctx.params.get("fail"):
                raise ValueError(ctx.secrets["API_KEY"])
            return str(len(ctx.secrets["API_KEY"]))
    """
    secrets = {"API_KEY": "hunter2-hunter2"}

    assert house.run(source, submit, secrets=secrets) == "15"
    with pytest.raises(TaskFailed) as failure:
        house.run(source, submit, secrets=secrets, params={"fail": True})

    assert "hunter2" not in "".join(house.lines) + str(failure.value)
    assert "the key is [API_KEY]" in "".join(house.lines)


def test_open_files_of_the_node_do_not_grow_with_failures(house: House) -> None:
    async def fail_often(lanes):  # type: ignore[no-untyped-def]
        counts = []
        for _ in range(12):
            with pytest.raises(TaskFailed):
                await lanes.submit(0, SEED, 20)
            counts.append(len(os.listdir("/proc/self/fd")))
        return counts

    counts = house.run("@task.submission\ndef submission(ctx): os._exit(1)", fail_often)

    # The first ones also count the threads that the event loop starts for waiting, and one pipe may be closed
    # a moment late; a leak would be one more for each failure.
    assert counts[-1] <= max(counts[4:8]) + 2, counts


def test_too_many_open_files_are_the_tasks_own_trouble(house: House) -> None:
    answer = house.submit(
        """
        @task.submission
        def submission(ctx):
            files = []
            try:
                while True:
                    files.append(open("f", "w"))
            except OSError as error:
                return f"{len(files)} {error.strerror}"
    """,
        limits=Limits(open_files=64),
    )

    assert answer is not None
    assert int(answer.split()[0]) < 64


ORPHAN = """
import asyncio, os, signal, sys
from pathlib import Path
from roundwork.node.confinement.sandbox import Confinement, Limits, choose_sandbox

home = Path(sys.argv[2])
confinement = Confinement(readable=[Path(p) for p in sys.argv[3].split(":")], writable=home, limits=Limits())
command = (os.path.realpath(sys.executable), "-S", "-c", "print(1, flush=True)\\nwhile True: pass")
child = choose_sandbox(sys.argv[1]).start(command, confinement)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_task_dies_with_its_node_even_while_it_hangs(house: House) -> None:
    house.home.mkdir()
    readable = ":".join(map(str, house.environment.readable))
    node = subprocess.run(
        [sys.executable, "-c", ORPHAN, house.sandbox, str(house.home), readable],
        capture_output=True,
        text=True,
        timeout=30,
    )

    pid = int(node.stdout)

    deadline = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert node.returncode == -9
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def _count_processes(word: str) -> int:
    """Living processes with `word` among their arguments."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        count += word.encode() in arguments and _is_alive(int(folder.name))
    return count
