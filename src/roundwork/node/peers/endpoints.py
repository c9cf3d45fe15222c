"""Where a node can be reached that this node has not read of yet: it has just staked, or has moved."""

from collections.abc import Awaitable, Callable

from ...client.rpc import Client
from ...errors import RemoteError

FindEndpoint = Callable[[str], Awaitable[str]]
"""The URL of a node; empty if it has none, or if it cannot be found now."""


async def read_endpoint(client: Client, task: str, node: str) -> str:
    """The URL of a node of a task by the ledger; empty if it has none, or if the ledger does not answer."""
    try:
        answer = await client.get_head(task, node)
    except RemoteError:
        return ""
    return answer.own.endpoint if answer is not None and answer.own is not None else ""
