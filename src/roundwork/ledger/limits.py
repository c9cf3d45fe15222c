"""The most that a ledger takes from outside: every limit and its default."""

from ..host.front import FrontLimits


class Limits(FrontLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what clients may request, beside those on their connections."""

    body_bytes: int = 4 * 2**20
    """Bytes of one HTTP body or websocket message."""
    answer_bytes: int = 32 * 2**20
    """Bytes of one answer, or of the answers of one batch together."""
    work_seconds: int = 10
    """Processor seconds of work for one answer, or for the answers of one batch together."""
    batch_calls: int = 1_000
    """Requests in one batch."""
    websockets_per_address: int = 200
    """Websockets of one address that is not on this machine."""
    subscriptions: int = 1_000
    """Subscriptions of one websocket."""
    subscriptions_per_address: int = 10_000
    """Subscriptions of one address that is not on this machine."""
    subscriptions_in_all: int = 100_000
    """Subscriptions of all websockets."""
    waiting_bytes: int = 8 * 2**20
    """Bytes that may wait for a websocket whose reader is slow. With more it is closed."""
    waiting_bytes_in_all: int = 64 * 2**20
    """Bytes that may wait for all websockets. With more, the websocket with the most of them is closed."""
    calls_per_second: int = 1_000
    """Calls of one address that is not on this machine, in the long run. A call that takes long counts as
    several: one for each 0.1 ms that it holds up other calls, and one for each 0.5 ms beside them."""
    calls_at_once: int = 10_000
    """Calls that such an address may make at once, after a silence."""
    reads_per_address: int = 20
    """Long reads of one address that may wait for a thread."""
    addresses: int = 10_000
    """Addresses whose calls are counted. With more, the address that was silent longest is forgotten."""
    pool_transactions: int = 20_000
    """Transactions that may wait for a block."""


LIMITS = Limits()
