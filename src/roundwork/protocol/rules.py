"""The registry of the rules of docs/PROTOCOL.md: each number with its check."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


class Rule:
    """A numbered rule. `check` raises, or returns the record whose existence it has proved."""

    __slots__ = ("check", "number")

    def __init__(self, number: str, check: Callable[..., Any]) -> None:
        self.number = number
        self.check = check

    @contextmanager
    def out_of_force(self) -> Iterator[None]:
        """Let the law go on without this rule: its check does nothing, wherever it is called from.

        For the tests, which show what each rule is there for. It changes the check itself, so that being
        registered costs a check nothing on its way.
        """
        check = cast(FunctionType, self.check)
        code = check.__code__
        check.__code__ = _do_nothing.__code__
        try:
            yield
        finally:
            check.__code__ = code


def _do_nothing(*_: object, **__: object) -> None:
    pass


RULES: dict[str, Rule] = {}


def rule(number: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Register a check under the number of its rule."""

    def register(check: Callable[P, T]) -> Callable[P, T]:
        assert number not in RULES, f"rule {number} has two checks"
        RULES[number] = Rule(number, check)
        return check

    return register
