"""What a task has on disk is bounded wherever it hides it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from roundwork.errors import TaskFailed
from roundwork.node.confinement.disk import DiskExceeded, check_usage, measure, measure_held
from roundwork.node.confinement.order import Limits
from roundwork.node.python.spill import clear

from .features import require_x86_64
from .users import Attacker

MIB = 1024 * 1024

HEADER = """
import ctypes, time

def write(name, size):
    with open(name, "wb") as file:
        file.write(bytes(size))

def map_deleted(name, size, mapped):
    write(name, size)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    with open(name, "rb") as file:
        place = libc.mmap(None, ctypes.c_size_t(mapped), 1, 2, file.fileno(), ctypes.c_long(0))
    assert place != ctypes.c_void_p(-1).value, ctypes.get_errno()
    os.unlink(name)

@task.submission
def submission(ctx):
    held = []
"""

WAYS = {
    "in files": "for at in range(30): write(f'f{at}', 1 << 20)",
    "in deleted files": "for at in range(30): write('f', 1 << 20); held.append(open('f')); os.unlink('f')",
    "in deleted files that are mapped": "for at in range(10): map_deleted('f', 3 << 20, 3 << 20)",
    "in deleted files that are mapped in small part": "for at in range(30): map_deleted('f', 1 << 20, 4096)",
    "in folders": "for at in range(2500): os.mkdir(f'd{at}')",
    "in folders in folders": "for at in range(250):\n"
    + " " * 8
    + "for of in range(10): os.makedirs(f'{at}/{of}')",
    "in space that it reserves": (
        "for at in range(20): f = open(f'f{at}', 'w'); held.append(f); "
        "os.posix_fallocate(f.fileno(), 0, 1 << 20)"
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_task_that_takes_more_of_the_disk_is_ended(attacker: Attacker, way: str) -> None:
    source = f"{HEADER}    {way}\n    time.sleep(600)\n"

    with pytest.raises(TaskFailed, match=r"bytes of disk; 8388608 are allowed|deleted files; 16 are allowed"):
        attacker.submit(source, limits=Limits(disk_bytes=8 * MIB))


DEEP = """
    folder = os.open({start!r}, os.O_RDONLY)
    for at in range(3000):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    {then}
    return "done"
"""


@pytest.fixture
def digger(attacker: Attacker) -> Iterator[Attacker]:
    """An attacker whose folders are removed afterwards: shutil.rmtree, which other fixtures use, cannot."""
    yield attacker
    for folder in (attacker.directory / "home").iterdir():
        clear(folder)


def test_a_task_with_folders_in_folders_is_ended_and_not_its_node(digger: Attacker) -> None:
    """Measured by recursion, they ended the node: a RecursionError is no OSError."""
    source = HEADER + DEEP.format(start=".", then="time.sleep(600)")

    with pytest.raises(TaskFailed, match="folders of more than 128 levels"):
        digger.submit(source)
    with pytest.raises(TaskFailed, match="folders of more than 128 levels"):
        digger.submit(HEADER + '    return "alive"')


def test_what_a_task_left_in_the_way_is_removed_however_deep_it_is(digger: Attacker) -> None:
    """Nothing has measured it when its process ends at once; the next process has the folder anew."""
    source = HEADER + DEEP.format(start="spill-review", then="os._exit(0)")

    with pytest.raises(TaskFailed, match=r"its process ended|folders of more than 128 levels"):
        digger.submit(source)

    assert "alive" == digger.submit(HEADER + '    return "alive"')


HIDDEN = (
    HEADER
    + """
    import shutil, subprocess
    # Whom nobody may read cannot be looked into either, as far as its user goes.
    copy = os.open("copy", os.O_CREAT | os.O_WRONLY, 0o111)
    with open(sys.executable, "rb") as source, os.fdopen(copy, "wb") as target:
        shutil.copyfileobj(source, target)
    script = "import os, time; f = open('f', 'wb'); os.unlink('f'); f.write(bytes(32 << 20)); "
    script += "g = open('g', 'wb'); os.unlink('g'); g.write(bytes(48 << 20)); time.sleep(600)"
    environment = {"PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": sys.base_prefix + "/lib"}
    subprocess.run(["./copy", "-S", "-c", script], env=environment, check=True)
"""
)


def test_a_process_that_cannot_be_looked_into_is_no_hiding_place(attacker: Attacker) -> None:
    # Where sandlock's supervisor may not look into it either, it cannot even load its libraries: exit 127.
    reasons = r"bytes of disk; 67108864 are allowed|hides from the node|exit status 127"
    with pytest.raises(TaskFailed, match=reasons):
        attacker.submit(HIDDEN, limits=Limits(disk_bytes=64 * MIB, processes=3))


LEADERLESS = (
    HEADER
    + """
    import threading
    def hold():
        while True:
            write("f", 1 << 20)
            held.append(open("f"))
            os.unlink("f")
            time.sleep(0.01)
    threading.Thread(target=hold).start()
    ctypes.CDLL(None).syscall(60, 0)  # the end of this thread alone
"""
)


def test_a_process_whose_first_thread_has_ended_is_no_hiding_place(attacker: Attacker) -> None:
    require_x86_64()

    # sandlock's supervisor opens nothing for such a process: it hangs or ends, and takes no disk.
    stuck = "|still running|process ended" * (attacker.sandbox == "sandlock")
    with pytest.raises(TaskFailed, match="bytes of disk; 8388608 are allowed" + stuck):
        attacker.submit(LEADERLESS, 4, limits=Limits(disk_bytes=8 * MIB))


def test_deleted_files_of_other_file_systems_do_not_count(tmp_path: Path) -> None:
    memory = os.memfd_create("x")
    os.write(memory, bytes(MIB))

    assert 0 == measure_held(tmp_path, [os.getpid()]) or tmp_path.stat().st_dev == os.fstat(memory).st_dev
    os.close(memory)


def test_an_open_deleted_file_counts_once_and_no_more_when_it_is_closed(tmp_path: Path) -> None:
    before = measure_held(tmp_path, [os.getpid()])
    file = (tmp_path / "file").open("wb")
    file.write(bytes(MIB))
    file.flush()
    os.fsync(file.fileno())
    (tmp_path / "file").unlink()
    again = os.dup(file.fileno())

    held = measure_held(tmp_path, [os.getpid()])
    file.close()
    os.close(again)

    assert MIB <= held - before < 2 * MIB
    assert before == measure_held(tmp_path, [os.getpid()])


def test_a_folder_counts_as_large_as_it_has_been(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    before = measure(tmp_path)
    grown = folder.stat().st_blocks
    for at in range(2000):
        (folder / f"{at}{'x' * 240}").touch()
    for path in folder.iterdir():
        path.unlink()
    grown = folder.stat().st_blocks - grown

    assert before + grown * 512 == measure(tmp_path)


def test_the_numbers_are_in_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(MIB))
    os.sync()

    with pytest.raises(DiskExceeded, match=rf"it uses {measure(tmp_path)} bytes of disk; 1000 are allowed"):
        check_usage(tmp_path, 1000)
