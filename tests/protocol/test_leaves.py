"""The bytes of a leaf, by which a receipt says what became of a node."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from roundwork.protocol.params import NodeKey
from roundwork.protocol.tasks.leaves import LEAF_BYTES, Leaf, Outcome, decode_leaf, encode_leaf

AMOUNTS = st.integers(-(2**63), 2**63 - 1)
NODE = NodeKey(bytes(range(32)))


@given(st.binary(max_size=64), st.sampled_from(Outcome), AMOUNTS, AMOUNTS)
def test_a_leaf_is_read_as_it_was_written(value: bytes, outcome: Outcome, votes: int, net: int) -> None:
    leaf = encode_leaf(NODE, value, outcome, votes, net)

    assert Leaf(NODE, blake3(value).digest(), outcome, votes, net) == decode_leaf(leaf)


@pytest.mark.parametrize("change", ["short", "long", "outcome"])
def test_what_is_not_a_leaf_is_refused(change: str) -> None:
    leaf = encode_leaf(NODE, b"", Outcome.ACQUITTED, 1, 5)
    wrong = {"short": leaf[:-1], "long": leaf + b"\0", "outcome": leaf[:64] + b"\x09" + leaf[65:]}

    assert len(leaf) == LEAF_BYTES
    with pytest.raises(ValueError, match="not"):
        decode_leaf(wrong[change])
