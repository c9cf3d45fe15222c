"""Invariants hold in random worlds, and a law that has lost a rule is found and shrunk."""

from pathlib import Path

import pytest

from roundwork.protocol.rules import RULES

from .strangers import draw_setting, find, shrink

SLICE = range(20)
"""The seeds of each run of the tests; `make soak` goes on."""

FOUND = {
    "6.1": (0, "a submission"),
    "6.2": (10, "a submission although the task was not active"),
    "6.3": (3, "a submission with a stake"),
    "6.4": (1, "a record of table S was replaced by another one"),
    "6.5": (0, "a proof"),
    "6.6": (1, "open rounds reserve"),
    "7.1": (0, "an opinion"),
    "7.2": (1, "submissions were searched in a round without records"),
    "7.3": (1, "an opinion of a node with a stake"),
    "7.4": (3, "an opinion of a node that did not submit"),
    "7.5": (1, "a node's opinion of its own submission"),
    "7.6": (6, "an audit counts"),
    "7.7": (1, "an audit was raised by an opinion of valid"),
    "8.1": (0, "a chunk that was uploaded after SUBMIT"),
    "8.2": (20, "a list"),
    "8.3": (0, "AttributeError"),
    "8.4": (66, "an opinion of a list"),
    "8.5": (3, "a list of a node with a stake"),
    "8.6": (0, "a chunk of a list that is too large or has too high a number"),
    "8.7": (0, "a record of table L was replaced by another one"),
    "8.8": (0, "a list was read that nobody had uploaded"),
    "8.9": (2, "bytes was read"),
    "8.10": (5, "a list was read twice in a block"),
    "8.11": (0, "AttributeError"),
    "8.12": (0, "AttributeError"),
    "8.13": (5, "a list that slashes a node whose votes are above 0"),
    "8.14": (0, "a list that pays more than the bounty"),
    "9.1": (1, "an opinion of a list"),
    "9.2": (0, "AttributeError"),
    "9.3": (18, "an opinion of a node with a stake"),
    "9.4": (28, "a node's opinion of its own list"),
    "9.5": (6, "an opinion of a list of a node that handed in none"),
    "9.6": (85, "a record of table W was replaced by another one"),
    "9.7": (3, "an audit was raised by an opinion of valid"),
    "9.8": (0, "a payout of a round that was never opened"),
    "9.9": (0, "a payout of a round that is open"),
}
"""Rules of submissions, audits, lists and payouts: the first seed whose world shows that a law has lost the
rule, and what that law let through."""

SHRUNK = ("6.1", "6.3", "6.5", "7.1", "7.2", "7.5", "7.7", "8.8", "8.12", "9.4", "9.9")
"""The rules whose world is shrunk in each run of the tests."""


@pytest.mark.parametrize("seed", SLICE)
def test_every_invariant_holds_after_every_block_of_a_random_world(seed: int) -> None:
    assert find(draw_setting(seed)) is None, f"python -m tests.sim.strangers --seed {seed} --count 1"


@pytest.mark.parametrize("number", FOUND)
def test_a_law_without_a_rule_is_found(number: str) -> None:
    seed, text = FOUND[number]

    with RULES[number].out_of_force():
        found = find(draw_setting(seed))

    assert found is not None
    assert text in found


@pytest.mark.parametrize("number", SHRUNK)
def test_a_world_that_shows_the_loss_of_a_rule_is_shrunk_to_a_handful_of_events(number: str) -> None:
    seed, _ = FOUND[number]

    with RULES[number].out_of_force():
        small, messages, _ = shrink(draw_setting(seed))

    assert len(small.list_present()) <= 5
    assert len(messages) <= 4


def test_every_rule_is_found_and_the_document_says_how_many_worlds_that_takes() -> None:
    numbers = {number for number in RULES if number.split(".")[0] in ("6", "7", "8", "9")}
    page = (Path(__file__).parents[2] / "docs" / "FUZZ.md").read_text()
    worlds = max(seed for seed, _ in FOUND.values()) + 1

    assert numbers == FOUND.keys()
    assert f"Sections 6 to 9 have {len(FOUND)} rules. For each of them a world within {worlds} seeds" in page


def test_a_world_says_the_same_whenever_it_is_lived() -> None:
    with RULES["6.5"].out_of_force():
        seed, _ = FOUND["6.5"]
        first, second = (find(draw_setting(seed)) for _ in range(2))

    assert first == second
