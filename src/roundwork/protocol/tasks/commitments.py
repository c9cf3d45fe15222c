"""The bytes that a node commits to and reveals under roundwork-1, and the content ids of proofs.

Source: docs/PROTOCOL.md 16 and 17.
"""

from base64 import b32decode, b32encode
from collections.abc import Sequence
from enum import IntEnum

from blake3 import blake3

from ..params import NodeKey, TaskKey

ID_BYTES = 59
"""The characters of a content id: `b` and 36 bytes in base32."""

ID_HEAD = bytes.fromhex("01551220")
"""CIDv1, raw bytes, sha2-256 of 32 bytes."""

PIECE_BYTES = 800
"""The bytes of a whole chunk of a proof."""

PIECES_MAX = 20
"""The chunks of a proof of 16,000 bytes, the most that a proof has."""


class SealKind(IntEnum):
    """What a commitment is for."""

    SUBMISSION = 0
    RECEIPT = 1
    VOTES = 2


def compute_commitment(
    genesis_hash: bytes,
    task: TaskKey,
    round_number: int,
    kind: int,
    node: NodeKey,
    salt: bytes,
    payload: bytes,
) -> bytes:
    """The commitment that a salt and a payload open, on one chain, for one task, round, kind and node."""
    head = b"roundwork/commit/1" + genesis_hash + task + round_number.to_bytes(8, "little") + bytes([kind])
    return blake3(head + node + salt + payload).digest()


def encode_bits(found: Sequence[bool]) -> bytes:
    """A receipt or votes: a bit for each candidate, 1 for valid, and zeros behind the last one."""
    bits = sum(is_valid << at for at, is_valid in enumerate(found))
    return bits.to_bytes((len(found) + 7) // 8, "little")


def read_content_id(value: bytes) -> bytes | None:
    """The sha256 of the proof that a value names; None if it names none."""
    text = value[:ID_BYTES]
    if len(text) != ID_BYTES or value[ID_BYTES : ID_BYTES + 1] not in (b"", b" "):
        return None
    try:
        raw = b32decode(text[1:].upper() + b"======")
    except ValueError:
        return None
    is_same = b"b" + b32encode(raw).rstrip(b"=").lower() == text
    return raw[len(ID_HEAD) :] if is_same and raw.startswith(ID_HEAD) else None
