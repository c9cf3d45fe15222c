"""What processes and people exchange: every decoder of outside bytes, base58, base64, amounts, texts.

Files, frames, bodies and answers are decoded here and nowhere else; `tests/test_decoders.py` holds that.
A `decode_` function raises Malformed, or WrongShape for a wrong shape, and no other error for any bytes.
"""

import re
import sys
from binascii import a2b_base64
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar, overload

import based58
import msgspec
from solders.pubkey import Pubkey
from solders.signature import Signature

from .errors import Malformed, WrongShape

if TYPE_CHECKING:
    from yaml import SafeLoader

Json = dict[str, Any]
T = TypeVar("T")

DEPTH_MAX = 128
"""Arrays and objects within one another; serde_json, and with it Solana's nodes, has this bound too. It is
far below what exhausts a stack: what is decoded can also be encoded, compared and printed."""

JSON_BYTES_MAX = 64 * 1024 * 1024
"""The most that any caller takes. Callers bound their input before, where it comes in."""

BASE58_CHARACTERS_MAX = 24 * 1024
"""Base58 takes time by the square of its length: 0.1 s for this many characters."""

CONTAINERS_MAX = 1_000_000
"""Arrays and objects in all. Each takes two bytes of JSON, and many times that in memory."""

PIECE_BYTES = 512 * 1024
"""JSON is looked through in pieces of this size, so that other threads have their turn."""

_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""1 level down, or -1 as a signed byte."""

_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


@overload
def decode_json(raw: bytes | str | msgspec.Raw) -> Any: ...
@overload
def decode_json(raw: bytes | str | msgspec.Raw, kind: type[T]) -> T: ...
@overload
def decode_json(raw: bytes | str | msgspec.Raw, kind: Any) -> Any: ...
def decode_json(raw: bytes | str | msgspec.Raw, kind: Any = Any) -> Any:
    """JSON as a value of type `kind`. Raises Malformed and, for a wrong type or range, WrongShape.

    Of a name that an object has twice the last value counts, as in Python and JavaScript.
    """
    body = _take_bytes(raw, JSON_BYTES_MAX)
    _check_containers(body)
    return _decode(lambda: _get_json_decoder(kind).decode(body), "JSON")


def split_json(raw: bytes) -> list[msgspec.Raw]:
    """The values of a JSON array, to be decoded one by one. Raises Malformed, WrongShape."""
    body = _take_bytes(raw, JSON_BYTES_MAX)
    values: list[msgspec.Raw] = _decode(lambda: _get_json_decoder(list[msgspec.Raw]).decode(body), "JSON")
    return values


def decode_msgpack(raw: bytes, kind: Any) -> Any:
    """MessagePack as a value of type `kind`. Raises Malformed and, for a wrong type or range, WrongShape."""
    if not isinstance(raw, bytes):  # a damaged row of a file may have a number in this place
        raise Malformed(f"not MessagePack: {type(raw).__name__}")
    return _decode(lambda: _get_msgpack_decoder(kind).decode(raw), "MessagePack")


def decode_zstd(raw: bytes, bytes_max: int) -> bytes:
    """The bytes that were compressed, at most `bytes_max`. Raises Malformed."""
    import zstandard

    try:
        with zstandard.ZstdDecompressor().stream_reader(raw) as reader:
            data = reader.read(bytes_max + 1)
    except zstandard.ZstdError as error:
        raise Malformed(f"not zstd: {error}") from error
    if len(data) > bytes_max:
        raise Malformed(f"more than {bytes_max} bytes were compressed")
    return data


def make_msgpack_decoder(kind: Any) -> Callable[[bytes], Any]:
    """`decode_msgpack` of one type, for many values."""
    decoder = _get_msgpack_decoder(kind)

    def decode(raw: bytes) -> Any:
        try:
            return decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
            return decode_msgpack(raw, kind)  # which names the error

    return decode


def convert(value: Any, kind: Any) -> Any:
    """Decoded JSON as a value of type `kind`. Raises WrongShape."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise WrongShape(str(error)) from error


