"""Random worlds under roundwork-1 with hostile messages break no invariant, and show a rule that is lost."""

import pytest

from roundwork.protocol.params import ROUNDWORK_1

from .losses import PAGE, list_rules, read_table, show_loss, shrink_loss
from .sealed_strangers import draw_setting, live

SLICE = range(8)
"""`make soak` lives more."""

SHRUNK = ("16.2", "16.5", "16.9", "17.4", "18.2")
"""The rules whose world is shrunk in each run of the tests; `make losses` shrinks all."""

FOUND = {
    "16.1": (0, "KeyError"),
    "16.2": (0, "a commitment of kind 0 in slot"),
    "16.3": (3, "money is still set aside for it"),
    "16.4": (0, "a submission with 0 roe at risk"),
    "16.5": (0, "a record of table E was replaced by another one"),
    "16.6": (0, "a trial of a node, or by a node, that did not submit"),
    "16.7": (0, "of a node that has nothing to check or to judge"),
    "16.8": (0, "AttributeError"),
    "16.9": (0, "a record of table S was replaced by another one"),
    "16.10": (4, "a reveal that does not open its commitment"),
    "16.11": (2, "was revealed, of kind 1 over 1 candidates"),
    "17.1": (34, "a chunk of a proof for a submission that is missing"),
    "17.2": (37, "a challenge of a submission that names no proof"),
    "17.3": (0, "money is still set aside for it"),
    "17.4": (0, "a chunk of a proof that is not challenged"),
    "17.5": (0, "a proof of 41 bytes that its submission does not name"),
    "17.6": (1, "chunk 20 of a proof with 800 bytes"),
    "18.1": (0, "the supply is"),
    "18.2": (0, "a trial without the proof on the ledger"),
    "18.3": (0, "a stake or an available balance is out of bounds"),
    "19.1": (28, "a chunk of a list of a node that is convicted, or whose list has failed"),
    "19.2": (11, "before its turn"),
    "19.3": (6, "chunk 0 of a list with 8 bytes for"),
    "19.4": (16, "KeyError"),
    "19.5": (38, "to a node with 0 votes"),
    "19.6": (0, "an opinion of a list is recorded as its opposite"),
    "19.7": (0, "the supply is"),
    "19.8": (0, "AttributeError"),
    "19.9": (0, "a vote on a list of a node that is convicted"),
}
"""By rule of submissions, audits, lists and payouts: a seed whose world shows that the law has lost it, and
what it shows."""


@pytest.mark.parametrize("seed", SLICE)
def test_every_invariant_holds_after_every_block_of_a_random_world(seed: int) -> None:
    text, messages = live(draw_setting(seed))

    assert text is None, f"python -m tests.sim.strangers --rules roundwork-1 --seed {seed} --count 1"
    assert messages


@pytest.mark.parametrize("number", FOUND)
def test_a_law_without_a_rule_is_found(number: str) -> None:
    seed, shown = FOUND[number]

    assert shown in (show_loss(number, ROUNDWORK_1.name, seed) or "")


@pytest.mark.parametrize("number", SHRUNK)
def test_a_world_that_shows_the_loss_of_a_rule_is_shrunk_to_what_the_document_says(number: str) -> None:
    seed, shown = FOUND[number]

    text, *left = shrink_loss(number, ROUNDWORK_1.name, seed)

    assert shown in text
    assert read_table(ROUNDWORK_1.name)[number] == (seed, *left)


def test_every_rule_is_found_and_the_document_says_how_many_worlds_that_takes() -> None:
    table = read_table(ROUNDWORK_1.name)
    worlds = max(seed for seed, _ in FOUND.values()) + 1
    nodes, messages = (max(row[at] for row in table.values()) for at in (1, 2))

    assert list_rules(ROUNDWORK_1.name) == list(FOUND)
    assert list(FOUND) == list(table)
    assert {number: seed for number, (seed, _) in FOUND.items()} == {
        number: row[0] for number, row in table.items()
    }
    assert (
        f"Sections 16 to 19 have {len(FOUND)} rules. For each of them a world within {worlds} seeds" in PAGE
    )
    assert f"at most {nodes} nodes and {messages} messages" in PAGE
