"""Exclusive locks: at most one process works in a directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreInUse


@contextmanager
def hold(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock of a directory, or of a file, which is made. The kernel frees it when the process ends.

    Raises StoreInUse, with `refusal` as its text, if another process holds it.
    """
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUse(refusal) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def wait_and_hold(path: Path) -> Iterator[None]:
    """Hold the lock of a directory or a file as soon as no other process does; blocks the thread."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a directory or a file; False if the path does not exist."""
    if not path.exists():
        return False
    try:
        with hold(path, ""):
            return False
    except StoreInUse:
        return True


def _open(path: Path) -> int:
    if path.is_dir():
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
