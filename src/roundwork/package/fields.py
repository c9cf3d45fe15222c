"""How single fields of a configuration are read: each raises ValueError that says what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from ..protocol.params import KOII, MONEY_MAX, key_of

Parse = Callable[[Any], Any]
"""A value as it is used. Raises ValueError: "must be …"."""

MIB = 1024 * 1024
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|[KMGT]i?B)", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}


def suggest(name: Any, known: Iterable[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, 1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def show(value: Any) -> str:
    """A value as it stands in the file, cut short."""
    return str(value) if isinstance(value, Decimal) else f"{value!r:.200}"


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
            raise ValueError(f"must be {allowed} of 1 to {bytes_max} bytes")
        return value

    return parse


def integer(least: int, most: int = 2**63 - 1, unit: str = "") -> Parse:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            bound = f"of at least {least}" if most == 2**63 - 1 else f"from {least} to {most}"
            raise ValueError(f"must be an integer {bound}{unit}")
        return value

    return parse


def money(least: Decimal, allowed: str) -> Parse:
    """KOII in the file, roe in memory, exactly."""

    def parse(value: Any) -> int:
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        roe = Decimal(value) * KOII if is_number else None
        if roe is None or roe != roe.to_integral_value() or value < least or roe > MONEY_MAX:
            raise ValueError(f"must be a number of KOII, {allowed}, with at most 9 decimals")
        return int(roe)

    return parse


def number(least: str, most: str, unit: str) -> Parse:
    def parse(value: Any) -> Decimal:
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        if not is_number or not Decimal(least) <= value <= Decimal(most):
            raise ValueError(f"must be a number from {least} to {most} {unit}")
        return Decimal(value)

    return parse


def choice(*allowed: str) -> Parse:
    def parse(value: Any) -> str:
        if value not in allowed or not isinstance(value, str):
            raise ValueError(f"must be one of {', '.join(allowed)}{suggest(value, allowed)}")
        return value

    return parse


def parse_url(value: Any) -> str:
    if not isinstance(value, str) or urlsplit(value).scheme not in ("http", "https") or " " in value:
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
        return tuple(parse(item) for item in value)

    return parse_list


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
