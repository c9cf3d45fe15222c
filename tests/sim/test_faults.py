"""Networks that lose and delay, nodes that crash, and a ledger that stands still."""

from typing import Any

import msgspec
import pytest
from solders.system_program import TransferParams, transfer

from roundwork.errors import BadConfig
from roundwork.participant.plays import HONEST, LIAR
from roundwork.protocol.transaction import Transaction
from roundwork.sdk.task import Context
from roundwork.sim.fault_words import FORMS, add_fault
from roundwork.sim.faults import ClockSkew, Faults, LedgerOutage, LedgerRestart, NodeCrash, SlowDisk
from roundwork.sim.ledger import MANAGER, MemoryLedger, Party
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


@pytest.mark.parametrize("slot", range(60, 64))
def test_a_ledger_that_stands_still_when_a_window_begins_delays_it_for_all(slot: int) -> None:
    setting = make_setting(faults=Faults(outages=(LedgerOutage(slot, 3),)))

    result, _ = play(setting)
    thorough, _ = play(msgspec.structs.replace(setting, is_thorough=True))

    assert [len(result.rounds[round_number].submissions) for round_number in (0, 1)] == [5, 5]
    assert thorough.state_hash == result.state_hash


@pytest.mark.parametrize("are_signatures_real", [True, False])
def test_a_ledger_that_is_killed_goes_on_with_every_block_that_it_had(are_signatures_real: bool) -> None:
    restart = LedgerRestart(62, 1)  # the slot of the first submissions
    setting = make_setting(faults=Faults(restarts=(restart,)), are_signatures_real=are_signatures_real)
    still = msgspec.structs.replace(setting, faults=Faults(outages=(LedgerOutage(62, 1),)))

    result, trace = play(setting)

    assert (result, trace) == play(still)  # to its nodes the ledger stood still, and no more
    assert (result, trace) == play(setting)


def test_what_a_killed_ledger_was_writing_is_gone_and_sent_again() -> None:
    setting = make_setting(faults=Faults(restarts=(LedgerRestart(62, 3, is_torn=True),)))
    whole = make_setting()

    result, trace = play(setting)

    submitted = [each.slot for each in result.rounds[0].submissions]
    assert [62] * 5 == [each.slot for each in play(whole)[0].rounds[0].submissions]
    assert [64] * 5 == submitted  # slot 62 has no block; slot 63 has one, and the nodes send again
    assert not any('"slot": 62,' in line for line in trace)
    assert list_statuses(result) == ["PayoutSuccessful"] * 2
    assert result.failures == []
    assert (result, trace) == play(setting)


def test_a_ledger_is_killed_again_and_again_while_it_writes() -> None:
    restarts = tuple(LedgerRestart(slot, 1, is_torn=slot % 2 == 0) for slot in (2, 3, 64, 66, 69, 122, 183))

    result, _ = play(make_setting(faults=Faults(restarts=restarts)))

    assert list_statuses(result) == ["PayoutSuccessful"] * 2
    assert [len(result.rounds[round_number].submissions) for round_number in (0, 1)] == [5, 5]


def test_a_torn_block_is_gone_wherever_the_tear_is() -> None:
    """The write-ahead log is so long that SQLite begins it anew meanwhile."""
    ledger = MemoryLedger(1, [Party(MANAGER, 10**15)], are_signatures_real=False, keeps_blocks=True)
    manager = ledger.keypairs[MANAGER]

    def make_transactions(count: int) -> list[Transaction]:
        transfers = [
            TransferParams(from_pubkey=manager.pubkey(), to_pubkey=manager.pubkey(), lamports=1)
        ] * 10
        instructions = [transfer(each) for each in transfers]
        return [ledger.compose_together(instructions, [manager], manager.pubkey())] * count

    for _ in range(40):
        ledger.make_block(make_transactions(300))
    for count in range(1, 600, 150):
        acknowledged = ledger.state.head
        ledger.restart(make_transactions(count))
        assert acknowledged == ledger.state.head
        _, outcome = ledger.make_block(make_transactions(1))
        assert 0 == outcome.receipts[0].kind


def test_a_slow_disk_delays_a_node_and_nobody_else() -> None:
    quick, _ = play(make_setting())
    slow, trace = play(make_setting(faults=Faults(slow_disks=(SlowDisk("node-1", 6),))))

    late, usual = ({each.node: each.slot for each in of.rounds[0].submissions} for of in (slow, quick))
    assert [6, 0, 0, 0, 0] == sorted((late[node] - usual[node] for node in usual), reverse=True)
    assert list_statuses(slow) == ["PayoutSuccessful"] * 2
    assert (slow, trace) == play(make_setting(faults=Faults(slow_disks=(SlowDisk("node-1", 6),))))


def test_a_node_whose_disk_is_too_slow_for_the_window_misses_its_rounds_and_no_other_does() -> None:
    result, _ = play(make_setting(faults=Faults(slow_disks=(SlowDisk("node-1", 30),))))

    assert [len(result.rounds[round_number].submissions) for round_number in (0, 1)] == [4, 4]
    assert list_statuses(result) == ["PayoutSuccessful"] * 2


