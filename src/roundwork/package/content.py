"""Content ids: the name that follows from the bytes, the same that IPFS gives them."""

import hashlib
import re
from base64 import b32decode, b32encode

_PREFIX = bytes((0x01, 0x55, 0x12, 0x20))
"""CIDv1, raw bytes, sha2-256, 32 bytes of digest."""
_CONTENT_ID = re.compile(r"bafkrei[a-z2-7]{52}")


def compute_content_id(data: bytes) -> str:
    """CIDv1, raw, sha2-256, base32, 59 characters: what IPFS calls the same bytes as one raw block."""
    return "b" + _encode(_PREFIX + hashlib.sha256(data).digest())


def is_content_id(text: str) -> bool:
    """Whether a text is an id that `compute_content_id` could have given."""
    # The last character carries bits beyond the digest: they must be zero, or one blob had several ids.
    return bool(_CONTENT_ID.fullmatch(text)) and _encode(b32decode(text[1:].upper() + "======")) == text[1:]


def _encode(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()