def decode_text(raw: bytes) -> str:
    """UTF-8 as text. Raises Malformed."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"byte {error.start} is not UTF-8: {error.reason}") from error


def decode_toml(raw: bytes, bytes_max: int) -> dict[str, Any]:
    """TOML of at most `bytes_max` bytes. Raises Malformed."""
    import tomllib

    text = decode_text(_take_bytes(raw, bytes_max))
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError is a ValueError
        raise Malformed(f"not TOML: {error}") from error


def decode_yaml(raw: bytes, loader: "type[SafeLoader]", bytes_max: int) -> Any:
    """YAML of at most `bytes_max` bytes. Raises Malformed."""
    import yaml

    text = decode_text(_take_bytes(raw, bytes_max))
    try:
        value = yaml.load(text, loader)
        _check_texts(value)
    except yaml.YAMLError as error:
        raise Malformed(f"not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        # PyYAML passes on what its converters raise: KeyError for `!!bool x`, IndexError for `!!int ""`.
        raise Malformed(f"not YAML: {type(error).__name__} {error}") from error
    return value


def _take_bytes(raw: bytes | str | msgspec.Raw, bytes_max: int) -> bytes:
    """UTF-8 of at most `bytes_max` bytes. msgspec does not check the UTF-8 of the fields that it skips."""
    if isinstance(raw, str):
        try:
            raw = raw.encode()
        except UnicodeEncodeError as error:
            raise Malformed(f"character {error.start} is not Unicode text: {error.reason}") from error
    body = bytes(raw)
    if len(body) > bytes_max:
        raise Malformed(f"{len(body)} bytes are too many; {bytes_max} are allowed")
    if not body.isascii():
        decode_text(body)
    return body


def _check_containers(body: bytes) -> None:
    """Raises Malformed for JSON that has more than CONTAINERS_MAX containers or DEPTH_MAX levels.

    A bracket in a text counts as a container, but not as a level.
    """
    containers = body.count(b"[") + body.count(b"{")
    if containers <= DEPTH_MAX:
        return
    if containers > CONTAINERS_MAX:
        raise Malformed(f"{containers} arrays and objects are too many; {CONTAINERS_MAX} are allowed")
    depth = measure_depth(body)
    if depth > DEPTH_MAX:
        raise Malformed(f"{depth} levels are too many; {DEPTH_MAX} are allowed")


def measure_depth(body: bytes, piece_bytes: int = PIECE_BYTES) -> int:
    """The most levels of arrays and objects that JSON has at a place. What stands in texts does not count."""
    depth = deepest = 0
    is_text, rest = False, b""
    for start in range(0, len(body), piece_bytes):
        piece = (rest + body[start : start + piece_bytes]).replace(b"\\\\", b"")
        rest = b"\\" if piece.endswith(b"\\") else b""  # it belongs to the next character
        # Two quotes in a row go together: what stands in texts still does so.
        structure = piece.replace(b'\\"', b"").translate(_STEPS, _NOT_STRUCTURE).replace(b'""', b"")
        parts = structure.split(b'"')
        steps = memoryview(b"".join(parts[int(is_text) :: 2])).cast("b")
        deepest = max(deepest, depth + max(accumulate(steps), default=0))
        depth += sum(steps)
        is_text ^= len(parts) % 2 == 0
    return deepest


def _check_texts(value: Any) -> None:
    """Raises UnicodeEncodeError for half of a surrogate pair, which an escape in YAML can make."""
    pending, seen = [value], set()
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            part.encode()
        elif isinstance(part, list | tuple | set | dict) and id(part) not in seen:
            seen.add(id(part))  # an alias may lead back to it
            pending += part
            pending += part.values() if isinstance(part, dict) else ()


def _decode(decode: Callable[[], Any], language: str) -> Any:
    try:
        return decode()
    except msgspec.ValidationError as error:
        raise WrongShape(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not {language}: {error}") from error


@lru_cache(maxsize=256)
def _get_json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@lru_cache(maxsize=256)
def _get_msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


COIN_DECIMALS = 9
"""The digits behind the point of a coin: a roe is its smallest part."""

_COINS = re.compile(r"([0-9]+(?:\.[0-9]+)?) *koii", re.IGNORECASE)
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,30})(?:\.([0-9]{1,30}))?")


def read_amount(text: str, decimals: int) -> int:
    """An amount that a person wrote, in the smallest unit; a whole unit is 10^decimals of it.

    Digits, and at most one point with digits on both sides. A comma, a leading zero or an exponent can be
    read in two ways. Raises ValueError, which says how to write the amount.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        form = 'digits with at most one point between them, "1500" or "2.5"' if decimals else 'digits, "1500"'
        raise ValueError(f"{text!r:.60} is not an amount: write {form}")
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        most = f"at most {decimals} digits behind the point" if decimals else "a whole number"
        raise ValueError(f"{text!r:.60} is too fine an amount: write {most}")
    return int(match[1] + fraction.ljust(decimals, "0"))


