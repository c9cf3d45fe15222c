"""Under roundwork-1 honest play loses nothing while a third of the stake does not; rings never gain."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.round import RoundState

from .hardened import (
    AUDIT_END,
    NODES,
    STAKES,
    SUBMISSION,
    SW,
    Hardened,
    eighth,
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