def test_a_crash_loses_the_decision_that_is_not_on_the_disk() -> None:
    values: list[str] = []
    task = make_task()
    submit = task.functions["submission"]

    @task.submission
    def count_submissions(ctx: Context) -> str:
        if ctx.round == 0:
            values.append(ctx.node)
        return str(submit(ctx))

    slow, crash = SlowDisk("node-1", 6), NodeCrash("node-1", 64, 3)
    result, _ = play(make_setting(rounds=1, faults=Faults(slow_disks=(slow,), crashes=(crash,))), task)

    assert len(result.rounds[0].submissions) == 5
    assert 2 == max(values.count(each.node) for each in result.rounds[0].submissions)


@pytest.mark.parametrize(("slots", "paid"), [(-30, 4), (-3, 5), (3, 5), (30, 4)])
def test_a_node_with_a_wrong_clock_harms_itself_alone(slots: int, paid: int) -> None:
    setting = make_setting(faults=Faults(skews=(ClockSkew("node-1", slots),)))

    result, trace = play(setting)

    assert list_statuses(result) == ["PayoutSuccessful"] * 2
    assert paid == len(list_payments(result)[0])
    assert {"node-1"} >= {failure.node for failure in result.failures}
    assert (result, trace) == play(setting)


@pytest.mark.parametrize("order", [1, -1])
def test_a_node_that_crashes_twice_is_down_both_times(order: int) -> None:
    crashes = (NodeCrash("node-1", 50, 60), NodeCrash("node-1", 115, 60))[::order]

    result, _ = play(make_setting(faults=Faults(crashes=crashes)))

    assert [len(result.rounds[round_number].submissions) for round_number in (0, 1)] == [4, 4]


WORDS = {
    "crash=node-2:70:30:dark": Faults(crashes=(NodeCrash("node-2", 70, 30, is_proof_gone=True),)),
    "slow-disk=node-2:3": Faults(slow_disks=(SlowDisk("node-2", 3),)),
    "skew=node-2:-4": Faults(skews=(ClockSkew("node-2", -4),)),
    "outage=200:40": Faults(outages=(LedgerOutage(200, 40),)),
    "restart=90:5:torn": Faults(restarts=(LedgerRestart(90, 5, is_torn=True),)),
    "partition=node-3,node-4:60:90": NetworkModel(partitions=(Partition(("node-3", "node-4"), 60, 90),)),
    "delay=1:6": NetworkModel(delay_slots_max=6),
    "loss=10": NetworkModel(loss_percent=10),
    "duplicate=5": NetworkModel(duplicate_percent=5),
}


def test_every_fault_can_be_said_in_words() -> None:
    assert [text.partition("=")[0] for text in WORDS] == list(FORMS)
    for text, expected in WORDS.items():
        assert expected in add_fault(NetworkModel(), Faults(), text)


def test_faults_in_words_are_added_to_those_that_are_there() -> None:
    network, faults = NetworkModel(), Faults()
    for text in (*WORDS, "crash=node-1:5:5", "outage=9:1"):
        network, faults = add_fault(network, faults, text)

    assert [2, 2, 1] == [len(faults.crashes), len(faults.outages), len(faults.restarts)]
    assert (6, 10) == (network.delay_slots_max, network.loss_percent)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("storm=1", "the faults are crash=NODE:SLOT:SLOTS"),
        ("crash=node-1:5", r"it is written crash=NODE:SLOT:SLOTS\[:dark\]"),
        ("crash=node-1:5:5:torn", "it is written crash="),
        ("restart=5:x", "it is written restart="),
        ("skew=node-1:--4", "it is written skew="),
        ("loss=²", "slots are digits"),
        ("delay=", "it is written delay="),
    ],
)
def test_a_fault_that_is_badly_written_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        add_fault(NetworkModel(), Faults(), text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": NetworkModel(delay_slots_min=0)}, "delay_slots_min is 0 and delay_slots_max is 1"),
        (
            {"network": NetworkModel(delay_slots_min=5, delay_slots_max=2)},
            "delay_slots_min is 5 and delay_slots_max is 2",
        ),
        ({"network": NetworkModel(loss_percent=100)}, "loss_percent is 100"),
        ({"faults": Faults(crashes=(NodeCrash("node-9", 1, 1),))}, "no node is named 'node-9'"),
        ({"faults": Faults(slow_disks=(SlowDisk("node-9", 1),))}, "no node is named 'node-9'"),
        ({"faults": Faults(skews=(ClockSkew("node-9", 1),))}, "no node is named 'node-9'"),
        ({"network": NetworkModel(partitions=(Partition(("node-9",), 1, 2),))}, "no node is named 'node-9'"),
        ({"network": NetworkModel(partitions=(Partition(("node-1",), 2, 1),))}, "slots 2 to 1"),
        ({"faults": Faults(outages=(LedgerOutage(1, 0),))}, "LedgerOutage is 0 slots long"),
        ({"faults": Faults(restarts=(LedgerRestart(1, 0),))}, "LedgerRestart is 0 slots long"),
        ({"faults": Faults(restarts=(LedgerRestart(-1, 5),))}, "LedgerRestart begins in slot -1"),
        ({"faults": Faults(crashes=(NodeCrash("node-1", -1, 5),))}, "NodeCrash begins in slot -1"),
        ({"faults": Faults(slow_disks=(SlowDisk("node-1", 0),))}, "SlowDisk is 0 slots long"),
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
