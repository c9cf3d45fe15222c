"""A command at a real terminal, with somebody who types."""

import os
import pty
import sys


def type_into(arguments: list[object], *answers: tuple[str, str]) -> tuple[int, str]:
    """Run a command; when it shows the first of each pair, type the second. Exit code and all it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "roundwork", *map(str, arguments)])
    shown, asked = "", ""
    try:
        for question, answer in answers:
            while question not in asked:
                asked += os.read(terminal, 1024).decode()
            shown, asked = shown + asked, ""
            os.write(terminal, f"{answer}\n".encode())
        while piece := _read(terminal):
            asked += piece
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown + asked


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 1024).decode()
    except OSError:  # what Linux says when the other side of a terminal is gone
        return ""
