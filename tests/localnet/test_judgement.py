"""Whether a run was as it should be, and why it ends: by what its rounds, nodes and logs show."""

from typing import Any

import msgspec
import pytest

from roundwork.localnet.judgement import IDLE_SECONDS, find_end, judge
from roundwork.localnet.summary import explain_slashes, summarise
from roundwork.localnet.supervisor import Member
from roundwork.localnet.watch import Failure, Watch, compute_earned, join_names, list_judged
from roundwork.participant.moment import compute_timetable
from roundwork.participant.plays import HONEST, LIAR, Play
from roundwork.protocol.read import view_ledger
from roundwork.wire import format_money

from ..town import Town

pytestmark = pytest.mark.timeout(300)
"""Real networks in real time, also on a loaded machine."""

AUDIT = Failure("n00", "audit", "audit of n01 in round 2", "ValueError: no")
WORK = Failure("n01", "work", "work of round 5", "ValueError: why")


def observe(town: Town, **changes: Any) -> Watch:
    """A town as `up` sees a network."""
    newest = town.task.slot // town.task.round_time
    views = {number: town.round(number) for number in range(newest + 1)}
    watch = Watch(
        ledger=view_ledger(town.world.state),
        task=town.task,
        rounds={number: view for number, view in views.items() if view.status != "Unopened"},
        members=[
            Member("ledger", "ledger", []),
            *(Member(node.name, node.play.name, [], address=node.address) for node in town.nodes.values()),
        ],
        full_round=1,
    )
    return msgspec.structs.replace(watch, **changes)


def live(*plays: Play, ledger_round: int = 6) -> Town:
    """A town of nodes that play so, three honest ones before them."""
    town = Town(3 + len(plays))
    for node, play in zip(list(town.nodes.values())[3:], plays, strict=True):
        node.play = play
    town.live_until(0, ledger_round)
    return town


def test_a_run_that_pays_the_honest_and_slashes_the_liar_is_as_it_should_be() -> None:
    judgement = judge(observe(live(LIAR)))

    assert (True, []) == (judgement.is_good, judgement.faults)
    assert judgement.conclusion.startswith("as it should be: 4 rounds ended, all paid; 3 honest earned ")
    assert "; n03 (liar) earned nothing and lost " in judgement.conclusion


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"end": "the ledger does not answer"}, "the ledger does not answer"),
        ({"is_supply_constant": False}, "the supply of money is not constant"),
        ({"failures": (AUDIT,)}, "1 audit failed, first n00: audit of n01 in round 2: ValueError: no"),
        (
            {"failures": (AUDIT, AUDIT._replace(subject="audit of n02 in round 3"))},
            "2 audits failed, first n00: audit of n01 in round 2: ValueError: no",
        ),
        (
            {"failures": (AUDIT._replace(reason="audit was still running after 2 s"),)},
            "1 audit failed, first n00: audit of n01 in round 2: audit was still running after 2 s"
            " (on a busy machine, a larger --slot-ms gives more time)",
        ),
        (
            {"failures": (AUDIT._replace(node="n01", reason="audit was still running after 2 s"), AUDIT)},
            "2 audits failed, first n00: audit of n01 in round 2: ValueError: no",
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_said(changes: dict[str, Any], fault: str) -> None:
    judgement = judge(observe(live(LIAR), **changes))

    assert [fault] == judgement.faults
    assert f"not as it should be: {fault}" == judgement.conclusion


def test_an_audit_that_failed_in_a_round_that_goes_on_or_began_early_is_not_held_against_a_run() -> None:
    failures = tuple(AUDIT._replace(subject=f"audit of n01 in round {number}") for number in (0, 5, 12))

    assert judge(observe(live(LIAR), failures=failures)).is_good


def test_a_fault_is_counted_over_all_rounds_that_ended_as_the_table_counts() -> None:
    town = live(LIAR)
    seen = observe(town)
    members = [
        msgspec.structs.replace(member, role="copycat") if member.name == "n00" else member
        for member in seen.members
    ]
    failures = (AUDIT._replace(subject="audit of n01 in round 0"), AUDIT)

    audits, paid = judge(observe(town, members=members, failures=failures)).faults

    [row] = [node for node in summarise(seen)["nodes"] if node["name"] == "n00"]
    assert audits.startswith("2 audits failed, first n00: audit of n01 in round 0: ")
    assert f"n00 played copycat and was paid {format_money(row['earned'])}" == paid
    assert row["earned"] > compute_earned(list_judged(seen), row["key"]) > 0


def test_a_cheat_that_was_paid_is_named() -> None:
    town = live(LIAR)
    members = observe(town).members
    renamed = [
        msgspec.structs.replace(member, role="copycat") if member.name == "n00" else member
        for member in members
    ]

    [fault] = judge(observe(town, members=renamed)).faults

    assert fault.startswith("n00 played copycat and was paid ")


def test_an_honest_node_that_is_slashed_or_never_paid_is_named() -> None:
    town = live(LIAR)
    members = [
        msgspec.structs.replace(member, role=HONEST.name) if member.name == "n03" else member
        for member in observe(town).members
    ]

    faults = judge(observe(town, members=members, failures=(WORK._replace(node="n03"),))).faults

    assert [
        "honest and slashed: n03",
        "honest and never paid: n03 (work of round 5: ValueError: why)",
    ] == faults


def test_rounds_that_closed_unpaid_are_counted_with_the_reason() -> None:
    town = Town(3, retries=0)
    for at, node in enumerate(town.nodes.values()):
        node.list_bonus = at  # every node holds the others' lists to be wrong
    town.live_until(0, 6)
    failure = Failure("n01", "distribution", "list of round 1", "TypeError: float")
    refusal = Failure("n02", "sending", "sending the list of round 1", "ListOverBounty: too much")
    race = refusal._replace(reason="ListStands: already")

    unpaid = [view for view in observe(town).rounds.values() if view.status == "ClosedUnpaid"]
    reasons = [
        judge(observe(town, failures=failures)).faults[0].partition(" rounds closed unpaid: ")
        for failures in ((), (race,), (refusal, race), (race, refusal, failure))
    ]

    assert len(unpaid) >= 3
    assert {f"{len(unpaid)} of {len(unpaid)}"} == {count for count, _, _ in reasons}
    assert [
        "its lists did not stand",
        "its lists did not stand",
        "n02: sending the list of round 1: ListOverBounty: too much",
        "n01: list of round 1: TypeError: float",
    ] == [reason for _, _, reason in reasons]


def test_a_run_ends_when_its_rounds_are_over_and_all_nodes_took_part_in_the_last() -> None:
    watch = observe(live(LIAR))

    assert [None, "", ""] == [find_end(watch, rounds, 0.0) for rounds in (5, 4, 1)]
    assert find_end(observe(live(LIAR), full_round=4), 1, 0.0) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"failures": (WORK,)}, "n01: work of round 5: ValueError: why"),
        ({"failures": (WORK._replace(node="n03"),)}, "the nodes had nothing to submit"),
        ({"ended": {"n02": "exit 1"}}, "n02 exit 1"),
        ({"warnings": (("n00", "no money"),)}, "n00: no money"),
    ],
)
def test_a_run_ends_when_no_proof_came_for_three_rounds_and_says_why(
    changes: dict[str, Any], reason: str
) -> None:
    town = live(LIAR, ledger_round=4)
    for node in town.nodes.values():
        node.is_silent = True
    newest = max(view.round for view in observe(town).rounds.values() if view.submissions)
    ends = []
    for _ in range(20 * 5):
        town.live_slot()
        ends.append((town.task.slot, find_end(observe(town, **changes), 100, IDLE_SECONDS)))

    first, end = next((slot, end) for slot, end in ends if end is not None)
    # The third round is submitted in the ledger round after its work, in the first 9 slots.
    assert compute_timetable(town.task).compute_start(newest + 4) + 9 == first
    assert end is not None
    assert end.startswith(f"no proof came for 3 rounds, {newest + 1} to {newest + 3}: {reason}")
    assert find_end(observe(town, **changes), 100, IDLE_SECONDS / 2) is None


