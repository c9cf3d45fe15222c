"""Process ids, mounts and a user of a program's own: the calls of the kernel that Python has no names for."""

from __future__ import annotations

import ctypes
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

FIRST_USER, USERS = 0x7000_0000, 0x0FFF_FFF0
"""User ids that no distribution gives out (systemd's table of user ids has the range as unused)."""

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_PR_SET_CHILD_SUBREAPER, _PR_SET_DUMPABLE = 36, 4
_libc = ctypes.CDLL(None, use_errno=True)  # loaded before a fork, after which nothing must be loaded


def separate() -> None:
    """Have the next child be the first process of a pid namespace; as an ordinary user in one of users too.

    This process must have one thread. Raises OSError where the machine does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _check(_libc.unshare(_CLONE_NEWPID), "unshare")
        return
    _check(_libc.unshare(_CLONE_NEWPID | _CLONE_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def mount_own() -> None:
    """Mounts of this process's own, among them /proc of its pid namespace. Raises OSError."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def adopt_orphans() -> None:
    """Be the parent of whatever a child leaves behind."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def give_user(home: Path) -> int:
    """The user id of the task whose directory this is; chosen, and given the directory, at the first time."""
    owner = home.lstat().st_uid
    if FIRST_USER <= owner < FIRST_USER + USERS:
        return owner
    user = FIRST_USER + secrets.randbelow(USERS)
    for _, folders, files, descriptor in os.fwalk(home, follow_symlinks=False):
        for name in (*folders, *files):
            os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)
    os.chown(home, user, user, follow_symlinks=False)
    return user


def become(user: int) -> None:
    """Be that user, and no longer root, for good. Raises OSError."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # The kernel marks who changes the user as closed to its equals; sandlock must look into its child.
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def open_ways(paths: Iterable[str]) -> None:
    """Make paths reachable for other users: a folder on the way that only its owner may enter is replaced,
    in the mounts of this process alone, by a folder with nothing in it but these paths. Raises OSError.
    """
    wanted = sorted({each for path in paths for each in (path, os.path.realpath(path))})
    closed = {folder for path in wanted if (folder := find_closed(path))}
    inside = [path for path in wanted if any(path.startswith(f"{folder}/") for folder in closed)]
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in inside}
    for folder in closed:
        _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for path, source in sources.items():
        if not os.path.lexists(path):  # else it lies in a folder that was reached before
            _bind(source, path)
    for folder in closed:
        _mount(None, folder, None, _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    for source in sources.values():
        os.close(source)


def find_closed(path: str) -> str | None:
    """The first folder on the way to a path that others than its owner may not enter."""
    parents = [str(parent) for parent in reversed(Path(path).parents)]
    for parent in parents:
        if not os.stat(parent).st_mode & stat.S_IXOTH:
            return parent
    return None


def _bind(source: int, path: str) -> None:
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.makedirs(path, 0o755)
    else:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    _mount(f"/proc/self/fd/{source}", path, None, _MS_BIND | _MS_REC)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind, options)]
    *first, data = texts
    _check(_libc.mount(*first, ctypes.c_ulong(flags), data), f"mount {target}")


def _check(answer: int, call: str) -> None:
    if answer:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
