"""The benchmark of what nodes read: it plays whole rounds under both rule sets, and judges its figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from readers import explain

from ..ledger.process import find_port

BENCH = Path(__file__).parents[2] / "bench"
NODES = 6

SENT = {
    "koii-1": {"submit": NODES, "audit": 1, "list": 1},
    "roundwork-1": {
        "commit": NODES,
        "reveal": NODES,
        "check": NODES,
        "accuse": 1,
        "disclose": NODES,
        "list": 1,
    },
}
"""By rule set, how many nodes send something in a window. Of six nodes each checks something."""


def measure(rules: str) -> dict[str, float]:
    """Figures of a ledger with slots of 100 ms and rounds of 70 slots."""
    command = [sys.executable, str(BENCH / "readers.py"), "--rules", rules, "--nodes", str(NODES), "--json"]
    command += ["--slot-ms", "100", "--round-seconds", "7", "--seconds", "1", "--spread", "0.2"]
    run = subprocess.run([*command, "--port", str(find_port())], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    figures: dict[str, float] = json.loads(run.stdout)["nodes"][str(NODES)]
    return figures


@pytest.mark.slow
@pytest.mark.parametrize("rules", SENT)
def test_a_round_that_readers_play_is_paid(rules: str) -> None:
    figures = measure(rules)

    assert figures["round_settled"] == 1
    assert figures["round_submissions"] == NODES
    assert SENT[rules] == {window: figures[f"{window}_nodes"] for window in SENT[rules]}
    assert figures["round_convicted"] == (rules == "roundwork-1")
    kinds = ("heads", "own records", "parts from the ledger", "parts from peers", "rows that grow")
    assert all(figures[f"round_bytes_per_node: {kind}"] > 0 for kind in kinds)
    assert not any("round_refused" in name for name in figures)


def make_row(**figures: float) -> dict[str, float]:
    """Figures of quiet slots in which the 99th percentiles are 60 ms with readers and 50 ms without them."""
    return {"quiet_latency_99_ms": 60.0, "stopped_latency_99_ms": 50.0, **figures}


@pytest.mark.parametrize(
    ("noise", "said"),
    [(9.0, "The difference, 10 ms, is the work of the readers"), (11.0, "The difference shows nothing")],
)
def test_a_difference_within_the_noise_shows_nothing(noise: float, said: str) -> None:
    [line] = explain(make_row(stopped_latency_99_noise_ms=noise), cores=2.0)

    assert said in line


@pytest.mark.parametrize(
    ("ledger_ms", "clients_ms", "seconds", "said"),
    [
        (11.0, 1.0, 12.0, ["the ledger took what 900 nodes sent", "So the ledger stands in the way"]),
        (6.0, 6.0, 12.0, ["the ledger took what 900 nodes sent", "So the machine stands in the way"]),
        (6.0, 6.0, 9.0, ["the ledger took what 900 nodes sent"]),
    ],
)
def test_a_round_that_is_not_paid_says_what_stood_in_the_way_in_each_window(
    ledger_ms: float, clients_ms: float, seconds: float, said: list[str]
) -> None:
    window = {
        "check_nodes": 900.0, "check_seconds": seconds, "check_window_seconds": 10.0,
        "check_ledger_ms_per_node": ledger_ms, "check_clients_ms_per_node": clients_ms,
    }  # fmt: skip

    lines = " ".join(explain(make_row(round_settled=0.0, round_nodes=1000.0, **window), cores=1.0))

    assert all(each in lines for each in said)
    assert ("stands in the way" in lines) == (len(said) > 1)
