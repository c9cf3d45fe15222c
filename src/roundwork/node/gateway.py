"""What a node answers over HTTP: its blobs, its tasks' web routes, the nodes it knows, health and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette

from .lane import Lanes
from .storage import BlobStore


def build_gateway(
    *,
    store: BlobStore,
    get_lanes: Callable[[], Mapping[str, Lanes]],
    get_nodes: Callable[[str], list[dict[str, Any]] | None],
    get_metrics: Callable[[], Mapping[str, float]],
) -> Starlette:
    """The node's app, for uvicorn.

    `get_lanes()` are the running tasks by address; `get_nodes(task)` the nodes of a task, None if it is
    unknown; `get_metrics()` numbers by Prometheus name.
    """
    raise NotImplementedError
