"""Task code is hostile until shown otherwise: what it tries here must fail, and cost nobody but itself."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from roundwork.errors import TaskFailed
from roundwork.node.confinement.cell import OWN_THREADS, THREADS_MAX, USER_THREADS_SPARE
from roundwork.node.confinement.order import Limits
from roundwork.node.python.environments import Environment

from ..node.house import SEED, House
from .attempts import ATTEMPTS, CHILDREN, KILLED, TRY, TRY_ALL
from .features import require_backend, require_groups, require_root, require_x86_64
from .users import LONELY_USER, Attacker, OrdinaryUser

MIB = 1024 * 1024


@pytest.fixture(params=["sandlock", "bwrap"])
def house(request: pytest.FixtureRequest, tmp_path: Path, environment: Environment) -> House:
    """A node's directory: its key, another task's state, and this task's home."""
    house = House(tmp_path, environment, require_backend(request.param))
    (tmp_path / "node-key.json").write_text("the node's key")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "state.sqlite").write_text("another task's state")
    return house


@pytest.fixture(params=["sandlock", "bwrap"])
def sandbox(request: pytest.FixtureRequest) -> str:
    return require_backend(request.param)


@pytest.fixture(params=["root", "user"])
def who(request: pytest.FixtureRequest) -> str:
    require_root()
    return str(request.param)


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


@pytest.fixture
def params(attacker: Attacker, listener: int) -> dict[str, object]:
    """What lines of attempts.py refer to."""
    return {"node": str(attacker.directory), "parent": attacker.pid, "port": listener}


def test_a_task_is_refused_whatever_it_tries(attacker: Attacker, params: dict[str, object]) -> None:
    require_x86_64()

    done = attacker.submit(TRY_ALL, params={**params, "attempts": ATTEMPTS})

    assert done == "nothing"
    assert (attacker.directory / "node-key.json").read_text() == "the node's key"


@pytest.mark.parametrize("attempt", KILLED.values(), ids=KILLED)
def test_a_task_is_killed_that_tries_to(house: House, listener: int, attempt: str) -> None:
    require_x86_64()
    params = {"node": str(house.directory), "parent": os.getpid(), "port": listener, "attempt": attempt}

    with pytest.raises(TaskFailed, match="SIGSYS"):
        house.submit(TRY, params=params)


def test_a_task_of_an_ordinary_user_is_killed_too(attacker: Attacker, params: dict[str, object]) -> None:
    require_x86_64()

    with pytest.raises(TaskFailed, match="SIGSYS"):
        attacker.submit(TRY, params={**params, "attempt": KILLED["trace the node"]})


def test_a_task_that_may_have_children_cannot_have_these(
    attacker: Attacker, params: dict[str, object]
) -> None:
    require_x86_64()

    done = attacker.submit(TRY_ALL, params={**params, "attempts": CHILDREN}, limits=Limits(processes=4))

    assert done == "nothing"


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


def test_threads_that_need_no_memory_are_bounded(attacker: Attacker) -> None:
    require_x86_64()
    if attacker.is_root:
        require_groups("pids")

    made = attacker.submit(BOMB)

    assert made is not None
    assert int(made) < THREADS_MAX + OWN_THREADS


BOMB_OF_PROCESSES = """
@task.submission
def submission(ctx):
    made = 0
    try:
        while made < 2000:
            if os.fork() == 0:
                while True:
                    os.read(hold[0], 1)
            made += 1
    except OSError:
        pass
    return str(made)

hold = os.pipe()
"""


def test_processes_are_bounded_where_a_task_may_have_some(attacker: Attacker) -> None:
    if attacker.is_root:
        require_groups("pids")

    made = attacker.submit(BOMB_OF_PROCESSES, limits=Limits(processes=2))

    assert made is not None
    assert int(made) < 2 * THREADS_MAX + OWN_THREADS


