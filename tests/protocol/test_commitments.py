"""The bits of receipts and votes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundwork.errors import BadValue
from roundwork.protocol.tasks.commitments import encode_bits
from roundwork.protocol.tasks.sealed import check_bits


def test_the_first_candidate_is_the_lowest_bit() -> None:
    assert b"" == encode_bits([])
    assert b"\x05" == encode_bits([True, False, True])
    assert b"\x00\x01" == encode_bits([False] * 8 + [True])


@given(st.lists(st.booleans(), max_size=40))
def test_bits_have_one_form_for_a_number_of_candidates(found: list[bool]) -> None:
    payload = encode_bits(found)

    check_bits(payload, len(found))

    assert found == [bool(payload[at // 8] >> at % 8 & 1) for at in range(len(found))]
    with pytest.raises(BadValue):
        check_bits(payload + b"\x00", len(found))
