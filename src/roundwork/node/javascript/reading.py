"""Long data of files that cross as JSON, in pieces: what `fs.promises` of Node.js reads and writes."""

from __future__ import annotations

import codecs
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import msgspec

from ...errors import Malformed, WrongShape
from ...wire import decode_json

READ_BYTES_MAX = 32 * 1024 * 1024
PIECE_BYTES = 48 * 1024
"""A multiple of three, for base64."""

_BUFFER = re.compile(rb'\{\s*"type"\s*:\s*"Buffer"\s*,\s*"data"\s*:\s*(?=\[)')

_DECIMALS = [str(byte).encode() for byte in range(256)]


Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class Form(NamedTuple):
    """How pieces of a file become JSON. `encode(piece, is_last)` is called once more at the end."""

    encode: Callable[[bytes, bool], bytes]
    opening: bytes = b'"'
    separator: bytes = b""
    closing: bytes = b'"'


class Reading:
    """An open file, to be sent as JSON in pieces. Close it, read or not."""

    def __init__(self, file: int, form: Form) -> None:
        self._file = file
        self._form = form

    def list_pieces(self) -> Iterator[bytes]:
        """The JSON of what the file holds, READ_BYTES_MAX at most. Blocks on the disk."""
        yield self._form.opening
        left, is_first = READ_BYTES_MAX, True
        while piece := _read_whole(self._file, min(PIECE_BYTES, left)):
            left -= len(piece)
            yield b"" if is_first else self._form.separator
            yield self._form.encode(piece, False)
            is_first = False
        yield self._form.encode(b"", True) + self._form.closing

    def read(self) -> Any:
        """All of it as a value; closes the file."""
        try:
            return decode_json(b"".join(self.list_pieces()))
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; once more does nothing."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def choose_form(encoding: str | None) -> Form:
    """What Node.js answers for an encoding. Raises ValueError."""
    match encoding:
        case None | "buffer":
            opening = b'{"type":"Buffer","data":['
            return Form(lambda piece, _: b",".join(_DECIMALS[byte] for byte in piece), opening, b",", b"]}")
        case "utf8" | "utf-8":
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            return Form(lambda piece, is_last: _quote(decoder.decode(piece, is_last)))
        case "latin1" | "binary":
            return Form(lambda piece, _: _quote(piece.decode("latin-1")))
        case "ascii":
            return Form(lambda piece, _: _quote(bytes(byte & 0x7F for byte in piece).decode("latin-1")))
        case "hex":
            return Form(lambda piece, _: piece.hex().encode())
        case "base64":
            return Form(lambda piece, _: b64encode(piece))
        case _:
            raise ValueError(f"encoding {encoding!r} is not served")


def _quote(text: str) -> bytes:
    """A text within quotes of JSON, without them."""
    return msgspec.json.encode(text)[1:-1]


def _read_whole(file: int, size: int) -> bytes:
    """So many bytes of a file, less at its end only."""
    data = bytearray()
    while len(data) < size and (more := os.read(file, size - len(data))):
        data += more
    return bytes(data)


def read_data(raw: bytes) -> Any:
    """The data to write to a file, as text or bytes: a Buffer, a typed array or an array in JSON.

    Numbers are decoded piece by piece, so that other threads have their turn. Raises Malformed.
    """
    raw = raw.strip()
    if buffer := _BUFFER.match(raw):
        raw = raw[buffer.end() : -1].strip()
    if raw[:1] not in (b"[", b"{"):
        return decode_json(raw)
    opening, closing = raw[:1], raw[-1:]
    if opening + closing not in (b"[]", b"{}"):
        raise Malformed("not JSON: its first and its last bracket do not match")
    data, at, end = bytearray(), 1, len(raw) - 1
    while at < end:
        until = raw.find(b",", min(at + PIECE_BYTES, end), end)
        until = end if until < 0 else until
        piece = opening + raw[at:until] + closing
        if opening == b"[":
            data += bytes(decode_json(piece, list[Byte]))
        else:
            numbered = decode_json(piece, dict[str, Byte])
            if [*numbered] != [str(index) for index in range(len(data), len(data) + len(numbered))]:
                raise WrongShape("a typed array has its elements in order, from 0 on")
            data += bytes(numbered.values())
        at = until + 1
    return bytes(data)
