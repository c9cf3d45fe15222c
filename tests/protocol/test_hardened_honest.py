"""Under roundwork-1 honest play loses nothing while a third of the stake does not; rings never gain."""

from collections.abc import Sequence
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.instruction import Instruction

from roundwork.protocol.execute import Receipt
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.commitments import SealKind
from roundwork.protocol.tasks.round import RoundState

from .hardened import (
    AUDIT_END,
    FEE,
    NODES,
    PROOF,
    RECEIPT,
    STAKES,
    SUBMISSION,
    SW,
    VOTES,
    Hardened,
    T,
    eighth,
    name_proof,
)
from .town import HONEST, Town


@pytest.mark.timeout(300)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_honest_nodes_with_two_thirds_of_the_stake_lose_nothing_and_are_paid(seed: int) -> None:
    town = Town(seed)

    for number in (0, 3):
        town.live(number)
        town.distribute(number)

        assert RoundState.PAID == town.cursor(number).opened.state
        for name in HONEST:
            assert "CONVICTED" != town.verdict(name, number)[0]
            assert town.net_of(name, number) >= 200  # a fifth of the bounty, or a fourth of it
    assert all(town.stake_of(name) >= STAKES[name] for name in HONEST)


@pytest.mark.timeout(300)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    ring=st.sets(st.sampled_from(NODES), min_size=2),
    found=st.dictionaries(st.sampled_from(NODES), st.booleans()),
    silent=st.sets(st.sampled_from(NODES)),
    data=st.data(),
)
def test_a_ring_that_tries_its_own_members_never_gains(
    ring: set[str], found: dict[str, bool], silent: set[str], data: st.DataObject
) -> None:
    accused, accuser = data.draw(st.permutations(sorted(ring)))[:2]
    world = Hardened().submitted()
    honest = dict.fromkeys(NODES, True) | {accused: found.get(accused, True)}
    world.checked(honest, silent=tuple(silent & ring)).accused(accuser, accused)
    world.voted(honest, silent=tuple(silent & ring)).disclosed(silent=tuple(found.keys() & ring))
    world.go(1, AUDIT_END).block()

    assert sum(world.net_of(name) for name in ring) <= 0


@pytest.mark.parametrize("amount", [1, 5000])
@pytest.mark.parametrize("moment", [0, SW // 2 + 1, SW + 1, eighth(3)])
def test_topping_up_or_leaving_saves_nobody_a_slash(moment: int, amount: int) -> None:
    world = Hardened().committed()
    at_risk = STAKES["n01"]
    if moment <= SW // 2:
        world.expect("ok", "n01", world.ask_stake(world.task, "n01", amount), slots=0)
        at_risk += amount  # before the first half ends it is at risk too
    world.go(1, SW // 2 + 1).block()
    for name in NODES:
        world.expect("ok", name, world.reveal(name, SUBMISSION, b"the work"), slots=0)
    if moment > SW // 2:
        world.go(1, moment).block()
        world.expect("ok", "n01", world.ask_stake(world.task, "n01", amount), slots=0)
    world.checked({"n01": False})
    leave = world.run("n01", world.instruct(ins.Withdraw(world.task, world.key("n01"))), slots=0)
    world.accused("n02", "n01").voted({"n01": False}).disclosed().go(1, AUDIT_END).block()

    assert "StakeLocked" == leave.name
    assert STAKES["n01"] + amount - at_risk * 70 // 100 == world.stake_of("n01")


RING = ("n01", "n02")
"""A third of the stake."""


class Meddled(Hardened):
    """A world in which the ring sends what it likes at the slots of its plan, and reports what it likes."""

    def __init__(self, lies: set[tuple[SealKind, str]], bad: set[str], silent: set[str]) -> None:
        self.plan: list[tuple[int, str, ins.Instruction]] = []
        self.lies, self.bad, self.silent = lies, bad, silent
        self.fees = 0
        super().__init__()

    def go(self, ledger_round: int, offset: int = 0) -> Self:
        last = self.start + ledger_round * T + offset - 1
        while (slot := self.state.head.slot) < last:
            self.block()
            for at, name, instruction in self.plan:
                if self.start + at == slot:
                    self.run(name, self.instruct(instruction), slots=0)
        return self

    def run(self, signers: Sequence[str] | str, *asked: Instruction, slots: int = 1) -> Receipt:
        self.fees += FEE * (signers in RING)
        return super().run(signers, *asked, slots=slots)

    def _commit_bits(
        self, kind: SealKind, found: dict[str, bool], silent: tuple[str, ...], number: int
    ) -> Self:
        found = {name: name not in self.bad for name in NODES}
        told = {name: is_good ^ ((kind, name) in self.lies) for name, is_good in found.items()}
        super()._commit_bits(kind, found, RING, number)
        return super()._commit_bits(kind, told, (*({*NODES} - {*RING}), *self.silent), number)

    def play_round(self, values: dict[str, bytes]) -> int:
        """Round 0 until its rewards are released. Return the money of the ring and its fees, in roe."""
        self.submitted(values).checked().voted().disclosed().go(1, AUDIT_END).block()
        paid = {name: 100 for name in NODES if self.verdict(name)[0] in ("UNTRIED", "ACQUITTED")}
        self.listed(paid).go(6).block()
        stakes = [self.state.get_stakes(self.task).rows.get(self.key(name)) for name in RING]
        return (
            sum(stake.amount + stake.available for stake in stakes if stake)
            + self.fees
            + sum(map(self.wallet, RING))
        )


members = st.sampled_from(RING)
kinds = st.sampled_from(("stake", "leave", "challenge", "answer", "accuse"))


def at(slots: tuple[int, int], kind: str) -> st.SearchStrategy[tuple[int, str, str, str]]:
    """A move that is allowed from one slot to another of the round in which round 0 is audited."""
    first, last = slots
    return st.tuples(st.integers(T + first, T + last), members, members, st.just(kind))


moves = (
    st.tuples(st.integers(T, 5 * T), members, members, kinds)
    | at((eighth(1), eighth(2) - 1), "challenge")
    | at((eighth(1), eighth(3) - 1), "answer")
    | at((eighth(4), eighth(5) - 1), "answer")
    | at((eighth(4), eighth(5) - 1), "accuse")
)


@pytest.mark.timeout(300)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    moves=st.lists(moves, max_size=16),
    lies=st.sets(st.tuples(st.sampled_from((RECEIPT, VOTES)), members)),
    bad=st.sets(members),
    silent=st.sets(members),
    value=st.sampled_from((b"the work", name_proof(PROOF))),
)
def test_a_ring_gains_nothing_from_itself_by_any_move_at_any_slot(
    moves: list[tuple[int, str, str, str]],
    lies: set[tuple[SealKind, str]],
    bad: set[str],
    silent: set[str],
    value: bytes,
) -> None:
    """It challenges, answers, accuses, convicts and acquits its own members, tops up, and leaves."""
    world = Meddled(lies, bad, silent)
    for slot, name, of, kind in moves:
        moves_of: dict[str, tuple[ins.Instruction, ...]] = {
            "stake": (world.ask_stake(world.task, name, 5000),),
            "leave": (ins.Withdraw(world.task, world.key(name)),),
            "challenge": (world.challenge(name, of),),
            "answer": tuple(world.answer(name, of, chunk, PROOF[800 * chunk :][:800]) for chunk in range(2)),
            "accuse": (world.accuse(name, of),),
        }
        world.plan += [(slot, name, instruction) for instruction in moves_of[kind]]

    gained = world.play_round(dict.fromkeys(RING, value))

    assert gained <= Meddled(set(), set(), set()).play_round({})
