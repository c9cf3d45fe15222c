"""A task's package, served to nodes without a stake and without running it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from ...host.serve import listen, serve
from ...package.folder import METADATA, load_package, pack
from .gateway import build_gateway
from .storage import BlobStore

SHUTDOWN_SECONDS = 2
FOREVER = 2**62
"""The round under which the blobs are kept; no round drops them."""


async def serve_package(folder: Path, host: str, port: int, ready: Callable[[str, int, int], None]) -> None:
    """Serve the package and metadata.json of a folder until SIGTERM or SIGINT.

    `ready(content_id, blobs, port)` is called once, with the number of blobs. Raises BadTaskFile, PortInUse,
    StoreFull.
    """
    package = load_package(folder)
    content_id, blobs = pack(package)
    metadata = package.program.parent / METADATA
    with TemporaryDirectory() as directory, listen(host, port) as listening:
        store = BlobStore(Path(directory))
        try:
            for blob in (*blobs.values(), *([metadata.read_bytes()] if metadata.is_file() else [])):
                store.put(blob, content_id, FOREVER)
            gateway = build_gateway(store=store, get_tasks=dict, registrations={}, get_metrics=dict)
            until_signal = asyncio.Event()
            await serve(
                gateway,
                [listening],
                _wait(until_signal),
                stop=until_signal.set,
                ready=lambda: ready(content_id, len(blobs), listening.getsockname()[1]),
                shutdown_seconds=SHUTDOWN_SECONDS,
            )
        finally:
            store.close()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
