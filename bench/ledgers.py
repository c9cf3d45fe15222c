"""Ledgers to measure: founded with many records, and run as processes of their own."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from roundwork.ledger.chain import Chain
from roundwork.protocol.params import Genesis, Grant

PORT = 18_990


class Running(NamedTuple):
    """A ledger process that answers."""

    url: str
    pid: int
    seconds: float
    """From its start to its first answer."""


def found_ledger(directory: Path, payers: list[Keypair], records: int) -> list[Pubkey]:
    """A ledger that holds so many rich accounts, those of the payers among them; all of them."""
    others = [Pubkey.new_unique() for _ in range(records - len(payers))]
    keys = [*(pair.pubkey() for pair in payers), *others]
    genesis = Genesis(
        time_ms=time.time_ns() // 10**6 - 60_000,
        producer=str(Keypair().pubkey()),
        accounts=tuple(Grant(str(key), 10**12) for key in keys),
    )
    directory.mkdir(parents=True)
    Chain.create(directory, genesis)
    return keys


@contextmanager
def running_ledger(
    directory: Path,
    port: int = PORT,
    kill: bool = False,
    host: str = "127.0.0.1",
    options: Sequence[str] = (),
) -> Iterator[Running]:
    """A ledger process on a directory; `kill` ends it with SIGKILL."""
    command = [sys.executable, "-m", "roundwork", "ledger", "run", "--json", "--directory", str(directory)]
    command += ["--port", str(port), "--host", host, *options]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        yield Running(url, process.pid, time.perf_counter() - begin)
    finally:
        if kill:
            process.kill()
        else:
            process.terminate()
        process.communicate()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
