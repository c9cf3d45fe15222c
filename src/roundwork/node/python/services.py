"""What a task may ask its node for: HTTP, peers, storage, signatures, the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from solders.keypair import Keypair

from ...package.content import is_content_id
from ..peers.outgoing import Answer, Fetcher
from ..peers.payload import BadPayload, open_payload, sign_payload
from ..peers.storage import BlobStore, fetch_blob
from .channel import Service, ServiceError, Services

Asked = TypeVar("Asked")

READING_METHODS = frozenset(("isBlockhashValid", "minimumLedgerSlot"))
"""RPC methods that read and are not called get…"""


class HttpRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.http`."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class PeerGet(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.peers[node].get(path)`."""

    node: str
    path: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No params."""


class StoragePut(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.storage.put`."""

    data: bytes
    round: int


class StorageGet(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.storage.get`; `node` is asked before the others."""

    content_id: str
    node: str | None
    round: int


class LedgerCall(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.ledger.call`."""

    method: str
    params: list[Any]


class Sign(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.sign`."""

    value: dict[str, Any] | list[Any]


class Verify(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.verify`."""

    signed: str
    node: str


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
    """All services of one task.

    `keypair` is the one behind `ctx.node`; `hosts` the permitted hosts of `ctx.http`; `get_endpoints`
    answers node -> URL of the task's nodes as the ledger has them now; `read_ledger(method, params)` makes
    one RPC call and returns its result (only reading methods ever reach it), or raises RemoteError.
    """
    node = str(keypair.pubkey())

    async def request_http(asked: HttpRequest) -> Answer:
        headers = asked.headers.items()
        return await fetcher.fetch(asked.method, asked.url, hosts=hosts, headers=headers, body=asked.body)

    async def list_peers(asked: Nothing) -> list[str]:
        return sorted(get_endpoints().keys() - {node})

    async def get_from_peer(asked: PeerGet) -> Answer:
        endpoint = get_endpoints().get(asked.node)
        if not endpoint:
            raise ServiceError("Unavailable", f"node {asked.node} has given no endpoint")
        url = f"{endpoint.rstrip('/')}/task/{task}/{asked.path.lstrip('/')}"
        return await fetcher.fetch("GET", url, hosts=None)

    async def put_blob(asked: StoragePut) -> str:
        return await asyncio.to_thread(store.put, asked.data, task, asked.round)

    async def get_blob(asked: StorageGet) -> bytes:
        if not is_content_id(asked.content_id):
            raise ServiceError("InvalidSubmission", f"{asked.content_id[:100]!r} is no content id")
        data = await asyncio.to_thread(store.get, asked.content_id)
        if data is None:
            endpoints = dict(get_endpoints())
            endpoints.pop(node, None)
            first = endpoints.pop(asked.node, None) if asked.node else None
            data = await fetch_blob(asked.content_id, fetcher, [*filter(None, (first, *endpoints.values()))])
            if data is None:
                raise ServiceError("Unavailable", f"nobody serves {asked.content_id}")
            await asyncio.to_thread(store.put, data, task, asked.round)
        return data

    async def call_ledger(asked: LedgerCall) -> Any:
        if not asked.method.startswith("get") and asked.method not in READING_METHODS:
            raise ServiceError("Refused", f"{asked.method[:80]} is not a method that only reads")
        return await read_ledger(asked.method, asked.params)

    async def sign(asked: Sign) -> str:
        try:
            return sign_payload(keypair, asked.value)
        except BadPayload as error:
            raise ServiceError("Refused", str(error)) from error

    async def verify(asked: Verify) -> Any:
        try:
            return open_payload(asked.signed, asked.node)
        except BadPayload as error:
            raise ServiceError("InvalidSubmission", str(error)) from error

    return {
        "http.request": _decoding(HttpRequest, request_http),
        "peers.list": _decoding(Nothing, list_peers),
        "peers.get": _decoding(PeerGet, get_from_peer),
        "storage.put": _decoding(StoragePut, put_blob),
        "storage.get": _decoding(StorageGet, get_blob),
        "ledger.call": _decoding(LedgerCall, call_ledger),
        "sign": _decoding(Sign, sign),
        "verify": _decoding(Verify, verify),
    }


def _decoding(asked: type[Asked], answer: Callable[[Asked], Awaitable[Any]]) -> Service:
    """A service that decodes its params as `asked` first. Raises msgspec.ValidationError."""
    decoder = msgspec.json.Decoder(asked)

    async def serve(params: msgspec.Raw) -> Any:
        return await answer(decoder.decode(params))

    return serve
