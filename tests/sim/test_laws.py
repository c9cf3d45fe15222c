"""Invariants hold in random worlds, and a law that has lost a rule is found and shrunk."""

import pytest

from roundwork.protocol.rules import RULES

from .strangers import draw_setting, find, shrink

SLICE = range(20)
"""The seeds of each run of the tests; `make soak` goes on."""

FOUND = {
    "6.1": "a submission in slot",
    "6.3": "a submission with a stake of",
    "6.5": "a proof",
    "7.1": "an opinion in slot",
    "7.5": "a node's opinion of its own submission",
    "7.7": "an audit was raised by an opinion of valid",
    "8.12": "AttributeError",
    "9.4": "a node's opinion of its own list",
}
"""Rules, and what a law without them lets through."""


@pytest.mark.parametrize("seed", SLICE)
def test_every_invariant_holds_after_every_block_of_a_random_world(seed: int) -> None:
    assert find(draw_setting(seed)) is None, f"python -m tests.sim.strangers --seed {seed} --count 1"


@pytest.mark.parametrize("number", FOUND)
def test_a_law_without_a_rule_is_found_and_shrunk(number: str) -> None:
    with RULES[number].out_of_force():
        seed = next(seed for seed in range(200) if find(draw_setting(seed)) is not None)
        small, messages, text = shrink(draw_setting(seed))

    assert len(small.nodes) <= 5
    assert len(messages) <= 4
    assert FOUND[number] in text


def test_a_world_says_the_same_whenever_it_is_lived() -> None:
    with RULES["6.5"].out_of_force():
        seed = next(seed for seed in range(200) if find(draw_setting(seed)) is not None)
        first, second = (find(draw_setting(seed)) for _ in range(2))

    assert first == second
