"""The time of blocks: it follows a steady clock, also when the machine's wall clock jumps."""

import logging
import time
from collections.abc import Callable

STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""On Linux it goes on while the machine sleeps, so that block times do not fall behind."""

TOLERANCE_MS = 1_000
"""A wall clock that is corrected a little between two starts is not worth a warning."""

log = logging.getLogger(__name__)


def read_wall_ms() -> int:
    """The machine's wall clock, milliseconds since 1970. It can jump."""
    return time.time_ns() // 1_000_000


def read_steady_ms() -> int:
    """A clock that never jumps, in milliseconds since an unknown moment."""
    return time.clock_gettime_ns(STEADY_CLOCK) // 1_000_000


class BlockClock:
    """Starts at the wall clock, or at the last block's time if that is later, and never jumps after that.

    A wall clock that is set ahead or back while the ledger runs therefore stops no slots; nor does a wall
    clock that is behind the last block at a start.
    """

    def __init__(
        self,
        last_block_ms: int,
        read_wall: Callable[[], int] = read_wall_ms,
        read_steady: Callable[[], int] = read_steady_ms,
    ) -> None:
        self._read_steady = read_steady
        wall = read_wall()
        if wall < last_block_ms - TOLERANCE_MS:
            log.warning(
                "the machine's clock is %.1f s behind the last block; block times go on from that block",
                (last_block_ms - wall) / 1000,
            )
        self._offset = max(wall, last_block_ms) - read_steady()

    def now_ms(self) -> int:
        """The time for a block that is made now, in milliseconds since 1970."""
        return self._offset + self._read_steady()
