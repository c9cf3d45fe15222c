"""The control groups that bound a task's threads and memory."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from roundwork.node.confinement.groups import open_groups, remove_left_over

from .features import require_groups


def test_a_group_has_its_bounds_and_is_gone_when_it_is_closed() -> None:
    require_groups("pids", "memory")

    groups = open_groups(77, 1 << 26)
    pids = (groups["pids"].path / "pids.max").read_text()
    memory = groups["memory"]
    name = "memory.max" if memory.version == 2 else "memory.limit_in_bytes"
    bytes_max = (memory.path / name).read_text()
    for group in set(groups.values()):
        group.close()

    assert ("77", str(1 << 26)) == (pids.strip(), bytes_max.strip())
    assert not any(group.path.exists() for group in groups.values())


def test_threads_make_and_remove_groups_at_the_same_time() -> None:
    require_groups("pids", "memory")

    def use(_: int) -> set[str]:
        groups = open_groups(64, 1 << 26)
        for group in set(groups.values()):
            group.close()
        return set(groups)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(use, range(100)))

    assert [{"pids", "memory"}] * 100 == found


LEFT = """
import os, subprocess, sys
from roundwork.node.confinement.groups import open_groups
groups = open_groups(64, 1 << 26)
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
for group in set(groups.values()):
    group.add(child.pid)
print(child.pid, *[group.path for group in set(groups.values())], flush=True)
os._exit(1)
"""


def test_groups_of_a_process_that_was_killed_are_removed_with_what_runs_in_them_and_ours_stay() -> None:
    require_groups("pids")
    done = subprocess.run([sys.executable, "-c", LEFT], stdout=subprocess.PIPE, text=True, check=False)
    pid, *left = done.stdout.split()
    ours = open_groups(64, 1 << 26)
    assert all(Path(path).is_dir() for path in left)

    while any(Path(path).exists() for path in left):  # the kernel ends what runs there, then lets go of it
        remove_left_over()

    assert not Path("/proc", pid).exists() or "Z" in Path("/proc", pid, "stat").read_text()
    assert all(group.path.is_dir() for group in ours.values())
    for group in set(ours.values()):
        group.close()
