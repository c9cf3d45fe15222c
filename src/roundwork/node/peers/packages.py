"""A task's package on a node: from a local folder, or from the nodes that serve it."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...errors import BadTaskFile
from ...package.content import is_content_id
from ...package.folder import (
    PACKAGE_BYTES_MAX,
    Package,
    choose_program,
    load_package,
    pack,
    read_manifest,
    unpack,
)
from ...package.metadata import find_metadata
from ...views import TaskView
from ..decoding import run_if_long
from ..setting import NodeSetting
from .outgoing import Fetcher
from .storage import BlobStore, fetch_blob

PACKAGE_ROUND = 2**62
"""A package's blobs are kept under this round, so that they are not dropped with those of a round."""


async def get_package(setting: NodeSetting, task: TaskView, store: BlobStore, fetcher: Fetcher) -> Package:
    """The task's package, checked against the content id in the task, and served to others from here.

    Raises BadTaskFile.
    """
    folder = setting.package
    if folder is None:
        folder = setting.home / "package"
        if not folder.exists():
            await _fetch_package(task, store, fetcher, folder, setting.peers)
    package, content_id, blobs = await asyncio.to_thread(_read_package, folder)
    if content_id != task.audit_program:
        raise BadTaskFile(
            f"{folder} is package {content_id}; task {task.address} runs {task.audit_program or 'none'}"
        )
    for blob in blobs.values():
        await asyncio.to_thread(store.put, blob, task.address, PACKAGE_ROUND)
    await _keep_metadata(package, task, store, fetcher, setting.peers)
    return package if setting.program is None else choose_program(package, setting.program)


def _read_package(folder: Path) -> tuple[Package, str, dict[str, bytes]]:
    """A package, its content id and its blobs. Raises BadTaskFile."""
    package = load_package(folder)
    return package, *pack(package)


async def _keep_metadata(
    package: Package, task: TaskView, store: BlobStore, fetcher: Fetcher, peers: Sequence[str]
) -> None:
    """Serve what clients show of the task, if it is found."""
    if not is_content_id(task.metadata) or store.get(task.metadata) is not None:
        return
    endpoints = [*peers, *(stake.endpoint for stake in task.stakes if stake.endpoint)]
    metadata = find_metadata(package, task.metadata) or await fetch_blob(task.metadata, fetcher, endpoints)
    if metadata is not None:
        await asyncio.to_thread(store.put, metadata, task.address, PACKAGE_ROUND)


async def _fetch_package(
    task: TaskView, store: BlobStore, fetcher: Fetcher, folder: Path, peers: Sequence[str]
) -> None:
    """Write the task's package into a folder, from here or from nodes that serve it. Raises BadTaskFile."""
    endpoints = [*peers, *(stake.endpoint for stake in task.stakes if stake.endpoint)]
    blobs: dict[str, bytes] = {}
    size = 0

    async def fetch(content_id: str) -> bytes:
        nonlocal size
        blob = await asyncio.to_thread(store.get, content_id) if is_content_id(content_id) else None
        if blob is None:
            blob = await fetch_blob(content_id, fetcher, endpoints)
        if blob is None:
            raise BadTaskFile(
                f"no node of task {task.address} serves {content_id or 'a package'}, which it runs; give its "
                "folder with --package"
            )
        blobs[content_id] = blob
        size += len(blob)
        if size > PACKAGE_BYTES_MAX:
            raise BadTaskFile(f"package {task.audit_program} has more than {PACKAGE_BYTES_MAX} bytes")
        return blob

    blob = await fetch(task.audit_program)
    manifest = await run_if_long(len(blob), read_manifest, task.audit_program, blob)
    for content_id in sorted({*manifest.files.values()}):
        await fetch(content_id)
    await asyncio.to_thread(_write_package, task.audit_program, blobs, folder)


def _write_package(content_id: str, blobs: dict[str, bytes], folder: Path) -> None:
    """Write a package into a folder, all at once. Raises BadTaskFile."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    unpack(content_id, blobs.get, part)
    part.rename(folder)
