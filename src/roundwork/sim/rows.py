"""Tables of attacks in files: a line of JSON for each row."""

from pathlib import Path

import msgspec

from ..errors import BadConfig, Malformed
from ..wire import decode_json
from .attack import Row


class SavedRow(Row, frozen=True, kw_only=True):
    """A row, and the run that it is from."""

    run: str = ""
    """A digest of what the rows of a run have in common beside their cell; "" in tables of docs/."""


def encode_row(row: Row, run: str) -> bytes:
    """A row of a run as a line."""
    return msgspec.json.encode(SavedRow(**msgspec.structs.asdict(row), run=run)) + b"\n"


def read_rows(path: Path, run: str | None = None) -> list[Row]:
    """The rows of a file. Raises BadConfig, which names the line; also for a row that is not of `run`."""
    rows: list[Row] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            saved = decode_json(line, SavedRow)
        except Malformed as error:
            raise BadConfig(f"{path}, line {number}: no row of `roundwork attack`: {error}") from None
        if run is not None and saved.run != run:
            raise BadConfig(
                f"{path}, line {number}: a row of another run (task, params, rules, rounds, seeds, costs, "
                "answers or strategies differ); save this one elsewhere with --save"
            )
        fields = msgspec.structs.asdict(saved)
        del fields["run"]
        rows.append(Row(**fields))
    return rows
