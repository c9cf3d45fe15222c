"""Durable signed transfers a second through JSON-RPC, against REF in the same run, and as records grow.

Run: python bench/transfers.py. Real ledger processes on temporary directories, one that holds few records and
one that holds many, in turn; a lean client on the same processors sends transfers to random accounts, signed
beforehand. A request is answered when every transaction in it is on disk. History and checkpoints are on;
preflight, a second execution that no peer makes, is skipped. Left out: signing, and all that a wallet does
before it sends.
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack

import msgspec
import uvloop
from connections import Connection, get_processor_seconds, post_all
from ledgers import PORT, Running, found_ledger, running_ledger, temporary_folder
from ref import measure_ref, print_machine
from signing import BATCH, sign_transfers
from solders.keypair import Keypair
from solders.pubkey import Pubkey

BATCH_CONNECTIONS = 8
SINGLE_CONNECTIONS = 32
PAYERS = 64


class Result(msgspec.Struct):
    """Transactions a second, and microseconds of processor that each took: of ledger, workers, client."""

    per_second: float
    ledger: float
    workers: float
    client: float


class Bench:
    """One ledger and the transfers that it is sent."""

    def __init__(self, running: Running, payers: list[Keypair], targets: list[Pubkey]) -> None:
        self.running = running
        self._payers = payers
        self._targets = targets
        self._next = 1

    async def measure(self, count: int, batch: int, connections: int) -> Result:
        """Send so many transfers."""
        asking = await Connection.open(self.running.url)
        tick = (await asking.call("getLatestBlockhash"))["value"]["blockhash"]
        asking.close()
        first, self._next = self._next, self._next + count
        bodies = sign_transfers(self._payers, self._targets, tick, range(first, self._next), batch)
        opened = [await Connection.open(self.running.url) for _ in range(connections)]
        before, client, begin = self._get_seconds(), time.process_time(), time.perf_counter()
        answers = await post_all(opened, bodies)
        took, client = time.perf_counter() - begin, time.process_time() - client
        after = self._get_seconds()
        for connection in opened:
            connection.close()
        assert sum(answer.count(b'"result"') for answer in answers) == count, answers[0]
        ledger, workers = ((last - first) / count * 10**6 for first, last in zip(before, after, strict=True))
        return Result(count / took, ledger, workers, client / count * 10**6)

    def _get_seconds(self) -> tuple[float, float]:
        return get_processor_seconds(self.running.pid)


async def measure(benches: list[Bench], runs: int, count: int) -> tuple[list[list[Result]], list[Result]]:
    """Results in batches by ledger, and unbatched ones of the first ledger."""
    for bench in benches:
        await bench.measure(count, BATCH, BATCH_CONNECTIONS)  # starts the workers
    batched: list[list[Result]] = [[] for _ in benches]
    for _ in range(runs):
        for bench, results in zip(benches, batched, strict=True):
            results.append(await bench.measure(count, BATCH, BATCH_CONNECTIONS))
    return batched, [await benches[0].measure(count // 4, 1, SINGLE_CONNECTIONS) for _ in range(runs)]


def get_median(results: list[Result]) -> Result:
    return Result(
        *(statistics.median(values) for values in zip(*map(msgspec.structs.astuple, results), strict=True))
    )


def describe(name: str, results: list[Result], ref: float) -> str:
    one = get_median(results)
    return (
        f"{name:<40} {one.per_second:>8,.0f}/s  {one.per_second / ref:5.2f} xREF   processor a transfer: "
        f"ledger {one.ledger:.0f}, workers {one.workers:.0f}, client {one.client:.0f} µs"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    ref = measure_ref()
    payers = [Keypair() for _ in range(PAYERS)]
    with temporary_folder() as folder, ExitStack() as stack:
        benches = []
        for number, records in enumerate(options.records):
            targets = found_ledger(folder / str(records), payers, records)
            running = running_ledger(folder / str(records), PORT + 2 * number)
            benches.append(Bench(stack.enter_context(running), payers, targets))
        batched, singles = uvloop.run(measure(benches, options.runs, options.count))

    names = [f"batches of {BATCH}, {records:,} records" for records in options.records]
    rows = dict(zip(names, batched, strict=True))
    rows[f"unbatched, {SINGLE_CONNECTIONS} connections, {options.records[0]:,} records"] = singles
    if options.json:
        medians = {name: get_median(results) for name, results in rows.items()}
        sys.stdout.buffer.write(msgspec.json.encode({"ref": ref, "transfers": medians}) + b"\n")
        return
    print_machine(ref)
    print("durable signed transfers through RPC:")
    for name, results in rows.items():
        print(describe(name, results, ref))
    growth = [last.per_second / first.per_second for first, last in zip(batched[0], batched[-1], strict=True)]
    print(f"{options.records[-1]:,} records against {options.records[0]:,}: "
          f"{statistics.median(growth):.2f} x, median of pairs; runs: "
          + ", ".join(f"{one.per_second:,.0f}" for one in batched[0]))  # fmt: skip
    print(f"left out: signing, preflight. Median of {options.runs} runs each.")


if __name__ == "__main__":
    main()
