"""docs/ECONOMICS.md says of roundwork-1 what its table has, and the table keeps what the rules promise."""

import re
from pathlib import Path

import pytest

from roundwork.cli.attack import Desk
from roundwork.sealed_strategies import STRATEGIES
from roundwork.sim.attack import Row, compose_row, name_cell
from roundwork.sim.rows import read_rows
from roundwork.sim.sealed_attack import TOLERANCE, find_sealed_winners

DOCS = Path(__file__).parents[2] / "docs"
ROWS = {name_cell(row): row for row in read_rows(DOCS / "attack-roundwork-1.jsonl")}
TEXT = (DOCS / "ECONOMICS.md").read_text()
CIPHER = DOCS.parent / "examples" / "cipher"
SLICE = [row for row in ROWS.values() if row.nodes == 5]
"""Played again in each run of the tests; `make economics RULES=roundwork-1` plays all."""
WORST = [row for cell, row in ROWS.items() if cell[1:4] == (20, 33, 10)]

KNOWN_WINNERS = {"cartel"}
"""What no rule can hinder; docs/ECONOMICS.md says so."""


def show(number: float, digits: int = 3) -> str:
    return f"{number:+.{digits}f}".replace("-", "−")


@pytest.mark.parametrize("row", SLICE, ids=lambda row: row.strategy)
def test_a_row_of_five_nodes_comes_out_again(row: Row) -> None:
    desk = Desk(CIPHER, {}, None, None, None)
    [trial] = desk.list_trials((row.strategy,), (row.nodes,), (row.share,), (row.silent,), (), rounds=24)

    again = compose_row(trial, [desk.run(trial, seed) for seed in range(row.seeds)])

    assert again == row


def test_the_table_has_all_strategies_in_its_worst_cell() -> None:
    assert len(SLICE) >= 5
    assert set(STRATEGIES) - {"honest"} == {row.strategy for row in WORST}


@pytest.mark.parametrize("row", WORST, ids=lambda row: row.strategy)
def test_a_row_of_the_worst_cell_stands_in_the_text(row: Row) -> None:
    found = re.search(
        rf"^\| `{row.strategy}` \|.*\| (\S+) \| (\S+) to (\S+) \| (\S+) \| (\d+) \|$", TEXT, re.M
    )

    if row.strategy != "honest":
        assert found is not None
        expected = (*map(show, (row.profit, row.lower, row.upper)), show(row.harm, 2), str(row.seeds))
        assert expected == found.groups()


@pytest.mark.parametrize("row", WORST, ids=lambda row: row.strategy)
def test_each_strategy_has_a_paragraph_with_its_figure(row: Row) -> None:
    section = TEXT.split("## The strategies against roundwork-1\n")[1].split("\n## ")[0]

    found = re.search(rf"^\*\*{row.strategy}\*\* \((\S+) R\)\. \S+", section, re.MULTILINE)

    assert found is not None
    assert show(row.profit, 2) == found[1]


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
