"""What an author can do about a failure that the sandbox causes."""

import re

_HINTS = (
    (
        r"ModuleNotFoundError: ",
        "a task imports its own files, the standard library, roundwork, and what its requirements.lock pins",
    ),
    (
        r"\[Errno 1\] Operation not permitted|\[Errno -[23]\] ",
        "a task opens no sockets: ctx.http asks the hosts that roundwork.hosts permits",
    ),
    (r"is not among the permitted hosts", "roundwork.hosts in config-task.yml permits hosts"),
    (
        r"BlockingIOError: \[Errno 11\]|can't start new thread",
        "roundwork.limits.processes bounds processes and threads",
    ),
    (r"^MemoryError", "roundwork.limits.memory bounds the memory of a task"),
    (r"\[Errno 24\] ", "roundwork.limits.open_files bounds the open files of a task"),
    (r"\[Errno 2[78]\] |bytes of disk; ", "roundwork.limits.disk bounds the files of a task"),
    (
        r"\[Errno 13\] |\[Errno 30\] ",
        "a task reads its own folder, and reads and writes in ctx.files",
    ),
)


def find_hint(failure: str) -> str:
    """A hint for the last line of a failure, after a semicolon; "" if the sandbox has no part in it."""
    last = failure.rpartition("\n")[2]
    return next((f"; {hint}" for pattern, hint in _HINTS if re.search(pattern, last)), "")
