"""The control groups that bound a task's threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from roundwork.node.confinement import pids


@pytest.mark.skipif(not pids.has_groups(), reason="this machine lets us make no control groups")
def test_threads_let_go_of_their_groups_at_the_same_time() -> None:
    def use(_: int) -> None:
        groups = [pids.PidsGroup(1) for _ in range(3)]
        for group in groups:
            group.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(200)))

    assert not pids._left


@pytest.mark.skipif(not pids.has_groups(), reason="this machine lets us make no control groups")
def test_groups_of_a_process_that_was_killed_are_removed_and_young_ones_and_ours_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "import os; from roundwork.node.confinement.pids import PidsGroup; "
        "print(PidsGroup(1).path, flush=True); os._exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    left = Path(done.stdout.strip())
    ours = pids.PidsGroup(1)
    assert ours.path is not None
    assert left.is_dir()

    pids.remove_orphans()
    assert left.is_dir()
    monkeypatch.setattr(pids, "ORPHAN_SECONDS", -1)
    pids.remove_orphans()

    assert not left.exists()
    assert ours.path.is_dir()
    ours.close()
