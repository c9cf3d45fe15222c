"""metadata.json: what clients show of a task, beside its executable and named by the task."""

from __future__ import annotations

import contextlib

import msgspec

from ..errors import BadTaskFile, Malformed
from ..wire import decode_json
from .content import compute_content_id
from .folder import METADATA, Package


def write_metadata(package: Package, now_ms: int) -> str:
    """Write metadata.json beside the executable, for the nodes to serve; returns its content id.

    A file with the same content stays, with its date: tasks of one package share it.
    Raises BadTaskFile.
    """
    path = package.program.parent / METADATA
    with contextlib.suppress(OSError, Malformed, TypeError, KeyError):
        old = path.read_bytes()
        if build_metadata(package, decode_json(old)["createdAt"]) == old:
            return compute_content_id(old)
    metadata = build_metadata(package, now_ms)
    try:
        path.write_bytes(metadata)
    except OSError as error:
        raise BadTaskFile(f"{path} cannot be written: {error.strerror}") from error
    return compute_content_id(metadata)


def find_metadata(package: Package, content_id: str) -> bytes | None:
    """metadata.json beside the executable, if it has the content id that a task names."""
    path = package.program.parent / METADATA
    metadata = path.read_bytes() if path.is_file() else b""
    return metadata if metadata and compute_content_id(metadata) == content_id else None


def build_metadata(package: Package, created_at_ms: int) -> bytes:
    """metadata.json of the package, as existing clients read it."""
    return msgspec.json.encode(
        {
            "author": package.author,
            "description": package.description,
            "repositoryUrl": package.repository_url,
            "createdAt": created_at_ms,
            "imageUrl": package.image_url,
            "infoUrl": package.info_url,
            "requirementsTags": package.requirements,
            "tags": package.tags,
            "environment": package.environment,
            "migrationDescription": package.migration_description,
        }
    )
