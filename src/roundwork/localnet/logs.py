"""Which lines of our processes' logs (host/logs.py) an operator should see."""

from pathlib import Path

LOUD = ("WARNING", "ERROR", "CRITICAL")


class Follower:
    """Reads a log file while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read_warnings(self) -> list[str]:
        """The first line of each message since the last time that is a warning, or worse."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        if not whole:
            return []
        self._offset += len(whole) + 1
        lines = (line.split(" ", 4) for line in whole.decode("utf-8", "replace").split("\n"))
        return [
            message
            for _, _, level, _, message in (fields for fields in lines if len(fields) == 5)
            if level in LOUD
        ]
