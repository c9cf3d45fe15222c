"""Distribution functions to take ready-made: which nodes they pay and slash, and what that rewards.

Under roundwork-1 the law slashes at the verdict, by the share that the task's `rules` name. There an amount
below 0 counts as 0, so `slash` has no effect.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from .task import Round, Submitter

    Share = str | int | Fraction
    Distribution = Callable[[Round], dict[str, int]]


def equal_split(slash: Share = "70%") -> Distribution:
    """The bounty in equal parts to all with votes above 0; from the convicted, `slash` of their stake.

    It rewards the number of nodes: one stake split into ten nodes is paid ten times. Use it where the same
    work done twice is worth twice as much, or where identities are scarce; else `by_stake`.
    What does not divide stays in the bounty. `slash` is text ("70%", "7/10") or a Fraction, never a float.
    """
    ratio = parse_share(slash)

    def distribute(round: Round) -> dict[str, int]:
        paid = [each for each in round.submitters if each.votes > 0]
        return {
            **{each.public_key: round.bounty // len(paid) for each in paid},
            **_slash_convicted(round, ratio),
        }

    return distribute


def by_stake(cap: int | None = None, slash: Share = "70%") -> Distribution:
    """The bounty by stake to all with votes above 0; from the convicted, `slash` of their stake.

    Each gets the part of the bounty that its stake is of the stakes of all submitters: splitting a stake
    earns nothing, and no node gains when another is convicted. Stake above `cap` (roe) does not count, so a
    node above the cap gains by splitting. The rest stays in the bounty.
    """
    ratio = parse_share(slash)

    def count(submitter: Submitter) -> int:
        return submitter.stake if cap is None else min(submitter.stake, cap)

    def distribute(round: Round) -> dict[str, int]:
        whole = sum(map(count, round.submitters)) or 1
        paid = [each for each in round.submitters if each.votes > 0]
        return {
            **{each.public_key: round.bounty * count(each) // whole for each in paid},
            **_slash_convicted(round, ratio),
        }

    return distribute


def proportional_split(slash: Share = "70%", cap: int | None = None) -> Distribution:
    """The older name of `by_stake`, with its arguments in another order."""
    return by_stake(cap, slash)


def per_unit(
    price: int, count: Callable[[str], int] | None = None, slash: Share = "70%", stake: int | None = None
) -> Distribution:
    """`price` roe a unit of work to all with votes above 0; from the convicted, `slash` of their stake.

    `count` gives the units of a submission by the text behind its content id; without it that text is the
    number, in digits. What it cannot count is 0 units. All prices are lowered alike if the bounty does not
    reach. Your audit must check the number: a node writes it itself.

    With `stake` (roe), `price` is that of a node with this stake, and other nodes are paid in proportion to
    theirs. So a stake that is split into many nodes earns no more. Without it each node is paid for its work.
    """
    ratio, read = parse_share(slash), count or _read_count
    if type(price) is not int or price < 0:
        raise ValueError(f"{price!r} is not a price: it is a whole number of roe, 0 or more")
    if stake is not None and (type(stake) is not int or stake < 1):
        raise ValueError(f"{stake!r} is not a stake: it is a whole number of roe, 1 or more")

    def count_units(text: str) -> int:
        try:
            return max(0, int(read(text)))
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            return 0

    def distribute(round: Round) -> dict[str, int]:
        paid = [each for each in round.submitters if each.votes > 0]
        units = {each.public_key: count_units(each.text) * (each.stake if stake else 1) for each in paid}
        whole = max(1, sum(units.values()))
        above, below = price, stake or 1  # what a unit is paid
        if stake is None:
            above = min(price, round.bounty // whole)
        elif price * whole > round.bounty * stake:
            above, below = round.bounty, whole
        return {
            **{node: many * above // below for node, many in units.items()},
            **_slash_convicted(round, ratio),
        }

    return distribute


def _read_count(text: str) -> int:
    """A number of digits alone. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ValueError(f"{text!r} is not a number of digits")
    return int(text)


def parse_share(share: Share) -> tuple[int, int]:
    """A share between 0 and 1 as two integers, exactly. Raises TypeError for a float, ValueError."""
    if isinstance(share, str):
        numerator, denominator = _parse_text(share)
    elif hasattr(share, "numerator") and hasattr(share, "denominator"):
        numerator, denominator = share.numerator, share.denominator
    else:
        raise TypeError(f'{share!r} is not exact: write a share as text, "70%", or as a Fraction')
    if denominator <= 0 or not 0 <= numerator <= denominator:
        raise ValueError(f"{share!r} is not a share: it must lie between 0% and 100%")
    return numerator, denominator


def _parse_text(text: str) -> tuple[int, int]:
    if text.endswith("%"):
        numerator, denominator = _parse_decimal(text[:-1], text)
        return numerator, denominator * 100
    if "/" in text:
        above, below = text.split("/", 1)
        return _parse_digits(above, text), _parse_digits(below, text)
    return _parse_decimal(text, text)


def _parse_decimal(digits: str, whole: str) -> tuple[int, int]:
    before, point, after = digits.partition(".")
    if not point:
        return _parse_digits(before, whole), 1
    return _parse_digits(before, whole) * 10 ** len(after) + _parse_digits(after, whole), 10 ** len(after)


def _parse_digits(digits: str, whole: str) -> int:
    """As where amounts are read: digits on both sides of a point, and no comma."""
    digits = digits.strip(" ")
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f'{whole!r} is not a share: write "70%", "7/10" or "0.7"')
    return int(digits)


def _slash_convicted(round: Round, ratio: tuple[int, int]) -> dict[str, int]:
    numerator, denominator = ratio
    return {
        each.public_key: -(each.stake * numerator // denominator)
        for each in round.submitters
        if each.verdict == "convicted"
    }
