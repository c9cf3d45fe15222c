"""How many bytes of requests a node takes from all its tasks at a time: what is beyond waits in the task."""

import asyncio
from collections import deque

REQUEST_BYTES_IN_ALL = 256 * 1024 * 1024


class ByteBudget:
    """Bytes that are held at a time. Requests that find too few left wait, each in its turn."""

    def __init__(self, bytes_max: int) -> None:
        self.held = 0
        self._max = bytes_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Hold so many bytes from now on. More than there are in all are held as soon as nothing else is."""
        if not self._waiting and self._has_room(size):
            self.held += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn came at the same moment
                self.held -= size
            self._wake()
            raise

    def give(self, size: int) -> None:
        """Hold so many bytes no longer."""
        self.held -= size
        self._wake()

    def _has_room(self, size: int) -> bool:
        return not self.held or self.held + size <= self._max

    def _wake(self) -> None:
        """Give those that wait longest what is free; it is held from here on."""
        while self._waiting and (self._waiting[0][1].cancelled() or self._has_room(self._waiting[0][0])):
            size, turn = self._waiting.popleft()
            if not turn.cancelled():
                self.held += size
                turn.set_result(None)


requests = ByteBudget(REQUEST_BYTES_IN_ALL)
"""Of this node."""
