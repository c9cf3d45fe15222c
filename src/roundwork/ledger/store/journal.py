"""The journal: one row for each block, synced before anything in it is acknowledged. It is the truth."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from ...errors import Malformed, OldLaw, StoreCorrupt, StoreFull
from ...protocol.execute import Block, Outcome, Receipt, decode_block, encode_block, hash_block
from ...protocol.genesis import describe_old_law
from ...protocol.params import LAW_VERSION
from ...protocol.tasks.events import Event
from ...sdk.saved import shows_damage
from ...wire import decode_msgpack, make_msgpack_decoder
from .database import FORMAT, READ_ERRORS, Reader, open_to_write

_SCHEMA = f"""
BEGIN;
CREATE TABLE blocks (
    height INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL,
    block BLOB NOT NULL,
    verified BLOB NOT NULL,
    receipts BLOB NOT NULL,
    events BLOB NOT NULL,
    block_hash BLOB NOT NULL,
    state_hash BLOB NOT NULL,
    digest BLOB NOT NULL DEFAULT x''
) STRICT;
PRAGMA user_version = {FORMAT};
COMMIT;
"""
_COLUMNS = "height, slot, block, verified, receipts, events, block_hash, state_hash"
_REMEDY = "put the journal back from a copy"

_encoder = msgspec.msgpack.Encoder()
_decode_receipts = make_msgpack_decoder(list[Receipt])
_decode_events = make_msgpack_decoder(list[Event])

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A block as it was written: the verdicts on its signatures, what it did, the hashes it led to."""

    block: Block
    verified: bytes
    receipts: list[Receipt]
    events: list[Event]
    block_hash: bytes
    state_hash: bytes


class JournalReader:
    """The block log of one ledger, read beside a process that writes it or without one. Changes nothing.

    Every row that is read is compared with its digest and its block with its hash. Readable from any thread.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; a missing one has no blocks, and is not made. Raises StoreCorrupt."""
        self.path = path
        self._reader = Reader(path, _REMEDY)
        self.format = self._reader.read_format("blocks", "digest")
        """That of the file; None if it holds nothing yet."""
        self.height = 0 if self.format is None else self._find_newest()

    def read(self, height: int) -> Entry | None:
        """The block of a height; None above the newest one. Raises StoreCorrupt, also if it is missing."""
        if not 0 < height <= self.height:
            return None
        return self._decode(self._read_row(height))

    def read_from(self, height: int) -> Iterator[Entry]:
        """The blocks from a height on, in order. Raises StoreCorrupt, also where one is missing."""
        while (entry := self.read(height)) is not None:
            yield entry
            height += 1

    def find_slot(self, slot: int) -> list[Entry]:
        """The blocks of a slot, in order. Raises StoreCorrupt."""
        first, last = self._count_before(slot) + 1, self._count_before(slot + 1)
        return [self._decode(self._read_row(height)) for height in range(first, last + 1)]

    def find_before(self, slot: int) -> Entry | None:
        """The last block before a slot. Raises StoreCorrupt."""
        return self.read(self._count_before(slot))

    def check_reaches(self, height: int, derived: Path) -> None:
        """Raises StoreCorrupt if the journal ends before a block that a file derived from it has."""
        if height > self.height:
            raise StoreCorrupt(
                f"{self.path} ends at block {self.height}, {derived} is of block {height}: blocks "
                f"{self.height + 1} to {height} are lost. Put the journal back, or delete checkpoint.db "
                "and history.db to go on without them"
            )

    def check_law(self) -> None:
        """Raises OldLaw if the blocks are of another version of the law than this one, StoreCorrupt."""
        if not self.height:
            return
        version = self._read_version()
        if version != LAW_VERSION:
            raise OldLaw(describe_old_law(str(self.path)))

    def check_genesis(self, genesis_hash: bytes, genesis: Path) -> None:
        """Raises StoreCorrupt if the newest block is not of the ledger that a genesis file founds."""
        entry = self.read(self.height)
        if entry is not None and entry.block.genesis_hash != genesis_hash:
            raise StoreCorrupt(
                f"{genesis} founds the ledger {genesis_hash.hex()}; the blocks in {self.path} are of "
                f"{entry.block.genesis_hash.hex()}. Put the genesis of that ledger back"
            )

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def _find_newest(self) -> int:
        [(newest,)] = self._reader.fetch("SELECT max(height) FROM blocks")
        if newest is None:
            return 0
        if not isinstance(newest, int) or newest < 1:
            raise StoreCorrupt(f"{self.path} ends at block {newest}; {_REMEDY}")
        return newest

    def _read_version(self) -> Any:
        """The version of the law that the newest block names, whatever the rest of it is."""
        rows = self._reader.fetch("SELECT block FROM blocks WHERE height = ?", (self.height,))
        try:
            [(raw,)] = rows
            return decode_msgpack(raw, Any)[0]
        except (Malformed, ValueError, TypeError, LookupError) as error:
            raise StoreCorrupt(
                f"{self.path}: block {self.height} cannot be read: {error}; {_REMEDY}"
            ) from error

    def _read_row(self, height: int) -> tuple[Any, ...]:
        """A row as it was written. Raises StoreCorrupt."""
        columns = f"{_COLUMNS}, digest" if self.format == FORMAT else _COLUMNS
        rows = self._reader.fetch(f"SELECT {columns} FROM blocks WHERE height = ?", (height,))
        if len(rows) != 1:
            raise StoreCorrupt(
                f"{self.path}: block {height} is missing; the newest one is {self.height}. {_REMEDY}"
            )
        row: tuple[Any, ...] = rows[0][:8]
        if self.format == FORMAT and rows[0][8] != _digest(row):
            raise StoreCorrupt(f"{self.path}: block {height} is not as it was written; {_REMEDY}")
        return row

    def _decode(self, row: tuple[Any, ...]) -> Entry:
        height, slot, raw, verified, receipts, events, block_hash, state_hash = row
        try:
            block = decode_block(raw)
            entry = Entry(
                block, verified, _decode_receipts(receipts), _decode_events(events), block_hash, state_hash
            )
        except (Malformed, ValueError, TypeError) as error:
            raise StoreCorrupt(f"{self.path}: block {height} cannot be read: {error}; {_REMEDY}") from error
        if (height, slot, block_hash) != (block.height, block.slot, hash_block(block)):
            raise StoreCorrupt(f"{self.path}: block {height} does not have the hash beside it; {_REMEDY}")
        if not len(entry.receipts) == len(block.transactions) == len(verified):
            raise StoreCorrupt(f"{self.path}: block {height} lacks receipts or verdicts; {_REMEDY}")
        return entry

    def _count_before(self, slot: int) -> int:
        """How many blocks are before a slot: slots never run backwards. Raises StoreCorrupt."""
        low, high = 0, self.height
        while low < high:
            middle = (low + high + 1) // 2
            if self._read_row(middle)[1] < slot:
                low = middle
            else:
                high = middle - 1
        return low


