"""The registry of what the law may refuse: every numbered rule of docs/PROTOCOL.md and its check.

A check is called through its entry, so that a test can take one rule out of force and see what breaks.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")


class Rule:
    """One numbered rule. `check` raises, or returns nothing."""

    __slots__ = ("check", "number")

    def __init__(self, number: str, check: Callable[..., None]) -> None:
        self.number = number
        self.check = check


RULES: dict[str, Rule] = {}


def rule(number: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Register a check under the number of its rule."""

    def register(check: Callable[P, None]) -> Callable[P, None]:
        assert number not in RULES, f"rule {number} has two checks"
        entry = RULES[number] = Rule(number, check)

        @wraps(check)
        def enforce(*args: P.args, **kwargs: P.kwargs) -> None:
            entry.check(*args, **kwargs)

        return enforce

    return register
