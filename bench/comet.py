"""One validator of CometBFT: our ledger behind it, its own key-value application, and the embedded engine.

Run: python bench/comet.py, after make cometbft. Transactions a second over batches that are sent as fast as
they are taken, until the last one is in a block; and the latency of one transaction at a time, from sending
it until it is in a block. All three in one run. The key-value application verifies no signatures.
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from ref import measure_ref, print_machine
from signing import BATCH, sign_transfers
from solders.keypair import Keypair
from solders.pubkey import Pubkey

BINARY = Path(__file__).parents[1] / ".tools" / "bin" / "cometbft"
SLOT_MS = 400
PORT = 18970
TARGETS = [Pubkey.new_unique()]


@contextmanager
def running(command: list[str], is_ready: bool) -> Iterator[None]:
    """A process; waits for its first line if that says that it is ready."""
    environment = {**os.environ, "COMETBFT": str(BINARY)}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE if is_ready else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        if is_ready:
            assert process.stdout is not None
            assert process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def running_ledger(directory: Path, engine: list[str]) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "roundwork",
        "ledger",
        *engine,
        "run",
        "--json",
        "--directory",
        str(directory),
    ]
    command += ["--port", str(PORT), "--host", "127.0.0.1", "--slot-ms", str(SLOT_MS)]
    with running(command, is_ready=True):
        yield f"http://127.0.0.1:{PORT}"


@contextmanager
def running_kvstore(directory: Path) -> Iterator[str]:
    """CometBFT with its built-in application, blocks as often as ours."""
    subprocess.run([BINARY, "init", "--home", directory], check=True, capture_output=True)
    config = directory / "config" / "config.toml"
    text = config.read_text()
    text = text.replace('timeout_commit = "1s"', f'timeout_commit = "{SLOT_MS * 5 // 6}ms"')
    text = text.replace("tcp://0.0.0.0:26656", "tcp://127.0.0.1:0")
    text = text.replace("max_request_batch_size = 10\n", f"max_request_batch_size = {BATCH}\n")
    config.write_text(text.replace("tcp://127.0.0.1:26657", f"tcp://127.0.0.1:{PORT}"))
    command = [
        str(BINARY),
        "start",
        "--home",
        str(directory),
        "--proxy_app",
        "kvstore",
        "--log_level",
        "error",
    ]
    with running(command, is_ready=False):
        url = f"http://127.0.0.1:{PORT}"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                status = httpx2.get(f"{url}/status").json()["result"]
            except httpx2.TransportError:
                time.sleep(0.1)
                continue
            if int(status["sync_info"]["latest_block_height"]) > 1:
                break
        yield url


async def call(client: httpx2.AsyncClient, method: str, *params: object) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = (await client.post("", json=body)).json()
    assert "result" in answer, answer
    return answer["result"]


async def measure_ledger(url: str, count: int, singles: int) -> tuple[float, float]:
    """Transactions a second, and the median latency in ms."""
    payers = [Keypair() for _ in range(64)]
    headers = {"content-type": "application/json"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        for payer in payers:
            await call(client, "requestAirdrop", str(payer.pubkey()), 10**12)
        await wait_for(lambda: has_money(client, payers))
        await send_burst(client, payers, count, 1)  # the first one starts the workers
        rate = await send_burst(client, payers, count, 2)
        latencies = []
        for number in range(singles):
            tick = (await call(client, "getLatestBlockhash"))["value"]["blockhash"]
            [body] = sign_transfers(payers, TARGETS, tick, range(number + 1, number + 2), 1)
            [text, config] = json.loads(body)["params"]
            begin = time.perf_counter()
            name = await call(client, "sendTransaction", text, config)
            await wait_for(partial(are_done, client, [name]))
            latencies.append(time.perf_counter() - begin)
    return rate, statistics.median(latencies) * 1000


async def send_burst(client: httpx2.AsyncClient, payers: list[Keypair], count: int, number: int) -> float:
    """Send transfers as fast as they are taken; how many a second until the last is in a block."""
    tick = (await call(client, "getLatestBlockhash"))["value"]["blockhash"]
    bodies = sign_transfers(payers, TARGETS, tick, range(number * count, (number + 1) * count))
    begin = time.perf_counter()
    names = []
    for answers in await asyncio.gather(*[client.post("", content=body) for body in bodies]):
        names += [answer["result"] for answer in answers.json()]
    await wait_for(lambda: are_done(client, names))
    return count / (time.perf_counter() - begin)


async def has_money(client: httpx2.AsyncClient, payers: list[Keypair]) -> bool:
    return bool((await call(client, "getBalance", str(payers[-1].pubkey())))["value"])


async def are_done(client: httpx2.AsyncClient, names: list[str]) -> bool:
    statuses = await call(client, "getSignatureStatuses", names[-200:])
    return all(status is not None for status in statuses["value"])


async def wait_for(done: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await done():  # noqa: ASYNC110 # another process gets there
            await asyncio.sleep(0.005)


async def measure_kvstore(url: str, count: int, singles: int) -> tuple[float, float]:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:

        async def count_transactions() -> int:
            status = (await client.get("/status")).json()["result"]["sync_info"]
            height = int(status["latest_block_height"])
            found = (
                await client.get(f"/blockchain?minHeight={max(1, height - 19)}&maxHeight={height}")
            ).json()
            return sum(int(meta["num_txs"]) for meta in found["result"]["block_metas"])

        before = await count_transactions()
        begin = time.perf_counter()
        bodies = [
            [
                {
                    "jsonrpc": "2.0",
                    "id": at,
                    "method": "broadcast_tx_async",
                    "params": {"tx": encode(first + at)},
                }
                for at in range(BATCH)
            ]
            for first in range(0, count, BATCH)
        ]
        await asyncio.gather(*[client.post("", json=body) for body in bodies])

        async def are_all_in() -> bool:
            return await count_transactions() >= before + count

        await wait_for(are_all_in)
        rate = count / (time.perf_counter() - begin)
        latencies = []
        for number in range(singles):
            begin = time.perf_counter()
            request = {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_commit"}
            await client.post("", json={**request, "params": {"tx": encode(count + number)}})
            latencies.append(time.perf_counter() - begin)
    return rate, statistics.median(latencies) * 1000


def encode(number: int) -> str:
    return base64.b64encode(f"key{number}={'v' * 200}".encode()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=4_000)
    parser.add_argument("--singles", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not BINARY.exists():
        sys.exit("CometBFT is not installed: make cometbft")

    ref = measure_ref()
    found: dict[str, list[tuple[float, float]]] = {
        "CometBFT, our ledger": [],
        "CometBFT, kvstore": [],
        "embedded": [],
    }
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as name, running_ledger(Path(name), ["comet"]) as url:
            measured = asyncio.run(measure_ledger(url, options.count, options.singles))
            found["CometBFT, our ledger"].append(measured)
        with tempfile.TemporaryDirectory() as name, running_kvstore(Path(name)) as url:
            found["CometBFT, kvstore"].append(
                asyncio.run(measure_kvstore(url, options.count, options.singles))
            )
        with tempfile.TemporaryDirectory() as name, running_ledger(Path(name), []) as url:
            found["embedded"].append(asyncio.run(measure_ledger(url, options.count, options.singles)))

    rows = {
        name: {
            "per_second": statistics.median(r for r, _ in runs),
            "latency_ms": statistics.median(t for _, t in runs),
        }
        for name, runs in found.items()
    }
    if options.json:
        print(json.dumps({"ref": ref, **rows}))
        return
    print_machine(ref)
    for name, row in rows.items():
        rate = row["per_second"]
        print(f"{name:<22} {rate:>8,.0f} tx/s  {rate / ref:5.2f} xREF   latency {row['latency_ms']:6.0f} ms")
    print(f"blocks about every {SLOT_MS} ms; bursts of {options.count}; median of {options.runs} runs")


if __name__ == "__main__":
    main()
