"""Take each rule of tasks and their rounds out of the law in turn, and shrink the first world that shows it.

It prints a table of docs/FUZZ.md. Run: python -m tests.sim.losses --rules roundwork-1
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from roundwork.protocol.params import KOII_1, ROUNDWORK_1
from roundwork.protocol.rules import RULES
from roundwork.sim.simulation import WorldSetting

from . import life_strangers, sealed_strangers, strangers
from .strangers import LIFE, Live, shrink

PAGE = (Path(__file__).parents[2] / "docs" / "FUZZ.md").read_text()

SEEDS_MAX = 200

SECTIONS = {
    KOII_1.name: ("6", "7", "8", "9"),
    ROUNDWORK_1.name: ("16", "17", "18", "19"),
    LIFE: ("4", "15"),
}
"""The sections of docs/PROTOCOL.md with the rules of submissions, audits, lists and payouts; and those of the
life of tasks."""

Draw = Callable[[int], WorldSetting]

WORLDS: dict[str, tuple[Draw, Live]] = {
    KOII_1.name: (strangers.draw_setting, strangers.live),
    ROUNDWORK_1.name: (sealed_strangers.draw_setting, sealed_strangers.live),
    LIFE: (life_strangers.draw_setting, life_strangers.live),
}


def list_rules(rule_set: str) -> list[str]:
    """The numbers of the rules that such worlds are to show, in the order of the document."""
    numbers = [number for number in RULES if number.split(".")[0] in SECTIONS[rule_set]]
    return sorted(numbers, key=lambda number: [int(part) for part in number.split(".")])


def read_table(rule_set: str) -> dict[str, tuple[int, int, int]]:
    """By rule, from the document: the seed, and how many nodes and messages are left of its world."""
    rows = re.findall(r"^\| (\d+\.\d+) \| (\d+) \| (\d+) \| (\d+) \| .* \|$", PAGE, re.MULTILINE)
    return {
        number: (int(seed), int(nodes), int(messages))
        for number, seed, nodes, messages in rows
        if number.split(".")[0] in SECTIONS[rule_set]
    }


def show_loss(number: str, rule_set: str, seed: int) -> str | None:
    """What a world shows when the law has lost a rule; None if all holds."""
    draw, live = WORLDS[rule_set]
    with RULES[number].out_of_force():
        return live(draw(seed), None)[0]


def shrink_loss(number: str, rule_set: str, seed: int) -> tuple[str, int, int]:
    """What the shrunk world shows, and how many nodes and messages are left of it."""
    draw, live = WORLDS[rule_set]
    with RULES[number].out_of_force():
        small, messages, text = shrink(draw(seed), live)
    return text, len(small.list_present()), len(messages)


def find_seed(number: str, rule_set: str, seeds: range) -> tuple[int, str] | None:
    """The first seed whose world shows that the law has lost a rule, and what it shows."""
    for seed in seeds:
        if (text := show_loss(number, rule_set, seed)) is not None:
            return seed, text
    return None


def list_rows(rule_set: str, numbers: list[str], seeds: range) -> Iterator[str]:
    """The rows of the table: rule, seed, what is left of its world, what shows the loss."""
    for number in numbers:
        found = find_seed(number, rule_set, seeds)
        if found is None:
            yield f"| {number} | none | | | |"
            continue
        text, nodes, messages = shrink_loss(number, rule_set, found[0])
        yield f"| {number} | {found[0]} | {nodes} | {messages} | {text} |"


def main() -> None:
    """Print the table of a rule set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", choices=list(WORLDS), default=ROUNDWORK_1.name)
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="how many worlds for each rule")
    parser.add_argument("--only", nargs="*", help="these rules instead of all")
    options = parser.parse_args()
    print("| rule | seed | nodes | messages | what shows the loss |\n|---|---|---|---|---|")
    numbers = options.only or list_rules(options.rules)
    for row in list_rows(options.rules, numbers, range(options.seeds)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
