"""Who may connect to a server, and how much memory clients may hold: the limits of every HTTP server here."""

import logging
import resource
from collections import Counter
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Protocol, TypeVar

import msgspec

from ..errors import BadConfig

PATIENCE_SECONDS = 1.0
"""When all places are taken, a connection that has waited longer for its request loses its place."""

FREE_BYTES = 2**14
"""The first bytes that a connection holds are not counted: most requests have fewer."""

TAKEN_BYTES_PER_SECOND_MIN = 2**14
"""A client that takes in its response more slowly than this is cut off."""

DESCRIPTORS_KEPT = 100
"""File descriptors that are kept for everything but connections."""

LOG_SECONDS = 60.0
"""Refusals are logged once in this many seconds, so that strangers cannot fill the log."""

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
"""A message of ASGI, or the scope of a connection."""


class FrontLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on connections. Those per address do not apply to addresses of this machine."""

    connections: int = 2_000
    """HTTP connections, and as many websockets."""
    connections_per_address: int = 400
    """Connections of one address, websockets among them."""
    head_bytes: int = 2**14
    """Bytes of one request line with its header fields."""
    head_fields: int = 100
    """Header fields of one request."""
    request_seconds: int = 30
    """Seconds in which a request must arrive, from its first byte to its last."""
    held_bytes: int = 256 * 2**20
    """Bytes in memory of requests that are not complete or not answered, and of responses that clients have
    not taken in."""
    held_bytes_per_address: int = 64 * 2**20
    """The same of one address."""
    stalled_seconds: int = 30
    """Seconds after which a connection that takes in nothing is closed."""


FRONT_LIMITS = FrontLimits()

Kind = TypeVar("Kind", bound=FrontLimits)


def read_limits(settings: Iterable[str], kind: type[Kind]) -> Kind:
    """The limits of a kind with some of them set, each as NAME=NUMBER. Raises BadConfig."""
    values: dict[str, int] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in kind.__struct_fields__:
            raise BadConfig(f"--limit {setting}: there is no {name}; one of {list(kind.__struct_fields__)}")
        if not value.isdecimal() or not int(value):
            raise BadConfig(f"--limit {setting}: {value!r} is not a number of 1 or more")
        values[name] = int(value)
    return kind(**values)


class Guest(Protocol):
    """A connection as the front sees it. `address` is what is counted together: see `compute_name`."""

    address: str

    def get_unsent_bytes(self) -> int:
        """Bytes of responses that the client has not taken in."""

    def refuse(self, status: int, reason: str) -> None:
        """Answer with this error if no answer has begun, and close."""

    def cut(self) -> None:
        """Close at once, without what is still to be sent."""


class Front:
    """The connections of a server: how many, how long they wait for requests, how much memory they hold."""

    def __init__(self, limits: FrontLimits) -> None:
        self.limits = limits
        self.connections: set[Guest] = set()
        """HTTP connections."""
        self.websockets: set[Guest] = set()
        self._by_address = Counter[str]()
        """Connections of both kinds."""
        self._waiting: dict[Guest, float] = {}
        """Connections without a complete request, and since when; first the one that waits longest."""
        self._held: dict[Guest, int] = {}
        """Bytes that connections hold; first the one that has held some for the longest time."""
        self._held_by_address = Counter[str]()
        self._held_in_all = 0
        self._sending: dict[Guest, tuple[float, int]] = {}
        """Connections with more to send than the system takes: since when, and how many bytes it was then."""
        self._refusals = 0
        self._last_refusal = ""
        self._logged_at = -LOG_SECONDS

    # Places

    def find_refusal(self, address: str, now: float) -> str | None:
        """Why there is no place for one more connection; None if there is one.

        A connection that has waited too long for its request may lose its place for it.
        """
        most = self.limits.connections_per_address
        if not is_local(address) and self._by_address[address] >= most:
            return self._count_refusal(f"{most} connections of {address} are open")
        if len(self.connections) >= self.limits.connections and not self._make_room(now):
            return self._count_refusal(f"{self.limits.connections} connections are open")
        return None

    def find_websocket_refusal(self) -> str | None:
        """Why a connection may not become a websocket; None if it may."""
        if len(self.websockets) >= self.limits.connections:
            return self._count_refusal(f"{self.limits.connections} websockets are open")
        return None

    def enter(self, guest: Guest, is_websocket: bool = False) -> None:
        """Count a connection."""
        (self.websockets if is_websocket else self.connections).add(guest)
        self._by_address[guest.address] += 1

    def leave(self, guest: Guest) -> None:
        """Count a connection no more. It may have left already."""
        if guest not in self.connections and guest not in self.websockets:
            return
        self.connections.discard(guest)
        self.websockets.discard(guest)
        self._waiting.pop(guest, None)
        self._sending.pop(guest, None)
        self.hold(guest, 0)
        self._by_address[guest.address] -= 1
        if not self._by_address[guest.address]:
            del self._by_address[guest.address]

    def _make_room(self, now: float) -> bool:
        longest = next((guest for guest in self._waiting if guest in self.connections), None)
        if longest is None or now - self._waiting[longest] < PATIENCE_SECONDS:
            return False
        longest.refuse(503, "other connections need this place")
        self.leave(longest)
        return True

    # Time

    def start_waiting(self, guest: Guest, now: float) -> None:
        """A connection waits for a request, or for the rest of it, from now on."""
        self._waiting.pop(guest, None)
        self._waiting[guest] = now

    def stop_waiting(self, guest: Guest) -> None:
        """The request is complete."""
        self._waiting.pop(guest, None)

    def start_sending(self, guest: Guest, now: float) -> None:
        """A client takes in its response more slowly than it is written."""
        self._sending[guest] = now, guest.get_unsent_bytes()

    def stop_sending(self, guest: Guest) -> None:
        """The client has taken in nearly all of its response."""
        self._sending.pop(guest, None)

    def check_clocks(self, now: float) -> None:
        """Close the connections whose requests or whose readers are too slow. Call it once a second."""
        seconds = self.limits.request_seconds
        for guest in [guest for guest, since in self._waiting.items() if now - since > seconds]:
            guest.refuse(408, f"a request arrives within {seconds} seconds")
            self.leave(guest)
        for guest, (since, size) in list(self._sending.items()):
            taken = size - guest.get_unsent_bytes()
            if taken < (now - since - self.limits.stalled_seconds) * TAKEN_BYTES_PER_SECOND_MIN:
                self._count_refusal(f"{guest.address} takes in its responses too slowly")
                guest.cut()
        self._log_refusals(now)

    # Memory

    def hold(self, guest: Guest, size: int) -> None:
        """A connection holds this many bytes now. If it is too much in all, the oldest holder is closed."""
        counted = max(size - FREE_BYTES, 0)
        before = self._held.get(guest, 0)
        if counted == before:
            return
        self._held_in_all += counted - before
        self._held_by_address[guest.address] += counted - before
        if counted:
            self._held[guest] = counted
        else:
            del self._held[guest]
        if not self._held_by_address[guest.address]:
            del self._held_by_address[guest.address]
        if counted > before:
            self._check_held(guest.address)

    def _check_held(self, address: str) -> None:
        most = self.limits.held_bytes_per_address
        if not is_local(address) and self._held_by_address[address] > most:
            oldest = next(guest for guest in self._held if guest.address == address)
            self._let_go(oldest, f"connections of {address} hold more than {most} bytes")
        if self._held_in_all > self.limits.held_bytes:
            oldest = next(iter(self._held))
            self._let_go(oldest, f"connections hold more than {self.limits.held_bytes} bytes")

    def _let_go(self, guest: Guest, reason: str) -> None:
        self._count_refusal(reason)
        guest.refuse(503, reason)
        if guest.get_unsent_bytes() > FREE_BYTES:
            guest.cut()
        self.leave(guest)

    # What is logged

    def _count_refusal(self, reason: str) -> str:
        self._refusals += 1
        self._last_refusal = reason
        return reason

    def _log_refusals(self, now: float) -> None:
        if self._refusals and now - self._logged_at >= LOG_SECONDS:
            log.warning("%d connections refused; the last because %s", self._refusals, self._last_refusal)
            self._refusals = 0
            self._logged_at = now


def fit_descriptors(limits: FrontLimits) -> FrontLimits:
    """The limits, with no more connections than this process may have file descriptors for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = max((hard - DESCRIPTORS_KEPT) // 2, 1)
    if hard == resource.RLIM_INFINITY or connections >= limits.connections:
        return limits
    log.warning("%d file descriptors are enough for %d connections, not %d",
                hard, connections, limits.connections)  # fmt: skip
    return msgspec.structs.replace(limits, connections=connections)


def get_address(scope: Message) -> str:
    """Where a connection comes from; behind a proxy on this machine, where the proxy says it does."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_local(address: str) -> bool:
    """Whether an address is on this machine; a local socket has none."""
    return address in ("127.0.0.1", "::1", "")


@lru_cache(4096)
def compute_name(address: str) -> str:
    """What is counted together: an IPv4 address, or the /64 of an IPv6 one, which is one customer's."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address) or address == "::1":
        return address
    return str(parsed.ipv4_mapped or parsed.exploded[:19])
