"""The state, journal, checkpoint and history of one ledger directory: what every engine drives."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ..errors import BadGenesis, StoreCorrupt, StoreFull
from ..host.files import make_own_folder, replace_file
from ..host.wal import check_log
from ..protocol.execute import Block, Outcome, execute
from ..protocol.genesis import create_state, decode_genesis, encode_genesis
from ..protocol.params import Genesis
from ..protocol.state import Head, State
from ..protocol.transaction import Transaction
from .store.agreement import (
    CHECKPOINT_FILE,
    GENESIS_FILE,
    HISTORY_FILE,
    JOURNAL_FILE,
    Files,
    check_founded_once,
)
from .store.checkpoint import Checkpoint, Pending
from .store.history import History
from .store.journal import Entry, Journal, JournalReader
from .store.recent import Recent

CHECKPOINT_BLOCKS = 100
CHECKPOINT_SECONDS = 10.0
"""A checkpoint begins when this many blocks or seconds have passed since the last one."""

HISTORY_LAG_BLOCKS_MAX = 2_000
"""Back-pressure: the next block waits when the history is further behind."""

LAG_SECONDS = 1.0
"""How long a block waits for a history that is too far behind."""

log = logging.getLogger(__name__)

Listener = Callable[[Block, Outcome], None]


class _Executed(NamedTuple):
    head: Head
    verified: Sequence[bool]
    outcome: Outcome


class Chain:
    """One ledger directory, opened. `execute`, then `persist`, then `publish`, block by block.

    `checkpointed` is the head of the last checkpoint that is durable; `listeners` are called with every
    block that is durable.
    """

    def __init__(self, directory: Path, replay: bool = True) -> None:
        """Open a ledger and recover it from what is on disk.

        `replay=False` leaves the state at the checkpoint, because an engine delivers the rest again, and
        holds every checkpoint back until `allow_checkpoint`. Everything is read before anything is written.
        Raises BadGenesis, OldLaw, StoreCorrupt, StoreFull.
        """
        self.directory = directory
        self.genesis = read_genesis(directory)
        self.recent = Recent()
        self._recover(replay)
        genesis_hash = self.state.genesis_hash
        self.journal = Journal(directory / JOURNAL_FILE)
        self.checkpoint = Checkpoint(directory / CHECKPOINT_FILE, genesis_hash)
        self.history = History(directory / HISTORY_FILE, self.journal, genesis_hash)
        self.listeners: list[Listener] = []
        self._executed: deque[_Executed] = deque()
        self._allowed = None if replay else self.checkpointed.height
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._ready: tuple[Head, Pending] | None = None
        self._checkpoint_time = time.monotonic()
        self._is_broken = False

    @classmethod
    def create(cls, directory: Path, genesis: Genesis) -> None:
        """Found a ledger in a directory.

        Raises BadGenesis if it has one already, or the genesis is bad; StoreCorrupt if it holds blocks.
        """
        create_state(genesis)
        path = directory / GENESIS_FILE
        if path.exists():
            raise BadGenesis(f"{path}: a ledger is founded here already; choose another directory")
        check_founded_once(directory)
        make_own_folder(directory)
        replace_file(path, encode_genesis(genesis))

    def execute(
        self, block: Block, verified: Sequence[bool], parsed: Sequence[Transaction | None] | None = None
    ) -> Outcome:
        """Run a block in memory. Nothing is durable yet."""
        outcome = execute(self.state, block, verified, parsed)
        self._executed.append(_Executed(self.state.head, verified, outcome))
        return outcome

    def persist(self, block: Block, outcome: Outcome) -> None:
        """Make an executed block durable; on any thread. Raises StoreFull, StoreCorrupt."""
        executed = next(block for block in self._executed if block.outcome is outcome)
        self.journal.append(block, executed.verified, outcome)

    def publish(self, block: Block, outcome: Outcome) -> None:
        """Pass on a block that is durable: to statuses, history, checkpoint and listeners."""
        executed = self._executed.popleft()
        assert executed.outcome is outcome, "blocks are published in the order they were executed in"
        self.recent.add(block, outcome.receipts)
        self.history.wake()
        if not self._is_broken:
            self._pending.merge(outcome.changes)
            self._consider_checkpoint(executed.head)
        for listener in self.listeners:
            listener(block, outcome)

    def allow_checkpoint(self, height: int) -> None:
        """An engine says that it has saved `height`: checkpoints up to there may become durable."""
        self._allowed = height
        self._write_checkpoint()

    def is_behind(self) -> bool:
        """Whether the history is so far behind that new blocks should wait.

        A history that has failed never is.
        """
        lag = self.journal.height - self.history.height
        return lag > HISTORY_LAG_BLOCKS_MAX and self.history.failure is None

    def wait_for_history(self) -> None:
        """Back-pressure: wait until the history has caught up, or `LAG_SECONDS`; not on the main thread."""
        self.history.wait_for(self.journal.height, LAG_SECONDS)

    def close(self) -> None:
        """Write a last checkpoint if that is allowed, and close every file."""
        self._writer.submit(lambda: None).result()
        if self._allowed is None and not self._executed:
            self._write_checkpoint()
            self._writer.submit(lambda: None).result()
            self._ready = (self.state.head, self._pending)
            self._write_checkpoint()
        self._writer.shutdown()
        self.history.close()
        self.checkpoint.close()
        self.journal.close()

    # Recovery

    def _recover(self, replay: bool) -> None:
        """Bring the state to the checkpoint and, if requested, through the blocks behind it. Reads only."""
        self.state = create_state(self.genesis)
        self._pending = Pending.of(self.state)
        check_log(self.directory / JOURNAL_FILE)
        with closing(Files(self.directory)) as files:
            files.check(self.state.genesis_hash)
            if files.saved is not None:
                tables = files.checkpoint.read_tables(files.saved.content)
                self.state = State(self.genesis, self.state.genesis_hash, files.saved.head)
                self.state.load(tables)
                self._pending = Pending()
            self.checkpointed = self.state.head
            if replay:
                self._replay(files.journal)

    def _replay(self, journal: JournalReader) -> None:
        for entry in journal.read_from(self.state.head.height + 1):
            outcome = replay_entry(self.state, entry, str(journal.path))
            self._pending.merge(outcome.changes)
            if entry.block.slot + self.recent.slots >= self.state.head.slot:
                self.recent.add(entry.block, entry.receipts)

    # Checkpoints

    def _consider_checkpoint(self, head: Head) -> None:
        blocks = head.height - self.checkpointed.height
        seconds = time.monotonic() - self._checkpoint_time
        if self._ready is None and (blocks >= CHECKPOINT_BLOCKS or seconds >= CHECKPOINT_SECONDS):
            self._ready, self._pending = (head, self._pending), Pending()
            self._checkpoint_time = time.monotonic()
        self._write_checkpoint()

    def _write_checkpoint(self) -> None:
        """Write the checkpoint that is ready, if it is allowed to be and the last one is done."""
        if self._writing is not None and self._writing.done():
            self._writing.result()  # our own mistake in the writer stops the ledger, as anywhere else
            self._writing = None
        if self._ready is None or self._is_broken or self._writing is not None:
            return
        head, pending = self._ready
        if self._allowed is not None and not head.height <= min(self._allowed, self.history.height):
            return
        self._ready = None
        self._writing = self._writer.submit(self._write, head, pending)

    def _write(self, head: Head, pending: Pending) -> None:
        try:
            self.checkpoint.write(head, pending)
        except StoreFull as error:
            log.error("%s", error)
            self._is_broken = True  # the next checkpoint would miss what this one held
            return
        self.checkpointed = head


def read_genesis(directory: Path) -> Genesis:
    """The genesis of a ledger's directory. Raises BadGenesis, OldLaw."""
    path = directory / GENESIS_FILE
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise BadGenesis(
            f"{path} is missing; name the --directory of a ledger, or found one with `roundwork ledger run`"
        ) from None
    try:
        return decode_genesis(raw, str(path))
    except UnicodeDecodeError as error:
        raise BadGenesis(f"{path} is not UTF-8 ({error}); put it back from a copy") from None


def replay_entry(state: State, entry: Entry, source: str) -> Outcome:
    """Execute a block of the journal again.

    Raises StoreCorrupt if its hashes are not those in the journal.
    """
    height = entry.block.height
    try:
        outcome = execute(state, entry.block, [bool(verdict) for verdict in entry.verified])
    except ValueError as error:
        raise StoreCorrupt(f"{source}: {error}") from error
    for name, was, now in (
        ("block hash", entry.block_hash, outcome.block_hash),
        ("state hash", entry.state_hash, outcome.state_hash),
    ):
        if was != now:
            raise StoreCorrupt(f"{source}: block {height} has {name} {was.hex()}; replay gives {now.hex()}")
    return outcome
