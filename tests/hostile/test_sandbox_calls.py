"""What tasks may call is what their libraries need, under the numbers that the kernel gives these calls."""

import re
from pathlib import Path

import pytest

from roundwork.node.confinement import syscalls
from roundwork.node.confinement.order import Limits
from roundwork.node.python.environments import Environment

from ..node.house import House
from .features import require, require_backend

HEADERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
KINDS = (
    syscalls.FILES,
    syscalls.WAITING,
    syscalls.MEMORY,
    syscalls.SELF,
    syscalls.PROCESSES,
    syscalls.SOCKETS,
    syscalls.HOSTILE,
    syscalls.ABSENT,
)


@pytest.fixture(params=["sandlock", "bwrap"])
def house(request: pytest.FixtureRequest, tmp_path: Path, environment: Environment) -> House:
    return House(tmp_path, environment, require_backend(request.param))


def test_every_call_of_a_kind_has_a_number_and_no_number_is_idle() -> None:
    named = frozenset().union(*KINDS)

    assert named == syscalls.X86_64.keys() | syscalls.AARCH64.keys()
    for numbers in (syscalls.X86_64, syscalls.AARCH64):
        assert len(numbers) == len(set(numbers.values()))
        assert max(numbers.values()) <= syscalls.NEWEST


def test_nothing_is_both_allowed_and_deadly() -> None:
    *allowed, hostile, absent = KINDS

    assert not frozenset().union(*allowed) & (hostile | absent)
    assert not hostile & absent


def test_numbers_are_the_kernels() -> None:
    require("headers of the kernel", HEADERS.exists())
    lines = re.findall(r"#define __NR_(\w+) (\d+)", HEADERS.read_text())
    headers = {name: int(number) for name, number in lines}

    assert {
        name: number for name, number in syscalls.X86_64.items() if headers.get(name, number) != number
    } == {}


LIBRARIES = """
import asyncio, concurrent.futures, random, shutil, signal, sqlite3, tempfile, threading, time, uuid

async def wait():
    await asyncio.gather(asyncio.to_thread(time.sleep, 0.01), asyncio.sleep(0.01))

@task.submission
def submission(ctx):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
        file.write(b"x" * 100_000)
        with open(os.path.join(folder, "a"), "wb") as out:
            file.seek(0)
            shutil.copyfileobj(file, out)
        shutil.copyfile(os.path.join(folder, "a"), os.path.join(folder, "b"))
        assert shutil.disk_usage(folder).free and os.path.getsize(os.path.join(folder, "b")) == 100_000
    database = sqlite3.connect("mine.sqlite")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE numbers (number)")
    with database:
        database.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in range(1000)])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(len, ["ab"] * 100)) == 200
    asyncio.run(wait())
    alarms = []
    signal.signal(signal.SIGALRM, lambda *_: alarms.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while not alarms:
        time.sleep(0.001)
    assert os.cpu_count() and os.uname() and uuid.uuid4() and random.SystemRandom().random() < 1
    return str(database.execute("SELECT sum(number) FROM numbers").fetchone()[0])
"""


def test_the_standard_library_works(house: House) -> None:
    assert house.submit(LIBRARIES) == "499500"


CHILDREN = """
import asyncio, multiprocessing, subprocess

async def run():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c", "print(6)", stdout=asyncio.subprocess.PIPE
    )
    return int((await process.communicate())[0])

@task.submission
def submission(ctx):
    printed = subprocess.run([sys.executable, "-S", "-c", "print(7)"], capture_output=True, check=True).stdout
    receiving, sending = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=sending.send, args=(8,))
    child.start()
    received = receiving.recv()
    child.join()
    return f"{asyncio.run(run())} {int(printed)} {received}"
"""


def test_children_work_where_a_task_may_have_them(house: House) -> None:
    assert house.submit(CHILDREN, limits=Limits(processes=8)) == "6 7 8"
