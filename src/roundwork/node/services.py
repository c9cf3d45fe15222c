"""What a task may ask its node for: HTTP, peers, storage, signatures and the ledger, as methods of the channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from solders.keypair import Keypair

from .lane import Services
from .outgoing import Fetcher
from .storage import BlobStore


def build_services(
    *,
    task: str,
    keypair: Keypair,
    hosts: Sequence[str],
    fetcher: Fetcher,
    store: BlobStore,
    get_endpoints: Callable[[], Mapping[str, str]],
    read_ledger: Callable[[str, list[Any]], Awaitable[Any]],
) -> Services:
    """All methods for one task.

    `keypair` is the one behind `ctx.node`; `hosts` the permitted hosts of `ctx.http`; `get_endpoints`
    answers node -> URL of the task's nodes now; `read_ledger(method, params)` makes one RPC call and
    returns its result (only reading methods ever reach it).
    """
    raise NotImplementedError


def sign_payload(keypair: Keypair, value: dict[str, Any] | list[Any]) -> str:
    """base58(64-byte signature ‖ UTF-8 JSON). Raises ValueError for anything but an object or array."""
    raise NotImplementedError


def open_payload(signed: str, node: str) -> Any:
    """The value that `node` signed. Raises ValueError if it did not."""
    raise NotImplementedError
