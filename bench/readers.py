"""What reading costs a ledger: N light readers that look at a task in every slot, as nodes do.

Run: python bench/readers.py. A ledger process with N staked nodes that have all submitted in a round; N
readers, each on a connection of its own, look at every slot for a while. Prints the processor time that the
ledger needs in a slot, as a share of one core, and the bytes that a reader gets in a slot. Left out: the
processor time of the readers, which share the machine; networks slower than loopback.
"""

import argparse
import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path

import msgspec
from connections import Connection, get_processor_seconds
from law import BLOCK, World, submit
from ledgers import running_ledger, temporary_folder
from ref import measure_ref, print_machine

from roundwork.participant.moment import compute_timetable
from roundwork.protocol.params import TaskKey
from roundwork.views import TaskView
from roundwork.wire import convert

SLOT_SECONDS = 0.4
LOOKS_PER_SLOT = 2


class WholeReader:
    """Reads the whole task and whole rounds in every slot."""

    def __init__(self, connection: Connection, task: str) -> None:
        self._connection = connection
        self._task = task
        self._slot = -1
        self.bytes = 0

    async def look(self) -> None:
        """Read what is new."""
        [task] = await self._call([("getTask", self._task)])
        view = convert(task, TaskView)
        if view.slot <= self._slot:
            return
        self._slot = view.slot
        reviewed = compute_timetable(view).compute_round(view.slot) - 1
        wanted = {reviewed} | {number - before for number in view.open_rounds for before in range(3)}
        await self._call([("getRound", self._task, number) for number in sorted(wanted) if number >= 0])

    async def _call(self, calls: list[tuple[object, ...]]) -> list[object]:
        batch = [
            {"jsonrpc": "2.0", "id": at, "method": method, "params": params}
            for at, (method, *params) in enumerate(calls)
        ]
        answer = await self._connection.post(msgspec.json.encode(batch))
        self.bytes += len(answer)
        return [each["result"] for each in msgspec.json.decode(answer)]


def found(directory: Path, nodes: int) -> str:
    """A ledger whose nodes have all submitted in round 0; its task."""
    world = World(nodes, directory)
    world.wait_for_round(0)
    task = TaskKey(bytes(world.task))
    for at in range(0, nodes, BLOCK):
        world.run([world.wire(node, submit(task, 0, node)) for node in world.nodes[at : at + BLOCK]])
    assert world.chain is not None
    world.chain.close()
    return str(world.task)


async def read(url: str, process: int, task: str, count: int, seconds: float) -> dict[str, float]:
    """Let readers look for so many seconds; what it cost, by name."""
    readers = [WholeReader(await Connection.open(url), task) for _ in range(count)]
    ends_at = time.perf_counter() + seconds

    async def keep_looking(reader: WholeReader, at: int) -> None:
        await asyncio.sleep(SLOT_SECONDS / LOOKS_PER_SLOT * at / count)
        while time.perf_counter() < ends_at:
            await reader.look()
            await asyncio.sleep(SLOT_SECONDS / LOOKS_PER_SLOT)

    began, before = time.perf_counter(), sum(get_processor_seconds(process))
    await asyncio.gather(*map(partial(keep_looking), readers, range(count)))
    took = time.perf_counter() - began
    used = sum(get_processor_seconds(process)) - before
    slots = took / SLOT_SECONDS
    return {
        "cores": used / took,
        "ms_per_slot": used / slots * 1000,
        "bytes_per_reader_and_slot": sum(reader.bytes for reader in readers) / count / slots,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, nargs="+", default=[10, 100, 1_000])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    ref = measure_ref()
    results: dict[int, dict[str, float]] = {}
    for count in options.readers:
        with temporary_folder() as folder:
            task = found(folder / "ledger", count)
            with running_ledger(folder / "ledger") as running:
                results[count] = asyncio.run(read(running.url, running.pid, task, count, options.seconds))
    if options.json:
        json.dump({"ref": ref, "readers": results}, sys.stdout)
        print()
        return
    print_machine(ref)
    for count, row in results.items():
        print(
            f"{count:>7,} readers  {row['cores']:6.2f} cores  {row['ms_per_slot']:8.1f} ms a slot  "
            f"{row['bytes_per_reader_and_slot']:>12,.0f} bytes a reader and slot"
        )


if __name__ == "__main__":
    main()
