"""What is followed in a log while it grows."""

import logging
from pathlib import Path

from roundwork.host.logs import LINE
from roundwork.localnet.logs import Follower


def read_warnings(follower: Follower) -> list[str]:
    return [line.message for line in follower.read_lines() if line.is_loud]


def test_warnings_are_told_once_each_by_their_first_line(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    follower = Follower(path)
    assert [] == read_warnings(follower)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(LINE))

    def write(level: int, message: str) -> None:
        handler.emit(logging.LogRecord("node", level, "", 0, message, None, None))

    write(logging.INFO, "work: WARNING of a task is none")
    write(logging.WARNING, "audit failed\n  in line 3\n  here is why")
    assert ["audit failed"] == read_warnings(follower)
    assert [] == read_warnings(follower)

    write(logging.ERROR, "worse")
    with path.open("a") as file:
        file.write("2026-01-01 00:00:00,000 WARNING node not yet writ")
    assert ["worse"] == read_warnings(follower)

    with path.open("a") as file:
        file.write("ten\n")
    assert ["not yet written"] == read_warnings(follower)
    handler.close()
