"""Slashes that a main.js computes with fractions, found in its text.

Amounts are integers of roe. 0.7 times a stake is an integer for one stake of ten only, and programs round the
rest in different ways, so nodes disagree on the list. A liar can choose such a stake.
"""

from __future__ import annotations

import re

NEAR_CHARACTERS = 1500
"""How far from the word "stake" a multiplication may be to concern a stake: names are short in bundles."""

TEXT_CHARACTERS = 10_000_000

_FRACTION = r"(?<![\w.$])0?\.\d+(?![\w.])"
_NAMED = re.compile(rf"([A-Za-z_$][\w$]*)\s*[=:]\s*{_FRACTION}")
"""A constant, such as `SLASH_PERCENT = 0.7`."""

_NAMES_OF_PARTS = re.compile(r"slash|penalt", re.IGNORECASE)
_STAKE = re.compile(r"stake", re.IGNORECASE)


def find_fractional_slashes(source: str) -> list[str]:
    """The multiplications of a JavaScript program that seem to take a fraction of a stake, as it has them.

    A multiplication counts if it stands near the word "stake" and one factor is a fraction below 1, or a
    constant named after slashes or penalties that is such a fraction. The first TEXT_CHARACTERS are read.
    """
    source = source[:TEXT_CHARACTERS]
    names = {match[1] for match in _NAMED.finditer(source) if _NAMES_OF_PARTS.search(match[1])}
    factor = "|".join(
        [_FRACTION, *(rf"(?:[\w$]+\.)*(?<![\w$]){re.escape(name)}(?![\w$])" for name in sorted(names))]
    )
    operand = r"[\w$.\[\]()\"']{1,80}"
    product = re.compile(rf"{operand}\s*\*\s*(?:{factor})|(?:{factor})\s*\*\s*{operand}")
    stakes = [match.start() for match in _STAKE.finditer(source)]
    found = []
    for match in product.finditer(source):
        if "Math.random" not in match[0] and _is_near(match.start(), stakes):
            found.append(" ".join(match[0].split()))
    return list(dict.fromkeys(found))


def _is_near(place: int, stakes: list[int]) -> bool:
    return any(abs(place - stake) <= NEAR_CHARACTERS for stake in stakes)
