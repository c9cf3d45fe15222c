"""Where the nodes of a task can be reached: by the ledger, and by what the nodes have signed since.

An endpoint on the ledger costs a transaction and has at most 64 bytes; a registration costs nothing, and
nodes pass it on. Only nodes with stake in the task can register, which bounds the list. Registrations have
the shape that existing nodes exchange, but are signed for a purpose of their own: the key that signs them
also signs what tasks give it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from solders.keypair import Keypair

from ...errors import Malformed
from ...purposes import REGISTRATION
from ...views import TaskView
from ...wire import convert, decode_json
from ..answers import ServiceError
from .addresses import is_public
from .outgoing import parse_url
from .payload import BadPayload, open_payload, sign_payload

REGISTRATION_BYTES_MAX = 4096
URL_BYTES_MAX = 256
REGISTRATIONS_MAX = 1024
LIFE_MS = 60 * 60 * 1000
"""A registration counts this long unless it is renewed."""

AHEAD_MS = 60 * 1000
"""The clock of another node may be this far ahead of ours."""

PRIVATE_NAMES = (".localhost", ".local", ".internal", ".home.arpa")

Text = Annotated[str, msgspec.Meta(max_length=REGISTRATION_BYTES_MAX)]


class BadRegistration(Exception):
    """A registration is refused; the text says why."""


class Place(msgspec.Struct, frozen=True, rename={"task": "taskId"}):
    """What a node signs: its URL, when it signed (ms), and the task."""

    url: Text
    timestamp: int
    task: Text


class Registration(msgspec.Struct, frozen=True, rename={"submitter": "submitterPubkey"}):
    """A signed place, in the form that existing nodes exchange; `data` is exactly what was signed."""

    data: dict[str, Any]
    signature: Text
    owner: Text = ""
    submitter: Text = ""

    @property
    def node(self) -> str:
        """The key that holds the stake, and has signed."""
        return self.submitter or self.owner


class Registrations:
    """The places of one task's nodes. `get_task` is the task as it was last read.

    They are kept in memory: a running node renews its own, and the ledger has what must last.
    """

    def __init__(
        self,
        get_task: Callable[[], TaskView],
        is_development: bool,
        get_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._get_task = get_task
        self._is_development = is_development
        self._get_ms = get_ms
        self._signed: dict[str, tuple[Place, Registration]] = {}

    def sign(self, keypair: Keypair, url: str) -> bytes:
        """A registration of a node's own, as of now."""
        data = msgspec.to_builtins(Place(url, self._get_ms(), self._get_task().address))
        node = str(keypair.pubkey())
        return msgspec.json.encode(Registration(data, sign_payload(keypair, data, REGISTRATION), node, node))

    def add(self, body: bytes) -> None:
        """Take a registration as it was sent. Raises BadRegistration."""
        if len(body) > REGISTRATION_BYTES_MAX:
            raise BadRegistration(f"{len(body)} bytes; at most {REGISTRATION_BYTES_MAX} are allowed")
        try:
            registration = decode_json(body, Registration)
            place: Place = convert(registration.data, Place)
        except Malformed as error:
            raise BadRegistration(f"not a registration: {error}") from error
        self._check_node(registration.node)
        self._check_place(place)
        self._check_newer(registration.node, place)
        self._check_signature(registration)

        self._prune()
        if registration.node in self._signed or len(self._signed) < REGISTRATIONS_MAX:
            self._signed[registration.node] = (place, registration)

    def get_endpoints(self) -> dict[str, str]:
        """URL by node, of every node that can be reached; the newest that it signed, else the ledger's."""
        self._prune()
        staked = {stake.node: stake.endpoint for stake in self._get_task().stakes if stake.endpoint}
        return staked | {node: place.url for node, (place, _) in self._signed.items()}

    def list_nodes(self) -> list[dict[str, Any]]:
        """The same as existing clients read it; an entry of the ledger has no signature and time 0."""
        nodes = []
        for node, url in sorted(self.get_endpoints().items()):
            if node in self._signed:
                _, signed = self._signed[node]
            else:
                data = msgspec.to_builtins(Place(url, 0, self._get_task().address))
                signed = Registration(data, "", node, node)
            nodes.append(msgspec.to_builtins(signed))
        return nodes

    def _check_node(self, node: str) -> None:
        if not any(stake.node == node and stake.amount for stake in self._get_task().stakes):
            raise BadRegistration(f"{node[:64]!r} has no stake in task {self._get_task().address}")

    def _check_place(self, place: Place) -> None:
        now, task = self._get_ms(), self._get_task().address
        if place.task != task:
            raise BadRegistration(f"signed for task {place.task[:64]}; this is {task}")
        if not now - LIFE_MS <= place.timestamp <= now + AHEAD_MS:
            raise BadRegistration(f"stale: signed at {place.timestamp} ms; it is {now} here, sign a new one")
        fault = find_fault(place.url, self._is_development)
        if fault:
            raise BadRegistration(f"url {place.url[:URL_BYTES_MAX]!r} {fault}")

    def _check_newer(self, node: str, place: Place) -> None:
        known, _ = self._signed.get(node, (None, None))
        if known is not None and place.timestamp <= known.timestamp and place != known:
            raise BadRegistration(f"stale: signed at {place.timestamp} ms; {known.timestamp} is known")

    def _check_signature(self, registration: Registration) -> None:
        try:
            signed = open_payload(registration.signature, registration.node, REGISTRATION)
        except BadPayload as error:
            raise BadRegistration(f"forged: {error}") from error
        if signed != registration.data:
            raise BadRegistration("forged: the signature is for other data")

    def _prune(self) -> None:
        """Drop registrations of nodes without stake, and those that were not renewed."""
        staked = {stake.node for stake in self._get_task().stakes if stake.amount}
        oldest = self._get_ms() - LIFE_MS
        self._signed = {
            node: entry
            for node, entry in self._signed.items()
            if node in staked and entry[0].timestamp >= oldest
        }


def find_fault(url: str, is_development: bool) -> str | None:
    """Why a URL cannot be announced; None if it can.

    A name that leads to a private address is refused at connection (outgoing.py).
    """
    if len(url) > URL_BYTES_MAX or len(url.encode("utf-8", "replace")) > URL_BYTES_MAX:
        return f"is too long: a URL has at most {URL_BYTES_MAX} bytes"
    try:
        parsed = parse_url(url)
    except ServiceError as error:
        return f"cannot be fetched: {error}"
    if parsed.query or parsed.fragment:
        return "must be http:// or https://, a host, perhaps a port and a path"
    if is_development:
        return None
    try:
        is_private = not is_public(parsed.host)
    except ValueError:
        is_private = f".{parsed.host}".rstrip(".").endswith(PRIVATE_NAMES)
    return "is a private address: strangers cannot reach it" if is_private else None
