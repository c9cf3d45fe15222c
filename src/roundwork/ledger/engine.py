"""What makes blocks: all that RPC needs of an engine."""

from collections.abc import Sequence
from typing import Protocol

from ..errors import RoundworkError
from ..protocol.execute import Receipt
from ..protocol.transaction import Transaction

Answer = Receipt | RoundworkError | None
"""What became of a transaction: its receipt if it is durable already, None if a later block will have it, or
the error that refused it: Void, PoolFull, StoreFull, RemoteError."""


class Engine(Protocol):
    """Makes blocks of what RPC takes in."""

    def get_slot(self) -> int:
        """The slot of the next block, at the earliest."""

    def get_newest_tick(self) -> tuple[bytes, int]:
        """The tick that a transaction sent now should name, and its slot."""

    async def submit(self, items: Sequence[tuple[bytes, Transaction]]) -> Sequence[Answer]:
        """Take in transactions together, each with its bytes; an answer for each, in their order."""
