"""The journal of a simulated ledger whose process is killed: the store's own code writes and opens it."""

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ..protocol.execute import Block, Outcome
from ..protocol.params import Genesis
from ..protocol.state import State

MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""

LOG_HEADER_BYTES = 32
"""Of SQLite's write-ahead log. It lies in one sector and is synced before the rest, so it is never torn."""


class Written(NamedTuple):
    """A block as the journal takes it."""

    block: Block
    verified: Sequence[bool]
    outcome: Outcome


def recover(genesis: Genesis, written: Sequence[Written], torn: Written | None, random: Random) -> State:
    """The state that a ledger's start finds after its process was killed.

    `torn` was being written then: a part of its bytes, drawn by `random`, is on the disk. Raises StoreCorrupt
    if the ledger does not start.
    """
    from ..ledger.chain import Chain  # loaded by the few worlds whose ledger restarts
    from ..ledger.store.agreement import JOURNAL_FILE
    from ..ledger.store.journal import Journal

    log_file = f"{JOURNAL_FILE}-wal"
    # What is simulated need not last, and a file in memory is synced at once.
    place = MEMORY if MEMORY.is_dir() else None
    with TemporaryDirectory(prefix="roundwork-", dir=place) as folder:
        living, killed = Path(folder) / "living", Path(folder) / "killed"
        Chain.create(living, genesis)
        Chain.create(killed, genesis)
        with closing(Journal(living / JOURNAL_FILE)) as journal:
            for each in written:
                journal.append(*each)
            database, log = (living / JOURNAL_FILE).read_bytes(), (living / log_file).read_bytes()
            if torn is not None:
                journal.append(*torn)
                log = tear(log, (living / log_file).read_bytes(), random)
        (killed / JOURNAL_FILE).write_bytes(database)
        (killed / log_file).write_bytes(log)
        with closing(Chain(killed)) as chain:
            return chain.state


def tear(before: bytes, after: bytes, random: Random) -> bytes:
    """The log of which only the first part of what was written reached the disk."""
    places = range(len(after))
    first = bisect_left(places, True, key=lambda at: before[: at + 1] != after[: at + 1])
    end = bisect_left(places, True, key=lambda at: before[at:] == after[at:])
    cut = max(random.randrange(first, end), LOG_HEADER_BYTES)
    return after[:cut] + before[cut:]