def test_a_run_in_which_no_node_ever_staked_says_so() -> None:
    town = Town(3)
    for node in town.nodes.values():
        node.is_silent = True
    town.live_until(0, 5)

    end = find_end(observe(town, full_round=None), 1, IDLE_SECONDS)

    assert "no proof came for 3 rounds, 0 to 2: without a stake: n00, n01, n02" == end


def test_a_program_reads_all_that_the_picture_shows() -> None:
    town = live(LIAR)
    liar = town.nodes["n03"].address
    watch = observe(
        town, reasons={(1, liar): "wrong word"}, warnings=(("n03", "slashed"),), ended={"n02": "x"}
    )

    summary = summarise(watch)

    shown = msgspec.json.decode(msgspec.json.encode(summary))
    assert (4, 0, True) == (shown["rounds_settled"], shown["rounds_unpaid"], shown["ok"])
    assert ["n00", "n01", "n02", "n03"] == [node["name"] for node in shown["nodes"]]
    assert {"convicted"} == set(shown["nodes"][3]["verdicts"])
    [lie] = [each for each in shown["rounds"][1]["submissions"] if each["name"] == "n03"]
    assert ("convicted", "wrong word") == (lie["verdict"], lie["reason"])
    assert [{"node": "n03", "text": "slashed"}] == shown["warnings"]
    assert {"n02": "x"} == shown["ended"]
    slash = next(each for each in explain_slashes(watch) if each.round == 1)
    assert ("n03", True) == (slash.node, slash.amount > 0)
    assert slash.reason.startswith("n00, n01, n02 found its proof 'lie' invalid (wrong word)")
    assert [msgspec.to_builtins(each) for each in explain_slashes(watch)] == shown["slashes"]


def test_names_stand_in_natural_order_and_long_lists_are_cut() -> None:
    names = [f"node-{number}" for number in (10, 9, 2, 1)]

    assert "node-1, node-2, node-9, node-10" == join_names(names)
    assert "node-1, node-2 and 2 more" == join_names(names, 2)
    assert "node-1, node-2, node-9, node-10" == join_names(names, 3)  # a name is as short as "and 1 more"
