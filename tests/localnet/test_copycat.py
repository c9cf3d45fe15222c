"""A node that copies earns nothing, on real processes; test_mistakes.py has a task where it is paid."""

from pathlib import Path

import pytest

from ..node.house import require_sandbox
from .test_network import HELLO, Up

pytestmark = pytest.mark.timeout(300)
"""Real networks in real time, also on a loaded machine."""

CIPHER, CRAWLER = (HELLO.with_name(name) for name in ("cipher", "crawler"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "rules"),
    [
        (HELLO, "roundwork-1"),
        (CIPHER, "roundwork-1"),
        (CIPHER, "koii-1"),
        (CRAWLER, "roundwork-1"),
        (CRAWLER, "koii-1"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else str(value),
)
def test_a_copycat_earns_nothing_where_proofs_are_sealed_or_personal(
    tmp_path: Path, task: Path, rules: str
) -> None:
    require_sandbox("sandlock")
    # An eighth of a window under roundwork-1 needs more slots than half of a window under koii-1.
    fast = ("--round-slots", "60", "--slot-ms", "150" if rules == "roundwork-1" else "80")
    up = Up(tmp_path / "up", *fast, "--rules", rules, "--play", "copycat=1", "--rounds", "1", task=task)
    try:
        summary, _ = up.finish(110)
    finally:
        up.end()

    *honest, copycat = summary["nodes"]
    assert "copycat" == copycat["role"]
    assert (True, 0) == (summary["ok"], copycat["earned"])
    assert all(node["earned"] > 0 for node in honest)
