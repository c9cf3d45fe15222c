"""All duties of a node under roundwork-1: by which view they are judged, and what they may cost."""

import pytest
from msgspec.structs import replace

from roundwork.participant.decisions import Memory, OpinionDecided, Sealed, ValueDecided, Worked, learn
from roundwork.participant.moment import compute_timetable
from roundwork.participant.sealed import (
    AccuseList,
    DecideSealedValue,
    Seal,
    SealedDuty,
    SendAccusation,
    SendChallenge,
    SendCommitment,
)
from roundwork.participant.sealed_parts import compose_drawn, list_sealed_parts
from roundwork.participant.sealed_step import Bounds, DrawnRound, list_rounds_needed, step_sealed
from roundwork.participant.step import ClaimAvailable, DecideValue, Duty, TopUp, View, Work
from roundwork.participant.step import step as step_koii_1
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_head, view_own, view_round
from roundwork.protocol.read_hardened import view_assignments
from roundwork.protocol.tasks.commitments import SealKind

from ..protocol.hardened import AW, MINIMUM, PROOF, SW, Hardened, eighth, name_proof
from ..town import Town
from .test_sealed_parts import read

Owed = list[Duty | SealedDuty]
JUDGED = SW + 1 + AW * 6 // 8
"""The offset in a ledger round at which audits and trials of the round under review are over."""


def look(world: Hardened, name: str) -> View:
    key = world.key(name)
    head, own = view_head(world.state, world.task), view_own(world.state, world.task, key)
    return View(base58_of(key), head, own, {}, bytes(32), 0)


def draw(world: Hardened, name: str) -> dict[int, DrawnRound]:
    shown = view_round(world.state, world.task, 0)
    return {0: DrawnRound(shown, view_assignments(world.state, world.task, 0, world.key(name)))}


def step(world: Hardened, name: str, memory: Memory, bounds: Bounds | None = None) -> Owed:
    view, drawn = look(world, name), draw(world, name)
    return step_sealed(memory, view, drawn, {}, bounds or Bounds(), world.state.head.slot)[1]


def test_the_duties_of_a_round_are_those_of_the_slot_that_its_view_shows() -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF)})
    checker, other = [name for name in world.checkers("n01") if name != "n01"][:2]
    world.expect("ok", other, world.challenge(other, "n01"), slots=0)
    memory = Memory()
    for each in draw(world, checker)[0].own.checks:
        memory = learn(memory, OpinionDecided(0, each, "valid"))
    world.go(1, eighth(3))
    before = draw(world, checker)
    world.block()

    view, slot = look(world, checker), world.state.head.slot
    early = step_sealed(memory, view, before, {}, Bounds(), slot)[1]
    late = step(world, checker, memory)

    assert [] == [duty for duty in early if isinstance(duty, Seal)]  # n01 was not missing in that view
    [seal] = [duty for duty in late if isinstance(duty, Seal)]
    checks = view_assignments(world.state, world.task, 0, world.key(checker)).checks
    assert base58_of(world.key("n01")) not in checks
    assert ((len(checks) + 7) // 8, SealKind.RECEIPT) == (len(seal.payload), seal.kind)


def test_a_value_is_named_after_the_work_once_and_committed_when_it_is_written_down() -> None:
    world = Hardened()
    world.go(1).block()
    steps: list[Owed] = []
    memory = Memory()

    for decision in (Worked(0), ValueDecided(0, "value"), Sealed(0, SealKind.SUBMISSION, b"value")):
        steps.append(step(world, "n00", memory))
        memory = learn(memory, decision)
    steps.append(step(world, "n00", memory))

    assert [0] == list_rounds_needed(look(world, "n00"), world.state.head.slot)
    kinds = [[type(duty) for duty in duties if duty.round == 0] for duties in steps if duties]  # type: ignore[union-attr]
    assert [[Work], [DecideSealedValue], [Seal], [SendCommitment]] == kinds
    nothing = learn(learn(Memory(), Worked(0)), ValueDecided(0, None))
    assert [] == [duty for duty in step(world, "n00", nothing) if isinstance(duty, DecideSealedValue)]


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(0, 0)])
def test_a_node_pays_for_challenges_and_accusations_within_its_bounds(bounds: Bounds) -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF)})
    checker = world.checkers("n01")[0]
    memory = Memory()
    for each in draw(world, checker)[0].own.checks:
        memory = learn(memory, OpinionDecided(0, each, "invalid"))
    owed: Owed = []

    for offset in range(SW + 2, eighth(5)):
        world.go(1, offset).block()
        owed += step(world, checker, memory, bounds)

    costly = [type(duty) for duty in owed if isinstance(duty, SendChallenge | SendAccusation | AccuseList)]
    assert ({SendChallenge, SendAccusation} if bounds.challenges_max else set()) == set(costly)