class Journal(JournalReader):
    """The same, and its one writer. Written by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; one of an older format gets its digests. Raises StoreCorrupt, StoreFull."""
        self._writer = open_to_write(path, "FULL")
        super().__init__(path)
        if self.format != FORMAT:
            self._prepare()

    def append(self, block: Block, verified: Sequence[bool], outcome: Outcome) -> None:
        """Make a block durable. The same block again changes nothing.

        Raises StoreFull if the disk refuses, StoreCorrupt if another block has this height.
        """
        if block.height <= self.height:
            self._check_same(block, outcome)
            return
        row = (
            block.height,
            block.slot,
            encode_block(block),
            bytes(verified),
            _encoder.encode(outcome.receipts),
            _encoder.encode(outcome.events),
            outcome.block_hash,
            outcome.state_hash,
        )
        query = f"INSERT INTO blocks ({_COLUMNS}, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        try:
            self._writer.execute(query, (*row, _digest(row)))
        except READ_ERRORS as error:
            if shows_damage(error):
                raise StoreCorrupt(f"{self.path}: {error}; {_REMEDY}") from error
            raise StoreFull(
                f"{self.path}: {error}; block {block.height} is not written, nothing in it is acknowledged. "
                "Make room and start again"
            ) from error
        self.height = block.height

    def close(self) -> None:
        """Let go of the file."""
        super().close()
        self._writer.close()

    def _check_same(self, block: Block, outcome: Outcome) -> None:
        entry = self.read(block.height)
        if entry is None or (entry.block_hash, entry.state_hash) != (outcome.block_hash, outcome.state_hash):
            raise StoreCorrupt(f"{self.path}: block {block.height} is written already, and is another one")

    def _prepare(self) -> None:
        """Make the table, or give the rows of an older version their digests, all of them or none."""
        try:
            if self.format is None:
                self._writer.executescript(_SCHEMA)
            else:
                self._add_digests()
        except sqlite3.Error as error:
            raise StoreFull(f"{self.path}: {error}; make room and start again") from error
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        self.format = FORMAT

    def _add_digests(self) -> None:
        log.warning("%s is of an older version; its %s blocks get digests", self.path, self.height)
        write = self._writer.execute
        write("BEGIN")
        write("ALTER TABLE blocks ADD COLUMN digest BLOB NOT NULL DEFAULT x''")
        write("DROP INDEX IF EXISTS blocks_by_slot")
        for height in range(1, self.height + 1):
            row = self._read_row(height)
            self._decode(row)  # what does not have its hash gets no digest
            write("UPDATE blocks SET digest = ? WHERE height = ?", (_digest(row), height))
        write(f"PRAGMA user_version = {FORMAT}")
        write("COMMIT")


def _digest(row: Sequence[Any]) -> bytes:
    """What a row is compared with when it is read."""
    return blake3(_encoder.encode(tuple(row))).digest()
