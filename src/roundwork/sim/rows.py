"""Tables of attacks in files: a line of JSON for each row."""

from pathlib import Path

import msgspec

from ..errors import BadConfig, Malformed
from ..wire import decode_json
from .attack import Row


def encode_row(row: Row) -> bytes:
    """A row as a line."""
    return msgspec.json.encode(row) + b"\n"


def read_rows(path: Path) -> list[Row]:
    """The rows of a file. Raises BadConfig, which names the line."""
    rows: list[Row] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rows.append(decode_json(line, Row))
        except Malformed as error:
            raise BadConfig(f"{path}, line {number}: no row of `roundwork attack`: {error}") from None
    return rows
