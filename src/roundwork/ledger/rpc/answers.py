"""Answers about tasks, made once for all clients that request the same between two blocks."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from ..chain import Chain

ANSWERS_MAX = 256
ANSWERS_BYTES_MAX = 64 * 2**20
"""All answers that are kept have at most so many bytes together; they are dropped at the next block."""


class Answers:
    """The JSON of results by method and parameters, of the last block."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._height = -1
        self._made: dict[tuple[str, bytes], asyncio.Future[msgspec.Raw]] = {}
        self._bytes = 0

    async def share(self, key: tuple[str, bytes], make: Callable[[], Awaitable[msgspec.Raw]]) -> msgspec.Raw:
        """The result of `make`, or its result for another client since the last block.

        Raises what `make` raises. A failure is not shared: the next client makes the answer anew.
        """
        while True:
            self._drop_old()
            made = self._made.get(key)
            if made is None:
                return await self._make(key, make)
            await asyncio.wait([made])
            if not made.cancelled() and made.exception() is None:
                return made.result()

    def _drop_old(self) -> None:
        height = self._chain.state.head.height
        if height != self._height:
            self._height, self._made, self._bytes = height, {}, 0

    async def _make(self, key: tuple[str, bytes], make: Callable[[], Awaitable[msgspec.Raw]]) -> msgspec.Raw:
        if len(self._made) >= ANSWERS_MAX or self._bytes > ANSWERS_BYTES_MAX:
            return await make()
        made = asyncio.get_running_loop().create_future()
        here = self._made
        here[key] = made
        try:
            raw = await make()
        except BaseException:
            made.cancel()
            del here[key]
            raise
        made.set_result(raw)
        if here is self._made:
            self._bytes += memoryview(raw).nbytes
        return raw
