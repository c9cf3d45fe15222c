"""Strategies of an author's own file: what is wrong with them is named, and the examples of the docs play."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from roundwork.cli.attack import Desk
from roundwork.errors import BadTaskFile, StrategyFailed
from roundwork.sealed_strategies import SealedStrategy
from roundwork.sim.strategy_files import ANSWERS
from roundwork.strategies import Strategy

TEXT = (Path(__file__).parents[2] / "docs" / "ECONOMICS.md").read_text()
BASES: dict[str, type[Any]] = {"koii-1": Strategy, "roundwork-1": SealedStrategy}
IMPORTS = {
    "koii-1": "from roundwork.strategies import Strategy as Base, LazyWorker as BuiltIn\n",
    "roundwork-1": "from roundwork.sealed_strategies import SealedStrategy as Base\n"
    "from roundwork.sealed_strategies.submissions import LazyWorker as BuiltIn\n",
}
DECISIONS = [(rules, method) for rules, base in BASES.items() for method in ANSWERS if hasattr(base, method)]


def list_decisions(base: type[Any]) -> list[str]:
    return [name for name, value in vars(base).items() if inspect.isfunction(value) and name[0] != "_"]


def open_desk(tmp_path: Path, rules: str, program: str) -> Desk:
    path = tmp_path / "own.py"
    path.write_text(program)
    return Desk(None, {}, path, rules, None)


def play(desk: Desk, name: str) -> int:
    """How often the coalition deviated in a small world."""
    [trial] = desk.list_trials((name,), (8,), (25,), (), (), rounds=2)
    return desk.run(trial, 0).acted


@pytest.mark.parametrize("rules", BASES)
def test_the_example_of_the_docs_is_played_and_deviates(tmp_path: Path, rules: str) -> None:
    found = re.search(rf"<!-- a strategy of {rules} -->\n```python\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None

    desk = open_desk(tmp_path, rules, found[1])

    name = {"koii-1": "boaster", "roundwork-1": "every-second"}[rules]
    assert len(found[1].strip().splitlines()) <= 12
    assert play(desk, name) > 0


@pytest.mark.parametrize("rules", BASES)
def test_the_docs_list_every_decision_with_its_parameters(rules: str) -> None:
    base = BASES[rules]
    table = TEXT.split(f"| decision of `{base.__name__}` |")[1].split("\n\n")[0]

    expected = [
        f"{name}({', '.join([*inspect.signature(getattr(base, name)).parameters][1:])})"
        for name in list_decisions(base)
    ]

    assert expected == re.findall(r"^\| `(\w+\(.*?\))` \|", table, re.MULTILINE)
    assert set(list_decisions(base)) <= ANSWERS.keys()


@pytest.mark.parametrize("rules", BASES)
@pytest.mark.parametrize("parent", ["Base", "BuiltIn"])
def test_a_class_without_a_name_is_called_as_the_class(tmp_path: Path, rules: str, parent: str) -> None:
    desk = open_desk(tmp_path, rules, f"{IMPORTS[rules]}class FastLiar2Go({parent}):\n    pass\n")

    assert "fast-liar2-go" == desk.game.strategies["fast-liar2-go"].name
    assert "lazy-worker" == desk.game.strategies["lazy-worker"].name


@pytest.mark.parametrize("rules", BASES)
@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("class A(Base):\n    name = 'lie'\n", "class A: there is a strategy 'lie' already"),
        ("class A(Base):\n    name = 'honest'\n", "class A: there is a strategy 'honest' already"),
        ("class A(Base):\n    name = 3\n", "class A: name is 3; it must be text"),
        ("class A(Base):\n    name = ''\n", "class A: name is ''; it must be text"),
        (
            "class A(Base):\n    def __init__(self, me):\n        pass\n",
            "strategy a cannot be made: TypeError",
        ),
        ("raise SystemExit(3)\n", r"cannot be run: SystemExit: 3 \(own\.py, line \d\)"),
        ("x = 1 / 0\n", r"cannot be run: ZeroDivisionError: .* \(own\.py, line \d\)"),
        ("x = 1\n", "defines no subclass of roundwork"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, rules: str, program: str, words: str) -> None:
    with pytest.raises(BadTaskFile, match=rf"own\.py.*{words}"):
        open_desk(tmp_path, rules, IMPORTS[rules] + program)


@pytest.mark.parametrize(("rules", "other"), [("koii-1", "roundwork-1"), ("roundwork-1", "koii-1")])
def test_a_strategy_against_the_other_rules_is_named(tmp_path: Path, rules: str, other: str) -> None:
    with pytest.raises(BadTaskFile, match=r"; A is a subclass of roundwork\..*, which other rules play"):
        open_desk(tmp_path, rules, f"{IMPORTS[other]}class A(Base):\n    pass\n")


@pytest.mark.parametrize(("rules", "method"), DECISIONS)
def test_what_a_decision_raises_names_its_line(tmp_path: Path, rules: str, method: str) -> None:
    program = f"{IMPORTS[rules]}class A(Base):\n    def {method}(self, *given):\n        return 1 / 0\n"
    line = program.splitlines().index("        return 1 / 0") + 1
    desk = open_desk(tmp_path, rules, program)

    with pytest.raises(
        StrategyFailed, match=rf"own\.py: strategy a, {method}, line {line}: ZeroDivisionError"
    ):
        play(desk, "a")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("(self, *given): return 3.5", r": it returned 3\.5; it must return "),
        ("(self, *given): return ['a']", r": it returned \['a'\]; it must return "),
        (r"(self, *given): return '\ud800'", r": it returned '\\ud800'; it must return "),
        ("(self): return None", r", line \d+: TypeError: .*\(\) takes 1 positional argument"),
    ],
)
@pytest.mark.parametrize(("rules", "method"), DECISIONS)
def test_a_decision_that_returns_or_takes_something_else_is_named(
    tmp_path: Path, rules: str, method: str, body: str, told: str
) -> None:
    desk = open_desk(tmp_path, rules, f"{IMPORTS[rules]}class A(Base):\n    def {method}{body}\n")

    with pytest.raises(StrategyFailed, match=f"strategy a, {method}{told}"):
        play(desk, "a")
