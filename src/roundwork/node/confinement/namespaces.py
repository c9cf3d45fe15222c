"""Process ids, mounts and a user of a program's own: the calls of the kernel that Python has no names for."""

from __future__ import annotations

import ctypes
import os
import secrets
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from ...host.hold import wait_and_hold

FIRST_USER, USERS = 0x7000_0000, 0x0FFF_FFF0
"""User ids that no distribution gives out (systemd's table of user ids has the range as unused)."""

_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE, _MOVE_MOUNT_FROM_EMPTY = 1, 4
_ATTR_RDONLY, _ATTR_IDMAP = 1, 0x00100000
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_PR_SET_CHILD_SUBREAPER, _PR_SET_DUMPABLE = 36, 4
_libc = ctypes.CDLL(None, use_errno=True)  # loaded before a fork, after which nothing must be loaded


def separate() -> None:
    """Have the next child be the first process of a pid namespace; as an ordinary user in one of users too.

    System V memory ends with it: sandlock has some, and leaves it behind when it is killed, and a machine has
    room for 4096 pieces. This process must have one thread. Raises OSError where the machine forbids it.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _check(_libc.unshare(_CLONE_NEWPID | _CLONE_NEWIPC), "unshare")
        return
    _check(_libc.unshare(_CLONE_NEWPID | _CLONE_NEWIPC | _CLONE_NEWUSER), "unshare")
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
    """The user id of the task whose directory this is; chosen, and given the directory, at the first time.

    Several processes of a task may start at the same time: the first one chooses. No process of the task runs
    yet that could hold the lock.
    """
    if _has_user(home):
        return home.lstat().st_uid
    with wait_and_hold(home):
        return home.lstat().st_uid if _has_user(home) else _choose_user(home)


def _has_user(home: Path) -> bool:
    return FIRST_USER <= home.lstat().st_uid < FIRST_USER + USERS


def _choose_user(home: Path) -> int:
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


def open_ways(readable: Iterable[str], home: str, user: int) -> None:
    """Make paths readable, and a task's directory reachable, for a user who owns only the latter.

    All of it in the mounts of this process alone. A folder on the way that only its owner may enter becomes a
    folder with nothing in it but these paths. What only its owner may read is shown as if `user` owned it,
    and cannot be written. Raises OSError.
    """
    wanted = sorted({each for path in readable for each in (path, os.path.realpath(path))})
    closed = {folder for path in (*wanted, home) if (folder := find_closed(path))}
    hidden = [path for path in wanted if find_closed(os.path.join(path, "")) or not _is_public(path)]
    with _Maps(user) as maps:
        trees = {path: maps.show(path) for path in hidden}
        is_covered = any(home.startswith(f"{folder}/") for folder in (*closed, *hidden))
        own = _clone(home) if is_covered else None
    for folder in closed:
        _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for path, tree in trees.items():
        if not os.path.islink(path):  # what it leads to is among the paths
            _attach(tree, path)
        os.close(tree)
    if own is not None:
        _attach(own, home)
        os.close(own)
    for folder in closed:
        _mount(None, folder, None, _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def find_closed(path: str) -> str | None:
    """The first folder on the way to a path that others than its owner may not enter."""
    for parent in reversed(Path(path + "x" if path.endswith("/") else path).parents):
        if not os.stat(parent).st_mode & stat.S_IXOTH:
            return str(parent)
    return None


def _is_public(path: str) -> bool:
    return bool(os.stat(path).st_mode & stat.S_IROTH)


class _Maps:
    """User namespaces by which mounts show the files of one user as those of another."""

    def __init__(self, user: int) -> None:
        self._user = user
        self._maps: dict[tuple[int, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in self._maps.values():
            os.close(namespace)

    def show(self, path: str) -> int:
        """A copy of the mount of a path, read-only, whose files the user owns if the path's owner does.

        An old kernel, or a file system that cannot do this, shows them as they are. Raises OSError.
        """
        status = os.stat(path)
        owner = status.st_uid, status.st_gid
        if owner not in self._maps:
            self._maps[owner] = self._make(*owner)
        tree = _clone(path)
        for flags, namespace in ((_ATTR_RDONLY | _ATTR_IDMAP, self._maps[owner]), (_ATTR_RDONLY, 0)):
            attributes = struct.pack("<4Q", flags, 0, 0, namespace)
            size = ctypes.c_size_t(len(attributes))
            if not _libc.syscall(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, attributes, size):
                break
        return tree

    def _make(self, owner: int, group: int) -> int:
        """A namespace in which the owner is the user. A child makes it, and waits until it is written."""
        wait, go = os.pipe()
        ready, made = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            if _libc.unshare(_CLONE_NEWUSER) == 0:
                os.write(made, b"x")
                os.read(wait, 1)
            os._exit(0)
        os.close(made)
        try:
            os.read(ready, 1)
            Path(f"/proc/{child}/uid_map").write_text(f"{owner} {self._user} 1")
            Path(f"/proc/{child}/gid_map").write_text(f"{group} {self._user} 1")
            return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            for descriptor in (wait, go, ready):
                os.close(descriptor)
            os.waitpid(child, 0)


def _clone(path: str) -> int:
    """A copy of the mount that a path lies in, from the path on. Raises OSError."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    tree = _libc.syscall(_OPEN_TREE, _AT_FDCWD, path.encode(), flags)
    _check(min(tree, 0), f"open_tree {path}")
    return int(tree)


def _attach(tree: int, path: str) -> None:
    """Put a copy of a mount at a path, which is made if it is not there. Raises OSError."""
    if not os.path.lexists(path):
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.makedirs(path, 0o755)
        else:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    answer = _libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, path.encode(), _MOVE_MOUNT_FROM_EMPTY)
    _check(answer, f"move_mount {path}")


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind, options)]
    *first, data = texts
    _check(_libc.mount(*first, ctypes.c_ulong(flags), data), f"mount {target}")


def _check(answer: int, call: str) -> None:
    if answer:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
