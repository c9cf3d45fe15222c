"""Simulations from the shell: `roundwork simulate examples/hello` with many nodes, ten rounds.

Run: python bench/simulate.py. Processor time of the whole command, its start included, as a ratio to REF, the
strict Ed25519 verifications a second that one core does in the same run; and the most memory that it held.
Left out: tasks that do real work, adversaries, signatures (they are made up above 100 nodes).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from ref import measure_ref, print_machine

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 1_000])
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


if __name__ == "__main__":
    main()