def read_roe(text: str) -> int:
    """Native money that a person wrote, in roe: digits of roe, or coins with their name, `2.5koii`.

    Raises ValueError, which says how to write it.
    """
    coins = _COINS.fullmatch(text)
    if coins is None and not (text.isascii() and text.isdecimal()):
        raise ValueError(
            f"{text!r:.60} is not an amount: write roe in digits, 1500, or KOII with at most one point"
            " between digits, 2.5koii"
        )
    return read_amount(text, 0) if coins is None else read_amount(coins[1], COIN_DECIMALS)


def format_count(count: int, noun: str) -> str:
    """A count with its noun, whose plural ends with s: "1 node", "1,200 nodes"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_money(roe: int, symbol: str = "KOII", decimals: int = 9) -> str:
    """Roe as coins, exactly."""
    whole, part = divmod(abs(roe), 10**decimals)
    digits = f"{part:0{decimals}}".rstrip("0") if part else ""
    return f"{'-' if roe < 0 else ''}{whole:,}{'.' if digits else ''}{digits} {symbol}"


def format_stake(amount: int, mint: str | None) -> str:
    """An amount of what a task is staked in, for a node's log. It does not know the decimals of a token."""
    return format_money(amount) if mint is None else f"{amount:,} of the token's smallest unit"


def describe_amount(amount: int, decimals: int) -> Json:
    """An amount of a token in its smallest unit, as clients show it."""
    whole, part = divmod(amount, 10**decimals)
    text = f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals if decimals < 20 else None,
        "uiAmountString": text,
    }


def share_text(text: str) -> str:
    """The same object for equal texts, such as addresses, which the views of a large task repeat."""
    return sys.intern(text)


def read_text(raw: bytes) -> str:
    """Bytes as text. Bytes that are not UTF-8 become U+FFFD."""
    return raw.decode("utf-8", "replace")


def base58_encode(raw: bytes) -> str:
    """Base58 of any length."""
    match len(raw):
        case 64:
            return str(Signature(raw))  # ten times as fast
        case 32:
            return str(Pubkey(raw))
        case _:
            encoded: bytes = based58.b58encode(raw)
            return encoded.decode()


def base58_decode(text: str) -> bytes:
    """The bytes of a base58 text of at most BASE58_CHARACTERS_MAX. Raises ValueError."""
    if len(text) > BASE58_CHARACTERS_MAX:
        raise ValueError(f"{len(text)} characters are too many; {BASE58_CHARACTERS_MAX} are allowed")
    raw: bytes = based58.b58decode(text.encode())
    return raw


def base64_decode(text: str) -> bytes:
    """The bytes of a base64 text. Raises ValueError if it holds anything else."""
    return a2b_base64(text, strict_mode=True)  # three times as fast as b64decode with validate=True
