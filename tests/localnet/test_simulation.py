"""A simulated network and real processes agree on who is paid and who is slashed."""

from pathlib import Path
from typing import Any

from roundwork.package.folder import load_package
from roundwork.sim.loading import load_task
from roundwork.sim.report import summarise
from roundwork.sim.scenario import Scenario, compose_setting
from roundwork.sim.world import World

from ..node.house import require_sandbox
from .test_network import HELLO, Up

Outcome = dict[str, list[tuple[int, int]]]
"""By role: what each node was paid and what was taken from it."""


def list_outcome(payments: list[dict[str, Any]], roles: dict[str, str]) -> Outcome:
    outcome: Outcome = {}
    for payment in payments:
        paid = payment["reward"], payment["slash"]
        outcome[roles[payment["node"]]] = sorted([*outcome.get(roles[payment["node"]], []), paid])
    return outcome


def simulate() -> Outcome:
    package = load_package(HELLO)
    setting = compose_setting(Scenario(nodes=4, liars=1, rounds=1), package, {}, "files")
    world = World(setting, load_task(package))
    result = world.run()
    roles = {node["key"]: node["role"] for node in summarise(world, result)["nodes"]}
    payments = [
        {"node": each.node, "reward": each.reward, "slash": each.slash} for each in result.rounds[0].payments
    ]
    return list_outcome(payments, roles)


def test_a_simulated_network_and_real_processes_pay_and_slash_alike(tmp_path: Path) -> None:
    require_sandbox("sandlock")
    up = Up(tmp_path / "up", "--nodes", "4", "--liars", "1", "--rounds", "2")
    try:
        facts, _ = up.finish()
    finally:
        up.end()
    roles = {node["key"]: node["role"] for node in facts["nodes"]}
    # The first round that all nodes take part in: before it no node was slashed.
    first = next(each for each in facts["rounds"] if len(each["submissions"]) == 4 and each["payments"])

    assert simulate() == list_outcome(first["payments"], roles)
    assert list_outcome(first["payments"], roles)["liar"] == [(0, 7_000_000_000)]
