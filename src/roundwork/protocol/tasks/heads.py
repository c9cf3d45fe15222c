"""The head of a round that is over: a hash from which one node's result can be shown without the rest.

The tree is that of RFC 6962 with sha256. Source: docs/PROTOCOL.md 20.
"""

from collections.abc import Sequence
from hashlib import sha256

from blake3 import blake3

from ..params import NodeKey, TaskKey
from ..records import Mark, RoundDigest
from ..state import State, u64
from .cursor import RoundCursor
from .verdicts import Outcome, get_verdict


def add_head(cursor: RoundCursor) -> None:
    """Keep the head of a round that has just ended."""
    state = cursor.state
    leaves = [compute_leaf(cursor, node) for node in list_nodes(cursor)]
    previous, root = get_last_head(state, cursor.task_key), compute_root(leaves)
    digest = compute_head(previous, cursor.round_number, root)
    state.put(cursor.heads, u64(cursor.round_number), RoundDigest(previous, root, digest))
    state.put(cursor.last_heads, cursor.task_key, Mark(digest=digest))


def get_last_head(state: State, task: TaskKey) -> bytes:
    """The head of the task's round that ended last; 32 zero bytes if there is none."""
    mark = RoundCursor(state, task, 0).last_heads.rows.get(task)
    return mark.digest if mark is not None else bytes(32)


def list_nodes(cursor: RoundCursor) -> list[NodeKey]:
    """The nodes that have a leaf, by address: those that submitted, and those whose money the round moved."""
    return sorted(cursor.submissions.rows.keys() | cursor.nets.rows.keys())


def compute_leaf(cursor: RoundCursor, node: NodeKey) -> bytes:
    """The leaf of a node: what became of it in the round."""
    submission, net = cursor.submissions.rows.get(node), cursor.nets.rows.get(node)
    outcome, votes = get_verdict(cursor, node) if submission else (Outcome.NO_SUBMISSION, 0)
    value = submission.value if submission else b""
    return encode_leaf(node, value, outcome, votes, net.amount if net else 0)


def encode_leaf(node: NodeKey, value: bytes, outcome: Outcome, votes: int, net: int) -> bytes:
    """The bytes of a leaf: address, hash of the value, verdict, votes, and net of the round."""
    head = node + blake3(value).digest() + bytes([outcome])
    return head + votes.to_bytes(8, "little", signed=True) + net.to_bytes(8, "little", signed=True)


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