def test_a_bound_that_was_lowered_in_a_round_allows_nothing_more() -> None:
    world = Hardened().submitted({name: name_proof(PROOF) for name in ("n01", "n02", "n03")})
    names = [name for name in ("n00", "n04") if len(world.duties(name, SealKind.RECEIPT)) > 1]
    name = names[0]
    first = next(each for each in world.duties(name, SealKind.RECEIPT) if each in ("n01", "n02", "n03"))
    world.expect("ok", name, world.challenge(name, first), slots=0)
    world.go(1, SW + 5).block()

    owed = step(world, name, Memory(), Bounds(0, 0))

    assert [] == [duty for duty in owed if isinstance(duty, SendChallenge)]


@pytest.mark.parametrize(
    ("available", "least", "is_owed"),
    [(0, 1, False), (99, 100, False), (100, 100, True), (100, 0, False)],
)
def test_a_node_claims_what_is_available_from_its_least_amount_on(
    available: int, least: int, is_owed: bool
) -> None:
    view = look(Hardened(), "n00")
    view = replace(view, own=replace(view.own, available=available), claim_least=least)

    duties = step_sealed(Memory(), view, {}, {}, Bounds(), view.head.slot)[1]

    assert [ClaimAvailable(available)] * is_owed == [
        each for each in duties if isinstance(each, ClaimAvailable)
    ]


def test_a_node_claims_what_is_released_also_when_the_task_has_moved() -> None:
    view = look(Hardened(), "n00")
    head = replace(view.head, migrated_to="successor")
    view = replace(view, head=head, own=replace(view.own, available=100), claim_least=1)

    duties = step_sealed(Memory(), view, {}, {}, Bounds(), view.head.slot)[1]

    assert [ClaimAvailable(100)] == [each for each in duties if isinstance(each, ClaimAvailable)]


def test_a_node_under_koii_1_claims_nothing_by_itself() -> None:
    town = Town(3)
    view = town.view(town.nodes["n00"])
    rich = replace(view, own=replace(view.own, available=10**9), claim_least=1)

    assert step_koii_1(Memory(), view, view.head.slot) == step_koii_1(Memory(), rich, view.head.slot)


@pytest.mark.parametrize(
    ("offset", "is_early", "is_worked", "is_decided", "is_owed"),
    [
        (0, True, True, False, False),
        (JUDGED - 1, True, True, False, False),
        (JUDGED, True, True, False, True),
        (JUDGED, False, True, False, False),
        (JUDGED, True, False, False, False),
        (JUDGED, True, True, True, False),
    ],
)
def test_a_value_is_named_before_its_window_when_the_work_and_the_audits_are_over(
    offset: int, is_early: bool, is_worked: bool, is_decided: bool, is_owed: bool
) -> None:
    world = Hardened()
    world.go(1, offset).block()
    view = replace(look(world, "n00"), is_early=is_early)
    memory = learn(Memory(), Worked(1)) if is_worked else Memory()
    memory = learn(memory, ValueDecided(1, None)) if is_decided else memory

    duties = step_sealed(memory, view, {}, {}, Bounds(), view.head.slot)[1]

    values = [each for each in duties if isinstance(each, DecideValue)]
    assert int(is_owed) == len(values)
    for value in values:
        opens = compute_timetable(view.head).compute_start(2)
        assert (1, view.head.seed) == (value.round, value.seed)
        assert view.head.slot < opens < value.until <= opens + SW // 2 + 1


def test_a_node_whose_bonds_hold_its_whole_stake_votes_and_stakes_nothing_more() -> None:
    """It accused two large stakes, for half of the minimum stake each, and has no more than that."""
    world = Hardened()
    world.expect("ok", "n03", world.ask_stake(world.task, "n03", 10_000))
    world.submitted().checked().accused("n00", "n03", "n04").accused("n01", "n02")
    world.go(1, eighth(5)).block()
    world.block()
    slot, view = world.state.head.slot, replace(look(world, "n00"), stake_target=MINIMUM)
    view = read(world, view, list_sealed_parts(view, slot))
    memory, drawn = Memory(), compose_drawn(view, slot)
    for each in drawn[0].own.trials:
        memory = learn(memory, OpinionDecided(0, each, "valid"))

    owed = step_sealed(memory, view, drawn, {}, Bounds(), slot)[1]

    assert (0, 10_000) == (world.stake_of("n00"), MINIMUM)
    assert [SealKind.VOTES] == [duty.kind for duty in owed if isinstance(duty, Seal)]
    assert [] == [duty for duty in owed if isinstance(duty, TopUp)]
    assert [1] == [duty.round for duty in owed if isinstance(duty, Work)]


@pytest.mark.parametrize(("stake", "is_owed"), [(5000, True), (4999, False)])
def test_a_node_with_half_of_the_minimum_stake_works(stake: int, is_owed: bool) -> None:
    """The law lets it submit, so that a few fines do not evict it."""
    world = Hardened()
    world.go(1).block()
    view = look(world, "n00")
    view = replace(view, own=replace(view.own, amount=stake))

    owed = step_sealed(Memory(), view, {}, {}, Bounds(), world.state.head.slot)[1]

    assert is_owed == any(isinstance(duty, Work) for duty in owed)
