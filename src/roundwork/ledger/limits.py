"""What a ledger takes from outside, at most: every limit and its default, in this one place."""

import msgspec

from ..errors import BadConfig


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what clients may ask, whoever they are."""

    body_bytes: int = 4 * 2**20
    """Of one HTTP body or websocket message."""
    batch_calls: int = 1_000
    """Of one batch."""
    connections: int = 2_000
    """Of HTTP, and as many websockets."""
    websockets_per_address: int = 200
    """Of one address that is not on this machine."""
    subscriptions: int = 1_000
    """Of one websocket."""
    subscriptions_in_all: int = 100_000
    waiting_bytes: int = 8 * 2**20
    """That may wait for a websocket whose reader is slow; then it is closed."""
    stalled_seconds: int = 30
    """A connection that takes in nothing for so long is cut."""
    calls_per_second: int = 1_000
    """Of one address that is not on this machine, in the long run."""
    calls_at_once: int = 10_000
    """That it may have saved up."""
    addresses: int = 10_000
    """Whose calls are counted; beyond, the longest silent one is forgotten."""
    pool_transactions: int = 20_000
    """That may wait for a block."""


LIMITS = Limits()


def read_limits(settings: tuple[str, ...]) -> Limits:
    """The limits with some of them set, each as NAME=NUMBER. Raises BadConfig."""
    values: dict[str, int] = {}
    for setting in settings:
        name, _, number = setting.partition("=")
        if name not in Limits.__struct_fields__:
            raise BadConfig(f"--limit {setting}: there is no {name}; one of {list(Limits.__struct_fields__)}")
        if not number.isdecimal() or not int(number):
            raise BadConfig(f"--limit {setting}: {number!r} is no number of 1 or more")
        values[name] = int(number)
    return Limits(**values)
