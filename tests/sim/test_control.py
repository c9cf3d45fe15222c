"""What wins under koii-1 wins there still; and the control notices it where nothing wins."""

import subprocess
import sys
from pathlib import Path

from roundwork.sim.rows import read_rows
from roundwork.strategies import Strategy

from .control import CONTROLS, find_losers, play, wins

ROOT = Path(__file__).parents[2]


def run_control(*names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.sim.control", *names]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_what_docs_call_winners_under_koii_1_win() -> None:
    done = run_control()

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "last-slot-accuser under koii-1: +4.000 R a member" in done.stdout
    assert len(CONTROLS) == done.stdout.count(": wins\n")


def test_the_control_names_every_winner_of_the_table() -> None:
    rows = read_rows(ROOT / "docs" / "attack-koii-1.jsonl")
    usual = [row for row in rows if (row.nodes, row.share, row.silent, row.stakes) == (20, 20, 0, "equal")]

    assert {row.strategy for row in usual if wins(row)} == set(CONTROLS)


def test_honest_play_does_not_pass_the_control() -> None:
    failed = run_control("honest")

    assert 1 == failed.returncode
    assert "the control fails: honest should win under koii-1" in failed.stderr
    assert find_losers([play(Strategy, nodes=5)]) == ["honest"]
