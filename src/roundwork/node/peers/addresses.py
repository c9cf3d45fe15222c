"""Which addresses are public, and the lookup of names.

Connections use the addresses that are checked here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor

from ..answers import ServiceError

LOOKUPS_MAX = 16
"""Names that are looked up at a time. A name server that does not answer holds one of these threads, and no
thread that the rest of the node needs."""

_IPV4_NOT_PUBLIC = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by customers of a provider
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, and where clouds keep their secrets
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # IETF protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
"""The IANA registry of special-purpose IPv4 addresses, and multicast."""

_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that IANA gives to hosts. Beyond it are loopback, IPv4-mapped and -compatible addresses, NAT64, unique
local, link-local and site-local addresses, segment routing and multicast."""

_IPV6_NOT_PUBLIC = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments: Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)
"""The IANA registry of special-purpose IPv6 addresses, as far as it lies within _IPV6_UNICAST."""


def is_public(address: str) -> bool:
    """Whether an IP address can be a host on the public Internet. Raises ValueError for another text.

    An IPv6 address that stands for an IPv4 address is never public: IPv4 has its own form.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _IPV4_NOT_PUBLIC)
    return parsed in _IPV6_UNICAST and not any(parsed in network for network in _IPV6_NOT_PUBLIC)


class Resolver:
    """Looks names up in threads of its own."""

    def __init__(self, is_development: bool) -> None:
        self._is_development = is_development
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, "lookup")

    async def look_up(self, host: str, port: int) -> list[str]:
        """The addresses of a host; all are public, except on development networks.

        Raises ServiceError: Unavailable for a name without addresses, Refused if any is not public.
        """
        addresses = await self._get_addresses(host, port)
        if not self._is_development and not all(map(is_public, addresses)):
            raise ServiceError(
                "Refused", f"{host} is at a private address, {addresses}: only public ones are allowed"
            )
        return addresses

    def close(self) -> None:
        """Let the threads end, without waiting for a lookup that takes long."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _get_addresses(self, host: str, port: int) -> list[str]:
        with contextlib.suppress(ValueError):  # it is a name
            return [str(ipaddress.ip_address(host))]
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, _look_up, host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label of more than 63 characters
            raise ServiceError("Unavailable", f"{host} is not known: {error}") from error


def _look_up(host: str, port: int) -> list[str]:
    """Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
