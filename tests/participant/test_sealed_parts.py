"""A round under roundwork-1 that a node puts together from the head, its own records and parts."""

from collections.abc import Collection

import msgspec
import pytest

from roundwork.participant.parts import compose_rounds
from roundwork.participant.sealed import SealedView, list_sealed_duties
from roundwork.participant.sealed_parts import (
    REVIEW_PARTS,
    compose_drawn,
    compute_draw_slots,
    list_sealed_parts,
)
from roundwork.participant.sealed_step import Bounds, look_at
from roundwork.participant.step import View
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import read_part, view_head, view_own
from roundwork.protocol.tasks.round import Activity, RoundState
from roundwork.views import GROWING, OwnView, PartKey, PartKind

from ..protocol.hardened import NODES, PROOF, Hardened, T, eighth, name_proof
from ..town import Town
from .test_sealed import GARBAGE, HIDDEN, SERVED, AwayForAnswers, Players

BOUNDS = Bounds(2, 2)
SUBMITTED = 12
"""An offset of a town's round at which its submissions are in."""


def look(world: Hardened, name: str, own: OwnView | None = None) -> View:
    """The view of a node, without parts."""
    key = world.key(name)
    head = view_head(world.state, world.task)
    return View(base58_of(key), head, own or view_own(world.state, world.task, key), {}, bytes(32), 0)


def read(world: Hardened, view: View, parts: Collection[PartKey]) -> View:
    """The view with those of the parts that the ledger has."""
    known = {(shown.round, part.kind, part.attempt) for shown in view.head.rounds for part in shown.parts}
    rows = {
        part: read_part(world.state, world.task, part)
        for part in parts
        if part.kind in GROWING or (part.round, part.kind, part.attempt) in known
    }
    attempts = {shown.round: shown.attempt for shown in view.head.rounds}
    return msgspec.structs.replace(view, rounds=compose_rounds(rows, attempts))


class Readers(Players):
    """Nodes that plan by parts; what they owe is compared with what they owe by the whole round."""

    def __init__(self, values: dict[str, str], served_to: tuple[str, ...] = NODES) -> None:
        super().__init__(values, served_to)
        self.owns: dict[str, OwnView] = {}
        self.compared = 0
        self.needed: set[tuple[int, PartKind]] = set()

    def do_duties(self, name: str, number: int) -> None:
        self.compare(name, number)
        super().do_duties(name, number)

    def compare(self, name: str, number: int) -> None:
        memory, whole = self.recall(name, number), self.view(name, number)
        slot = self.state.head.slot
        by_parts = self.compose(name).get(number)
        expected = list_sealed_duties(memory, whole, slot)
        if by_parts is None:
            assert [] == expected, (name, number, slot)
            return
        assert expected == list_sealed_duties(memory, by_parts, slot)
        self.compared += len(expected)

    def compose(self, name: str) -> dict[int, SealedView]:
        """What a node sees of the rounds that are at hand."""
        slot = self.state.head.slot
        view = look(self, name)
        parts = list_sealed_parts(view, slot)
        start = self.state.head.slot - self.start
        self.needed |= {(start - (part.round + 1) * T, part.kind) for part in parts}
        view = read(self, view, parts)
        return {at: look_at(view, shown, BOUNDS) for at, shown in compose_drawn(view, slot).items()}


class AwayReaders(AwayForAnswers, Readers):
    """Readers of which one does nothing while proofs are challenged."""


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(Readers({"n01": SERVED}), id="honest"),
        pytest.param(Readers({"n01": GARBAGE}), id="a lie"),
        pytest.param(Readers({"n01": HIDDEN, "n02": GARBAGE}), id="a hidden proof and a lie"),
        pytest.param(Readers({"n01": SERVED}, served_to=("n01", "n04")), id="a proof that is posted"),
        pytest.param(AwayReaders({"n01": SERVED}, served_to=("n04",)), id="a proof that another node posts"),
    ],
)
def test_a_node_owes_by_its_parts_what_it_owes_by_whole_rounds(world: Readers) -> None:
    world.go_through(4, (0, 1))

    assert world.compared > 2 * 3 * len(NODES)
    assert {RoundState.PAID} == {world.cursor(number).opened.state for number in (0, 1)}


