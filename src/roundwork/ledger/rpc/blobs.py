"""Pages and indexes of parts over HTTP: immutable resources, whole, in ranges, or compressed."""

from ...host.resources import Headers, answer_resource, has_already, list_fields
from .reads import Blob

PATH = "/ipfs/"
"""The path of a blob is this and its content id, as at the gateway of every node."""

_VARY = (b"vary", b"accept-encoding")


def answer_blob(content_id: str, blob: Blob, headers: dict[bytes, bytes]) -> tuple[int, Headers, bytes]:
    """The status, the header fields and the body that answer a GET. `headers` are those of the request."""
    if b"zstd" not in headers.get(b"accept-encoding", b"") or b"range" in headers:
        status, fields, body = answer_resource(b'"%s"' % content_id.encode(), blob.data, headers)
        return status, [*fields, _VARY], body
    tag = b'"%s-zstd"' % content_id.encode()
    fields = [*list_fields(tag), _VARY]
    if has_already(tag, headers):
        return 304, fields, b""
    return 200, [*fields, (b"content-encoding", b"zstd")], blob.compressed
