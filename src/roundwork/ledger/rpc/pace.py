"""Long work on the event loop, done a little at a time, so that requests are answered in between."""

import asyncio
import time
from collections import deque

SLICE_SECONDS = 0.001
"""Work goes on for this long at once."""


class Pace:
    """Lets one piece of long work continue in each turn of the event loop, even if many pieces wait."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False
        """Whether this turn of the loop has its piece already."""

    async def wait(self) -> float:
        """Wait for a turn. Returns when it ends, as `time.perf_counter` counts."""
        loop = asyncio.get_running_loop()
        if self._is_taken:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._is_taken = True
            loop.call_soon(self._pass_on)
        return time.perf_counter() + SLICE_SECONDS

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else its task was cancelled
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._pass_on)
                return
        self._is_taken = False
