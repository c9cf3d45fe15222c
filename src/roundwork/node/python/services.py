"""The services that a node gives its task: HTTP, peers, storage, signatures, the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from solders.keypair import Keypair

from ...sdk.worker import SPILL_BYTES_MAX
from ...wire import decode_json
from ..answers import ServiceError
from ..decoding import run_if_long
from ..peers.endpoints import FindEndpoint
from ..peers.outgoing import Answer, Fetcher
from ..peers.packages import PACKAGE_ROUND
from ..peers.payload import BadPayload, open_payload, sign_payload
from ..peers.storage import BlobStore, TaskBlobs
from .channel import Service, Services

Request = TypeVar("Request")

PARAMS_BYTES_MAX = 1024 * 1024
"""Of a service that takes no long texts. Decoded, JSON can take many times its size."""

HEADERS_BYTES_MAX = 64 * 1024

Round = Annotated[int, msgspec.Meta(ge=0, lt=PACKAGE_ROUND)]

READING_METHODS = frozenset(("isBlockhashValid", "minimumLedgerSlot"))
"""RPC methods that read although their names do not begin with get."""


class HttpRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.http`."""

    method: str
    url: str
    headers: msgspec.Raw
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
    round: Round


class StorageGet(msgspec.Struct, forbid_unknown_fields=True):
    """`ctx.storage.get`; `node` gets the first request."""

    content_id: str
    node: str | None
    round: Round


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


class TaskServices:
    """The services of one task. All raise ServiceError.

    `keypair` belongs to `ctx.node`; `hosts` are the permitted hosts of `ctx.http`; `get_endpoints` gives
    the URL of each of the task's nodes that is known now, `find_endpoint` that of one that is not;
    `read_ledger(method, params)` makes one RPC call and returns its result, or raises RemoteError. It gets
    only methods that read.
    """

    def __init__(
        self,
        *,
        task: str,
        keypair: Keypair,
        hosts: Sequence[str],
        fetcher: Fetcher,
        store: BlobStore,
        get_endpoints: Callable[[], Mapping[str, str]],
        find_endpoint: FindEndpoint,
        read_ledger: Callable[[str, list[Any]], Awaitable[Any]],
    ) -> None:
        self._task = task
        self._keypair = keypair
        self._node = str(keypair.pubkey())
        self._hosts = hosts
        self._fetcher = fetcher
        self._blobs = TaskBlobs(task, self._node, store, fetcher, get_endpoints, find_endpoint)
        self._get_endpoints = get_endpoints
        self._find_endpoint = find_endpoint
        self._read_ledger = read_ledger

    def list_services(self) -> Services:
        """Each service by the name that workers use."""
        return {
            "http.request": _decoding(HttpRequest, self._request_http, SPILL_BYTES_MAX),
            "peers.list": _decoding(Nothing, self._list_peers),
            "peers.get": _decoding(PeerGet, self._get_from_peer),
            "storage.put": _decoding(StoragePut, self._put_blob, SPILL_BYTES_MAX),
            "storage.get": _decoding(StorageGet, self._get_blob),
            "ledger.call": _decoding(LedgerCall, self._call_ledger),
            "sign": _decoding(Sign, self._sign),
            "verify": _decoding(Verify, self._verify, SPILL_BYTES_MAX),
        }

    async def _request_http(self, request: HttpRequest) -> Answer:
        _check_size(request.headers, HEADERS_BYTES_MAX, "headers")
        headers = decode_json(request.headers, dict[str, str])
        return await self._fetcher.fetch(
            request.method,
            request.url,
            hosts=self._hosts,
            headers=headers.items(),
            body=request.body,
        )

    async def _list_peers(self, request: Nothing) -> list[str]:
        return sorted(self._get_endpoints().keys() - {self._node})

    async def _get_from_peer(self, request: PeerGet) -> Answer:
        endpoint = self._get_endpoints().get(request.node) or await self._find_endpoint(request.node)
        if not endpoint:
            raise ServiceError("Unavailable", f"node {request.node[:80]} has given no endpoint")
        url = f"{endpoint.rstrip('/')}/task/{self._task}/{request.path.lstrip('/')}"
        return await self._fetcher.fetch("GET", url, hosts=None)

    async def _put_blob(self, request: StoragePut) -> str:
        return await self._blobs.put(request.data, request.round)

    async def _get_blob(self, request: StorageGet) -> bytes:
        return await self._blobs.get(request.content_id, request.round, request.node)

    async def _call_ledger(self, request: LedgerCall) -> Any:
        if not request.method.startswith("get") and request.method not in READING_METHODS:
            raise ServiceError("Refused", f"{request.method[:80]} is not a method that only reads")
        return await self._read_ledger(request.method, request.params)

    async def _sign(self, request: Sign) -> str:
        try:
            return sign_payload(self._keypair, request.value)
        except BadPayload as error:
            raise ServiceError("Refused", str(error)) from error

    async def _verify(self, request: Verify) -> Any:
        try:
            return open_payload(request.signed, request.node)
        except BadPayload as error:
            raise ServiceError("InvalidSubmission", str(error)) from error


def _decoding(
    form: type[Request], answer: Callable[[Request], Awaitable[Any]], bytes_max: int = PARAMS_BYTES_MAX
) -> Service:
    """A service that decodes its params as `form` first. Raises Malformed, and ServiceError (Refused)."""

    async def serve(params: msgspec.Raw) -> Any:
        _check_size(params, bytes_max, "params")
        return await answer(await run_if_long(len(params), decode_json, params, form))

    return serve


def _check_size(raw: msgspec.Raw, bytes_max: int, what: str) -> None:
    """Raises ServiceError (Refused)."""
    if len(raw) > bytes_max:
        raise ServiceError("Refused", f"{what} of {len(raw)} bytes are too large; {bytes_max} are allowed")
