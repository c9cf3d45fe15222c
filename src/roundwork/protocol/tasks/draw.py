"""Draws by stake: prefix sums once a round, then one bisection a pick, with integers only."""

from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import accumulate
from struct import unpack

from blake3 import blake3

from ..params import NodeKey

SEED_PREFIX = b"roundwork/draw/1"

NUMBER_BYTES = 16
"""The bytes of one drawn number: against weights below 2^64 its bias is below 2^-64."""


class Ballot:
    """The nodes of a round in ascending order of their addresses, with their weights and prefix sums."""

    __slots__ = ("_places", "_sums", "nodes", "weights")

    def __init__(self, weights: dict[NodeKey, int]) -> None:
        """Each weight is at least 1."""
        self.nodes = sorted(weights)
        self.weights = [weights[node] for node in self.nodes]
        assert all(weight > 0 for weight in self.weights), "a node without weight cannot be drawn"
        self._sums = list(accumulate(self.weights))
        self._places = {node: place for place, node in enumerate(self.nodes)}

    @property
    def total(self) -> int:
        """The sum of all weights."""
        return self._sums[-1] if self._sums else 0

    def draw(self, seed: bytes, count: int, without: Sequence[NodeKey] = ()) -> list[NodeKey]:
        """Up to `count` different nodes in the order of their picks; fewer if no others are left.

        Source: docs/PROTOCOL.md 15.
        """
        nodes, weights, sums = self.nodes, self.weights, self._sums
        removed = sorted([self._places[node] for node in without])
        left = self.total - sum([weights[place] for place in removed])
        picks = []
        for number in _compute_numbers(seed, count):
            if not left:
                break
            at = number % left
            for place in removed:
                if at >= sums[place] - weights[place]:
                    at += weights[place]
            place = bisect_right(sums, at)
            picks.append(nodes[place])
            insort(removed, place)
            left -= weights[place]
        return picks

    def draw_seats(self, seed: bytes, count: int) -> list[NodeKey]:
        """`count` nodes in the order of their picks, with replacement. The ballot is not empty."""
        nodes, sums, total = self.nodes, self._sums, self.total
        return [nodes[bisect_right(sums, number % total)] for number in _compute_numbers(seed, count)]


def _compute_numbers(seed: bytes, count: int) -> list[int]:
    halves = unpack(f"<{2 * count}Q", blake3(SEED_PREFIX + seed).digest(length=NUMBER_BYTES * count))
    return [low | high << 64 for low, high in zip(halves[::2], halves[1::2], strict=True)]
