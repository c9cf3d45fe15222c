"""The ed25519 program: it verifies signatures that lie in the transaction's instructions, and nothing else.

The format is Solana's: a count, a byte of padding, then for each signature seven u16: where the signature,
the public key and the message lie, each with the index of its instruction (0xFFFF: this one).
"""

import struct

from solders.pubkey import Pubkey
from solders.signature import Signature

from ...errors import Ed25519BadKey, Ed25519BadOffsets, Ed25519BadSignature, Ed25519BadSize
from ..layout import Call
from ..params import ED25519_PROGRAM
from ..rules import rule
from ..state import State
from ..transaction import Transaction

THIS_INSTRUCTION = 0xFFFF

_HEAD_BYTES = 2
_OFFSETS = struct.Struct("<7H")


def verify(state: State, call: Call, data: bytes) -> None:
    """Verify every signature. Raises Ed25519BadSize, Ed25519BadOffsets, Ed25519BadKey, Ed25519BadSignature.

    Source: docs/PROTOCOL.md 3.
    """
    check_count(data)
    for offsets in _OFFSETS.iter_unpack(data[_HEAD_BYTES : _HEAD_BYTES + _OFFSETS.size * data[0]]):
        signature_at, signature_in, key_at, key_in, message_at, message_bytes, message_in = offsets
        signature = check_slice(call, signature_in, signature_at, 64)
        key = check_slice(call, key_in, key_at, 32)
        message = check_slice(call, message_in, message_at, message_bytes)
        check_key(key)
        check_signature(signature, key, message)


def count_signatures(transaction: Transaction) -> int:
    """How many signatures the ed25519 instructions of a transaction verify. Each costs what a signer does."""
    keys = transaction.keys
    if ED25519_PROGRAM not in keys:
        return 0
    return sum(
        instruction.data[0]
        for instruction in transaction.instructions
        if instruction.data and keys[instruction.program] == ED25519_PROGRAM
    )


@rule("3.32")
def check_count(data: bytes) -> None:
    """The data holds as many offsets as it counts."""
    count = data[0] if data else 0
    needed = _HEAD_BYTES + _OFFSETS.size * count
    if len(data) < needed or (not count and len(data) > _HEAD_BYTES):
        raise Ed25519BadSize(f"{count} signatures need {needed} bytes; there are {len(data)}")


@rule("3.33")
def check_slice(call: Call, instruction: int, offset: int, size: int) -> bytes:
    """The signature, key and message lie within an instruction of the transaction."""
    if instruction == THIS_INSTRUCTION:
        data = call.data
    elif instruction < len(call.instructions):
        data = call.instructions[instruction].data
    else:
        raise Ed25519BadOffsets(f"there is no instruction {instruction}; there are {len(call.instructions)}")
    if offset + size > len(data):
        raise Ed25519BadOffsets(f"bytes {offset} to {offset + size} are wanted of {len(data)}")
    return data[offset : offset + size]


@rule("3.34")
def check_key(key: bytes) -> None:
    """A public key is a point of the curve."""
    if not Pubkey(key).is_on_curve():
        raise Ed25519BadKey(f"{key.hex()} is not the public key of a signature")


@rule("3.35")
def check_signature(signature: bytes, key: bytes, message: bytes) -> None:
    """A signature verifies strictly, as a transaction's own do."""
    if not Signature(signature).verify(Pubkey(key), message):
        raise Ed25519BadSignature(f"a signature does not verify against {key.hex()}")
