"""Whether the files of a ledger's directory agree with one another; checked before any of them is written."""

from contextlib import ExitStack, closing
from pathlib import Path

from ...errors import StoreCorrupt
from ...protocol.state import Head
from .checkpoint import REMEDY as CHECKPOINT_REMEDY
from .checkpoint import CheckpointReader
from .history import REMEDY as HISTORY_REMEDY
from .history import HistoryReader
from .journal import Entry, JournalReader

GENESIS_FILE = "genesis.json"
JOURNAL_FILE = "journal.db"
CHECKPOINT_FILE = "checkpoint.db"
HISTORY_FILE = "history.db"


class Files:
    """Journal, checkpoint and history of a directory, opened to be read. Changes nothing; `close` it.

    A ledger may write them meanwhile: checkpoint and history are opened first, because the journal is always
    written before them.
    """

    def __init__(self, directory: Path) -> None:
        """Raises StoreCorrupt."""
        with ExitStack() as stack:
            self.checkpoint = stack.enter_context(closing(CheckpointReader(directory / CHECKPOINT_FILE)))
            self.saved = self.checkpoint.read_saved()
            self._saved_height = self.checkpoint.read_height()
            self.history = stack.enter_context(closing(HistoryReader(directory / HISTORY_FILE)))
            self.indexed_height = self.history.read_height()
            self.journal = stack.enter_context(closing(JournalReader(directory / JOURNAL_FILE)))
            self._stack = stack.pop_all()
        self._genesis = directory / GENESIS_FILE

    def check(self, genesis_hash: bytes) -> None:
        """Raises StoreCorrupt if one of the files is of another ledger, or knows more than the journal.

        Raises OldLaw if the blocks are of another version of the law.
        """
        self.journal.check_law()
        self.journal.check_genesis(genesis_hash, self._genesis)
        progress = self.history.read_progress()
        for reader, found, remedy in (
            (self.checkpoint, self.saved, CHECKPOINT_REMEDY),
            (self.history, progress, HISTORY_REMEDY),
        ):
            if found is not None and found.genesis_hash != genesis_hash:
                raise StoreCorrupt(
                    f"{reader.path} is of the ledger {found.genesis_hash.hex()}, {self._genesis} founds "
                    f"{genesis_hash.hex()}. Put the genesis of that ledger back; or, if the file is at the "
                    f"wrong place, {remedy}"
                )
        self.journal.check_reaches(self._saved_height, self.checkpoint.path)
        self.journal.check_reaches(self.indexed_height, self.history.path)
        if self.saved is not None:
            check_same_block(self.saved.head, self.journal.read(self.saved.head.height), self.checkpoint.path)

    def close(self) -> None:
        """Let go of the files."""
        self._stack.close()


def check_same_block(head: Head, entry: Entry | None, checkpoint: Path) -> None:
    """Raises StoreCorrupt if a checkpoint is not of the block that the journal has at its height."""
    if entry is not None and (entry.block_hash, entry.state_hash) != (head.block_hash, head.state_hash):
        raise StoreCorrupt(f"{checkpoint}: block {head.height} is not the journal's; {CHECKPOINT_REMEDY}")


def check_founded_once(directory: Path) -> None:
    """Raises StoreCorrupt if a directory without a genesis holds blocks, or what is derived from blocks."""
    for name in (JOURNAL_FILE, CHECKPOINT_FILE, HISTORY_FILE):
        path = directory / name
        if path.exists() and path.stat().st_size:
            raise StoreCorrupt(
                f"{directory / GENESIS_FILE} is missing beside {name}: put that genesis back, or found a "
                "ledger in another directory"
            )
