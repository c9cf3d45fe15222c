"""docs/ECONOMICS.md says of roundwork-1 what its table has, and the table keeps what the rules promise."""

import re
from pathlib import Path

import pytest

from roundwork.sim.attack import Row, name_cell
from roundwork.sim.rows import read_rows
from roundwork.sim.sealed_attack import TOLERANCE, find_sealed_winners

DOCS = Path(__file__).parents[2] / "docs"
ROWS = {name_cell(row): row for row in read_rows(DOCS / "attack-roundwork-1.jsonl")}
TEXT = (DOCS / "ECONOMICS.md").read_text()
WORST = [row for cell, row in ROWS.items() if cell[1:4] == (20, 33, 10)]

KNOWN_WINNERS = {"cartel"}
"""What no rule can hinder; docs/ECONOMICS.md says so."""


def show(number: float, digits: int = 3) -> str:
    return f"{number:+.{digits}f}".replace("-", "−")


@pytest.mark.parametrize("row", WORST, ids=lambda row: row.strategy)
def test_a_row_of_the_worst_cell_stands_in_the_text(row: Row) -> None:
    found = re.search(
        rf"^\| `{row.strategy}` \|.*\| (\S+) \| (\S+) to (\S+) \| (\S+) \| (\d+) \|$", TEXT, re.M
    )

    if row.strategy != "honest":
        assert found is not None
        expected = (*map(show, (row.profit, row.lower, row.upper)), show(row.harm, 2), str(row.seeds))
        assert expected == found.groups()


def test_every_row_has_a_strategy_that_acted_and_convicts_no_honest_node() -> None:
    rows = [row for row in ROWS.values() if row.strategy != "honest"]

    assert [row.strategy for row in rows if not row.acted] == []
    assert [row.strategy for row in rows if row.honest_convicted or row.unpaid] == []


def test_only_what_the_text_names_wins() -> None:
    # With few worlds an upper bound is wide: such a row wins only if its lower bound does.
    sure = [row for row in ROWS.values() if row.seeds >= 10 or row.lower > TOLERANCE]
    winners = {row.strategy for row in find_sealed_winners(sure)}

    assert winners <= KNOWN_WINNERS
    assert all(f"- `{name}`" in TEXT for name in winners)
