"""What reading costs a ledger: N light readers that read as nodes do, through quiet slots and a whole round.

Run: python bench/readers.py, with `--rules roundwork-1` for sealed rounds. A ledger process with N staked
nodes. Each has a websocket that gets the head of every slot; they lie in processes of low priority. What a
head makes nodes read is decided by the nodes' own functions: own records, stakes, the rows of parts that
grow, and frozen parts (as many nodes as there are seeds read them from the ledger; for the others the bytes
from peers are computed, because no peers run). In a round every node sends what its rule set wants of it,
at a moment of its own in `--spread` of the window; one node lies: under koii-1 a hundredth of the nodes
audits it, under roundwork-1 it is accused and a jury judges it. One node uploads the list; it is paid. At
the same time a client in a process of its own sends a transfer every 50 ms and waits until it is durable.
`--whole` reads whole tasks and rounds twice in a slot instead, as nodes did before heads. Prints the
processor time of the ledger, its workers included, bytes per node, and the latency of the transfers; beside
it how late the client wakes from a sleep, and how long the ledger waits for a core, which are the machine's
and not the ledger's. In quiet slots it also stops the readers for some seconds, so that their own work is
left out of the latency. At the end: what stands in the way of a round that was not settled. Left out: the
readers' own work and peers' traffic, which would share this machine; networks slower than loopback.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from connections import Connection, get_processor_seconds
from crowd import Crowd, Lookouts
from law import World
from ledgers import PORT, running_ledger, temporary_folder
from pushed import Probe, Readers, raise_file_limit
from ref import measure_ref, print_machine
from rounds import STEPS, Round, Step
from solders.keypair import Keypair

from roundwork.participant.moment import compute_moment, compute_timetable
from roundwork.protocol.params import KOII_1, RULE_SETS, TaskKey, key_of
from roundwork.protocol.tasks.round import WINDOWS
from roundwork.views import TaskView
from roundwork.wire import convert

CONNECTIONS = 64
"""Kept HTTP connections that all nodes share for what they send and request."""

FILES_PER_PLACE = 2
"""A ledger has a place for a connection for so many files that it may open."""

PLACES_LEFT = 250
"""So many places are not for websockets: the other nodes read heads without one."""

STOPPED_SECONDS_MAX = 10.0
"""The ledger closes a websocket that answers no ping for 20 s."""

WINDOW_SHARES = {KOII_1.name: (0.4, 0.4), "roundwork-1": (0.2, 0.7)}
"""By rule set, the parts of a round that are SUBMIT and AUDIT."""

AUDIT_SLOTS_MIN = 48
"""What roundwork-1 needs: docs/PROTOCOL.md 15.3."""


class Place(NamedTuple):
    """A ledger to measure: its directory, its task, and the keys of the nodes."""

    directory: Path
    task: str
    pairs: list[Keypair]


def get_waited_seconds(process: int) -> float:
    """How long the main thread of a process was ready and had no core, so far."""
    with open(f"/proc/{process}/task/{process}/schedstat") as file:
        return int(file.read().split()[1]) / 10**9


def found(directory: Path, count: int, options: argparse.Namespace) -> Place:
    """A ledger with staked nodes. The next round begins when quiet slots have been measured."""
    pairs = [Keypair() for _ in range(count)]
    slot_seconds = options.slot_ms / 1000
    round_slots = int((options.round_seconds or 60.0) / slot_seconds)
    submit, audit = (int(round_slots * share) for share in WINDOW_SHARES[options.rules])
    if options.rules != KOII_1.name:
        audit = max(audit, AUDIT_SLOTS_MIN)
    nodes = [pair.pubkey() for pair in pairs]
    windows = (round_slots, submit - 1, audit)
    world = World(count, directory, nodes, windows, options.rules, options.slot_ms)
    assert world.chain is not None
    timetable = world.state.tasks.rows[TaskKey(bytes(world.task))].timetable
    quiet_seconds = 2 * options.seconds + min(options.seconds, STOPPED_SECONDS_MAX)
    starting_seconds = 3.0 + count / 200
    world.wait_for_slot(timetable.compute_start(2) - int((quiet_seconds + starting_seconds) / slot_seconds))
    world.chain.close()
    return Place(directory, str(world.task), pairs)


async def read_whole(connection: Connection, task: str) -> int:
    """Read the whole task and whole rounds, as nodes did before heads; the bytes of the answers."""
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "getTask", "params": [task]})
    answer = await connection.post(body)
    view = convert(msgspec.json.decode(answer)["result"], TaskView)
    reviewed = compute_timetable(view).compute_round(view.slot) - 1
    wanted = {reviewed} | {number - before for number in view.open_rounds for before in range(3)}
    batch = [
        {"jsonrpc": "2.0", "id": at, "method": "getRound", "params": [task, at]} for at in wanted if at >= 0
    ]
    return len(answer) + len(await connection.post(msgspec.json.encode(batch)))


async def measure_whole(
    url: str, process: int, place: Place, options: argparse.Namespace
) -> dict[str, float]:
    """Quiet slots in which every node reads everything twice."""
    count, slot_seconds = len(place.pairs), options.slot_ms / 1000
    connections = [await Connection.open(url) for _ in range(count)]
    ends_at, sizes = time.perf_counter() + options.seconds, []

    async def keep_looking(connection: Connection, at: int) -> None:
        await asyncio.sleep(slot_seconds / 2 * at / count)
        while time.perf_counter() < ends_at:
            sizes.append(await read_whole(connection, place.task))
            await asyncio.sleep(slot_seconds / 2)

    began, before = time.perf_counter(), sum(get_processor_seconds(process))
    await asyncio.gather(*map(keep_looking, connections, range(count)))
    took = time.perf_counter() - began
    used = sum(get_processor_seconds(process)) - before
    return {
        "quiet_cores": used / took,
        "quiet_ms_per_slot": used / took * slot_seconds * 1000,
        "quiet_bytes_per_node_and_slot": sum(sizes) / count / took * slot_seconds,
    }


class Run:
    """One ledger with one crowd: quiet slots, then a round."""

    def __init__(self, crowd: Crowd, process: int, probe: Probe, options: argparse.Namespace) -> None:
        self.results: dict[str, float] = {}
        self._crowd = crowd
        self._process = process
        self._probe = probe
        self._slot_seconds: float = options.slot_ms / 1000
        self._spread: float = options.spread
        """The share of a window in which nodes send."""
        self._readers: Readers | None = None

    async def measure_all(self, options: argparse.Namespace) -> None:
        """Quiet slots without readers, with them, and with readers that are stopped; then a round."""
        crowd = self._crowd
        await self.measure_quiet("alone", options.seconds)
        places = raise_file_limit() // FILES_PER_PLACE - PLACES_LEFT
        count = min(len(crowd.pairs), places)
        self._readers = await asyncio.to_thread(Readers, crowd.url, crowd.task, count)
        lookouts = Lookouts(crowd)
        try:
            await lookouts.wait(lambda head: all(own.slot >= 0 for own in crowd.own))
            await self.measure_quiet("quiet", options.seconds)
            await self.measure_stopped(self._readers, min(options.seconds, STOPPED_SECONDS_MAX))
            if options.round_seconds:
                await self.run_round(lookouts)
        finally:
            await lookouts.close()

    async def measure_quiet(self, name: str, seconds: float) -> None:
        """Let time pass; what it cost, by name."""
        before, span = self._count_bytes(), Span(self._process)
        self._probe.take()
        await asyncio.sleep(seconds)
        self._note_latency(name, span.compute_waiting())
        self._note_cores(name, span)
        slots = span.compute_seconds() / self._slot_seconds
        for kind, size in (self._count_bytes() - before).items():
            self.results[f"{name}_bytes_per_node_and_slot: {kind}"] = size / self._count_readers(kind) / slots

    async def measure_stopped(self, readers: Readers, seconds: float) -> None:
        """Quiet slots while the readers are stopped: what is slow then is slow in the ledger."""
        self._probe.take()
        span = Span(self._process)
        with readers.stopped():
            await asyncio.sleep(seconds)
            self._note_latency("stopped", span.compute_waiting())

    async def run_round(self, lookouts: Lookouts) -> None:
        """A whole round of real transactions."""
        crowd = self._crowd
        ledger, _ = await crowd.call("getLedger")
        head = await lookouts.wait(lambda head: True)
        now = compute_moment(head, head.slot)
        played = Round(crowd, lookouts, now.ledger_round, key_of(ledger["genesis_hash"]))
        start = now.table.compute_start(now.ledger_round + 1)
        await lookouts.wait(lambda head: head.slot >= start)
        self._probe.take()
        before, span = self._count_bytes(), Span(self._process)
        for step in STEPS[head.rules]:
            await self._play(step, played, lookouts)
        end = now.table.compute_start(now.ledger_round + 3)
        await lookouts.wait(lambda head: played.is_over(head) or head.slot >= end)
        self._note_latency("round", span.compute_waiting())
        self._note_cores("round", span)
        self.results["round_ms_per_node"] = span.compute_used() / len(crowd.pairs) * 1000
        self.results["round_nodes"] = len(crowd.pairs)
        self.results |= await played.describe()
        for reason, count in Counter(reason[-60:] for reason in crowd.refused).most_common(3):
            self.results[f"round_refused: {reason}"] = count
        for kind, size in (self._count_bytes() - before).items():
            self.results[f"round_bytes_per_node: {kind}"] = size / self._count_readers(kind)
        if self._readers:
            self.results["round_readers"] = self._readers.count
            self.results["round_readers_lost"] = self._readers.lost

    async def _play(self, step: Step, played: Round, lookouts: Lookouts) -> None:
        """Let the nodes do what a step says, from the beginning of its window on."""
        head = await lookouts.wait(lambda head: True)
        window = WINDOWS[head.rules][step.activity]
        first, last = window.compute_slots(compute_timetable(head), played.round_number)
        begin = first + int((last - first + 1) * step.after)
        await lookouts.wait(lambda head: head.slot >= begin)
        seconds = (last - begin + 1) * self._slot_seconds
        spread_seconds = seconds * self._spread if step.is_of_all else 0.0

        free = asyncio.Semaphore(CONNECTIONS)

        async def act(at: int) -> bool:
            await asyncio.sleep(random.uniform(0, spread_seconds))
            async with free:  # a node that has waited until its window is over sends nothing
                is_late = lookouts.head is None or lookouts.head.slot > last
                return not is_late and await step.act(played, at)

        span, own = Span(self._process), time.process_time()
        count = sum(await asyncio.gather(*map(act, range(len(self._crowd.pairs)))))
        name = step.activity.value
        self.results[f"{name}_nodes"] = count
        self.results[f"{name}_seconds"] = span.compute_seconds()
        self.results[f"{name}_window_seconds"] = seconds
        if step.is_of_all:
            nodes = len(self._crowd.pairs)
            self.results[f"{name}_ledger_ms_per_node"] = span.compute_used() / nodes * 1000
            self.results[f"{name}_clients_ms_per_node"] = (time.process_time() - own) / nodes * 1000

    def _count_bytes(self) -> Counter[str]:
        """By kind, the bytes that all nodes have read so far."""
        heads = Counter(heads=self._readers.count_bytes() if self._readers else 0)
        return self._crowd.bytes + heads

    def _count_readers(self, kind: str) -> int:
        """How many nodes read bytes of a kind: heads those that have a websocket, all else all of them."""
        return self._readers.count if self._readers and kind == "heads" else len(self._crowd.pairs)

    def _note_cores(self, name: str, span: "Span") -> None:
        cores = span.compute_used() / span.compute_seconds()
        self.results[f"{name}_cores"] = cores
        self.results[f"{name}_ms_per_slot"] = cores * self._slot_seconds * 1000

    def _note_latency(self, name: str, waiting_share: float) -> None:
        """`waiting_share` is the part of the time in which the ledger was ready and had no core."""
        latencies, late = self._probe.take()
        for what, seconds in (("latency", latencies), ("client_wakes_late", late)):
            if seconds:
                self.results[f"{name}_{what}_median_ms"] = statistics.median(seconds) * 1000
                self.results[f"{name}_{what}_99_ms"] = compute_99th(seconds) * 1000
        if len(latencies) > 1:
            self.results[f"{name}_latency_99_noise_ms"] = compute_noise(latencies) * 1000
        self.results[f"{name}_ledger_waits_for_a_core"] = waiting_share


class Span:
    """A span of time that begins now, and what a ledger process uses in it."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._began = time.perf_counter()
        self._used = sum(get_processor_seconds(process))
        self._waited = get_waited_seconds(process)

    def compute_seconds(self) -> float:
        """How long it has lasted."""
        return time.perf_counter() - self._began

    def compute_used(self) -> float:
        """The processor seconds of the ledger, its workers included."""
        return sum(get_processor_seconds(self._process)) - self._used

    def compute_waiting(self) -> float:
        """The part of the time in which the main thread of the ledger was ready and had no core."""
        return (get_waited_seconds(self._process) - self._waited) / self.compute_seconds()


