"""Random worlds under roundwork-1 with hostile messages break no invariant, and show a rule that is lost."""

from pathlib import Path

import pytest

from roundwork.protocol.rules import RULES

from .sealed_strangers import draw_setting, live
from .strangers import shrink

SLICE = range(8)
"""`make soak` lives more."""

FOUND = {
    "16.2": (0, "a commitment of kind 0 in slot"),
    "16.3": (3, "money is still set aside for it"),
    "16.4": (0, "a submission with 0 roe at risk"),
    "16.5": (0, "a record of table E was replaced by another one"),
    "16.6": (0, "a trial of a node, or by a node, that did not submit"),
    "16.8": (0, "AttributeError"),
    "16.9": (1, "a record of table S was replaced by another one"),
    "16.10": (2, "a reveal that does not open its commitment"),
    "17.3": (1, "money is still set aside for it"),
    "17.5": (2, "a record of table O was replaced by another one"),
    "18.1": (0, "the supply is 9285700000000 roe and was 9286000000000"),
    "18.2": (0, "a trial without the proof on the ledger"),
    "19.4": (0, "KeyError"),
}
"""By rule, a seed whose world shows that the law has lost it, and what it shows."""


@pytest.mark.parametrize("seed", SLICE)
def test_every_invariant_holds_after_every_block_of_a_random_world(seed: int) -> None:
    text, messages = live(draw_setting(seed))

    assert text is None, f"python -m tests.sim.strangers --rules roundwork-1 --seed {seed} --count 1"
    assert messages


@pytest.mark.parametrize("number", FOUND)
def test_a_law_without_a_rule_is_found(number: str) -> None:
    seed, shown = FOUND[number]

    with RULES[number].out_of_force():
        text, _ = live(draw_setting(seed))

    assert text is not None
    assert shown in text


@pytest.mark.parametrize("number", ["16.5", "16.9"])
def test_a_world_that_shows_the_loss_of_a_rule_is_shrunk(number: str) -> None:
    seed, shown = FOUND[number]

    with RULES[number].out_of_force():
        small, messages, text = shrink(draw_setting(seed), live)

    assert shown in text
    assert len(small.nodes) <= 5
    assert len(messages) <= 8


def test_the_document_names_the_rules_that_are_found() -> None:
    page = (Path(__file__).parents[2] / "docs" / "FUZZ.md").read_text()

    assert f"shows the loss of {len(FOUND)} of the {count_rules()} rules: {', '.join(FOUND)}." in page


def count_rules() -> int:
    return sum(number.split(".")[0] in ("16", "17", "18", "19") for number in RULES)
