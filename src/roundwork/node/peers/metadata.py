"""metadata.json of a task, from the nodes that serve it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import Malformed
from ...package.content import is_content_id
from ...views import LedgerView, TaskView
from ...wire import decode_json
from .outgoing import Fetcher
from .storage import fetch_blob


async def fetch_metadata(
    task: TaskView, ledger: LedgerView, peers: Sequence[str] = ()
) -> dict[str, Any] | None:
    """The metadata of a task; None if no node has it, or if it is not a JSON object."""
    if not is_content_id(task.metadata):
        return None
    fetcher = Fetcher(is_development=ledger.kind == "development")
    endpoints = [*peers, *(stake.endpoint for stake in task.stakes if stake.endpoint)]
    try:
        blob = await fetch_blob(task.metadata, fetcher, endpoints)
        metadata = decode_json(blob) if blob else None
    except Malformed:
        return None
    finally:
        await fetcher.close()
    return metadata if isinstance(metadata, dict) else None
