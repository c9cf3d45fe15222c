"""The tables of docs/ECONOMICS.md on roundwork-1, made from the rows of `attack` that docs/ keeps.

`python -m tests.sim.sealed_tables` writes them into the document; a test compares.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from roundwork.sealed_strategies import STRATEGIES
from roundwork.sim.attack import Row
from roundwork.sim.rows import read_rows

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS / "ECONOMICS.md"
FILES = {"cipher": DOCS / "attack-roundwork-1.jsonl", "crawler": DOCS / "attack-roundwork-1-crawler.jsonl"}
PLAYED = [name for name in STRATEGIES if name != "honest"]
WORST = (20, 33, 10)
"""The cell that is shown in full: nodes, share of the coalition and of silent nodes in percent."""

NEEDS_TWO = {"self-accuser", "cartel"}
"""A coalition of one node has no other node to accuse and none to share its checks with."""

Cell = tuple[int, int, int]


def get_cell(row: Row) -> Cell:
    """Nodes, the share of the coalition, the share of silent nodes."""
    return row.nodes, row.share, row.silent


def read_cells(task: str) -> dict[Cell, dict[str, Row]]:
    """The cells of a task that have every strategy, by cell and strategy; the largest coalitions first."""
    rows = read_rows(FILES[task]) if FILES[task].exists() else []
    whole = {cell for cell, count in Counter(map(get_cell, rows)).items() if count == len(PLAYED)}
    ordered = sorted(whole, key=lambda cell: (cell[0], -cell[1], -cell[2]))
    return {cell: {row.strategy: row for row in rows if get_cell(row) == cell} for cell in ordered}


def show(number: float, digits: int = 3) -> str:
    """A figure with its sign."""
    return f"{number:+.{digits}f}".replace("-", "−")


def make_worst_table() -> list[str]:
    """All figures of the worst cell of 20 nodes."""
    rows = read_cells("cipher")[WORST]
    head = [
        "| strategy | what it does | profit, R | bounds | harm, R | worlds |",
        "|---|---|---|---|---|---|",
    ]
    return head + [
        f"| `{name}` | {STRATEGIES[name].doing} | {show(row.profit)} | {show(row.lower)} to {show(row.upper)}"
        f" | {show(row.harm, 2)} | {row.seeds} |"
        for name in PLAYED
        for row in [rows[name]]
    ]


def make_grid_table(task: str) -> list[str]:
    """The upper bound of each strategy in each whole cell of a task."""
    cells = read_cells(task)
    names = [f"{nodes} / {share} / {silent}" for nodes, share, silent in cells]
    head = [_join(["strategy", *names]), "|" + "---|" * (1 + len(names))]
    return head + [
        _join([f"`{name}`", *(_show_upper(rows[name]) for rows in cells.values())]) for name in PLAYED
    ]


def is_too_few(row: Row) -> bool:
    """Whether a strategy needs a second member that a coalition of this size does not have."""
    return row.strategy in NEEDS_TWO and row.nodes * row.share // 100 < 2


def _show_upper(row: Row) -> str:
    return "–" if is_too_few(row) else show(row.upper)


def _join(fields: Iterable[str]) -> str:
    return "| " + " | ".join(fields) + " |"


TABLES: dict[str, Callable[[], list[str]]] = {
    "worst cell": make_worst_table,
    "grid of cipher": partial(make_grid_table, "cipher"),
    "grid of crawler": partial(make_grid_table, "crawler"),
}
"""By the name between whose marks each table stands in the document."""


def replace_table(text: str, name: str, lines: list[str]) -> str:
    """The text of the document with a table between its marks."""
    mark, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, rest = text.split(mark)
    _, after = rest.split(end)
    return before + mark + "".join(line + "\n" for line in lines) + end + after


def main() -> None:
    """Write all tables into the document."""
    text = DOCUMENT.read_text()
    for name, make in TABLES.items():
        text = replace_table(text, name, make())
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
