"""Inputs that are almost right: bytes and JSON, changed as a seeded generator says."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

FLIPS = (0x01, 0x80, 0xFF)
"""What one byte is combined with, by exclusive or."""

PIECES = (
    b"", b"\0", b"\n", b"\r\n", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x80\xae",
    b"\xef\xbb\xbf", b'"', b"\\", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":", b"null", b"-",
    b"1e999", b"NaN", b"[" * 50, b'{"a":' * 50, b"9" * 30, b" " * 200, b"\x1b[2J",
)  # fmt: skip
"""Bytes that decoders often stumble over."""

NESTED, DEEP, LONG, LARGE, NOT_A_NUMBER, DOUBLED = (
    "@nested@",
    "@deep@",
    "@long@",
    "@large@",
    "@nan@",
    "@two@",
)
TOKENS = {
    f'"{NESTED}"': "[" * 200 + "]" * 200,
    f'"{DEEP}"': "[" * 5_000 + "]" * 5_000,
    f'"{LONG}"': '"' + "a" * 20_000 + '"',
    f'"{LARGE}"': "9" * 400,
    f'"{NOT_A_NUMBER}"': "NaN",
    f'"{DOUBLED}"': '{"a":1,"a":2}',
}
"""Words that stand for JSON that json.dumps does not write, and that JSON."""

NUMBERS = (
    0, 1, -1, 2, 3, 255, 256, 65_535, 65_536, 99_999, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63,
    2**64 - 1, 2**64, 10**30, -(2**63), 0.5, -0.0, 1e308, 5e-324,
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "a", "0", "-1", "null", "\ud800", "\udfff\ud800", "\u202e\u2066", "\u2028", "\x1b[31m",
    "é" * 40, "😀", "../../etc/passwd", "__init__", "__class__", "x" * 300, "1" * 44, "1" * 88, "0OIl",
    "AA==", "{address}", "{task}", "{signature}", "finalized", "base64", "jsonParsed", *TOKENS,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    *NUMBERS,
    *TEXTS,
    *map(str, NUMBERS),
    [],
    {},
    [[]],
    [{}],
    {"": 0},
)


def bend_bytes(random: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """The bytes after one to three changes; `others` lend their parts."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        raw = random.choice(_BYTE_CHANGES)(random, raw, others)
    return raw


def bend_value(random: Random, value: Any, others: Sequence[Any]) -> Any:
    """A JSON value with one to three places changed; `others` lend their values."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _change_value(random, value, others, depth=0)
    return value


def bend_leaf(random: Random, value: Any) -> Any:
    """A JSON value of the same shape: one text or number in it is another, so that checks of types pass."""
    match value:
        case dict() if value:
            name = random.choice(list(value))
            return {**value, name: bend_leaf(random, value[name])}
        case list() if value:
            at = random.randrange(len(value))
            return [*value[:at], bend_leaf(random, value[at]), *value[at + 1 :]]
        case bool():
            return not value
        case int():
            return random.choice((value + 1, value - 1, *(each for each in NUMBERS if type(each) is int)))
        case str() if random.random() < 0.6:
            return bend_bytes(
                random, value.encode("utf-8", "replace"), [b"/", b"..", b"@", b"#", b":1"]
            ).decode("utf-8", "replace")
        case str():
            return random.choice(TEXTS)
        case _:
            return random.choice(VALUES)


def write(random: Random, value: Any) -> bytes:
    """A JSON value as bytes, with what stands for odd JSON in it replaced."""
    text = json.dumps(value, ensure_ascii=random.random() < 0.8)
    for token, odd in TOKENS.items():
        text = text.replace(token, odd)
    return text.encode("utf-8", "surrogatepass")


def bend_json(random: Random, value: Any, others: Sequence[Any]) -> bytes:
    """JSON that is almost this value: mostly its shape is changed, else its bytes."""
    if random.random() < 0.75:
        value = bend_value(random, value, others)
        if random.random() < 0.85:
            return write(random, value)
    return bend_bytes(random, write(random, value), [write(random, random.choice(others))])


# Bytes


def _pick_range(random: Random, raw: bytes) -> tuple[int, int]:
    start = random.randrange(len(raw) + 1)
    longest = random.choice((1, 4, 32, len(raw)))
    return start, min(len(raw), start + random.randrange(longest + 1))


def _flip(random: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    if not raw:
        return b"\0"
    changed = bytearray(raw)
    for _ in range(random.choice((1, 1, 2, 8))):
        changed[random.randrange(len(changed))] ^= random.choice((*FLIPS, 1 << random.randrange(8)))
    return bytes(changed)


def _cut(random: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _pick_range(random, raw)
    return random.choice((raw[:start], raw[start:], raw[:start] + raw[end:]))


def _swap(random: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others) if others and random.random() < 0.6 else raw
    (start, end), (first, last) = _pick_range(random, raw), _pick_range(random, other)
    return raw[:start] + other[first:last] + raw[end:]


def _insert(random: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _pick_range(random, raw)
    piece = random.choice(PIECES) if random.random() < 0.8 else random.randbytes(random.randrange(40))
    return raw[:start] + piece + raw[random.choice((start, end)) :]


def _repeat(random: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _pick_range(random, raw)
    return raw[:end] + raw[start:end] * random.choice((1, 2, 20)) + raw[end:]


_BYTE_CHANGES: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip,
    _flip,
    _cut,
    _swap,
    _insert,
    _repeat,
)

# JSON


def _choose(random: Random, others: Sequence[Any]) -> Any:
    if others and random.random() < 0.3:
        value = random.choice(others)
        while isinstance(value, dict | list) and value and random.random() < 0.7:
            value = random.choice(list(value.values()) if isinstance(value, dict) else value)
        return value
    return random.choice(VALUES)


def _change_value(random: Random, value: Any, others: Sequence[Any], depth: int) -> Any:
    if isinstance(value, dict | list) and value and random.random() < (0.95 if depth == 0 else 0.7):
        return _change_inside(random, value, others, depth)
    match random.randrange(8):
        case 0:
            return [value]
        case 1:
            return {random.choice(TEXTS): value}
        case 2 if isinstance(value, str):
            return bend_bytes(random, value.encode("utf-8", "replace"), ()).decode("latin-1")
        case 3 if isinstance(value, int):
            return value + random.choice((-1, 1, 2**32, 2**63, -value * 2))
        case 4:
            return [value] * random.choice((0, 2, 50))
        case _:
            return _choose(random, others)


def _change_inside(random: Random, value: Any, others: Sequence[Any], depth: int) -> Any:
    """A container with something in it changed, taken out, doubled or put in."""
    pairs: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    at = random.randrange(len(pairs))
    name, inner = pairs[at]
    match random.randrange(10):
        case 0:
            del pairs[at]
        case 1:
            pairs.append((random.choice(TEXTS), _choose(random, others)))
        case 2:
            pairs[at] = (random.choice(TEXTS), inner)
        case 3:
            other = random.randrange(len(pairs))
            pairs[at], pairs[other] = (name, pairs[other][1]), (pairs[other][0], inner)
        case _:
            pairs[at] = (name, _change_value(random, inner, others, depth + 1))
    return dict(pairs) if isinstance(value, dict) else [inner for _, inner in pairs]
