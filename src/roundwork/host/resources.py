"""Immutable resources over HTTP: whole, in a range, or not again to a client that has them."""

import re

Headers = list[tuple[bytes, bytes]]

_RANGE = re.compile(rb"bytes=(\d{0,15})-(\d{0,15})")


def list_fields(tag: bytes) -> Headers:
    """The header fields of an immutable resource with this tag."""
    return [
        (b"content-type", b"application/octet-stream"),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"accept-ranges", b"bytes"),
        (b"etag", tag),
    ]


def has_already(tag: bytes, headers: dict[bytes, bytes]) -> bool:
    """Whether a client that sends these header fields has the resource with this tag."""
    known = headers.get(b"if-none-match", b"")
    return tag in known or known.strip() == b"*"


def answer_resource(tag: bytes, data: bytes, headers: dict[bytes, bytes]) -> tuple[int, Headers, bytes]:
    """The status, the header fields and the body that answer a GET with these header fields.

    Several ranges in one request, and what is not a range of bytes, are answered by the whole resource.
    """
    fields = list_fields(tag)
    if has_already(tag, headers):
        return 304, fields, b""
    wanted = _RANGE.fullmatch(headers.get(b"range", b"").strip())
    if wanted is None or headers.get(b"if-range", tag) != tag:
        return 200, fields, data
    first, last = wanted[1], wanted[2]
    is_backwards = bool(first and last) and int(last) < int(first)
    if is_backwards or not (first or last):
        return 200, fields, data
    return _answer_range(first, last, data, fields)


def _answer_range(first: bytes, last: bytes, data: bytes, fields: Headers) -> tuple[int, Headers, bytes]:
    """A part of the data: from `first` to `last`, both counted; without `first` the last bytes."""
    size = len(data)
    begin = int(first) if first else max(size - int(last), 0)
    end = min(int(last), size - 1) if first and last else size - 1
    if begin > end:
        return 416, [*fields, (b"content-range", b"bytes */%d" % size)], b""
    shown = b"bytes %d-%d/%d" % (begin, end, size)
    return 206, [*fields, (b"content-range", shown)], data[begin : end + 1]
