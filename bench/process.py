"""What a ledger process needs: memory when empty and with many nodes, and time to come back after a kill.

Run: python bench/process.py. A ledger with many staked nodes is made, journal, checkpoint and all. A process
goes on from there, makes transfers durable and is ended by SIGKILL, with no checkpoint in between; then a
ledger is started on copies of what it left, and replays them. The time is from the start of the program to
its first answer. Memory is resident, without workers, which start with the first large batch. Left out:
reading from a disk, because all is in the page cache.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
from pathlib import Path

from law import BLOCK, World, give
from ledgers import running_ledger, temporary_folder
from ref import measure_ref, print_machine

from roundwork.ledger.chain import Chain
from roundwork.protocol.execute import next_block


def get_memory(process: int, name: str = "VmRSS") -> float:
    """Resident memory of a process in MiB; with "VmHWM" the most that it has had."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(kib) / 1024


def crash(world: World, directory: Path, count: int) -> None:
    """Another process goes on with a world, makes so many transfers durable, and is killed."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    chain = Chain(directory)
    world.state = chain.state
    for first in range(0, count, BLOCK):
        nodes = [world.nodes[at % len(world.nodes)] for at in range(first, first + BLOCK)]
        wires = [world.wire(node, give(world.pot, node)) for node in nodes]
        block = next_block(chain.state, chain.state.head.time_ms, wires, world.producer)
        outcome = chain.execute(block, [True] * len(wires))
        assert not any(receipt.kind for receipt in outcome.receipts)
        chain.persist(block, outcome)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    ref = measure_ref()
    memory: dict[str, list[float]] = {"empty": [], "full": []}
    seconds: dict[str, list[float]] = {"empty": [], "full": [], "killed": []}
    with temporary_folder() as folder:
        world = World(options.nodes, folder / "full")
        assert world.chain is not None
        world.chain.close()
        shutil.copytree(folder / "full", folder / "killed")
        crash(world, folder / "killed", options.count)
        for run in range(options.runs):
            for name in seconds:
                here = folder / f"{name}-{run}"
                if name != "empty":
                    shutil.copytree(folder / name, here)
                with running_ledger(here) as running:
                    seconds[name].append(running.seconds)
                    if name in memory:
                        memory[name].append(get_memory(running.pid))
                shutil.rmtree(here)

    mib = {name: statistics.median(values) for name, values in memory.items()}
    took = {name: statistics.median(values) for name, values in seconds.items()}
    if options.json:
        print(json.dumps({"ref": ref, "mib": mib, "seconds": took}))
        return
    print_machine(ref)
    print(f"a ledger process, empty: {mib['empty']:.0f} MiB, answers after {took['empty']:.2f} s")
    print(f"with {options.nodes:,} staked nodes: {mib['full']:.0f} MiB, answers after {took['full']:.2f} s")
    rate = options.count / (took["killed"] - took["full"])
    print(
        f"killed with {options.count:,} transfers since its checkpoint: answers after {took['killed']:.2f} s"
    )
    print(f"it replays {rate:,.0f} transfers/s  {rate / ref:.2f} xREF; median of {options.runs} runs each")


if __name__ == "__main__":
    main()
