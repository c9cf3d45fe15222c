"""The cost that the answer to a body may have: bytes, and seconds of work."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from ..limits import Limits
from .errors import AnswerTooLarge, WorkTooLong

COST_SECONDS = 0.000_1
"""Work on the event loop of this many seconds counts as one call."""

THREAD_COST_SECONDS = 0.000_5
"""Work on another thread of this many seconds counts as one call."""

RANGE_PIECE = 10_000
"""Numbers that are encoded at once."""

_encoder = msgspec.json.Encoder()


class Budget:
    """The bytes and the seconds that are left to the answer of one body, or of one batch."""

    def __init__(self, address: str, limits: Limits) -> None:
        self.address = address
        """Where the body comes from."""
        self.cost = 0.0
        """Calls that the work counts as and that are not yet charged to the address."""
        self._bytes_max = self._bytes_left = limits.answer_bytes
        self._seconds_max = limits.work_seconds
        self._seconds_left = float(limits.work_seconds)
        self._deadline = math.inf

    # Work

    def spend(self, seconds: float, cost_seconds: float = COST_SECONDS) -> None:
        """Count work that is done."""
        self._seconds_left -= seconds
        self.cost += seconds / cost_seconds

    def check_left(self) -> None:
        """Raises WorkTooLong if all is spent."""
        if self._seconds_left <= 0:
            raise WorkTooLong(self._seconds_max)

    @contextmanager
    def work(self, cost_seconds: float = COST_SECONDS) -> Iterator[None]:
        """Count the processor time of what runs inside, on any thread. Raises WorkTooLong if none is left."""
        self.check_left()
        began = time.thread_time()
        self._deadline = began + self._seconds_left
        try:
            yield
        finally:
            self._deadline = math.inf
            self.spend(time.thread_time() - began, cost_seconds)

    def check_time(self) -> None:
        """Raises WorkTooLong when the work takes too long. Long loops call it in each step."""
        if time.thread_time() > self._deadline:
            raise WorkTooLong(self._seconds_max)

    # Bytes

    def check_bytes(self, size: int) -> None:
        """Raises AnswerTooLarge if an answer of this size is too large."""
        if size > self._bytes_left:
            raise AnswerTooLarge(self._bytes_max)

    def take_bytes(self, size: int) -> None:
        """Count an answer that is complete. Raises AnswerTooLarge."""
        self.check_bytes(size)
        self._bytes_left -= size

    def encode(self, value: Any) -> msgspec.Raw:
        """The JSON of a value. Raises AnswerTooLarge."""
        encoded = _encoder.encode(value)
        self.check_bytes(len(encoded))
        return msgspec.Raw(encoded)

    def encode_list(self, values: Iterable[Any]) -> msgspec.Raw:
        """The JSON of an array, encoded value by value. Raises AnswerTooLarge, WorkTooLong."""
        parts, size = [], 2
        for value in values:
            self.check_time()
            parts.append(_encoder.encode(value))
            size += len(parts[-1]) + 1
            self.check_bytes(size)
        return join(b"[", b",".join(parts), b"]")


def encode_range(numbers: range) -> msgspec.Raw:
    """The JSON of an array of numbers, in pieces."""
    pieces = [numbers[at : at + RANGE_PIECE] for at in range(0, len(numbers), RANGE_PIECE)]
    return join(b"[", b",".join([_encoder.encode(list(piece))[1:-1] for piece in pieces]), b"]")


def join(*parts: bytes | msgspec.Raw) -> msgspec.Raw:
    """JSON put together from its parts."""
    return msgspec.Raw(b"".join(parts))
