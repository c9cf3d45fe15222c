"""The control of the table of roundwork-1: what wins under koii-1 wins there still, with the same simulator.

`python -m tests.sim.control` says it for each strategy, or for those that are named; its exit code is 1 if
one does not win any more.
"""

import sys

from roundwork.sim.attack import TRIAL_TERMS, Place, Row, Trial, compose_row, make_trial_task, run_trial
from roundwork.sim.sealed_attack import is_griefing
from roundwork.strategies import STRATEGIES, Strategy

CONTROLS = (
    "last-slot-accuser",
    "lazy-checker",
    "unseen-juror",
    "blind-accuser",
    "striker",
    "sybil-ring",
    "list-killer",
)
"""All that win in the table of koii-1 at 20 nodes; the last one earns nothing, but harms others cheaply."""

SEEDS = 3


def play(strategy: type[Strategy], nodes: int = 20) -> Row:
    """The row of a strategy under koii-1."""
    trial, place = Trial(strategy=strategy.name, nodes=nodes), Place(make_trial_task(), TRIAL_TERMS)
    return compose_row(trial, [run_trial(trial, strategy, seed, place) for seed in range(SEEDS)])


def wins(row: Row) -> bool:
    """Whether a coalition surely earns more than by honest play, or harms others cheaply."""
    return row.lower > 0 or is_griefing(row)


def find_losers(rows: list[Row]) -> list[str]:
    """Print what each strategy does, and give the names of those that do not win."""
    for row in rows:
        verdict = "wins" if wins(row) else "DOES NOT WIN"
        print(f"{row.strategy} under koii-1: {row.profit:+.3f} R a member, harm {row.harm:+.2f} R: {verdict}")
    return [row.strategy for row in rows if not wins(row)]


if __name__ == "__main__":
    losers = find_losers([play(STRATEGIES[name]) for name in sys.argv[1:] or CONTROLS])
    if losers:
        sys.exit(f"the control fails: {', '.join(losers)} should win under koii-1 (docs/ECONOMICS.md)")