def test_a_node_owes_the_same_when_a_list_is_wrong_and_tried_again() -> None:
    world = Readers({})
    world.does_first_rank_steal = True

    world.go_through(4)

    assert RoundState.PAID == world.cursor().opened.state
    assert 1 == world.cursor().opened.attempt


# What is at hand


def challenged(world: Hardened) -> str:
    """A checker of n01, whose proof it has challenged; the next window has begun."""
    checker = world.checkers("n01")[0]
    world.expect("ok", checker, world.challenge(checker, "n01"), slots=0)
    world.block()
    return checker


@pytest.mark.parametrize("lacking", [PartKind.SUBMISSIONS, PartKind.CHALLENGED])
def test_without_a_part_that_it_needs_a_round_is_not_at_hand(lacking: PartKind) -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF)})
    view, slot = look(world, challenged(world)), world.state.head.slot
    needed = list_sealed_parts(view, slot)

    whole = compose_drawn(read(world, view, needed), slot)
    less = compose_drawn(read(world, view, [part for part in needed if part.kind is not lacking]), slot)

    assert {PartKind.SUBMISSIONS, PartKind.CHALLENGED, PartKind.POSTED} == {part.kind for part in needed}
    assert ([0], []) == ([*whole], [*less])


def test_a_part_that_lacks_new_rows_is_not_at_hand() -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF), "n02": name_proof(PROOF)})
    checker, other = challenged(world), world.checkers("n02")[0]
    view, slot = look(world, checker), world.state.head.slot
    before = read(world, view, list_sealed_parts(view, slot)).rounds
    world.expect("ok", other, world.challenge(other, "n02"), slots=0)
    world.block()

    view, slot = look(world, checker), world.state.head.slot

    assert {} == compose_drawn(msgspec.structs.replace(view, rounds=before), slot)
    assert [0] == [*compose_drawn(read(world, view, list_sealed_parts(view, slot)), slot)]


@pytest.mark.parametrize(
    ("part_of_audit", "is_challenged", "is_read_again"),
    [(1, False, True), (3, False, False), (3, True, True)],
)
def test_own_records_from_before_a_draw_are_read_again(
    part_of_audit: int, is_challenged: bool, is_read_again: bool
) -> None:
    """A round is not judged by assignments that the draw has changed."""
    world = Hardened().submitted({"n01": name_proof(PROOF)})
    if is_challenged:
        challenged(world)
    world.go(1, eighth(part_of_audit)).block()
    slot, fresh = world.state.head.slot, look(world, "n00")
    own = msgspec.structs.replace(fresh.own, slot=world.start + T + eighth(part_of_audit) - 1)

    view, parts = look(world, "n00", own), list_sealed_parts(fresh, slot)

    assert is_read_again == (own.slot < compute_draw_slots(view.head).start)
    assert (not is_read_again) == (0 in compose_drawn(read(world, view, parts), slot))
    assert 0 in compose_drawn(read(world, fresh, parts), slot)


def test_a_node_without_a_stake_and_a_task_that_has_not_begun_need_nothing() -> None:
    world = Hardened().submitted({})
    world.block()
    view, slot = look(world, "n00"), world.state.head.slot
    poor = msgspec.structs.replace(view.own, amount=0)
    stranger = msgspec.structs.replace(poor, rounds=[])

    assert list_sealed_parts(view, slot)
    assert list_sealed_parts(msgspec.structs.replace(view, own=poor), slot), "its bonds hold its stake"
    assert [] == list_sealed_parts(msgspec.structs.replace(view, own=stranger), slot)
    assert ([], {}) == (list_sealed_parts(view, 0), compose_drawn(view, 0))


def test_under_koii_1_no_draw_changes_own_records() -> None:
    town = Town(3)
    town.live_until(SUBMITTED, 1)

    assert not compute_draw_slots(town.view(town.nodes["n01"]).head)


def test_quiet_slots_need_no_part() -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF)})
    kinds: dict[int, list[PartKind]] = {}
    while (slot := world.state.head.slot) < world.start + 2 * T:
        kinds[slot - world.start - T] = [part.kind for part in list_sealed_parts(look(world, "n00"), slot)]
        world.block()

    assert all(not kinds[offset] for offset in kinds if offset >= eighth(7))
    assert {*REVIEW_PARTS[Activity.CHALLENGE]} == {*kinds[eighth(1)]}
