"""Messages too long for a frame, as files in a folder that the other side may tamper with at any moment."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...host.files import give_to_owner, remove_folder
from ...sdk.worker import SPILL_BYTES_MAX

_NAME = re.compile(r"up-[0-9]+-[0-9]+")
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BadSpill(Exception):
    """The folder holds something that a worker does not write there."""


def clear(path: Path) -> None:
    """Remove what a task has left at a path, a folder with all in it. Raises OSError."""
    home = os.open(path.parent, os.O_DIRECTORY | _OPEN)
    try:
        if path.is_dir() and not path.is_symlink():
            remove_folder(home, path.name)
        else:
            path.unlink(missing_ok=True)
    finally:
        os.close(home)


class SpillFolder:
    """The folder, held open: a folder that the task puts in its place is not used.

    Links are never followed and only regular files are read, so the node reads only what the task could
    have sent in frames.
    """

    def __init__(self, path: Path) -> None:
        """Make the folder anew, whatever the task has put in its place. Raises OSError."""
        clear(path)
        path.mkdir()
        self._folder = os.open(path, os.O_DIRECTORY | _OPEN)
        home = os.open(path.parent, os.O_DIRECTORY | _OPEN)
        give_to_owner(self._folder, home)
        os.close(home)
        self._numbers = itertools.count(1)

    def put(self, data: bytes) -> str:
        """Write a message for the worker; its name. Raises BadSpill if the task stands in the way."""
        name = f"down-{next(self._numbers)}"
        try:
            file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _OPEN, 0o600, dir_fd=self._folder)
            with os.fdopen(file, "wb") as out:
                give_to_owner(file, self._folder)
                out.write(data)
        except OSError as error:  # the task is in the way, or the disk is full
            raise BadSpill(f"message {name} cannot be written: {error}") from error
        return name

    def measure(self, name: str) -> int:
        """The bytes of a message of the worker. Raises BadSpill."""
        with self._open(name) as file:
            return os.fstat(file).st_size

    def take(self, name: str, bytes_max: int) -> bytes:
        """Read a message of the worker and remove it. Raises BadSpill, also if it has more bytes."""
        with self._open(name) as file:
            if os.fstat(file).st_size > bytes_max:
                raise BadSpill(f"message {name} has grown to more than {bytes_max} bytes")
            with os.fdopen(file, "rb", closefd=False) as source:
                data = source.read(bytes_max)
            os.unlink(name, dir_fd=self._folder)
        return data

    @contextmanager
    def _open(self, name: str) -> Iterator[int]:
        """A message of the worker: a regular file of bounded size. Raises BadSpill."""
        if not _NAME.fullmatch(name):
            raise BadSpill(f"{name[:80]!r} is not the name of a message")
        try:
            file = os.open(name, os.O_RDONLY | _OPEN, dir_fd=self._folder)
            try:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode) or status.st_size > SPILL_BYTES_MAX:
                    raise BadSpill(f"message {name} is not a file of at most {SPILL_BYTES_MAX} bytes")
                yield file
            finally:
                os.close(file)  # os.fdopen would leave a folder open
        except OSError as error:
            raise BadSpill(f"message {name} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the folder."""
        os.close(self._folder)
