"""Signed payloads in the published format: base58 of a 64-byte Ed25519 signature and UTF-8 JSON.

A payload is JSON, so it can never be read as another purpose (purposes.py): a task that gets a payload
signed gets no transfer and no registration signed. Only objects and arrays are signed for Python tasks.
"""

from __future__ import annotations

from typing import Any

import msgspec
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from ...errors import Malformed
from ...purposes import PAYLOAD, Purpose, is_signed, sign
from ...wire import base58_decode, base58_encode, decode_json

PAYLOAD_BYTES_MAX = 16 * 1024


class BadPayload(ValueError):
    """A value that cannot be signed, or a payload that the named node has not signed."""


def sign_payload(keypair: Keypair, value: dict[str, Any] | list[Any], purpose: Purpose = PAYLOAD) -> str:
    """The value with a signature for a purpose.

    Raises BadPayload for anything but an object or array, or a large one.
    """
    if not isinstance(value, dict | list):
        raise BadPayload(f"{type(value).__name__} cannot be signed: only objects and arrays are")
    text = msgspec.json.encode(value)
    if len(text) > PAYLOAD_BYTES_MAX:
        raise BadPayload(f"{len(text)} bytes are too many to sign; {PAYLOAD_BYTES_MAX} are allowed")
    return encode_base58(sign(purpose, keypair, text) + text)


def open_payload(signed: str, node: str, purpose: Purpose = PAYLOAD) -> Any:
    """The value that `node` signed for a purpose. Raises BadPayload if it did not."""
    if len(signed) > 2 * PAYLOAD_BYTES_MAX:
        raise BadPayload(f"{len(signed)} characters are too many for a signed payload")
    raw = decode_base58(signed)
    signature, text = raw[:64], raw[64:]
    try:
        key = Pubkey.from_string(node)
        value = decode_json(text) if is_signed(purpose, key, signature, text) else None
    except (ValueError, Malformed) as error:
        raise BadPayload(f"not a signed payload of {node}: {error}") from error
    if not isinstance(value, dict | list):
        raise BadPayload(f"{node} did not sign this")
    return value


def encode_base58(data: bytes) -> str:
    """Bytes as base58; leading zeros become "1"."""
    return base58_encode(data)


def decode_base58(text: str) -> bytes:
    """Base58 as bytes. Raises BadPayload for another character."""
    try:
        return base58_decode(text)
    except ValueError as error:
        raise BadPayload(f"not base58: {error}") from error
