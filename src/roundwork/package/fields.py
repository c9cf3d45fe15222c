"""How single fields of a configuration are read: each raises ValueError with what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..protocol.params import KOII, MONEY_MAX, key_of

Parse = Callable[[Any], Any]
"""A value as it is used. Raises ValueError: "must be …"."""

MIB = 1024 * 1024
NAME_BYTES_MAX = 255


class WrongEntry(ValueError):
    """An entry of a list cannot be used; the text has its place, its value and what is allowed."""


_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|[KMGT]i?B)", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s/]\S*", re.IGNORECASE)
_BARE_URL = re.compile(r"([\w-]+@)?[\w-]+(\.[\w-]+)+([:/]\S*)?")
"""A URL whose scheme is left out: "github.com/name/task", "git@github.com:name/task.git"."""
_UNITS = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}


def suggest(name: Any, known: Iterable[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, 1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def suggest_given(missing: str, given: Iterable[Any]) -> str:
    """The unknown name that may be meant for a field that is missing."""
    by_lower = {str(name).lower(): name for name in given}
    near = difflib.get_close_matches(missing.lower(), by_lower, 1)
    return f"; there is {by_lower[near[0]]}: did you mean {missing}?" if near else ""


def suggest_file(path: Path) -> str:
    """A file that may be meant for one that is missing: often its name differs in case alone."""
    for above, below in zip(reversed(path.parents), [*reversed(path.parents), path][1:], strict=True):
        if above.is_dir() and not below.exists():
            near = difflib.get_close_matches(below.name.lower(), names := _list_names(above), 1, 0.8)
            return f"; there is {above / names[near[0]]}: did you mean that?" if near else ""
    return ""


def _list_names(folder: Path) -> dict[str, str]:
    return {each.name.lower(): each.name for each in folder.iterdir()}


def show(value: Any) -> str:
    """A value as it stands in the file, cut short."""
    match value:
        case bool():
            return f"{value}".lower()
        case Decimal() | date():
            return str(value)
        case dict():
            shown = ", ".join(f"{show(name)}: {show(each)}" for name, each in value.items())
            return f"{{{shown}}}"[:200]
        case _:
            return f"{value!r:.200}"


def parse_size(value: Any) -> int:
    """Bytes of a size, "512 MB" or an integer. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a size, "512 MB" or "2 GB"')
    return int(Decimal(match[1]) * _UNITS[match[2].lower().replace("i", "")])


def text(bytes_max: int, allowed: str = "text") -> Parse:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value.encode()) <= bytes_max:
            quotes = "; put it in quotes" if isinstance(value, bool | int | Decimal | date) else ""
            raise ValueError(f"must be {allowed} of 1 to {bytes_max} bytes{quotes}")
        return value

    return parse


def path(bytes_max: int) -> Parse:
    """A path that every file system takes: no name in it is too long or has a zero byte."""
    parse_text = text(bytes_max, "a path")

    def parse(value: Any) -> str:
        named: str = parse_text(value)
        if "\0" in named or any(len(part.encode()) > NAME_BYTES_MAX for part in named.split("/")):
            raise ValueError(f"must be a path of names of at most {NAME_BYTES_MAX} bytes, without zero bytes")
        return named

    return parse


def integer(least: int, most: int = 2**63 - 1, unit: str = "") -> Parse:
    def parse(value: Any) -> int:
        # 600.0 is whole, too.
        is_whole = _is_number(value) and value == int(value)
        if not is_whole or not least <= value <= most:
            bound = f"of at least {least}" if most == 2**63 - 1 else f"from {least} to {most}"
            raise ValueError(f"must be an integer {bound}{unit}{_find_quotes(value)}")
        return int(value)

    return parse


def money(least: Decimal, allowed: str) -> Parse:
    """KOII in the file, roe in memory, exactly."""

    def parse(value: Any) -> int:
        roe = Decimal(value) * KOII if _is_number(value) else None
        if roe is None or roe != roe.to_integral_value() or value < least or roe > MONEY_MAX:
            raise ValueError(
                f"must be a number of KOII, {allowed}, with at most 9 decimals{_find_quotes(value)}"
            )
        return int(roe)

    return parse


def quantity(least: str, most: str, unit: str) -> Parse:
    def parse(value: Any) -> Decimal:
        if not _is_number(value) or not Decimal(least) <= value <= Decimal(most):
            raise ValueError(f"must be a number from {least} to {most} {unit}{_find_quotes(value)}")
        return Decimal(value)

    return parse


def choice(*allowed: str) -> Parse:
    def parse(value: Any) -> str:
        if value not in allowed or not isinstance(value, str):
            raise ValueError(f"must be one of {', '.join(allowed)}{suggest(value, allowed)}")
        return value

    return parse


def parse_url(value: Any) -> str:
    """A URL; one without a scheme is let through, for a warning. Raises ValueError."""
    if not isinstance(value, str) or not (_URL.fullmatch(value) or _BARE_URL.fullmatch(value)):
        raise ValueError("must be a URL, https://…")
    return value


def parse_address(value: Any) -> str:
    try:
        key_of(value)
    except (TypeError, ValueError, AttributeError):
        raise ValueError("must be an address: 32 bytes in base58") from None
    return str(value)


def list_of(parse: Parse, what: str) -> Parse:
    def parse_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list of {what}")
        parsed = []
        for index, item in enumerate(value, 1):
            try:
                parsed.append(parse(item))
            except ValueError as error:
                raise WrongEntry(f"entry {index}: {show(item)} {error}") from error
        return tuple(parsed)

    return parse_list


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _find_quotes(value: Any) -> str:
    """How to write a number that stands as text in the file."""
    form = "write it in digits, with at most one point between digits"
    return f"; {form}, without quotes" if isinstance(value, str) and value[:1].isdecimal() else ""


def to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): to_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"must have values that JSON has: text, numbers, lists, fields; not {value!r}")
