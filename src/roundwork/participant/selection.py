"""Which node hands in the list of a round under `koii-1`: the published rule, and the nodes after it."""

import hashlib
import json
from collections.abc import Mapping, Sequence

Submissions = Mapping[str, Mapping[str, str | int]]
"""What clients see of a round's submissions: {submission_value, slot, round} by node.

The rule hashes that text, so the order matters: addresses ascending, fields as named here.
"""


def select_node(
    submissions: Submissions,
    before: Sequence[Submissions],
    failed: Sequence[str] = (),
    is_retry: bool = False,
) -> str | None:
    """The node that the published rule selects, None if it selects no node.

    `submissions` are those of the round, `before` those of the up to two rounds before it; rounds below 0
    are left out. `failed` are the submitters of earlier lists of the round, and `is_retry` says that its
    last attempt failed. Source: docs/PROTOCOL.md 8.
    """
    steady = [node for node in submissions if all(node in each for each in before)]
    candidates = {node: submissions[node] for node in steady or submissions if node not in failed}
    if not candidates:
        return None
    whole = _sum_digest(_stringify(list(candidates.values())))
    scores = {node: abs(whole - _sum_digest(_stringify({node: shown}))) for node, shown in candidates.items()}
    return _select_second(scores) if is_retry else max(scores, key=lambda node: scores[node])


def rank_nodes(nodes: Sequence[str], round_number: int, attempt: int, selected: str | None) -> list[str]:
    """The order in which nodes hand in a list: the selected node, then the others by a hash of the attempt.

    If the selected node is silent, or the rule selects no node, only a part of a window is lost and not the
    round. Source: docs/decisions/0030.
    """

    def place(node: str) -> bytes:
        return hashlib.sha256(f"{round_number}/{attempt}/{node}".encode()).digest()

    others = sorted((node for node in nodes if node != selected), key=place)
    return others if selected is None else [selected, *others]


def _select_second(scores: Mapping[str, int]) -> str | None:
    """The scan of a retry, as published: it finds the last that took second place, or none."""
    best = second = float("-inf")
    selected = None
    for node, score in scores.items():
        if score > best:
            second, best = best, score
        elif score > second:
            second, selected = score, node
    return selected


_stringify = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""As JSON.stringify does: no spaces, UTF-8 as it is."""


def _sum_digest(text: str) -> int:
    """The sum of the character codes of the SHA-256 digest in hex."""
    return sum(hashlib.sha256(text.encode()).hexdigest().encode())
