"""The head of a round that is over: a hash from which one node's result can be shown without the rest.

Source: docs/PROTOCOL.md 20.
"""

from ..params import NodeKey, TaskKey
from ..records import Mark, RoundDigest
from ..state import State, u64
from .cursor import RoundCursor
from .leaves import Outcome, compute_head, compute_root, encode_leaf
from .verdicts import get_verdict


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
