"""How many calls an address may make: each has a bucket, which time fills and calls empty."""

from collections import OrderedDict

from ...host.front import compute_name, is_local
from ..limits import Limits

REFUSAL_SECONDS = 0.25
"""An address that calls too often waits this long for each refusal, so that refusing it takes little work."""


class Rates:
    """The buckets of all addresses.

    Addresses on this machine have none, because a local process could do more harm by other means.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address: the calls that were left at a time, and that time in seconds."""

    def take(self, address: str, calls: int, seconds: float) -> bool:
        """Whether an address may make this many calls now.

        `seconds` comes from a clock that only goes forward.
        """
        name = compute_name(address)
        if is_local(name):
            return True
        left = self._count_left(name, seconds)
        is_allowed = calls <= left
        self._buckets.pop(name, None)
        self._buckets[name] = (left - calls if is_allowed else left, seconds)
        if len(self._buckets) > self._limits.addresses:
            self._buckets.popitem(last=False)
        return is_allowed

    def has_left(self, address: str, calls: int, seconds: float) -> bool:
        """Whether `take` would allow these calls. Counts none."""
        name = compute_name(address)
        return is_local(name) or calls <= self._count_left(name, seconds)

    def _count_left(self, name: str, seconds: float) -> float:
        limits = self._limits
        left, before = self._buckets.get(name, (float(limits.calls_at_once), seconds))
        return min(left + (seconds - before) * limits.calls_per_second, limits.calls_at_once)

    def charge(self, address: str, calls: float, seconds: float) -> bool:
        """Count calls that were made already; whether the address may go on with what it has begun.

        Its debt may be as many calls as it regains in a second.
        """
        name = compute_name(address)
        if is_local(name):
            return True
        left, before = self._buckets.get(name, (float(self._limits.calls_at_once), seconds))
        self._buckets[name] = left - calls, before
        return left - calls > -self._limits.calls_per_second
