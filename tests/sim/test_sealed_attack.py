"""Strategies against roundwork-1: what they earn in small worlds, and how that is measured."""

import msgspec
import pytest

from roundwork.economics import compute_planted_rate
from roundwork.errors import BadConfig, TaskFailed
from roundwork.sdk.task import Task
from roundwork.sealed_strategies import NOT_PLAYED, STRATEGIES, SealedStrategy
from roundwork.sim.attack import Place, Row, compose_row, list_idle
from roundwork.sim.sealed_attack import (
    TRIAL_TERMS,
    SealedTrial,
    find_sealed_winners,
    find_strategy,
    fit_trial,
    is_griefing,
    make_trial_task,
    plan_canaries,
    run_sealed_trial,
)  # fmt: skip

TASK = make_trial_task()
FEES_IN_STAKE = 1000
"""The least minimum stake, in fees of a signature."""


def run(strategy: str, seeds: int = 1, minimum: int = TRIAL_TERMS.minimum_stake, **fields: int) -> Row:
    trial = SealedTrial(**{"strategy": strategy, "nodes": 10, "share": 30, "rounds": 5, **fields})  # type: ignore[arg-type] # numbers, and one text
    terms = fit_trial(trial, msgspec.structs.replace(TRIAL_TERMS, minimum_stake=minimum))
    measured = [
        run_sealed_trial(trial, STRATEGIES[strategy], seed, Place(TASK, terms)) for seed in range(seeds)
    ]
    return compose_row(trial, measured)


BAD_WORK = (
    "lazy-worker", "old-proof", "lie", "guesser", "copycat", "challenged-lie", "friend-first", "vote-ring",
    "quorum-ring", "one-liar",
)  # fmt: skip


@pytest.mark.parametrize("strategy", BAD_WORK)
def test_bad_work_that_can_be_seen_is_convicted_and_loses(strategy: str) -> None:
    row = run(strategy)

    assert row.acted
    assert row.profit < -0.5
    assert row.honest_convicted == row.unpaid == 0


def test_a_hidden_lie_costs_a_lapse_and_the_reward() -> None:
    """A lapse and the reward are lost, the work is saved: 1 + 1 - .3."""
    row = run("hidden-lie", seeds=3)

    assert -1.9 < row.profit < -1.4


def test_who_looks_at_nothing_saves_its_audits_where_no_bad_work_is_planted() -> None:
    row = run("follower", canary_percent=0)

    assert row.profit == pytest.approx(3 * 0.02, abs=0.02)


def test_planted_bad_work_makes_looking_pay() -> None:
    row = run("follower", seeds=3, rounds=12)

    assert row.profit < -0.05


def test_a_griefer_pays_for_each_accusation_and_convicts_nobody() -> None:
    row = run("griefer")

    assert row.profit < -1
    assert row.honest_convicted == 0
    assert not is_griefing(row)


@pytest.mark.parametrize("strategy", ["list-thief", "veto-thief"])
def test_a_stolen_list_is_voted_down_and_its_thief_slashed(strategy: str) -> None:
    row = run(strategy, rounds=10)

    assert row.acted
    assert row.profit < 0
    assert row.unpaid == 0


def test_challenges_cost_nobody_else_even_where_fees_are_large_beside_the_stake() -> None:
    """Nodes take turns in posting: the fees of the first poster alone are paid."""
    fee = 5000

    row = run("challenger", minimum=FEES_IN_STAKE * fee, canary_percent=0)

    assert row.profit < 0
    assert row.harm / 7 < 0.01


def test_what_members_gain_and_others_lose_is_nothing_together_in_honest_play() -> None:
    row = run("honest", seeds=2)

    assert row.profit * 3 == pytest.approx(row.harm, abs=0.001)
    assert row.acted == 0


def test_a_stake_that_is_split_earns_no_more_and_costs_more_work() -> None:
    assert run("sybil-ring").profit < 0


@pytest.mark.parametrize("stakes", ["equal", "mice", "whale", "pareto"])
def test_honest_play_has_little_profit_whatever_the_stakes(stakes: str) -> None:
    trial = SealedTrial(strategy="honest", nodes=8, share=25, stakes=stakes, rounds=3)

    measured = run_sealed_trial(trial, SealedStrategy, 1, Place(TASK, fit_trial(trial, TRIAL_TERMS)))

    assert measured.acted == measured.honest_convicted == measured.unpaid == 0


def test_the_canaries_are_those_that_advise_asks_for() -> None:
    assert [0.04, 0.04, 0.08] == [compute_planted_rate(20, share) for share in (0.05, 0.2, 0.33)]
    assert compute_planted_rate(9, 0.33) * 9 <= 1
    for nodes, share in ((20, 5), (20, 33), (100, 20), (5, 20)):
        trial = SealedTrial(strategy="lie", nodes=nodes, share=share)
        canaries = plan_canaries(trial)
        bad = canaries.nodes * canaries.bad_chance
        assert bad == pytest.approx(compute_planted_rate(nodes, share / 100) * nodes)


def test_a_coalition_is_never_larger_than_its_share() -> None:
    assert [1, 6, 33] == [
        SealedTrial(strategy="lie", nodes=nodes, share=share).members
        for nodes, share in ((20, 5), (20, 33), (100, 33))
    ]


def test_a_row_wins_by_profit_or_by_cheap_harm() -> None:
    row = run("honest")
    fair = msgspec.structs.replace(row, strategy="fair", upper=0.01, harm=0.0, acted=1)
    rows = [
        fair,
        msgspec.structs.replace(fair, strategy="rich", upper=0.031),
        msgspec.structs.replace(fair, strategy="cruel", harm=1.0, griefing_factor=0.6),
        msgspec.structs.replace(fair, strategy="free", harm=1.0, griefing_factor=None),
        msgspec.structs.replace(fair, strategy="dear", harm=1.0, griefing_factor=0.4),
        msgspec.structs.replace(fair, strategy="idle", acted=0),
    ]

    assert ["rich", "cruel", "free"] == [each.strategy for each in find_sealed_winners(rows)]
    assert ["idle"] == [each.strategy for each in list_idle(rows)]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_has_a_name_and_says_what_it_does(name: str) -> None:
    strategy = find_strategy(name)

    assert strategy.name == name
    assert strategy.doing != SealedStrategy.doing or name == "honest"


def test_what_is_not_played_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in NOT_PLAYED.values())


def test_a_strategy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadConfig, match="there is no strategy 'angel'; the strategies are honest, lazy"):
        find_strategy("angel")


def test_a_coalition_leaves_an_honest_node() -> None:
    trial = SealedTrial(strategy="lie", nodes=1, share=99)
    with pytest.raises(BadConfig, match="leave no honest node"):
        run_sealed_trial(trial, STRATEGIES["lie"], 0, Place(TASK, TRIAL_TERMS))


def test_a_task_that_submits_nothing_is_no_measure_of_anything() -> None:
    task = Task("broken")
    for function in (task.work, task.submission, task.audit):
        function(lambda *given: 1 / 0)
    trial = SealedTrial(strategy="lie", nodes=4, share=25, rounds=1)

    with pytest.raises(TaskFailed, match=r"says nothing: work failed at .* calls: ZeroDivisionError"):
        run_sealed_trial(trial, STRATEGIES["lie"], 0, Place(task, fit_trial(trial, TRIAL_TERMS)))
