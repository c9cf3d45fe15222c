"""Two nodes of one task in one test: each with its lanes, its blobs and its gateway on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from solders.keypair import Keypair

from roundwork.node.confinement.sandbox import choose_sandbox
from roundwork.node.peers.gateway import build_gateway
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.storage import BlobStore
from roundwork.node.python.environments import Environment
from roundwork.node.python.lane import TaskSetting
from roundwork.node.python.lanes import Lanes
from roundwork.node.python.services import TaskServices

TASK = str(Keypair.from_seed(bytes([1]) * 32).pubkey())


class Neighbour:
    """One node: `lanes` to call, `store` to look into, `endpoint` to ask."""

    def __init__(self, key: str, lanes: Lanes, store: BlobStore, endpoint: str, lines: list[str]) -> None:
        self.key = key
        self.lanes = lanes
        self.store = store
        self.endpoint = endpoint
        self.lines = lines


@asynccontextmanager
async def open_neighbours(
    directory: Path,
    program: Path,
    environment: Environment,
    *,
    count: int = 2,
    params: dict[str, Any] | None = None,
    hosts: tuple[str, ...] = (),
    strangers: dict[str, str] | None = None,
    are_new: bool = False,
) -> AsyncIterator[list[Neighbour]]:
    """Nodes that know one another's endpoints, and those of `strangers` by key.

    If they `are_new`, they have to find them.
    """
    endpoints: dict[str, str] = dict(strangers or {})
    neighbours: list[Neighbour] = []

    async def find_endpoint(node: str) -> str:
        return endpoints.get(node, "")

    async def read_ledger(method: str, asked: list[Any]) -> Any:
        return {"method": method, "params": asked}

    async with AsyncExitStack() as stack:
        fetcher = Fetcher(is_development=True)
        stack.push_async_callback(fetcher.close)
        for number in range(count):
            keypair = Keypair.from_seed(bytes([number + 10]) * 32)
            key = str(keypair.pubkey())
            home = directory / f"node-{number}"
            store = BlobStore(home / "blobs")
            stack.callback(store.close)
            lines: list[str] = []
            setting = TaskSetting(
                task=TASK,
                node=key,
                program=program,
                home=home / "task",
                environment=environment,
                params=params or {},
            )
            services = TaskServices(
                task=TASK,
                keypair=keypair,
                hosts=hosts,
                fetcher=fetcher,
                store=store,
                get_endpoints=lambda: {} if are_new else endpoints,
                find_endpoint=find_endpoint,
                read_ledger=read_ledger,
            )
            lanes = Lanes(
                setting,
                choose_sandbox("sandlock"),
                services.list_services(),
                bytes([number]) * 32,
                lines.append,
            )
            stack.push_async_callback(lanes.close)
            app = build_gateway(
                store=store,
                get_tasks=lambda lanes=lanes: {TASK: lanes},  # type: ignore[misc]
                registrations={},
                get_metrics=lambda: {"roundwork_blobs": 1.0},
            )
            endpoints[key] = await stack.enter_async_context(serve(app))
            neighbours.append(Neighbour(key, lanes, store, endpoints[key], lines))
        yield neighbours


@asynccontextmanager
async def serve(app: Any) -> AsyncIterator[str]:
    """An ASGI app on a free port of loopback; its URL."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        config = uvicorn.Config(app, lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 -- uvicorn tells no other way
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await running
