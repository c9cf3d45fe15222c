"""File operations that a node does for a task, within the task's directory only.

Names, arguments and answers of the operations are those of Node.js (`fs.promises`), which JavaScript tasks
use. The task may put links anywhere at any moment, so every path is walked
folder by folder and no link is ever followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...host.files import give_to_owner, identify, remove_folder
from .reading import PIECE_BYTES, READ_BYTES_MAX, Reading, choose_form

PATH_BYTES_MAX = 4096
LIST_ENTRIES_MAX = 100_000
THREADS_MAX = 4
"""Operations at a time, in threads of their own: the rest of the node does not wait for a task's disk."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FLAGS = {
    "r": os.O_RDONLY,
    "r+": os.O_RDWR,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "wx": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "w+": os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "ax": os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL,
    "a+": os.O_RDWR | os.O_CREAT | os.O_APPEND,
}


class BadCall(Exception):
    """A file operation failed or does not exist; the text is what Node.js would say."""


class TaskFiles:
    """The files below one directory. `bytes_max` bounds what one operation may write. Close it at the end."""

    def __init__(self, root: Path, bytes_max: int) -> None:
        self.root = root
        self._bytes_max = bytes_max
        self._threads = ThreadPoolExecutor(THREADS_MAX, "files")
        self._methods: dict[str, Callable[..., Any]] = {
            "access": self._access,
            "appendFile": self._append,
            "copyFile": self._copy,
            "lstat": self._stat,
            "mkdir": self._mkdir,
            "readFile": self._read,
            "readdir": self._list,
            "rename": self._rename,
            "rm": self._remove,
            "rmdir": self._rmdir,
            "stat": self._stat,
            "truncate": self._truncate,
            "unlink": self._unlink,
            "writeFile": self._write,
        }

    async def run(self, method: object, *arguments: Any) -> Any:
        """Do one operation; a value of JSON, or the Reading of a file. Raises BadCall."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.call, method, *arguments)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def call(self, method: object, *arguments: Any) -> Any:
        """The same on this thread, which it blocks. Raises BadCall."""
        if not isinstance(method, str) or method not in self._methods:
            raise BadCall(f"fs.{str(method)[:40]} is not served; there are {', '.join(self._methods)}")
        if not arguments or not isinstance(arguments[0], str):
            raise BadCall(f"fs.{method} takes a path first")
        try:
            return self._methods[method](*arguments)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "EIO")
            raise BadCall(f"{name}: {error.strerror}, {method} '{arguments[0][:200]}'") from error
        except (TypeError, ValueError, KeyError) as error:
            raise BadCall(f"fs.{method} cannot be called with these arguments: {error}") from error

    def _read(self, path: str, options: Any = None) -> Any:
        encoding = _get_option(options, "encoding")
        with self._open(path, os.O_RDONLY) as file:
            size = os.fstat(file).st_size
            if size > READ_BYTES_MAX:
                raise OSError(errno.EFBIG, f"file too large: {size} bytes, {READ_BYTES_MAX} are read")
            return Reading(os.dup(file), choose_form(encoding))

    def _write(self, path: str, data: Any, options: Any = None) -> None:
        self._put(path, _encode(data, _get_option(options, "encoding")), _get_flag(options, "w"))

    def _append(self, path: str, data: Any, options: Any = None) -> None:
        self._put(path, _encode(data, _get_option(options, "encoding")), _get_flag(options, "a"))

    def _put(self, path: str, data: bytes, flags: int) -> None:
        with self._open(path, flags) as file:
            before = os.fstat(file).st_size if flags & os.O_APPEND else 0
            if before + len(data) > self._bytes_max:
                raise OSError(errno.EFBIG, f"file too large: {self._bytes_max} bytes are allowed")
            _write(file, data)

    def _access(self, path: str, mode: int = os.F_OK) -> None:
        with self._enter(path) as (folder, name):
            os.stat(name, dir_fd=folder, follow_symlinks=False)

    def _stat(self, path: str, options: Any = None) -> dict[str, Any]:
        with self._enter(path) as (folder, name):
            return _to_stats(os.stat(name, dir_fd=folder, follow_symlinks=False))

    def _list(self, path: str, options: Any = None) -> list[Any]:
        with self._enter(path) as (folder, name):
            opened = os.open(name, _FOLDER, dir_fd=folder)
        try:
            names = _list_names(opened)
            if isinstance(options, dict) and options.get("withFileTypes"):
                return [{"name": name, "path": path} for name in names]
            return names
        finally:
            os.close(opened)

    def _mkdir(self, path: str, options: Any = None) -> str | None:
        if not (isinstance(options, dict) and options.get("recursive")):
            with self._enter(path) as (folder, name):
                os.mkdir(name, 0o777, dir_fd=folder)
                give_to_owner(name, folder)
            return None
        parts = self._split(path)
        made: str | None = None
        folder = os.open(self.root, _FOLDER)
        try:
            for count, part in enumerate(parts, 1):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o777, dir_fd=folder)
                    give_to_owner(part, folder)
                    made = made or str(self.root.joinpath(*parts[:count]))
                inner = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
        finally:
            os.close(folder)
        return made

    def _rename(self, path: str, target: str) -> None:
        with self._enter(path) as (folder, name), self._enter(target) as (other, new):
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=other)

    def _copy(self, path: str, target: str, mode: int = 0) -> None:
        flags = _FLAGS["wx" if mode & 1 else "w"] & ~os.O_TRUNC
        with self._open(path, os.O_RDONLY) as source, self._open(target, flags) as copy:
            if identify(source) == identify(copy):
                raise OSError(errno.EINVAL, "source and destination are the same")
            os.ftruncate(copy, 0)
            written = 0
            while piece := os.read(source, PIECE_BYTES):
                written += len(piece)
                if written > self._bytes_max:
                    raise OSError(errno.EFBIG, f"file too large: {self._bytes_max} bytes are allowed")
                _write(copy, piece)

    def _remove(self, path: str, options: Any = None) -> None:
        chosen = options if isinstance(options, dict) else {}
        try:
            with self._enter(path) as (folder, name):
                is_folder = stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
                if not is_folder:
                    os.unlink(name, dir_fd=folder)
                elif chosen.get("recursive"):
                    remove_folder(folder, name)
                else:
                    raise IsADirectoryError(errno.EISDIR, "illegal operation on a directory")
        except FileNotFoundError:
            if not chosen.get("force"):
                raise

    def _rmdir(self, path: str, options: Any = None) -> None:
        with self._enter(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    def _unlink(self, path: str) -> None:
        with self._enter(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def _truncate(self, path: str, length: int = 0) -> None:
        if length > self._bytes_max:
            raise OSError(errno.EFBIG, f"file too large: {self._bytes_max} bytes are allowed")
        with self._open(path, os.O_WRONLY) as file:
            os.ftruncate(file, length)

    @contextmanager
    def _open(self, path: str, flags: int) -> Iterator[int]:
        """A regular file. Raises OSError for anything else, links among them."""
        with self._enter(path) as (folder, name):
            file = os.open(name, flags | _FILE, 0o666, dir_fd=folder)
            if flags & os.O_CREAT:
                give_to_owner(file, folder)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EISDIR, "it is not a regular file")
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _enter(self, path: str) -> Iterator[tuple[int, str]]:
        """The folder that a path's last part lies in, held open, and that part ("." for the root itself)."""
        parts = self._split(path)
        *folders, name = parts if parts else ["."]
        with self._walk(folders) as folder:
            yield folder, name

    @contextmanager
    def _walk(self, parts: list[str]) -> Iterator[int]:
        folder = os.open(self.root, _FOLDER)
        try:
            for part in parts:
                inner = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def _split(self, path: Any) -> list[str]:
        """A path's parts below the root: it is relative to it, or begins with it."""
        if not isinstance(path, str) or "\0" in path or len(path.encode("utf-8", "replace")) > PATH_BYTES_MAX:
            raise ValueError(f"a path is text of at most {PATH_BYTES_MAX} bytes")
        relative = path.removeprefix(str(self.root)) if path.startswith(f"{self.root}/") else path
        parts = [part for part in relative.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise PermissionError(
                errno.EACCES, "permission denied: the path leads out of the task's directory"
            )
        return parts


def _write(file: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.write(file, data[written : written + PIECE_BYTES])


def _list_names(folder: int) -> list[str]:
    """The names in an open folder, sorted; as in Node.js, bytes that are not UTF-8 become U+FFFD."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(os.fsencode(entry.name).decode("utf-8", "replace"))
            if len(names) > LIST_ENTRIES_MAX:
                raise OSError(errno.EFBIG, f"directory too large: {LIST_ENTRIES_MAX} entries are listed")
    return sorted(names)


def _get_option(options: Any, name: str) -> str | None:
    """An option that is given alone, as text, or in an object."""
    value = options.get(name) if isinstance(options, dict) else options
    return value if isinstance(value, str) else None


def _get_flag(options: Any, default: str) -> int:
    flag = options.get("flag") if isinstance(options, dict) else None
    if flag is not None and flag not in _FLAGS:
        raise ValueError(f"flag {flag!r} must be one of {', '.join(_FLAGS)}")
    return _FLAGS[flag or default]


def _encode(data: Any, encoding: str | None) -> bytes:
    """What a Buffer, a typed array or a text has become on its way through JSON, as bytes again."""
    match data:
        case bytes():
            return data
        case {"type": "Buffer", "data": list(numbers)}:
            return bytes(numbers)
        case dict():
            return bytes(data[str(at)] for at in range(len(data)))
        case list():
            return bytes(data)
        case str():
            return _encode_text(data, encoding or "utf8")
        case _:
            raise ValueError(f"{type(data).__name__} cannot be written; a text or a Buffer can")


def _encode_text(text: str, encoding: str) -> bytes:
    match encoding:
        case "utf8" | "utf-8":
            return text.encode("utf-8", "replace")
        case "latin1" | "binary" | "ascii":
            return text.encode("latin-1", "replace")
        case "hex":
            return bytes.fromhex(text)
        case "base64":
            return b64decode(text)
        case _:
            raise ValueError(f"encoding {encoding!r} is not served")


def _to_stats(found: os.stat_result) -> dict[str, Any]:
    """What JSON.stringify makes of a Stats object."""
    times = {"atime": found.st_atime_ns, "mtime": found.st_mtime_ns, "ctime": found.st_ctime_ns}
    return {
        "dev": found.st_dev,
        "mode": found.st_mode,
        "nlink": found.st_nlink,
        "uid": found.st_uid,
        "gid": found.st_gid,
        "rdev": found.st_rdev,
        "blksize": found.st_blksize,
        "ino": found.st_ino,
        "size": found.st_size,
        "blocks": found.st_blocks,
        **{f"{name}Ms": nanoseconds / 1_000_000 for name, nanoseconds in times.items()},
        "birthtimeMs": found.st_ctime_ns / 1_000_000,
    }
