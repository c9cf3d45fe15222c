"""A node under roundwork-1 that is killed reveals what it wrote down, and says nothing twice."""

import os
import re
import signal
from pathlib import Path

import pytest

from roundwork.node.memory import MemoryFile
from roundwork.protocol.params import key_of
from roundwork.protocol.tasks.commitments import SealKind, encode_bits

from ..node.house import require_sandbox
from .proving import run_proving
from .test_network import Up, verify
from .test_supervisor import is_alive

SAID_TWICE = ("AlreadyCommitted", "AlreadyRevealed", "AlreadyAudited", "WrongReveal")
"""Refusals of a node that contradicts or repeats itself."""

MOMENTS = ("writing down the receipt", "committing to the receipt", "list of round")
"""A decision is durable and not sent; it is sent and not revealed; it is durable before it is due."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_node_that_is_killed_in_a_round_reveals_what_it_wrote_down(tmp_path: Path) -> None:
    require_sandbox("sandlock")
    up = run_proving(
        tmp_path,
        "--nodes",
        "5",
        "--liars",
        "1",
        "--rounds",
        "1000",
        "--round-slots",
        "240",
        "--slot-ms",
        "50",
    )
    try:
        up.wait_for_nodes(5)
        written: dict[int, dict[int, bytes]] = {}
        for moment in MOMENTS:
            last, sealed = kill_after(up, moment)
            written |= sealed
        up.wait_for(lambda: up.count_settled() > last, 120)
        up.process.send_signal(signal.SIGINT)
        summary, _ = up.finish(code=1)
    finally:
        up.end()

    lines = (tmp_path / "up" / "node-1.log").read_text().splitlines()
    assert [] == [line for line in lines if any(refusal in line for refusal in SAID_TWICE)]
    node = summary["nodes"][0]
    assert 0 == node["slashed"]
    compared = 0
    for view in summary["rounds"]:
        found = {each["node"]: each["receipts"].get(node["key"]) for each in view["hardened"]["submissions"]}
        checks = sorted((each for each, is_valid in found.items() if is_valid is not None), key=key_of)
        if checks and SealKind.RECEIPT in written.get(view["round"], {}):
            receipt = encode_bits([found[each] for each in checks])
            assert written[view["round"]][SealKind.RECEIPT] == receipt
            compared += 1
    assert compared
    assert verify(tmp_path / "up")["state_hash"] == summary["state_hash"]


def kill_after(up: Up, moment: str) -> tuple[int, dict[int, dict[int, bytes]]]:
    """Kill node-1 when its log says that something was done, and start it again.

    Returns the round of the moment, and what was written down on its disk when it was dead.
    """
    log = up.directory / "node-1.log"
    seen = len(log.read_text().splitlines())

    def find_line() -> str:
        return next((line for line in log.read_text().splitlines()[seen:] if f" {moment}" in line), "")

    up.wait_for(lambda: bool(find_line()), 120)
    os.kill(pid := up.find("node-1"), signal.SIGKILL)
    up.wait_for(lambda: not is_alive(pid))
    file = MemoryFile(up.directory / "node-1" / "memory.db")
    sealed = file.load().sealed
    file.close()
    answer = up.restart("node-1")
    assert answer.stdout.startswith("node-1 pid "), answer.stderr
    return int(re.findall(r"round (\d+)", find_line())[0]), sealed
