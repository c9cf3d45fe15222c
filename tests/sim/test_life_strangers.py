"""Random worlds in which strangers found and end tasks break no invariant, and show a rule that is lost."""

import pytest

from .life_strangers import draw_setting, live
from .losses import PAGE, list_rules, read_table, show_loss, shrink_loss
from .strangers import LIFE

SLICE = range(20)
"""`make soak` lives more."""

SHRUNK = ("4.2", "4.11", "4.13", "4.20", "15.6")
"""The rules whose world is shrunk in each run of the tests; `make losses` shrinks all."""

FOUND = {
    "4.1": (0, "AttributeError"),
    "4.2": (0, "the manager of a task has changed"),
    "4.3": (0, "a task lies at an account that does not belong to the task program"),
    "4.4": (0, "a task with windows of (0, 8, 8) slots"),
    "4.5": (0, "a task starts with 5000 roe; a round pays 5001"),
    "4.6": (0, "a task with a minimum stake of 999 roe"),
    "4.7": (0, "a task under koii-1 with 101 retries"),
    "4.8": (0, "a task under the rule set ''"),
    "4.9": (0, "a task whose locals is not UTF-8"),
    "4.10": (0, "KeyError"),
    "4.11": (2, "a task lies at an account that does not belong to the task program"),
    "4.12": (0, "a task was activated, deactivated, updated or closed without its manager"),
    "4.13": (0, "a stake has grown after the end of its task"),
    "4.14": (0, "a Stake was accepted that moved 0 roe"),
    "4.15": (0, "of a bounty of 0"),
    "4.16": (0, "the allow-listing of a task has changed without the key that genesis names"),
    "4.17": (0, "a withdrawal of a stake of 0 roe was accepted"),
    "4.18": (3, "a stake was withdrawn although its node has a part in round 0"),
    "4.19": (4, "a stake was withdrawn that is locked up to ledger round 4"),
    "4.20": (0, "an available balance was claimed while a payout is worked off"),
    "4.21": (0, "a Claim was accepted that moved 0 roe"),
    "15.1": (0, "TypeError"),
    "15.2": (0, "a task with the task_locals b'rules:roundwork-1 slash:9'"),
    "15.3": (1, "a task under roundwork-1 whose windows an outage can take whole"),
    "15.4": (1, "a task under roundwork-1 with a minimum stake of 4999999 roe"),
    "15.5": (1, "a task under roundwork-1 with 4 retries"),
    "15.6": (1, "a stake of 4999999 roe; the minimum is 5000000"),
    "15.7": (0, "KeyError"),
}
"""By rule of the life of tasks: the first seed whose world shows its loss, and what the world shows."""


@pytest.mark.parametrize("seed", SLICE)
def test_every_invariant_holds_after_every_block_of_a_random_world(seed: int) -> None:
    text, messages = live(draw_setting(seed))

    assert text is None, f"python -m tests.sim.strangers --rules {LIFE} --seed {seed} --count 1"
    assert messages


@pytest.mark.parametrize("number", FOUND)
def test_a_law_without_a_rule_is_found(number: str) -> None:
    seed, shown = FOUND[number]

    assert shown in (show_loss(number, LIFE, seed) or "")


@pytest.mark.parametrize("number", SHRUNK)
def test_a_world_that_shows_the_loss_of_a_rule_is_shrunk_to_what_the_document_says(number: str) -> None:
    seed, _ = FOUND[number]

    _, *left = shrink_loss(number, LIFE, seed)

    assert read_table(LIFE)[number] == (seed, *left)


def test_every_rule_is_found_and_the_document_says_how_many_worlds_that_takes() -> None:
    table = read_table(LIFE)
    worlds = max(seed for seed, _ in FOUND.values()) + 1
    nodes, messages = (max(row[at] for row in table.values()) for at in (1, 2))

    assert list_rules(LIFE) == list(FOUND)
    assert {number: seed for number, (seed, _) in FOUND.items()} == {
        number: row[0] for number, row in table.items()
    }
    assert (
        f"Sections 4 and 15 have {len(FOUND)} rules. For each of them a world within {worlds} seeds" in PAGE
    )
    assert f"reduced, it has at most {nodes} nodes and {messages} messages" in PAGE
