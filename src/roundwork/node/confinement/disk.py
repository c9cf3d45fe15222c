"""How much of the disk a task uses, and whether the machine has enough left."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

FREE_BYTES_MIN = 256 * 1024 * 1024
"""With less left on the disk no task runs: the node's own records come first."""

ENTRIES_MAX = 100_000
"""Files and folders that one task may have."""

PAUSE_SECONDS = 5.0


class DiskExceeded(Exception):
    """The task's directory is too large, or the disk too full; the text has the numbers."""


async def check_disk(home: Path, bytes_max: int) -> None:
    """Raises DiskExceeded if `home` holds more than `bytes_max`, or the disk has too little left."""
    await asyncio.to_thread(_check, home, bytes_max)


async def watch_disk(home: Path, bytes_max: int) -> None:
    """Check every few seconds, for as long as the caller lets it run. Raises DiskExceeded."""
    while True:
        await asyncio.sleep(PAUSE_SECONDS)
        await check_disk(home, bytes_max)


def _check(home: Path, bytes_max: int) -> None:
    used = measure(home)
    if used > bytes_max:
        raise DiskExceeded(f"it uses {used} bytes of disk; {bytes_max} are allowed")
    free = shutil.disk_usage(home).free
    if free < FREE_BYTES_MIN:
        raise DiskExceeded(f"the disk has {free} bytes left; tasks run with {FREE_BYTES_MIN} or more")


def measure(home: Path) -> int:
    """Bytes on disk under `home`, links not followed. Raises DiskExceeded for too many entries."""
    used = entries = 0
    for _, folders, files, descriptor in os.fwalk(home, follow_symlinks=False):
        entries += len(folders) + len(files)
        if entries > ENTRIES_MAX:
            raise DiskExceeded(f"it has more than {ENTRIES_MAX} files")
        for name in files:
            try:
                used += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_blocks * 512
            except FileNotFoundError:
                # The task removed it meanwhile.
                continue
    return used
