"""Content ids: the name that follows from the bytes, the same that IPFS gives them."""

import hashlib
import re
from base64 import b32encode

_PREFIX = bytes((0x01, 0x55, 0x12, 0x20))
"""CIDv1, raw bytes, sha2-256, 32 bytes of digest."""
_CONTENT_ID = re.compile(r"bafkrei[a-h][a-z2-7]{50}[aeimquy4]")
"""The eighth character begins with two bits of the prefix; the last one ends with two zero bits."""


def compute_content_id(data: bytes) -> str:
    """CIDv1, raw, sha2-256, base32, 59 characters: what IPFS calls the same bytes as one raw block."""
    return "b" + b32encode(_PREFIX + hashlib.sha256(data).digest()).decode().rstrip("=").lower()


def is_content_id(text: str) -> bool:
    """Whether a text is an id that `compute_content_id` could have given."""
    return _CONTENT_ID.fullmatch(text) is not None
