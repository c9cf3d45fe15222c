"""How much of the disk a task uses, and whether the machine has enough left.

A deleted file takes its room until the last process has closed it and unmapped it, so what processes hold
counts beside what lies in the task's directory. Folders count too: one that had many entries stays large.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from .watch import list_threads

FREE_BYTES_MIN = 256 * 1024 * 1024
"""With less left on the disk no task runs: the node's own records come first."""

ENTRIES_MAX = 100_000
"""Files and folders that one task may have."""

LEVELS_MAX = 128
"""Folders within one another: each takes a descriptor and a level of recursion while they are measured."""

UNSEEN_MAX = 16
"""Deleted files that are mapped, but not open, and whose size only root can see."""

BLOCK_BYTES = 512
_MAPPING = re.compile(r"(\w+)-(\w+) \S+ (\w+) (\w+):(\w+) (\d+) +(\S.*)")
"""Of /proc/PID/maps: begin, end, mode, offset in the file, device, inode, path."""

Key = tuple[int, int]
"""Device and inode of a file."""


class DiskExceeded(Exception):
    """The task's directory is too large, or the disk too full; the text has the numbers."""


async def check_disk(home: Path, bytes_max: int) -> None:
    """Raises DiskExceeded if `home` holds more than `bytes_max`, or the disk has too little left."""
    await asyncio.to_thread(check_usage, home, bytes_max)


def check_usage(home: Path, bytes_max: int, processes: Iterable[int] = ()) -> None:
    """Raises DiskExceeded if a task has more than `bytes_max`, or the disk has too little left.

    `processes` are those that may hold deleted files. Raises PermissionError if one of them cannot be seen.
    """
    used = measure(home) + measure_held(home, processes)
    if used > bytes_max:
        raise DiskExceeded(f"it uses {used} bytes of disk; {bytes_max} are allowed")
    free = shutil.disk_usage(home).free
    if free < FREE_BYTES_MIN:
        raise DiskExceeded(f"the disk has {free} bytes left; tasks run with {FREE_BYTES_MIN} or more")


def measure(home: Path) -> int:
    """Bytes on disk under `home`, links not followed. Raises DiskExceeded for too many entries or levels."""
    used = entries = 0
    top = str(home).count("/")
    for path, folders, files, descriptor in os.fwalk(home, follow_symlinks=False):
        if path.count("/") - top > LEVELS_MAX:
            raise DiskExceeded(f"it has folders of more than {LEVELS_MAX} levels")
        used += os.fstat(descriptor).st_blocks * BLOCK_BYTES
        entries += len(folders) + len(files)
        if entries > ENTRIES_MAX:
            raise DiskExceeded(f"it has more than {ENTRIES_MAX} files")
        for name in files:
            try:
                used += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_blocks * BLOCK_BYTES
            except FileNotFoundError:
                # The task removed it meanwhile.
                continue
    return used


def measure_held(home: Path, processes: Iterable[int]) -> int:
    """Bytes on disk of deleted files that processes have open or mapped, on the file system of `home`.

    Raises DiskExceeded for too many whose size cannot be seen, PermissionError for a process that hides.
    """
    device = os.stat(home).st_dev
    held: dict[Key, int] = {}
    unseen: dict[Key, int] = {}
    for pid in processes:
        threads = list_threads(pid)
        for thread in threads:
            _add_held(f"{thread}/fd", device, held)
        for thread in threads[:1]:  # they share their memory
            _add_mapped(thread, device, unseen)
            if thread.name == str(pid):
                _add_held(f"/proc/{pid}/map_files", device, held)
    hidden = {key: size for key, size in unseen.items() if key not in held}
    if len(hidden) > UNSEEN_MAX:
        raise DiskExceeded(f"it has mapped {len(hidden)} deleted files; {UNSEEN_MAX} are allowed")
    return sum(held.values()) + sum(hidden.values())


def _add_held(folder: str, device: int, held: dict[Key, int]) -> None:
    """Add the deleted files that the links of a folder of /proc lead to."""
    for link in _list(folder):
        try:
            status = os.stat(link)
        except OSError:  # it was closed meanwhile, or only root may see where a mapping leads
            continue
        if status.st_nlink == 0 and status.st_dev == device and not stat.S_ISCHR(status.st_mode):
            held[status.st_dev, status.st_ino] = status.st_blocks * BLOCK_BYTES


def _add_mapped(thread: Path, device: int, unseen: dict[Key, int]) -> None:
    """Add the deleted files that a thread has mapped, as far as they are mapped."""
    try:
        lines = (thread / "maps").read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return
    for line in lines:
        found = _MAPPING.fullmatch(line)
        if found is None or not found[7].endswith(" (deleted)"):
            continue
        begin, end, offset, major, minor = (int(found[at], 16) for at in (1, 2, 3, 4, 5))
        if os.makedev(major, minor) == device:
            key = device, int(found[6])
            unseen[key] = max(unseen.get(key, 0), offset + end - begin)


def _list(folder: str) -> list[str]:
    """What is in a folder of /proc, as paths; nothing if the process has ended."""
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except (FileNotFoundError, ProcessLookupError):
        return []
