"""docs/ECONOMICS.md says of roundwork-1 what its table has, and the table keeps what the rules promise."""

import re
from pathlib import Path

import pytest

from roundwork.cli.attack import Desk
from roundwork.sim.attack import Row, compose_row
from roundwork.sim.rows import read_rows
from roundwork.sim.sealed_attack import TOLERANCE, find_sealed_winners

from .sealed_tables import DOCUMENT, FILES, TABLES, WORST, is_too_few, read_cells, replace_table, show

ROWS = [row for file in FILES.values() if file.exists() for row in read_rows(file)]
TEXT = DOCUMENT.read_text()
CIPHER = Path(__file__).parents[2] / "examples" / "cipher"
SLICE = [row for row in read_rows(FILES["cipher"]) if row.nodes == 5]
"""Played again in each run of the tests; `make economics RULES=roundwork-1` plays all."""

KNOWN_WINNERS = {"cartel"}
"""What no rule can hinder; docs/ECONOMICS.md says so."""


@pytest.mark.parametrize("row", SLICE, ids=lambda row: row.strategy)
def test_a_row_of_five_nodes_comes_out_again(row: Row) -> None:
    desk = Desk(CIPHER, {}, None, None, None)
    [trial] = desk.list_trials((row.strategy,), (row.nodes,), (row.share,), (row.silent,), (), rounds=24)

    again = compose_row(trial, [desk.run(trial, seed) for seed in range(row.seeds)])

    assert again == row


def test_the_table_has_all_strategies_in_its_worst_cell() -> None:
    assert len(SLICE) >= 5
    assert WORST in read_cells("cipher")


@pytest.mark.parametrize("name", TABLES)
def test_the_document_has_the_tables_that_follow_from_the_rows(name: str) -> None:
    assert replace_table(TEXT, name, TABLES[name]()) == TEXT, "python -m tests.sim.sealed_tables writes them"


@pytest.mark.parametrize("row", read_cells("cipher")[WORST].values(), ids=lambda row: row.strategy)
def test_each_strategy_has_a_paragraph_with_its_figure(row: Row) -> None:
    section = TEXT.split("## The strategies against roundwork-1\n")[1].split("\n## ")[0]

    found = re.search(rf"^\*\*{row.strategy}\*\* \((\S+) R\)\. \S+", section, re.MULTILINE)

    assert found is not None
    assert show(row.profit, 2) == found[1]


def test_every_row_has_a_strategy_that_acted_and_convicts_no_honest_node() -> None:
    rows = [row for row in ROWS if row.strategy != "honest"]

    assert [row.strategy for row in rows if not row.acted and not is_too_few(row)] == []
    assert [row.strategy for row in rows if row.honest_convicted or row.unpaid] == []


def test_only_what_the_text_names_wins() -> None:
    # With few worlds an upper bound is wide: such a row wins only if its lower bound does.
    sure = [row for row in ROWS if row.seeds >= 10 or row.lower > TOLERANCE]
    winners = {row.strategy for row in find_sealed_winners(sure)}

    assert winners <= KNOWN_WINNERS
    assert all(f"- `{name}`" in TEXT for name in winners)
