"""The leaf of a node in the tree of a round, and the tree: bytes and hashes alone, without a state.

The tree is that of RFC 6962 with sha256. Source: docs/PROTOCOL.md 20.
"""

from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple

from blake3 import blake3

from ..params import NodeKey

LEAF_BYTES = 32 + 32 + 1 + 8 + 8


class Outcome(IntEnum):
    """The number of a verdict, in records and in the leaves of heads."""

    UNTRIED = 0
    ACQUITTED = 1
    INCONCLUSIVE = 2
    CONVICTED = 3
    MISSING = 4
    NO_SUBMISSION = 5


def name_outcome(outcome: Outcome) -> str:
    """A verdict as readers see it."""
    return outcome.name.lower().replace("_", " ")


class Leaf(NamedTuple):
    """What a leaf says of a node."""

    node: NodeKey
    value_hash: bytes
    """blake3 of the value; of nothing for a node that submitted nothing."""
    outcome: Outcome
    votes: int
    net: int
    """What the round gave the node less what it took, in roe or the smallest unit of the task's token."""


def encode_leaf(node: NodeKey, value: bytes, outcome: Outcome, votes: int, net: int) -> bytes:
    """The bytes of a leaf: address, hash of the value, verdict, votes, and net of the round."""
    head = node + blake3(value).digest() + bytes([outcome])
    return head + votes.to_bytes(8, "little", signed=True) + net.to_bytes(8, "little", signed=True)


def decode_leaf(leaf: bytes) -> Leaf:
    """What a leaf says. Raises ValueError for bytes that are not a leaf."""
    if len(leaf) != LEAF_BYTES:
        raise ValueError(f"a leaf has {LEAF_BYTES} bytes, not {len(leaf)}")
    node, value_hash, outcome = NodeKey(leaf[:32]), leaf[32:64], Outcome(leaf[64])
    votes, net = (int.from_bytes(leaf[at : at + 8], "little", signed=True) for at in (65, 73))
    return Leaf(node, value_hash, outcome, votes, net)


def compute_head(previous: bytes, round_number: int, root: bytes) -> bytes:
    """The head of a round after the one before it."""
    return sha256(b"roundwork/head/1" + previous + round_number.to_bytes(8, "little") + root).digest()


# The tree


def compute_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves in their order."""
    return _compute_levels(leaves)[-1][0] if leaves else sha256(b"").digest()


def compute_path(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """The sibling hashes on the path from a leaf to the root, the lowest first."""
    path = []
    for level in _compute_levels(leaves)[:-1]:
        if place ^ 1 < len(level):
            path.append(level[place ^ 1])
        place //= 2
    return path


def compute_root_of_path(leaf: bytes, place: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf at a place among `count` leaves and a path lead to; None for a wrong path."""
    digest, rest, last = sha256(b"\0" + leaf).digest(), list(path), count - 1
    if not 0 <= place < count:
        return None
    while last:
        if place ^ 1 <= last:
            if not rest:
                return None
            beside = rest.pop(0)
            digest = sha256(b"\1" + (beside + digest if place & 1 else digest + beside)).digest()
        place, last = place // 2, last // 2
    return None if rest else digest


def _compute_levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The tree from its leaves up. A node without a neighbour goes up as it is: that is RFC 6962's tree."""
    levels = [[sha256(b"\0" + leaf).digest() for leaf in leaves]]
    while len(level := levels[-1]) > 1:
        above = [
            sha256(b"\1" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        levels.append(above + level[len(above) * 2 :])
    return levels