GLUTTONS = """
import mmap

@task.submission
def submission(ctx):
    kinds = {"private": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, "shared": mmap.MAP_SHARED | mmap.MAP_ANONYMOUS}
    for _ in range(4):
        if os.fork() == 0:
            memory = mmap.mmap(-1, 100 << 20, flags=kinds[ctx.params["kind"]])
            for at in range(0, len(memory), 4096):
                memory[at] = 1
            while True:
                os.read(hold[0], 1)
    os.read(hold[0], 1)

hold = os.pipe()
"""


@pytest.mark.parametrize("kind", ["private", "shared"])
def test_memory_is_bounded_over_all_processes(attacker: Attacker, kind: str) -> None:
    if attacker.is_root:
        require_groups("memory")

    # Where no group bounds memory, sandlock may be faster than the measuring, and gives no reason.
    reason = f"it used more than {200 * MIB} bytes of memory" + "|SIGKILL" * (not attacker.is_root)
    with pytest.raises(TaskFailed, match=reason):
        attacker.submit(GLUTTONS, params={"kind": kind}, limits=Limits(processes=5, memory_bytes=200 * MIB))


CROWD = """
import resource, subprocess, sys
from roundwork.node.confinement.cell import compute_user_max

bound = compute_user_max(64)
resource.setrlimit(resource.RLIMIT_NPROC, (bound, bound))
script = '''
import threading
threading.stack_size(65536)
made = 0
try:
    while made < 2000:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        made += 1
except RuntimeError:
    pass
print(made, flush=True)
import os
os._exit(0)
'''
subprocess.run([sys.executable, "-S", "-c", script])
"""


def test_threads_are_bounded_by_the_nodes_user_where_nothing_else_bounds_them(
    ordinary_user: OrdinaryUser,
) -> None:
    with ordinary_user.popen(["-c", CROWD], user=LONELY_USER) as node:
        made, errors = node.communicate(timeout=60)

    assert made, errors
    assert THREADS_MAX <= int(made) <= THREADS_MAX + USER_THREADS_SPARE


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


NODE = """
import asyncio, os, signal, sys
from roundwork.node.confinement.interpreter import find_interpreter
from roundwork.node.confinement.order import Limits, Order
from roundwork.node.confinement.starter import starter
from roundwork.node.confinement.watch import list_descendants

python = os.path.realpath(sys.executable)
home, source = os.path.join(os.getcwd(), sys.argv[2]), sys.argv[3]
os.makedirs(home)
order = Order(
    sandbox=sys.argv[1],
    command=(python, "-I", "-S", "-c", source),
    environment={},
    readable=(python, *map(str, find_interpreter())),
    home=home,
    limits=Limits(processes=4),
)

async def run():
    child = await starter.start(order)
    child.stdout.readline()
    print(*list_descendants(os.getpid()), flush=True)
    sys.stdin.read()

asyncio.run(run())
"""
"""A node with one program: prints the process ids below it once the program has printed a line, and stays."""

DEATHLESS = """
import ctypes, os, signal
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
for kind in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
    signal.signal(kind, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
        print(1, flush=True)
    while True: pass
while True: pass
"""
"""It has no filter of system calls, so it clears its death signal and has a grandchild in another session."""


@pytest.mark.parametrize("target", ["node", "guard", "keeper"])
def test_no_task_outlives_what_stands_above_it(
    who: str, sandbox: str, ordinary_user: OrdinaryUser, target: str, tmp_path: Path
) -> None:
    arguments = ["-c", NODE, sandbox, f"home-{who}-{sandbox}-{target}", DEATHLESS]
    if who == "root":
        node = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
    else:
        node = ordinary_user.popen(arguments)
    with node:
        assert node.stdout is not None
        assert node.stderr is not None
        found = [int(pid) for pid in node.stdout.readline().split()]
        assert len(found) > 5, node.stderr.read()
        starter, guard, keeper, *program = found
        os.kill({"node": node.pid, "guard": guard, "keeper": keeper}[target], signal.SIGKILL)

        wait_until_gone([guard, keeper, *program])
        node.kill()
        wait_until_gone([starter])


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of these runs any more; pytest's timeout ends a wait in vain."""
    while any(map(_is_alive, pids)):
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # reading /proc of a process that ends just then
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
