"""How many calls an address may make: one bucket for each, which time fills and calls empty."""

from collections import OrderedDict
from collections.abc import MutableMapping
from ipaddress import IPv6Address, ip_address
from typing import Any

from ..limits import Limits

Message = MutableMapping[str, Any]
"""A message of ASGI, or the scope of a connection."""


class Rates:
    """The buckets of all addresses.

    Addresses on this machine have none, because they could do worse than call.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address: the calls that were left at a time, and that time in seconds."""

    def take(self, address: str, calls: int, seconds: float) -> bool:
        """Whether an address may make this many calls now.

        `seconds` comes from a clock that only goes forward.
        """
        if is_local(address):
            return True
        name = compute_name(address)
        limits = self._limits
        left, before = self._buckets.pop(name, (float(limits.calls_at_once), seconds))
        left = min(left + (seconds - before) * limits.calls_per_second, limits.calls_at_once)
        is_allowed = calls <= left
        self._buckets[name] = (left - calls if is_allowed else left, seconds)
        if len(self._buckets) > limits.addresses:
            self._buckets.popitem(last=False)
        return is_allowed


def get_address(scope: Message) -> str:
    """Where a connection comes from; behind a proxy on this machine, where the proxy says it does."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_local(address: str) -> bool:
    """Whether an address is on this machine. A local socket has an empty address."""
    return address in ("127.0.0.1", "::1", "")


def compute_name(address: str) -> str:
    """The addresses that are counted together: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or parsed.exploded[:19])
