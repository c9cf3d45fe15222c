"""Many inputs of one kind, shared among processes."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from . import KINDS
from .surface import Finding, run

CHUNK = 2_500
"""Inputs that one worker takes at a time, against a surface opened for them."""

MEMORY = Path("/dev/shm")


def attack(
    kind: str, seed: str, numbers: Sequence[int], is_process: bool, has_alarm: bool = False
) -> list[Finding]:
    """Attack in a directory that is removed again, in memory where there is such a file system.

    `has_alarm`: nothing else in this process uses SIGALRM.
    """
    base = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="mutations-", dir=base) as directory:
        return run(KINDS[kind], seed, numbers, Path(directory), is_process, has_alarm)


def run_all(kind: str, seed: str, count: int, jobs: int, is_process: bool) -> list[Finding]:
    """All inputs of one kind, shared among processes."""
    chunk = max(1, min(CHUNK, -(-count // jobs)))
    chunks = [list(range(start, min(start + chunk, count))) for start in range(0, count, chunk)]
    with ProcessPoolExecutor(jobs, max_tasks_per_child=8) as pool:
        running = [pool.submit(attack, kind, seed, numbers, is_process, True) for numbers in chunks]
        return [finding for done in running for finding in done.result()]
