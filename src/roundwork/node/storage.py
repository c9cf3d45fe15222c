"""Content-addressed blobs: kept on disk under their content id, found at peers, checked against the id always."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .outgoing import Fetcher

BLOB_BYTES_MAX = 32 * 1024 * 1024


def compute_content_id(data: bytes) -> str:
    """CIDv1, raw codec, sha2-256, base32: the id that IPFS gives the same bytes as one raw block."""
    raise NotImplementedError


class BlobStore:
    """Blobs of one node on disk, remembering for which task and round each was put.

    Raises StoreFull when the disk, or the task's quota, refuses.
    """

    def __init__(self, directory: Path, quota_bytes: int = 1024**3) -> None: ...

    def put(self, data: bytes, task: str, round: int) -> str:
        """Keep a blob for a task's round; its content id."""
        raise NotImplementedError

    def get(self, content_id: str) -> bytes | None:
        """A blob that is here and is what its id says; None otherwise. Raises ValueError for no id."""
        raise NotImplementedError

    def drop(self, task: str, before_round: int) -> None:
        """Let go of what was put for rounds below `before_round`; delete what nobody else put."""

    def close(self) -> None:
        """Close the index."""


async def find_blob(
    content_id: str, store: BlobStore, fetcher: Fetcher, endpoints: Sequence[str], task: str, round: int
) -> bytes | None:
    """A blob from the local store, else from the endpoints in order (the submitter's first); None if
    nobody serves the right bytes. What was found is kept for the round."""
    raise NotImplementedError
