"""What processes and people exchange: base58, base64, amounts of money, texts."""

import re
from binascii import a2b_base64
from typing import Any

import based58
from solders.pubkey import Pubkey
from solders.signature import Signature

Json = dict[str, Any]

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


def read_text(raw: bytes) -> str:
    """Bytes as text. Bytes that are not UTF-8 become U+FFFD."""
    return raw.decode(errors="replace")


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
    """The bytes of a base58 text of any length. Raises ValueError."""
    raw: bytes = based58.b58decode(text.encode())
    return raw


def base64_decode(text: str) -> bytes:
    """The bytes of a base64 text. Raises ValueError if it holds anything else."""
    return a2b_base64(text, strict_mode=True)  # three times as fast as b64decode with validate=True
