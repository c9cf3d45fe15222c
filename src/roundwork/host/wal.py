"""Whether a write-ahead log of SQLite has lost synced data, which SQLite itself drops silently.

SQLite reads a log up to the first frame whose checksum is wrong. After a loss of power that is right: the
last transaction was being written. But a transaction is written only after the one before is synced. So a
wrong frame that a later transaction follows is damage, and so is a wrong header that frames follow, because a
header lies within one sector and is synced before them. Source: https://sqlite.org/walformat.html
"""

import struct
from array import array
from pathlib import Path
from sys import byteorder
from typing import BinaryIO, NamedTuple

from ..errors import StoreCorrupt

_MAGIC = 0x377F0682
"""Of a log whose checksums read words as little endian; one more: as big endian."""

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MASK = 2**32 - 1


class _Frame(NamedTuple):
    is_commit: bool
    """Whether a transaction ends with it."""
    salts: tuple[int, int]
    checksum: tuple[int, int]
    content: bytes
    """What the checksum is of: the head of the header, and a page."""


def check_log(database: Path) -> None:
    """Raises StoreCorrupt if the write-ahead log beside a SQLite file is damaged. Reads only."""
    path = database.with_name(f"{database.name}-wal")
    if not path.exists() or path.stat().st_size <= _HEADER.size:
        return
    if not database.exists() or not database.stat().st_size:
        raise StoreCorrupt(f"{database} is missing beside {path.name}; put both back")
    with path.open("rb") as file:
        if _is_damaged(file):
            raise StoreCorrupt(
                f"{path} is damaged before its end: what was written after the damage would be lost. Put "
                f"{path.name} and {database.name} back from a copy"
            )


def _is_damaged(file: BinaryIO) -> bool:
    header = file.read(_HEADER.size)
    magic, _, page_bytes, _, *salts, first, second = _HEADER.unpack(header)
    is_big_endian = magic == _MAGIC + 1
    page_bytes = 65_536 if page_bytes == 1 else page_bytes
    checksum = _add((0, 0), header[:24], is_big_endian)
    if magic & ~1 != _MAGIC or checksum != (first, second):
        return True
    is_valid, has_commit = True, False
    while (frame := _read_frame(file, page_bytes)) is not None:
        if frame.salts != tuple(salts):
            is_valid = False  # of an earlier use of the log, or damaged
            continue
        if is_valid:
            checksum = _add(checksum, frame.content, is_big_endian)
            is_valid = checksum == frame.checksum
        if not is_valid:
            if has_commit:
                return True
            has_commit = frame.is_commit
    return False


def _read_frame(file: BinaryIO, page_bytes: int) -> _Frame | None:
    """The next frame; None if the file ends before it does."""
    raw = file.read(_FRAME.size + page_bytes)
    if len(raw) < _FRAME.size + page_bytes:
        return None
    _, pages, *salts, first, second = _FRAME.unpack_from(raw)
    return _Frame(pages > 0, (salts[0], salts[1]), (first, second), raw[:8] + raw[_FRAME.size :])


def _add(checksum: tuple[int, int], content: bytes, is_big_endian: bool) -> tuple[int, int]:
    """SQLite's checksum of some bytes after those that gave `checksum`."""
    words = array("I", content)
    if is_big_endian != (byteorder == "big"):
        words.byteswap()
    even, odd = checksum
    pairs = iter(words)
    for word in pairs:
        even = (even + word + odd) & _MASK
        odd = (odd + next(pairs) + even) & _MASK
    return even, odd
