"""Each strategy deviates, and earns under `koii-1` what its way to cheat allows."""

import pytest

from roundwork.errors import BadConfig, TaskFailed
from roundwork.sim.attack import (
    TRIAL_TERMS,
    Place,
    Row,
    Trial,
    compose_row,
    find_strategy,
    find_winners,
    list_changes,
    make_trial_task,
    run_trial,
)  # fmt: skip
from roundwork.strategies import STRATEGIES, Strategy

TASK = make_trial_task()


def run(strategy: str, share: int = 20, silent: int = 0, stakes: str = "equal", seeds: int = 2) -> Row:
    trial = Trial(strategy=strategy, nodes=10, share=share, silent=silent, stakes=stakes, rounds=2)
    return compose_row(
        trial,
        [
            run_trial(trial, STRATEGIES[strategy], seed, Place(make_trial_task(), TRIAL_TERMS))
            for seed in range(seeds)
        ],
    )


LOSING = ("lazy-worker", "old-proof", "lie", "copycat", "no-show", "vote-ring")
SAVING = ("lazy-checker", "unseen-juror", "blind-accuser", "striker")
EVEN = ("one-victim", "silent-leader", "list-thief")


@pytest.mark.parametrize("strategy", LOSING)
def test_bad_work_loses_while_the_honest_look(strategy: str) -> None:
    trial = Trial(strategy=strategy, nodes=10, rounds=4)
    measured = run_trial(trial, STRATEGIES[strategy], 1, Place(make_trial_task(), TRIAL_TERMS))

    assert measured.acted > 0
    assert measured.profit < 0


@pytest.mark.parametrize("strategy", SAVING)
def test_who_audits_nothing_saves_its_audits_and_loses_nothing(strategy: str) -> None:
    row = run(strategy)

    assert row.acted > 0
    assert row.profit == pytest.approx(9 * 0.02)
    assert row.harm == 0


@pytest.mark.parametrize("strategy", EVEN)
def test_a_minority_gains_nothing_where_the_majority_can_answer(strategy: str) -> None:
    row = run(strategy)

    assert row.profit == 0
    assert row.honest_convicted == row.unpaid == 0


def test_two_nodes_convict_every_honest_node_in_the_last_slot_and_share_the_bounty() -> None:
    row = run("last-slot-accuser")

    assert row.honest_convicted == 8
    assert row.profit == pytest.approx(4.0)
    assert row.harm > 8
    assert [row] == find_winners([row, run("honest", seeds=1)])


def test_two_nodes_veto_lists_in_the_last_slot() -> None:
    row = run("list-killer")

    assert row.unpaid > 0
    assert row.griefing_factor is not None
    assert row.griefing_factor > 1


def test_a_large_ring_pays_itself_where_many_honest_nodes_are_silent() -> None:
    few, many = run("list-thief", share=40), run("list-thief", share=40, silent=90)

    assert few.profit == 0
    assert many.profit > 0.5
    assert many.harm > 0


@pytest.mark.parametrize("stakes", ["equal", "mice", "whale", "pareto"])
def test_honest_play_has_no_profit_whatever_the_stakes(stakes: str) -> None:
    row = run("honest", stakes=stakes, seeds=1)

    assert (row.profit, row.harm, row.acted) == (0, 0, 0)


def test_a_stake_that_is_split_earns_more_where_pay_is_by_head() -> None:
    assert run("sybil-ring", share=40).profit > 0


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_has_a_name_and_says_what_it_does(name: str) -> None:
    strategy = find_strategy(name)

    assert strategy.name == name
    assert strategy.doing
    assert issubclass(strategy, Strategy)


def test_a_strategy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        BadConfig, match="there is no strategy 'angel'; the strategies are honest, lazy-worker"
    ):
        find_strategy("angel")


def test_a_coalition_leaves_an_honest_node() -> None:
    with pytest.raises(BadConfig, match="leave no honest node"):
        run_trial(Trial(strategy="lie", nodes=2, share=99), STRATEGIES["lie"], 0, Place(TASK, TRIAL_TERMS))


def test_a_task_that_submits_nothing_is_no_measure_of_anything() -> None:
    task = make_trial_task()
    task.submission(lambda ctx: ctx.state["missing"])

    with pytest.raises(TaskFailed, match=r"says nothing: submission failed at .* calls: KeyError"):
        run_trial(Trial(strategy="lie", nodes=4, rounds=1), STRATEGIES["lie"], 0, Place(task, TRIAL_TERMS))


def test_a_change_of_a_table_is_told_in_a_sentence() -> None:
    row = run("lie", seeds=1)
    other = Row(**{**{name: getattr(row, name) for name in row.__struct_fields__}, "profit": 1.0})

    same = "1 row compared, 0 of the saved table were not played; nothing differs"
    assert [same] == list_changes([row], [row])
    assert "profit" in list_changes([other], [row])[0]
    assert list_changes([row], [])[0].startswith("lie, 10 nodes, share 20 %")
