"""Where in an author's own files an error arose, and how it is told."""

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

_PACKAGE = Path(__file__).parents[1]
_LIBRARIES = (_PACKAGE, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")))
_INSTALLED = {"site-packages", "dist-packages"}


def describe_failure(error: BaseException, function: Callable[..., Any] | None = None) -> str:
    """The error, and the line of the author's file where it arose.

    An error that arose outside of the author's files, such as a wrong answer, has the first line of
    `function`, if it is given.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_authors(frame.filename)]
    code = getattr(function, "__code__", None)
    where = ""
    if frames:
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    elif code is not None and _is_authors(code.co_filename):
        where = f" ({Path(code.co_filename).name}, line {code.co_firstlineno})"
    return f"{type(error).__name__}: {error}{where}"


def cut_traceback(error: BaseException) -> TracebackType | None:
    """The traceback of an error, without what the author's last line called; None if no line is the author's.

    The traceback of the error itself is shortened.
    """
    trace, last = error.__traceback__, None
    while trace is not None:
        if _is_authors(trace.tb_frame.f_code.co_filename):
            last = trace
        trace = trace.tb_next
    if last is not None:
        last.tb_next = None
        return error.__traceback__
    return None


def _is_authors(filename: str) -> bool:
    """Whether a file is neither ours, nor Python's, nor an installed package's."""
    path = Path(filename)
    if filename.startswith("<") or _INSTALLED & set(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _LIBRARIES)
