"""Immutable resources: every range is cut as HTTP says, and what is not a range gets the whole."""

import pytest

from roundwork.host.resources import answer_resource

TAG = b'"name"'
DATA = bytes(range(100))


@pytest.mark.parametrize(
    ("wanted", "status", "body", "shown"),
    [
        (b"bytes=0-9", 206, DATA[:10], b"bytes 0-9/100"),
        (b"bytes=10-", 206, DATA[10:], b"bytes 10-99/100"),
        (b"bytes=-7", 206, DATA[-7:], b"bytes 93-99/100"),
        (b"bytes=-1000", 206, DATA, b"bytes 0-99/100"),
        (b"bytes=99-1000", 206, DATA[99:], b"bytes 99-99/100"),
        (b" bytes=5-5 ", 206, DATA[5:6], b"bytes 5-5/100"),
        (b"bytes=100-", 416, b"", b"bytes */100"),
        (b"bytes=-0", 416, b"", b"bytes */100"),
        (b"bytes=9-0", 200, DATA, None),
        (b"bytes=-", 200, DATA, None),
        (b"bytes=0-1,5-9", 200, DATA, None),
        (b"bytes=1000000000000000000000-", 200, DATA, None),
        (b"lines=0-9", 200, DATA, None),
        (b"", 200, DATA, None),
    ],
)
def test_a_range_is_cut_from_the_data(wanted: bytes, status: int, body: bytes, shown: bytes | None) -> None:
    answered, fields, sent = answer_resource(TAG, DATA, {b"range": wanted})

    assert (status, body) == (answered, sent)
    assert shown == dict(fields).get(b"content-range")
    assert b"bytes" == dict(fields)[b"accept-ranges"]


def test_a_range_of_another_version_gets_the_whole() -> None:
    headers = {b"range": b"bytes=0-9"}

    assert 206 == answer_resource(TAG, DATA, {**headers, b"if-range": TAG})[0]
    assert 200 == answer_resource(TAG, DATA, {**headers, b"if-range": b'"other"'})[0]


@pytest.mark.parametrize(
    ("known", "status"), [(TAG, 304), (b'"other", "name"', 304), (b"*", 304), (b'"other"', 200)]
)
def test_a_client_that_has_it_gets_no_bytes_again(known: bytes, status: int) -> None:
    answered, fields, body = answer_resource(TAG, DATA, {b"if-none-match": known})

    assert (status, b"" if status == 304 else DATA) == (answered, body)
    assert TAG == dict(fields)[b"etag"]
