"""docs/ECONOMICS.md and its table say what the strategies earn today."""

import re
from pathlib import Path

import pytest

from roundwork.sim.attack import (
    TRIAL_TERMS,
    Place,
    Row,
    Trial,
    compose_row,
    make_trial_task,
    name_cell,
    run_trial,
)
from roundwork.sim.rows import read_rows
from roundwork.strategies import STRATEGIES

DOCS = Path(__file__).parents[2] / "docs"
ROWS = {name_cell(row): row for row in read_rows(DOCS / "attack-koii-1.jsonl")}
SEEDS = 3

SLICE = ("lazy-worker", "last-slot-accuser", "list-killer", "sybil-ring", "striker")
"""Recomputed in each run of the tests, in worlds of five nodes; `make economics` does all."""


def get_row(strategy: str, nodes: int = 20) -> Row:
    return ROWS[strategy, nodes, 20, 0, "equal"]


@pytest.mark.parametrize("strategy", SLICE)
def test_a_row_of_the_table_comes_out_again(strategy: str) -> None:
    trial = Trial(strategy=strategy, nodes=5)
    measured = [
        run_trial(trial, STRATEGIES[strategy], seed, Place(make_trial_task(), TRIAL_TERMS))
        for seed in range(SEEDS)
    ]

    assert compose_row(trial, measured) == get_row(strategy, nodes=5)


def test_the_table_has_the_points_that_make_economics_plays() -> None:
    recipe = (DOCS.parent / "Makefile").read_text().replace("\\\n", " ")
    calls = re.findall(r"roundwork attack (.*--against docs/attack-koii-1\.jsonl)", recipe)
    played = {
        (name, int(nodes), int(share), int(silent), stakes)
        for call in calls
        for name in STRATEGIES
        if name != "honest"
        for nodes in re.findall(r"--nodes (\d+)", call)
        for share in re.findall(r"--share (\d+)", call)
        for silent in re.findall(r"--silent (\d+)", call)
        for stakes in re.findall(r"--stakes (\w+)", call) or ["equal"]
    }

    assert 2 == len(calls)
    assert played == ROWS.keys()
    assert {SEEDS} == {row.seeds for row in ROWS.values()}


def test_the_page_has_the_figures_of_other_sizes_stakes_and_silence() -> None:
    text = (DOCS / "ECONOMICS.md").read_text()
    _, rest = text.split("<!-- table of koii-1 -->")
    head, _, *lines = rest.split("<!-- end of table of koii-1 -->")[0].strip().splitlines()
    cells = re.findall(r"(\d+) nodes, (\d+) %, (\d+) % silent, (\w+)", head)

    expected = [
        f"| `{name}` | "
        + " | ".join(
            f"{row.profit:+.2f} ({row.harm:+.1f})"
            for nodes, share, silent, stakes in cells
            for row in [ROWS[name, int(nodes), int(share), int(silent), stakes]]
        ).replace("-", "−")
        + " |"
        for name in STRATEGIES
        if name != "honest"
    ]

    assert 6 == len(cells)
    assert expected == lines


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "honest"])
def test_each_strategy_has_a_paragraph_with_its_figure(strategy: str) -> None:
    text = (DOCS / "ECONOMICS.md").read_text().split("## The strategies against koii-1\n")[1]

    found = re.search(rf"^\*\*{strategy}\*\* \(([+−][0-9.]+) R\)", text, re.MULTILINE)

    assert found is not None
    assert f"{get_row(strategy).profit:+.2f}".replace("-", "−") == found[1]
    assert get_row(strategy).acted > 0
