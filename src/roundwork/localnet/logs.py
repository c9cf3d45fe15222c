"""Which lines of our processes' logs (host/logs.py) an operator should see."""

from pathlib import Path
from typing import NamedTuple

LOUD = ("WARNING", "ERROR", "CRITICAL")


class LogLine(NamedTuple):
    """The first line of a message."""

    level: str
    logger: str
    message: str

    @property
    def is_loud(self) -> bool:
        """Whether an operator should see it: a warning, or worse."""
        return self.level in LOUD


class Follower:
    """Reads a log file while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read_lines(self) -> list[LogLine]:
        """The first line of each message since the last time."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        if not whole:
            return []
        self._offset += len(whole) + 1
        split = (line.split(" ", 4) for line in whole.decode("utf-8", "replace").split("\n"))
        return [LogLine(*fields[2:]) for fields in split if len(fields) == 5 and fields[2].isupper()]
