"""All purposes that a key of ours signs for. A signature made for one purpose is refused for every other.

A node uses one key for several purposes: its staking key signs transactions, payloads of its tasks and its
registrations. So each purpose has bytes that no other purpose can have, in front of what is signed or by its
format. Nothing is signed or verified outside of this list; `tests/hostile/test_signatures.py` crosses every
purpose with every other one. A new purpose gets a prefix that begins with 0xff, which begins no JSON text
(it is not UTF-8), no message of a transaction (version 127 does not exist) and no vote of CometBFT.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from solders.keypair import Keypair
from solders.message import from_bytes_versioned, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature

from .errors import Malformed
from .wire import decode_json

SIGNATURES_MAX = 18
"""A transaction of 1232 bytes has no room for more signatures of 64 bytes beside a message."""

VERSION_0 = 0x80
SIGNED_MESSAGE_TYPES = (1, 2, 32)
"""CometBFT's numbers of a prevote, a precommit and a proposal."""


class Purpose(msgspec.Struct, frozen=True):
    """One purpose of signatures: what is signed is `prefix` and a text of the form `is_text` accepts."""

    name: str
    keys: str
    """The keys that sign for it, in words."""
    prefix: bytes
    is_text: Callable[[bytes], bool]


def sign(purpose: Purpose, keypair: Keypair, text: bytes) -> bytes:
    """The 64 bytes of a signature over `text` for one purpose."""
    assert purpose.is_text(text), f"{text[:80]!r} is not a {purpose.name}"
    return bytes(keypair.sign_message(purpose.prefix + text))


def is_signed(purpose: Purpose, key: Pubkey, signature: bytes, text: bytes) -> bool:
    """Whether `key` signed `text` for this purpose."""
    if len(signature) != Signature.LENGTH or not purpose.is_text(text):
        return False
    return Signature.from_bytes(signature).verify(key, purpose.prefix + text)


def _is_message(text: bytes) -> bool:
    """Whether a text is the message of a transaction that may run: a whole message, with a sound header."""
    if not text or not (1 <= text[0] <= SIGNATURES_MAX or text[0] == VERSION_0):
        return False
    try:
        message = from_bytes_versioned(text)
    except ValueError:
        return False
    header = message.header
    is_sound = (
        header.num_readonly_signed_accounts < header.num_required_signatures <= len(message.account_keys)
    )
    return is_sound and to_bytes_versioned(message) == text


def _is_json(text: bytes) -> bool:
    """Whether a text is JSON without spaces in front, as the published format has it."""
    if not text or text[0] <= 0x20:
        return False
    try:
        decode_json(text, msgspec.Raw)
    except Malformed:
        return False
    return True


def _is_vote(text: bytes) -> bool:
    """Whether a text may be a vote or proposal: protocol buffers after their length, the type first."""
    size, at = 0, 0
    while at < min(len(text), 3):
        size |= (text[at] & 0x7F) << (7 * at)
        at += 1
        if text[at - 1] < 0x80:
            break
    body = text[at:]
    return len(body) == size > 1 and body[0] == 0x08 and body[1] in SIGNED_MESSAGE_TYPES


TRANSACTION = Purpose("transaction", "any key that an instruction names as a signer", b"", _is_message)
"""The message of a transaction, as Solana's clients sign it."""

PAYLOAD = Purpose(
    "payload", "the staking key of a node for a Python task, its main key for a main.js", b"", _is_json
)
"""JSON that a task gives to its node to sign, in the published format: no prefix, and bound to no task."""

REGISTRATION = Purpose(
    "registration", "the staking key of a node", b"\xffroundwork/registration/1\0", _is_json
)
"""Where a node of a task is reached."""

VOTE = Purpose("vote", "the validator's key, by CometBFT alone", b"", _is_vote)
"""What CometBFT signs. A validator may use a keypair file of its choice, so the bytes are listed here."""

PURPOSES = (TRANSACTION, PAYLOAD, REGISTRATION, VOTE)
