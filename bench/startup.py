"""How long things take to start, as multiples of a bare interpreter: --help, the author's import, a sandbox.

Run: python bench/startup.py. Medians of pairs in one run. Left out: what a warm file cache would not have.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ref import measure_ref, print_machine
from solders.keypair import Keypair

from roundwork.node.confinement.sandbox import choose_sandbox
from roundwork.node.python.environments import prepare_environment
from roundwork.node.python.lane import Lane, TaskSetting

TASK = """\
from roundwork import Task

task = Task('bench')


@task.submission
def submission(ctx):
    return 'x'
"""


def measure(command: Sequence[str], runs: int) -> float:
    """Seconds a command takes, median."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


async def measure_sandbox(folder: Path, runs: int) -> tuple[float, float]:
    """Median seconds from nothing to the author's file imported in a new sandbox, and to its first answer."""
    program = folder / "task" / "task.py"
    program.parent.mkdir()
    program.write_text(TASK)
    key = str(Keypair().pubkey())
    setting = TaskSetting(
        task=key,
        node=key,
        program=program,
        home=folder / "home",
        environment=await prepare_environment(folder / "environments"),
    )
    starts, answers = [], []
    for _ in range(runs):
        lane = Lane("review", setting, choose_sandbox(), {}, print)
        begin = time.perf_counter()
        await lane.start(20)
        starts.append(time.perf_counter() - begin)
        step = {"round": 0, "seed": "00" * 32, "random_seed": "00" * 32}
        assert await lane.call("submission", step, 20, str) == "x"
        answers.append(time.perf_counter() - begin)
        await lane.kill()
    return statistics.median(starts), statistics.median(answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    bare = measure([sys.executable, "-c", "pass"], options.runs)
    script = str(Path(sys.executable).parent / "roundwork")
    rows = {
        "roundwork --help": measure([script, "--help"], options.runs),
        "from roundwork import Task, equal_split": measure(
            [sys.executable, "-c", "from roundwork import Task, equal_split"], options.runs
        ),
    }
    with tempfile.TemporaryDirectory() as name:
        started, answered = asyncio.run(measure_sandbox(Path(name), options.runs))
        rows["a task in its sandbox, author's file imported"] = started
        rows["a task in its sandbox, to its first answer"] = answered
    if options.json:
        print(json.dumps({"bare_seconds": bare, "seconds": rows}))
        return
    print_machine(measure_ref())
    print(f"a bare interpreter starts in {bare * 1000:.1f} ms")
    for name, seconds in rows.items():
        print(f"{name:<46} {seconds * 1000:6.1f} ms  {seconds / bare:5.2f} x")


if __name__ == "__main__":
    main()
