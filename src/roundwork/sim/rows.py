"""Tables of attacks in files: a line of JSON for each row."""

from pathlib import Path

import msgspec

from ..economics import Costs
from ..errors import BadConfig, Malformed
from ..wire import decode_json
from .attack import Row


class SavedRow(Row, frozen=True, kw_only=True):
    """A row, and the run that it is from."""

    run: str = ""
    """A digest of what the rows of a run have in common beside their cell; "" in tables of docs/."""
    work_cost: float | None = None
    """What the run reckoned with, in R, as the next; None in rows of older versions."""
    audit_cost: float | None = None


def append_row(path: Path, row: Row, run: str, costs: Costs) -> None:
    """Add a row of a run to a file, as a line."""
    saved = SavedRow(**msgspec.structs.asdict(row), run=run, work_cost=costs.work, audit_cost=costs.audit)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(saved) + b"\n")


def read_costs(path: Path) -> Costs | None:
    """The costs of the first row of a file that has some. Raises BadConfig, which names the line."""
    for saved in _read(path):
        if saved.work_cost is not None and saved.audit_cost is not None:
            return Costs(saved.work_cost, saved.audit_cost)
    return None


def read_rows(path: Path, run: str | None = None) -> list[Row]:
    """The rows of a file. Raises BadConfig, which names the line; also for a row that is not of `run`."""
    rows: list[Row] = []
    for position, saved in enumerate(_read(path), start=1):
        if run is not None and saved.run != run:
            raise BadConfig(
                f"{path}, line {position}: a row of another run (task, params, rules, rounds, seeds, costs, "
                f"answers, scenario or strategies differ{_describe_costs(saved)}); save this one elsewhere "
                "with --save"
            )
        rows.append(Row(**{name: getattr(saved, name) for name in Row.__struct_fields__}))
    return rows


def _read(path: Path) -> list[SavedRow]:
    saved = []
    for position, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            saved.append(decode_json(line, SavedRow))
        except Malformed as error:
            raise BadConfig(f"{path}, line {position}: no row of `roundwork attack`: {error}") from None
    return saved


def _describe_costs(saved: SavedRow) -> str:
    if saved.work_cost is None or saved.audit_cost is None:
        return ""
    return f"; its costs are --work-cost {saved.work_cost:g} --audit-cost {saved.audit_cost:g}"
