"""Simulations from the shell: `roundwork simulate examples/hello` with many nodes, ten rounds.

Run: python bench/simulate.py. Processor time of the whole command, its start included, as a ratio to REF, the
strict Ed25519 verifications a second that one core does in the same run; and the most memory that it held.
Then where the time of such a world goes: blocks of the law, the author's functions, and the participants with
all that they see and send.
Left out: tasks that do real work, adversaries, signatures (they are made up above 100 nodes).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ref import measure_ref, print_machine

from roundwork.package.folder import load_package
from roundwork.protocol.execute import Block, Outcome
from roundwork.protocol.transaction import Transaction
from roundwork.sim.loading import load_task
from roundwork.sim.scenario import Scenario, compose_setting
from roundwork.sim.world import World

HELLO = Path(__file__).resolve().parents[1] / "examples" / "hello"


def measure(nodes: int, rounds: int) -> tuple[float, float, str]:
    """Processor seconds, the peak of memory in MiB, and the state hash of one simulation."""
    command = [sys.executable, "-m", "roundwork", "simulate", str(HELLO), "--json"]
    command += ["--nodes", str(nodes), "--rounds", str(rounds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = process.stdout.read().splitlines()[-1]
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.loads(last)["state_hash"]


def measure_parts(nodes: int, rounds: int) -> tuple[float, float, float]:
    """Seconds of a world in this process: in all, in blocks of the law, in the author's functions."""
    package = load_package(HELLO)
    setting = compose_setting(Scenario(nodes=nodes, rounds=rounds), package, {}, "files")
    world = World(setting, load_task(package))
    make_block, in_blocks = world.ledger.make_block, 0.0

    def make_timed(transactions: Sequence[Transaction], slots: int = 1) -> tuple[Block, Outcome]:
        nonlocal in_blocks
        begin = time.perf_counter()
        made = make_block(transactions, slots)
        in_blocks += time.perf_counter() - begin
        return made

    world.ledger.make_block = make_timed  # type: ignore[method-assign]  # the only seam where a block begins and ends
    begin = time.perf_counter()
    world.run()
    whole = time.perf_counter() - begin
    return whole, in_blocks, sum(sum(seconds) for seconds in world.timings.seconds.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()

    ref = measure_ref()
    print_machine(ref)
    for nodes in options.sizes:
        runs = [measure(nodes, options.rounds) for _ in range(options.runs)]
        assert len({state_hash for _, _, state_hash in runs}) == 1
        seconds = statistics.median(each for each, _, _ in runs)
        rate = nodes * options.rounds / seconds
        memory = max(each for _, each, _ in runs)
        print(
            f"{nodes:>7,} nodes x {options.rounds} rounds  {seconds:6.2f} s of one core"
            f"  {rate:>7,.0f} node-rounds/s  {rate / ref:5.3f} xREF  {memory:5.0f} MiB"
        )
    nodes = min(max(options.sizes), 1_000)
    whole, in_blocks, in_functions = measure_parts(nodes, options.rounds)
    print(
        f"{nodes:>7,} nodes: blocks of the law {in_blocks / whole:.0%}, the author's functions"
        f" {in_functions / whole:.0%}, participants, their views and transactions"
        f" {1 - (in_blocks + in_functions) / whole:.0%}"
    )


if __name__ == "__main__":
    main()