def compute_99th(seconds: Sequence[float]) -> float:
    """The 99th percentile."""
    return sorted(seconds)[int(len(seconds) * 0.99)]


def compute_noise(seconds: Sequence[float]) -> float:
    """How far the 99th percentiles of both halves lie apart: a smaller difference to others shows nothing."""
    middle = len(seconds) // 2
    return abs(compute_99th(seconds[:middle]) - compute_99th(seconds[middle:]))


async def measure_heads(
    url: str, process: int, options: argparse.Namespace, place: Place
) -> dict[str, float]:
    """Quiet slots without readers and with them, then a round."""
    connections = [await Connection.open(url) for _ in range(CONNECTIONS)]
    crowd = Crowd(url, place.task, place.pairs, connections)
    run = Run(crowd, process, Probe(url, place.pairs[0]), options)
    await run.measure_all(options)
    return run.results


def explain(row: dict[str, float], cores: float) -> list[str]:
    """What stands in the way of a round that was not settled, and of a quiet latency."""
    lines = []
    if row.get("round_settled") == 0.0:
        lines.append("The round was not settled.")
        for name in [
            name.removesuffix("_window_seconds") for name in row if name.endswith("_window_seconds")
        ]:
            lines += _explain_window(row, name, cores)
    for name in ("quiet", "round"):
        late, taken = row.get(f"{name}_client_wakes_late_99_ms", 0.0), row.get(f"{name}_latency_99_ms", 0.0)
        if taken > 3 * row.get("alone_latency_99_ms", taken):
            lines.append(
                f"Transfers ({name}) take {taken:.0f} ms at the 99th percentile, alone"
                f" {row['alone_latency_99_ms']:.0f} ms; the client wakes {late:.0f} ms late, and the"
                f" ledger waits for a core in {row[f'{name}_ledger_waits_for_a_core']:.0%} of the time."
            )
    if "stopped_latency_99_ms" in row:
        quiet, stopped = row["quiet_latency_99_ms"], row["stopped_latency_99_ms"]
        noise = max(row.get(f"{name}_latency_99_noise_ms", 0.0) for name in ("quiet", "stopped"))
        shown = (
            f"The difference, {quiet - stopped:.0f} ms, is the work of the readers, which share this machine."
            if quiet - stopped > noise
            else f"The difference shows nothing: halves of one measurement lie {noise:.0f} ms apart."
        )
        lines.append(
            "While the readers of this bench are stopped and the ledger pushes on, transfers take"
            f" {stopped:.0f} ms at the 99th percentile; with the readers {quiet:.0f} ms. {shown}"
        )
    return lines


