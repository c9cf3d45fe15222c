"""Networks that lose and delay, nodes that crash, and a ledger that stands still."""

from typing import Any

import pytest

from roundwork.errors import BadConfig
from roundwork.participant.plays import HONEST, LIAR
from roundwork.sdk.task import Context
from roundwork.sim.faults import Faults, LedgerOutage, NodeCrash
from roundwork.sim.network import Delivery, NetworkModel, Partition
from roundwork.sim.simulation import Result
from roundwork.sim.world import World

from .village import list_payments, make_setting, make_task, play

BAD = NetworkModel(delay_slots_min=1, delay_slots_max=5, loss_percent=20, duplicate_percent=30)


def list_statuses(result: Result, rounds: int = 2) -> list[str]:
    return [result.rounds[round_number].status for round_number in range(rounds)]


def test_a_network_that_delays_loses_and_doubles_costs_nobody_a_round() -> None:
    setting = make_setting((HONEST,) * 4 + (LIAR,), network=BAD)

    result, trace = play(setting)

    assert list_statuses(result) == ["PayoutSuccessful"] * 2
    assert sorted(list_payments(result)[0].values())[1:] == [(2_500_000_000, 0)] * 4
    assert any("AlreadyProcessed" in line for line in trace)
    assert (result, trace) == play(setting)


def test_a_node_behind_a_partition_misses_its_round_and_no_other() -> None:
    partition = Partition(("node-1",), 55, 100)

    result, _ = play(make_setting(network=NetworkModel(partitions=(partition,))))

    assert [len(result.rounds[round_number].submissions) for round_number in (0, 1)] == [4, 5]


def test_a_node_that_restarts_goes_on_with_its_decisions() -> None:
    works: list[int] = []
    task = make_task()
    work = task.functions["work"]

    @task.work
    def count_works(ctx: Context) -> None:
        works.append(ctx.round)
        work(ctx)

    crash = NodeCrash("node-1", 30, 35)
    result, _ = play(make_setting(faults=Faults(crashes=(crash,))), task)

    assert len(result.rounds[0].submissions) == 5
    assert works.count(0) == 5


def test_a_node_that_is_down_in_the_window_misses_its_round() -> None:
    crash = NodeCrash("node-1", 50, 60)

    result, _ = play(make_setting(faults=Faults(crashes=(crash,))))

    assert [len(result.rounds[round_number].submissions) for round_number in (0, 1)] == [4, 5]


def test_the_proof_of_a_node_that_is_down_cannot_be_had() -> None:
    task = make_task()
    task.submission(lambda ctx: ctx.storage.put_json(ctx.node))
    task.audit(lambda ctx, candidate: ctx.storage.get_json(candidate.value) == candidate.node)
    crash = NodeCrash("node-1", 64, 80, is_proof_gone=True)

    result, _ = play(make_setting(rounds=1, faults=Faults(crashes=(crash,))), task)

    assert any("no node serves" in failure.text for failure in result.failures)
    assert list_statuses(result, 1) == ["PayoutSuccessful"]


def test_a_ledger_that_stands_still_moves_the_rounds_and_loses_none() -> None:
    outage = LedgerOutage(70, 400)

    result, _ = play(make_setting(faults=Faults(outages=(outage,))))

    assert list_statuses(result) == ["PayoutSuccessful"] * 2
    assert [len(result.rounds[round_number].submissions) for round_number in (0, 1)] == [5, 5]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": NetworkModel(delay_slots_min=0)}, "delays of 0 to 1 slots"),
        ({"network": NetworkModel(delay_slots_min=5, delay_slots_max=2)}, "delays of 5 to 2 slots"),
        ({"network": NetworkModel(loss_percent=100)}, "loss_percent is 100"),
        ({"faults": Faults(crashes=(NodeCrash("node-9", 1, 1),))}, "no node is named 'node-9'"),
        ({"faults": Faults(outages=(LedgerOutage(1, 0),))}, "0 slots long"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        World(make_setting(**changes), make_task())


def test_delays_are_within_their_bounds_and_reorder() -> None:
    delivery = Delivery(NetworkModel(delay_slots_min=2, delay_slots_max=4), seed=1)

    arrivals = [delivery.compute_arrivals("node-1", 10)[0] for _ in range(100)]

    assert set(arrivals) == {12, 13, 14}
    assert arrivals != sorted(arrivals)
