"""Files that are whole or absent: written beside their place, then renamed into it."""

import contextlib
import errno
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

READABLE_BY_OWNER = 0o600
FOLDER_OF_OWNER = 0o700
OTHER_USERS = 0o077
"""The bits of a mode for all users but the owner."""

READABLE_BY_ALL = 0o644
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

log = logging.getLogger(__name__)


def make_own_folder(path: Path) -> None:
    """Make a folder, and its parents, if it is missing. Only its owner can enter a folder that is made here.

    A folder that exists keeps its mode. Raises OSError.
    """
    path.mkdir(FOLDER_OF_OWNER, parents=True, exist_ok=True)


def warn_of_other_users(folder: Path) -> None:
    """Log what to do if other users can enter a folder that holds keys. Raises OSError."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & OTHER_USERS:
        log.warning(
            "other users can enter %s (mode %o), which holds keys; close it: chmod 700 %s",
            folder,
            mode,
            folder,
        )


def replace_file(path: Path, content: bytes, mode: int = READABLE_BY_ALL) -> None:
    """Write a file in the place of an older one, if any. A reader sees the old content or the new one.

    Both survive the loss of power. Raises OSError; the old file then stays.
    """
    with _write_part(path, content, mode) as part:
        os.replace(part, path)
    _sync_folder(path.parent)


def create_file(path: Path, content: bytes, mode: int = READABLE_BY_ALL) -> None:
    """Write a file that must not exist yet. Raises FileExistsError and other kinds of OSError."""
    with _write_part(path, content, mode) as part:
        os.link(part, path)
    _sync_folder(path.parent)


def rename_folder(folder: Path, name: Path) -> None:
    """Give a folder beside `name` that name, which no folder may have yet. Raises OSError.

    The name survives the loss of power; files in the folder are synced before.
    """
    _sync_folder(folder)
    folder.rename(name)
    _sync_folder(name.parent)


def give_to_owner(name: int | str, folder: int) -> None:
    """As root, give what was made in an open folder to the folder's owner. Links are not followed.

    `name`: an open file, or a name in the folder. Raises OSError.
    """
    if os.geteuid() != 0:
        return
    status = os.fstat(folder)
    if isinstance(name, int):
        os.fchown(name, status.st_uid, status.st_gid)
    else:
        os.chown(name, status.st_uid, status.st_gid, dir_fd=folder, follow_symlinks=False)


def remove_folder(place: int, name: str) -> None:
    """Remove a folder with all in it, however deep, with a descriptor or two and without recursion.

    `place` is the open folder that it lies in. Links are not followed. A task may move a folder meanwhile:
    then the way up leads elsewhere, and nothing more is removed. Raises OSError.
    """
    top = identify(place)
    current, names, parents = os.open(name, _OPEN_FOLDER, dir_fd=place), [name], [top]
    try:
        while names:
            inner = _empty(current)
            step = inner if inner is not None else ".."
            identity = identify(current)
            following = os.open(step, _OPEN_FOLDER, dir_fd=current)
            os.close(current)
            current = following
            if inner is not None:
                names.append(inner)
                parents.append(identity)
            elif identify(current) != parents.pop():
                raise OSError(errno.EBUSY, "a directory was moved while it was removed")
            else:
                os.rmdir(names.pop(), dir_fd=current)
    finally:
        os.close(current)


def _empty(folder: int) -> str | None:
    """Remove the files of an open folder; the name of a folder in it, None if none is left."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                return entry.name
            os.unlink(entry.name, dir_fd=folder)
    return None


def identify(opened: int) -> tuple[int, int]:
    """What an open file or folder is known by: its device and inode."""
    found = os.fstat(opened)
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _write_part(path: Path, content: bytes, mode: int) -> Iterator[str]:
    """A file beside `path` that holds the content, synced to disk. It is gone afterwards."""
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield part
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
