"""What a node owes: on its own, and in a town whose ledger is the law."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roundwork.participant import step as duties
from roundwork.participant.decisions import ListDecided, Memory, OpinionDecided, ValueDecided, learn
from roundwork.participant.parts import RoundParts
from roundwork.participant.plays import LIAR
from roundwork.participant.step import AUDIT_ALL_MAX, SAMPLE, Duty, View, choose_audits, list_needed, step
from roundwork.protocol.clock import Phase, Timetable
from roundwork.protocol.read import view_round
from roundwork.views import (
    ListHead,
    ListView,
    OwnRound,
    OwnView,
    PartKey,
    PartKind,
    RoundHead,
    RoundView,
    SubmissionView,
    TaskHead,
)  # fmt: skip

from ..town import BOUNTY, MINIMUM, TARGET, Town

TABLE = Timetable(starting_slot=100, round_time=20, submission_window=8, audit_window=8)
ME, OTHER, THIRD = "Me", "Other", "Third"
SEED, SECRET = "5e", b"secret"


def view_of(*rounds: RoundView, stake: int = TARGET, endpoint: str = "", **changes: Any) -> View:
    """What ME sees when these rounds are on the ledger, with all their parts at hand."""
    fields: dict[str, Any] = {
        "task": "Task", "slot": 0, "rules": "koii-1", "starting_slot": 100, "round_time": 20,
        "submission_window": 8, "audit_window": 8, "minimum_stake": MINIMUM, "bounty": 10 * BOUNTY,
        "bounty_per_round": BOUNTY, "is_active": True, "is_closed": False, "migrated_to": None, "seed": SEED,
        "stakes_slot": 0,
        "open_rounds": [shown.round for shown in rounds if shown.status == "Open"],
        "rounds": [head_of(shown) for shown in rounds],
    }  # fmt: skip
    own = OwnView(
        node=ME,
        slot=0,
        amount=stake,
        endpoint="http://old" if stake else "",
        rounds=[own_of(shown) for shown in rounds],
    )
    parts = {shown.round: parts_of(shown) for shown in rounds}
    return View(ME, TaskHead(**{**fields, **changes}), own, parts, SECRET, TARGET, endpoint)


def head_of(shown: RoundView) -> RoundHead:
    return RoundHead(
        round=shown.round,
        status=shown.status,
        attempt=shown.attempt,
        beacon=shown.beacon,
        seed=shown.seed,
        submissions=len(shown.submissions),
        raised=sum(each.trigger_by is not None for each in shown.submissions),
        lists=[
            ListHead(each.attempt, each.submitter, each.slot, each.votes, each.trigger_by)
            for each in shown.lists
        ],
        parts=[],
    )


def own_of(shown: RoundView) -> OwnRound:
    value = next((each.value for each in shown.submissions if each.node == ME), None)
    opinions = {each.node: each.auditors[ME] for each in shown.submissions if ME in each.auditors}
    lists = [each.auditors.get(ME) for each in shown.lists if each.attempt == shown.attempt]
    return OwnRound(round=shown.round, value=value, opinions=opinions, list_opinion=next(iter(lists), None))


def parts_of(shown: RoundView) -> RoundParts:
    amounts = [each.amounts for each in shown.lists if each.attempt == shown.attempt]
    raised = {each.node: each.trigger_by for each in shown.submissions if each.trigger_by is not None}
    return RoundParts(
        submissions=shown.submissions,
        audited=shown.submissions,
        raised=raised,
        amounts=next(iter(amounts), None),
    )


def round_of(
    number: int, *submissions: SubmissionView, lists: Sequence[ListView] = (), attempt: int = 0
) -> RoundView:
    status = "Open" if submissions else "Unopened"
    return RoundView(
        task="Task", round=number, slot=0, status=status, attempt=attempt, beacon="", seed=f"{number:02}",
        submissions=list(submissions), lists=list(lists), payments=[],
    )  # fmt: skip


def submission(node: str, trigger_by: str | None = None, **auditors: bool) -> SubmissionView:
    return SubmissionView(node, f"value of {node}", 0, TARGET, 1, "untried", trigger_by, auditors)


def slot_in(ledger_round: int, phase: Phase, offset: int = 0) -> int:
    return TABLE.compute_start(ledger_round) + TABLE.compute_offset_after(phase, 0, 1) + offset


def owed(memory: Memory, view: View, slot: int) -> list[Duty]:
    """Everything owed but the housekeeping."""
    return [duty for duty in step(memory, view, slot)[1] if not isinstance(duty, duties.Forget)]


WORKED = Memory(worked=frozenset(range(20)))


def test_nothing_is_owed_before_the_task_begins() -> None:
    assert [] == owed(Memory(), view_of(), 99)


def test_the_work_of_the_ledger_round_is_owed_until_the_middle_of_the_next_submission_window() -> None:
    until = slot_in(6, Phase.SUBMIT) + 4

    assert duties.Work(5, SEED, until) in owed(Memory(), view_of(), slot_in(5, Phase.SETTLE))


def test_work_that_a_crash_cut_short_is_done_early_in_the_next_ledger_round() -> None:
    late, now = duties.Work(4, "04", slot_in(5, Phase.SUBMIT) + 4), duties.Work(5, SEED, 224)

    assert [late, now] == owed(Memory(), view_of(round_of(4)), slot_in(5, Phase.SUBMIT, 3))
    assert [now] == owed(Memory(), view_of(round_of(4)), slot_in(5, Phase.SUBMIT, 4))
    assert [now] == owed(Memory(), view_of(round_of(4, submission(ME))), slot_in(5, Phase.SUBMIT, 3))


def test_work_that_is_done_is_not_owed() -> None:
    assert [] == owed(WORKED, view_of(), slot_in(5, Phase.SETTLE))


@pytest.mark.parametrize(
    "changes", [{"is_active": False}, {"migrated_to": "elsewhere"}, {"is_active": False, "is_closed": True}]
)
def test_no_work_is_begun_for_a_task_that_takes_no_submissions(changes: dict[str, Any]) -> None:
    assert [] == owed(Memory(), view_of(stake=0, **changes), slot_in(5, Phase.SUBMIT))


def test_a_value_is_decided_and_then_sent() -> None:
    slot, view = slot_in(5, Phase.SUBMIT), view_of(round_of(4))
    decided = learn(WORKED, ValueDecided(4, "proof"))

    assert [duties.DecideValue(4, "04", slot + 9)] == owed(WORKED, view, slot)
    assert [duties.SendValue(4, "proof")] == owed(decided, view, slot)


def test_nothing_is_submitted_twice_or_late_or_where_the_task_said_nothing() -> None:
    decided, silent = learn(WORKED, ValueDecided(4, "proof")), learn(WORKED, ValueDecided(4, None))

    assert [] == owed(decided, view_of(round_of(4, submission(ME))), slot_in(5, Phase.SUBMIT))
    assert [] == owed(decided, view_of(round_of(4)), slot_in(5, Phase.AUDIT))
    assert [] == owed(silent, view_of(round_of(4)), slot_in(5, Phase.SUBMIT))


def test_submissions_of_others_are_audited_with_their_seeds_until_audit_ends() -> None:
    slot, view = slot_in(5, Phase.AUDIT), view_of(round_of(4, submission(ME), submission(OTHER)))

    assert [duties.DecideOpinion(4, "04", OTHER, "value of Other", TARGET, slot + 8)] == owed(
        WORKED, view, slot
    )
    assert [] == owed(WORKED, view, slot_in(5, Phase.SETTLE))


@pytest.mark.parametrize(
    ("kind", "one", "expected"),
    [
        ("invalid", submission(OTHER), [duties.SendOpinion(4, OTHER, False)]),
        ("invalid", submission(OTHER, THIRD, Third=False), [duties.SendOpinion(4, OTHER, False)]),
        ("valid", submission(OTHER), []),  # silence is consent
        ("valid", submission(OTHER, THIRD, Third=False), [duties.SendOpinion(4, OTHER, True)]),
        ("invalid", submission(OTHER, ME, Me=False), []),
        ("valid", submission(OTHER, THIRD, Third=False, Me=True), []),
    ],
)
def test_a_view_is_given_once_and_approval_only_where_an_audit_is_raised(
    kind: str, one: SubmissionView, expected: list[Duty]
) -> None:
    decided = learn(WORKED, OpinionDecided(4, OTHER, kind))

    assert expected == owed(decided, view_of(round_of(4, one)), slot_in(5, Phase.AUDIT))


def test_all_are_audited_if_few_else_a_sample_of_ones_own_and_whatever_is_contested() -> None:
    few = view_of(round_of(4, *[submission(f"n{at}") for at in range(AUDIT_ALL_MAX)]))
    many = view_of(round_of(4, *[submission(f"n{at:03}", THIRD if at == 77 else None) for at in range(300)]))

    chosen = choose(many)

    assert list(range(AUDIT_ALL_MAX)) == choose_audits(few, 4, few.rounds[4])
    assert SAMPLE <= len(chosen) <= SAMPLE + 1
    assert "n077" in chosen
    assert choose(many) == chosen
    assert chosen != choose(msgspec.structs.replace(many, secret=b"another secret"))


def choose(view: View) -> set[str]:
    parts = view.rounds[4]
    assert parts.submissions is not None
    return {parts.submissions[place].node for place in choose_audits(view, 4, parts)}


def list_of(submitter: str, trigger_by: str | None = None, attempt: int = 0, **auditors: bool) -> ListView:
    return ListView(attempt, submitter, 0, {ME: BOUNTY, OTHER: 0}, 1, trigger_by, auditors)


def test_a_list_is_decided_in_its_own_ledger_round_and_that_of_a_retry_a_round_later() -> None:
    first, retry = round_of(4, submission(ME)), round_of(4, submission(ME), attempt=1)
    here, later = slot_in(6, Phase.SUBMIT), slot_in(7, Phase.SUBMIT)

    assert [duties.DecideList(4, 0, BOUNTY, here + 9)] == owed(WORKED, view_of(first), here)
    assert [duties.DecideList(4, 1, BOUNTY, later + 9)] == owed(WORKED, view_of(retry), later)
    assert [] == owed(WORKED, view_of(first), later)
    assert [] == owed(WORKED, view_of(retry), here)
    assert [] == owed(WORKED, view_of(first), slot_in(6, Phase.SETTLE))


LISTED = learn(WORKED, ListDecided(4, {ME: BOUNTY}))


def test_a_list_is_handed_in_unless_one_stands() -> None:
    one = round_of(4, submission(ME))
    slot = slot_in(6, Phase.SUBMIT, 8)

    assert [duties.SendList(4, 0)] == owed(LISTED, view_of(one), slot)
    assert [] == owed(LISTED, view_of(round_of(4, submission(ME), lists=[list_of(OTHER)])), slot)
    assert [duties.SendList(4, 1)] == owed(
        LISTED, view_of(round_of(4, submission(ME), lists=[list_of(OTHER)], attempt=1)), slot + 20
    )


@pytest.mark.parametrize(
    ("mine", "listed", "expected"),
    [
        ({ME: BOUNTY}, list_of(OTHER), []),
        ({ME: BOUNTY}, list_of(OTHER, THIRD, Third=False), [duties.SendListOpinion(4, 0, OTHER, True)]),
        ({ME: BOUNTY - 1}, list_of(OTHER), [duties.SendListOpinion(4, 0, OTHER, False)]),
        ({ME: BOUNTY - 1}, list_of(OTHER, THIRD, Third=False), [duties.SendListOpinion(4, 0, OTHER, False)]),
        ({ME: BOUNTY - 1}, list_of(OTHER, ME, Me=False), []),
        ({ME: BOUNTY - 1}, list_of(ME), []),
    ],
)
def test_a_list_is_compared_with_ones_own(
    mine: dict[str, int], listed: ListView, expected: list[Duty]
) -> None:
    decided = learn(WORKED, ListDecided(4, mine))

    assert expected == owed(
        decided, view_of(round_of(4, submission(ME), lists=[listed])), slot_in(6, Phase.AUDIT)
    )


@pytest.mark.parametrize(
    ("stake", "endpoint", "expected"),
    [
        (TARGET, "http://old", []),
        (MINIMUM, "http://old", []),
        (MINIMUM - 1, "http://old", [duties.TopUp(TARGET - MINIMUM + 1)]),
        (0, "http://old", [duties.TopUp(TARGET)]),
        (TARGET, "http://new", []),  # it is signed for peers, and costs nothing
    ],
)
def test_a_stake_is_topped_up_when_it_is_too_small(stake: int, endpoint: str, expected: list[Duty]) -> None:
    assert expected == owed(WORKED, view_of(stake=stake, endpoint=endpoint), slot_in(5, Phase.SETTLE))


def test_a_stake_that_was_made_without_an_endpoint_gets_it() -> None:
    view = view_of(endpoint="http://new")
    view = msgspec.structs.replace(view, own=msgspec.structs.replace(view.own, endpoint=""))

    assert [duties.TopUp(1)] == owed(WORKED, view, slot_in(5, Phase.SETTLE))


def test_who_wants_no_stake_and_has_none_owes_nothing() -> None:
    spectator = msgspec.structs.replace(view_of(round_of(4, submission(OTHER)), stake=0), stake_target=0)

    for phase in Phase:
        assert [] == owed(WORKED, spectator, slot_in(5, phase))


def test_closed_rounds_are_forgotten_and_open_ones_are_not() -> None:
    memory = Memory(
        worked=frozenset((1, 2, 3)),
        values={1: "a", 2: "b"},
        opinions={1: {OTHER: "valid"}, 3: {OTHER: "valid"}},
        lists={1: {}, 2: {}},
    )

    kept, due = step(memory, view_of(round_of(2, submission(ME)), is_active=False), slot_in(5, Phase.SETTLE))

    assert duties.Forget(2) in due
    assert Memory(frozenset((2, 3)), {2: "b"}, {3: {OTHER: "valid"}}, {2: {}}, forgotten=2) == kept
    assert (
        kept == step(kept, view_of(round_of(2, submission(ME)), is_active=False), slot_in(5, Phase.SETTLE))[0]
    )


# The parts that are needed


def needed(memory: Memory, view: View, slot: int) -> list[PartKey]:
    return list_needed(memory, view, slot)


def test_a_part_is_needed_in_its_window_only_and_as_long_as_something_follows_from_it() -> None:
    contested = view_of(round_of(4, submission(OTHER, THIRD, Third=False)))
    listed = view_of(round_of(4, submission(OTHER), lists=[list_of(OTHER)]))
    submissions, audits = PartKey(4, PartKind.SUBMISSIONS), PartKey(4, PartKind.AUDITS)

    assert [] == needed(WORKED, contested, slot_in(5, Phase.SUBMIT))
    assert [submissions, PartKey(4, PartKind.RAISED)] == needed(WORKED, contested, slot_in(5, Phase.AUDIT))
    assert [] == needed(WORKED, contested, slot_in(5, Phase.SETTLE))
    assert [submissions, audits] == needed(WORKED, contested, slot_in(6, Phase.SUBMIT))
    assert [submissions] == needed(LISTED, contested, slot_in(6, Phase.SUBMIT))
    assert [] == needed(LISTED, listed, slot_in(6, Phase.SUBMIT))
    assert [PartKey(4, PartKind.LIST)] == needed(LISTED, listed, slot_in(6, Phase.AUDIT))
    assert [] == needed(LISTED, view_of(round_of(4, submission(OTHER), lists=[list_of(ME)])), 228)


def test_a_node_without_stake_needs_no_part() -> None:
    spectator = view_of(round_of(4, submission(OTHER)), stake=0)

    assert [] == [part for slot in range(100, 300) for part in needed(WORKED, spectator, slot)]


@pytest.mark.parametrize("slot", range(200, 240))
def test_without_its_parts_nothing_is_owed_that_follows_from_them(slot: int) -> None:
    shown = [
        round_of(3, submission(OTHER), lists=[list_of(OTHER)]),
        round_of(4, submission(OTHER, THIRD, Third=False)),
    ]
    view = view_of(*shown)
    blind = msgspec.structs.replace(view, rounds={})
    follows = (
        duties.DecideOpinion,
        duties.SendOpinion,
        duties.DecideList,
        duties.SendList,
        duties.SendListOpinion,
    )

    assert [duty for duty in owed(WORKED, view, slot) if not isinstance(duty, follows)] == owed(
        WORKED, blind, slot
    )


# In town


def test_parts_put_together_are_the_round_that_the_law_shows() -> None:
    town = Town(5)
    town.nodes["n03"].play = LIAR
    town.live_until(0, 2)

    shown = view_round(town.world.state, town.world.task, 0)
    parts = town.compose(shown.round, PartKind.SUBMISSIONS, PartKind.AUDITS)

    assert "convicted" in {each.verdict for each in shown.submissions}
    assert shown.submissions == parts.audited


def test_everybody_is_paid_alike_round_after_round_and_nothing_is_refused() -> None:
    town = Town(4)

    town.live_until(0, 6)

    for number in range(4):
        payments = {town.name(one.node): (one.reward, one.slash) for one in town.round(number).payments}
        assert dict.fromkeys(town.nodes, (BOUNTY // 4, 0)) == payments
    assert {"ok"} == {result for node in town.nodes.values() for result in node.results}


def test_a_liar_is_convicted_and_slashed_in_every_round_in_which_it_had_stake() -> None:
    town = Town(4)
    liar = town.nodes["n03"]
    liar.play = LIAR

    town.live_until(0, 9)

    took_part = 0
    for number in range(7):
        one = town.round(number)
        if liar.address in {each.node for each in one.submissions}:
            took_part += 1
            [mine] = [each for each in one.submissions if each.node == liar.address]
            [paid] = [each for each in one.payments if each.node == liar.address]
            assert ("convicted", 0) == (mine.verdict, paid.reward)
            assert paid.slash > 0
        others = [each.reward for each in one.payments if each.node != liar.address]
        assert [BOUNTY // 3] * 3 == others
    assert took_part >= 5


def test_a_silent_selected_node_costs_a_part_of_the_window_and_not_the_round() -> None:
    for silent in range(4):
        town = Town(4)
        town.live_until(19, 1)
        town.nodes[f"n{silent:02}"].is_silent = True

        town.live_until(19, 2)

        assert "PayoutSuccessful" == town.round(0).status


def test_a_list_that_robs_is_refused_and_the_next_attempt_pays() -> None:
    town = Town(4)
    for node in town.nodes.values():
        node.list_bonus = -1
    town.live_until(8, 2)
    [listed] = town.round(0).lists
    robber = town.nodes[town.name(listed.submitter)]
    for node in town.nodes.values():
        if node is not robber:
            node.list_bonus = 0
            node.memory = msgspec.structs.replace(node.memory, lists={})

    town.live_until(19, 3)

    one = town.round(0)
    assert ["PayoutSuccessful", 1] == [one.status, one.attempt]
    assert robber.address != one.lists[1].submitter
    assert {BOUNTY // 4} == {each.reward for each in one.payments}


def test_a_node_that_forgets_everything_at_any_slot_never_contradicts_the_ledger() -> None:
    town = Town(3)
    for at in range(140):
        victim = list(town.nodes.values())[at % 3]
        victim.memory = Memory()
        town.live_slot()

    assert {"ok"} == {result for node in town.nodes.values() for result in node.results}
    assert {"PayoutSuccessful"} == {town.round(number).status for number in range(3)}


def test_a_node_that_comes_late_takes_part_from_then_on() -> None:
    town = Town(4)
    late = town.nodes["n02"]
    late.is_silent = True
    town.live_until(12, 3)
    late.is_silent = False

    town.live_until(0, 7)

    assert late.address not in {each.node for each in town.round(2).submissions}
    assert late.address in {each.node for each in town.round(4).submissions}
    assert {"ok"} == set(late.results)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(["n00", "n01", "n02", "n03", "n04"]), min_size=20, max_size=20))
def test_whoever_is_gone_for_a_while_no_honest_node_is_slashed_and_no_round_is_lost(gone: list[str]) -> None:
    town = Town(5)
    town.nodes["n04"].play = LIAR
    for name in gone:
        town.nodes[name].is_silent = True
        town.nodes[name].memory = Memory()
        town.live(7)
        town.nodes[name].is_silent = False

    over = {number: town.round(number) for number in range(4)}
    assert {"PayoutSuccessful"} == {one.status for one in over.values()}
    slashed = {town.name(paid.node) for one in over.values() for paid in one.payments if paid.slash}
    assert slashed <= {"n04"}
    results = {result for node in town.nodes.values() for result in node.results}
    # A block is a slot later than what it was planned by: somebody else's list, or the end of a phase.
    assert results <= {"ok", "ListStands", "WrongPhase"}
