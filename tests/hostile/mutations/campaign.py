"""Many inputs of one kind, shared among processes."""

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from . import KINDS
from .surface import Finding, run

CHUNK = 1_000
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


def run_all(
    kind: str,
    seed: str,
    count: int,
    jobs: int,
    is_process: bool,
    report: Callable[[int, int], None] = lambda done, findings: None,
) -> list[Finding]:
    """All inputs of one kind, shared among processes. With `is_process` each input gets new processes.

    `report` hears how many inputs are done and how many findings there are.
    """
    chunk = 1 if is_process else max(1, min(CHUNK, -(-count // jobs)))
    chunks = [range(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    findings: list[Finding] = []
    done = 0
    # Without max_tasks_per_child, which can wait for ever: https://github.com/python/cpython/issues/115634
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(attack, kind, seed, numbers, is_process, True): numbers for numbers in chunks}
        for finished in as_completed(running):
            findings += finished.result()
            done += len(running[finished])
            report(done, len(findings))
    return sorted(findings, key=lambda finding: finding.number)
