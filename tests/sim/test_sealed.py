"""A world under roundwork-1 follows from its seed, and plays by the law."""

import json
import os
import subprocess
import sys

import msgspec
import pytest

from roundwork import Task
from roundwork.participant.plays import PLAYS
from roundwork.sealed_strategies import ROLES, STRATEGIES
from roundwork.sim.faults import Faults, LedgerRestart, NodeCrash, SlowDisk
from roundwork.sim.sealed import SealedWorld
from roundwork.sim.sealed_attack import make_trial_task
from roundwork.sim.world import World, fit_bounty
from roundwork.sim.worlds import make_world

from .sealed_village import STAKE, TERMS, Village, make_setting
from .village import ROOT
from .village import make_setting as make_koii_setting

REWARD = 2 * 10**8
"""An honest node's part of the bounty among five."""

OTHERS = [role for role in ROLES if role != "honest"]


def test_every_way_to_play_has_its_strategy() -> None:
    assert set(PLAYS) == set(ROLES)


def test_two_runs_of_a_seed_have_the_same_bytes() -> None:
    setting = make_setting(("honest",) * 4 + ("liar",))

    first, second = Village(setting), Village(setting)

    assert first.lines == second.lines
    assert first.result == second.result
    assert first.lines


def test_a_seed_has_the_same_bytes_in_every_process() -> None:
    code = "from tests.sim.sealed_village import *; print(Village(make_setting()).result.state_hash)"

    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert hashes == {Village(make_setting()).result.state_hash + "\n"}


@pytest.mark.parametrize("other", OTHERS)
def test_a_node_that_sleeps_while_nothing_changes_owes_what_one_owes_that_looks_in_every_slot(
    other: str,
) -> None:
    setting = make_setting(("honest",) * 5 + (other,))

    sleeping, watching = Village(setting), Village(msgspec.structs.replace(setting, is_thorough=True))

    assert watching.lines == sleeping.lines


def test_who_is_paid_what_does_not_depend_on_whether_signatures_are_real() -> None:
    roles = ("honest",) * 4 + ("liar",)

    real = Village(make_setting(roles, rounds=1, are_signatures_real=True))
    made_up = Village(make_setting(roles, rounds=1, are_signatures_real=False))

    assert [real.get_verdict(f"node-{at}") for at in range(1, 6)] == ["untried"] * 4 + ["convicted"]
    assert real.result.rounds[0].payments == made_up.result.rounds[0].payments
    assert real.result.state_hash != made_up.result.state_hash


def test_honest_nodes_share_the_bounty_of_each_round_and_no_function_fails() -> None:
    village = Village(make_setting(rounds=3))

    assert village.result.failures == []
    assert [view.status for view in village.result.rounds.values()] == ["PayoutSuccessful"] * 3
    assert {village.get_net(f"node-{at}", number) for at in range(1, 6) for number in range(3)} == {REWARD}


@pytest.mark.parametrize(
    ("other", "verdict", "is_paid"),
    [
        ("liar", "convicted", False),
        ("copycat", "convicted", False),
        ("late", "", False),
        ("silent", "", False),
        ("lazy", "untried", True),
        ("accuser", "untried", True),
        ("thief", "untried", True),
        ("mute", "untried", True),
        ("slanderer", "untried", True),
        ("withholder", "missing", False),
        ("reluctant", "untried", True),
        ("hider", "missing", False),
    ],
)
def test_a_role_is_judged_and_paid_as_the_law_says(other: str, verdict: str, is_paid: bool) -> None:
    village = Village(make_setting(("honest",) * 5 + (other,), rounds=2))

    paid = {payment.node for payment in village.result.rounds[1].payments if payment.reward}
    assert verdict == village.get_verdict("node-6", 1)
    assert is_paid == (village.get_address("node-6") in paid)
    assert all(village.get_verdict(f"node-{at}", 1) in ("untried", "acquitted") for at in range(1, 6))


def test_a_hidden_proof_is_missing_and_costs_a_lapse() -> None:
    village = Village(make_setting(), strategies={"node-5": STRATEGIES["hidden-lie"]()})

    assert "missing" == village.get_verdict("node-5")
    assert -(STAKE // 10) == village.get_net("node-5")


def test_a_proof_that_only_the_ledger_gets_is_challenged_and_paid() -> None:
    village = Village(make_setting(), strategies={"node-5": STRATEGIES["late-answerer"]()})

    hardened = village.result.rounds[0].hardened
    assert hardened is not None
    shown = next(each for each in hardened.submissions if each.node == village.get_address("node-5"))
    assert shown.is_posted
    assert shown.challenge is not None
    assert REWARD == village.get_net("node-5")


def test_a_node_without_its_proof_and_off_the_air_is_missing_and_no_one_else_loses() -> None:
    crash = NodeCrash("node-5", slot=73, slots=30, is_proof_gone=True)

    village = Village(make_setting(rounds=1, faults=Faults(crashes=(crash,))))

    assert "missing" == village.get_verdict("node-5")
    assert {village.get_net(f"node-{at}") for at in range(1, 5)} == {REWARD}


def test_a_slow_disk_costs_its_node_the_round_and_nobody_else() -> None:
    """The window of commitments has fewer slots than a write takes."""
    village = Village(make_setting(rounds=1, faults=Faults(slow_disks=(SlowDisk("node-5", 20),))))

    paid = {payment.node for payment in village.result.rounds[0].payments if payment.reward}
    assert {village.get_address(f"node-{at}") for at in range(1, 5)} == paid


def test_a_crash_loses_the_decision_that_is_not_on_the_disk() -> None:
    slow, crash = SlowDisk("node-5", 20), NodeCrash("node-5", slot=10, slots=5)

    village = Village(make_setting(rounds=1, faults=Faults(slow_disks=(slow,), crashes=(crash,))))

    [lost] = [node for node in village.world.nodes if node.name == "node-5"]
    assert 2 == lost.worked[0]


def test_a_killed_ledger_loses_the_block_that_it_was_writing_and_no_commitment() -> None:
    terms = msgspec.structs.replace(TERMS, submission_window=50, round_time=110)
    setting = make_setting(rounds=1, terms=fit_bounty(terms, 1))
    first = next(json.loads(line)["slot"] for line in Village(setting).lines if '"Commit"' in line)
    faults = Faults(restarts=(LedgerRestart(first, 1, is_torn=True),))

    village = Village(msgspec.structs.replace(setting, faults=faults))

    assert not any(json.loads(line)["slot"] == first for line in village.lines)
    assert 5 == len(village.result.rounds[0].payments)


def test_the_world_of_a_setting_follows_from_its_rule_set() -> None:
    assert isinstance(make_world(make_setting(), make_trial_task()), SealedWorld)
    assert isinstance(make_world(make_koii_setting(), make_trial_task()), World)


def test_a_task_whose_functions_fail_costs_its_nodes_the_round() -> None:
    task = Task("broken")
    for function in (task.work, task.submission, task.audit):
        function(lambda *given: 1 / 0)

    village = Village(make_setting(rounds=1), task)

    assert not village.result.rounds
    assert "ZeroDivisionError" in village.result.failures[0].text