def _explain_window(row: dict[str, float], name: str, cores: float) -> list[str]:
    """What stood in the way in one window."""
    count, took, window = (row[f"{name}_{what}"] for what in ("nodes", "seconds", "window_seconds"))
    line = f"{name}: the ledger took what {count:,.0f} nodes sent; it took {took:.1f} s of {window:.1f} s."
    if f"{name}_ledger_ms_per_node" not in row or took <= window:
        return [line]
    needed = {
        who: row[f"{name}_{who}_ms_per_node"] * row["round_nodes"] / 1000 / window
        for who in ("ledger", "clients")
    }
    shown = ", ".join(f"{count:.2f} for the {who}" for who, count in needed.items())
    lines = [line, f"To send all in this window takes {shown} cores; {cores:.2f} of this machine were idle."]
    if needed["ledger"] >= 1.0:
        lines.append("So the ledger stands in the way: its main thread has one core.")
    elif sum(needed.values()) > cores:
        lines.append(
            "So the machine stands in the way: other work and the clients of this bench use its cores."
        )
    return lines


def measure_idle_cores(seconds: float = 2.0) -> float:
    """The cores of this machine that have nothing to do."""

    def read() -> int:
        with open("/proc/stat") as file:
            fields = file.readline().split()
        return int(fields[4]) + int(fields[5])

    before = read()
    time.sleep(seconds)
    return (read() - before) / os.sysconf("SC_CLK_TCK") / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", choices=sorted(RULE_SETS), default=KOII_1.name)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--slot-ms", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=10.0, help="of quiet slots")
    parser.add_argument("--round-seconds", type=float, default=60.0, help="0: no round")
    parser.add_argument("--spread", type=float, default=0.5, help="share of a window in which nodes send")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    raise_file_limit()
    ref, cores = measure_ref(), measure_idle_cores()
    results: dict[int, dict[str, float]] = {}
    for count in options.nodes:
        with temporary_folder() as folder:
            place = found(folder / "ledger", count, options)
            limits = [f"--limit=connections={count + 1_000}"]
            with running_ledger(place.directory, options.port, options=limits) as running:
                if options.whole:
                    reading = measure_whole(running.url, running.pid, place, options)
                else:
                    reading = measure_heads(running.url, running.pid, options, place)
                results[count] = asyncio.run(reading)
    if options.json:
        json.dump({"ref": ref, "idle_cores": cores, "nodes": results}, sys.stdout)
        print()
        return
    print_machine(ref)
    for count, row in results.items():
        print(f"{count:,} nodes under {options.rules}")
        for name, value in row.items():
            print(f"  {name.replace('_', ' '):<60} {value:>14,.2f}")
        for line in explain(row, cores):
            print(f"  {line}")


if __name__ == "__main__":
    main()
