"""Pages and indexes of parts over HTTP: immutable resources, whole, in ranges, or compressed."""

import re

from .reads import Blob

PATH = "/ipfs/"
"""The path of a blob is this and its content id, as at the gateway of every node."""

_RANGE = re.compile(rb"bytes=(\d{0,15})-(\d{0,15})")

Headers = list[tuple[bytes, bytes]]


def answer_blob(content_id: str, blob: Blob, headers: dict[bytes, bytes]) -> tuple[int, Headers, bytes]:
    """The status, the header fields and the body that answer a GET. `headers` are those of the request."""
    has_zstd = b"zstd" in headers.get(b"accept-encoding", b"") and b"range" not in headers
    tag = b'"%s%s"' % (content_id.encode(), b"-zstd" if has_zstd else b"")
    fields = [
        (b"content-type", b"application/octet-stream"),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"accept-ranges", b"bytes"),
        (b"vary", b"accept-encoding"),
        (b"etag", tag),
    ]
    if tag in headers.get(b"if-none-match", b""):
        return 304, fields, b""
    if has_zstd:
        return 200, [*fields, (b"content-encoding", b"zstd")], blob.compressed
    wanted = _RANGE.fullmatch(headers.get(b"range", b""))
    if wanted is None or wanted[0] == b"bytes=-":
        return 200, fields, blob.data
    return _answer_range(wanted[1], wanted[2], blob.data, fields)


def _answer_range(first: bytes, last: bytes, data: bytes, fields: Headers) -> tuple[int, Headers, bytes]:
    """A part of the data: from `first` to `last`, both counted; without `first` the last bytes."""
    size = len(data)
    begin = int(first) if first else max(size - int(last), 0)
    end = min(int(last), size - 1) if first and last else size - 1
    if begin > end:
        return 416, [*fields, (b"content-range", b"bytes */%d" % size)], b""
    shown = b"bytes %d-%d/%d" % (begin, end, size)
    return 206, [*fields, (b"content-range", shown)], data[begin : end + 1]
