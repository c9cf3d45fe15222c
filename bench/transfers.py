"""Durable signed transfers a second through JSON-RPC, in batches of 100, against REF in the same run.

Run: python bench/transfers.py. A real ledger process on a temporary directory; clients in this process send
transfers that were signed beforehand. A batch is answered when every transaction of it is on disk. History
and checkpoints are on; preflight, a second execution that no peer makes, is skipped. Left out: signing, and
everything a wallet does before it sends.
"""

import argparse
import asyncio
import base64
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from ref import measure_ref, print_machine
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

BATCH = 100
CONNECTIONS = 8
PAYERS = 64


@contextmanager
def running_ledger(directory: Path) -> Iterator[str]:
    """A ledger process; its URL."""
    command = [sys.executable, "-m", "roundwork", "ledger", "run", "--json", "--directory", str(directory)]
    command += ["--port", "18990", "--host", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait()


async def call(client: httpx2.AsyncClient, method: str, *params: object) -> Any:
    answer = (
        await client.post("", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    ).json()
    assert "result" in answer, answer
    return answer["result"]


def sign_batches(payers: list[Keypair], tick: str, count: int, number: int) -> list[bytes]:
    """`count` transfers, each another one, as bodies of JSON-RPC batches."""
    target = Pubkey.new_unique()
    hash = Hash.from_string(tick)
    items = []
    for at in range(count):
        payer = payers[at % len(payers)]
        amount = number * count + at + 1
        ask = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=target, lamports=amount))
        message = Message.new_with_blockhash([ask], payer.pubkey(), hash)
        text = base64.b64encode(bytes(Transaction([payer], message, hash))).decode()
        config = {"encoding": "base64", "skipPreflight": True}
        items.append({"jsonrpc": "2.0", "id": at, "method": "sendTransaction", "params": [text, config]})
    return [json.dumps(items[at : at + BATCH]).encode() for at in range(0, count, BATCH)]


async def send_all(client: httpx2.AsyncClient, bodies: list[bytes]) -> float:
    """Send batches over several connections; transactions a second until the last is durable."""
    queue = list(reversed(bodies))

    async def worker() -> None:
        while queue:
            response = await client.post("", content=queue.pop())
            answers = response.json()
            assert all("result" in answer for answer in answers), answers[0]

    begin = time.perf_counter()
    await asyncio.gather(*[worker() for _ in range(CONNECTIONS)])
    return len(bodies) * BATCH / (time.perf_counter() - begin)


async def measure(url: str, runs: int, count: int) -> list[float]:
    payers = [Keypair() for _ in range(PAYERS)]
    headers = {"content-type": "application/json"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        for payer in payers:
            await call(client, "requestAirdrop", str(payer.pubkey()), 10**12)
        rates = []
        for number in range(runs + 1):
            tick = (await call(client, "getLatestBlockhash"))["value"]["blockhash"]
            rates.append(await send_all(client, sign_batches(payers, tick, count, number)))
        return rates[1:]  # the first one starts the workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    ref = measure_ref()
    with tempfile.TemporaryDirectory() as directory, running_ledger(Path(directory)) as url:
        rates = asyncio.run(measure(url, options.runs, options.count))
    rate = statistics.median(rates)
    if options.json:
        print(json.dumps({"ref": ref, "per_second": rate, "ratio": rate / ref}))
        return
    print_machine(ref)
    print(f"durable signed transfers through RPC in batches of {BATCH}: {rate:,.0f}/s  {rate / ref:.2f} xREF")
    print("runs:", ", ".join(f"{one:,.0f}" for one in rates))


if __name__ == "__main__":
    main()
