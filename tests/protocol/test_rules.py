"""Every numbered rule refuses what it is there for, and would be missed."""

import re
from pathlib import Path

import pytest

from roundwork.protocol.rules import RULES

from . import scenes  # noqa: F401 # imports the cases of every rule
from .registry import CASES


@pytest.mark.parametrize("number", sorted(RULES, key=lambda n: [int(part) for part in str(n).split(".")]))
def test_a_rule_refuses_what_it_is_there_for(number: str) -> None:
    CASES[number]()


@pytest.mark.parametrize("number", sorted(RULES, key=lambda n: [int(part) for part in str(n).split(".")]))
def test_without_the_rule_its_test_fails(number: str) -> None:
    def case() -> bool:
        try:
            CASES[number]()
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 # however the law breaks, it breaks
            return False
        return True

    with RULES[number].out_of_force():
        assert not case()


def test_rules_are_numbered_alike_in_the_law_the_text_and_the_tests() -> None:
    text = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()

    written = re.findall(r"^- (\d+\.\d+) ", text, re.MULTILINE)

    assert len(written) == len(set(written))
    assert set(RULES) == set(CASES) == set(written)
