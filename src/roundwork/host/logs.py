"""The log of a process: one line for each message, nothing that strangers can forge, bounded in time."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from ..shown import hide, plain_lines

LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
"""The format of a log's lines, for `logging`."""

BYTES_PER_MINUTE = 256 * 1024
"""What each logger may write: strangers cause lines by the requests that they send."""

LINE_BYTES = 64
"""What each line takes of an allowance beside its text: about the size of the time and the name before it."""

MINUTE_SECONDS = 60.0
FULL = "(further lines are left out until this minute is over)"


class Allowance:
    """A number of bytes in each minute; bytes beyond it are counted and left out."""

    def __init__(self, bytes_per_minute: int, get_seconds: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_minute = bytes_per_minute
        self._get_seconds = get_seconds
        self._began = get_seconds()
        self._used = 0
        self._left_out = 0

    @property
    def is_full(self) -> bool:
        """Whether lines are left out until this minute is over."""
        return self._left_out > 0 and not self._is_over()

    def take(self, make_text: Callable[[], str]) -> tuple[list[str], str | None]:
        """Notes about lines that are left out, and the text behind them, None if it is left out.

        While lines are left out, no text is made: a flood of them costs no work.
        """
        notes = []
        if self._is_over():
            if self._left_out:
                notes.append(f"({self._left_out} lines were left out)")
            self._began, self._used, self._left_out = self._get_seconds(), 0, 0
        if not self._left_out:
            text = make_text()
            size = len(text.encode("utf-8", "replace")) + LINE_BYTES
            if self._used + size <= self._bytes_per_minute:
                self._used += size
                return notes, text
            notes.append(FULL)
        self._left_out += 1
        return notes, None

    def leave_out(self, count: int) -> None:
        """Count lines that nobody has read, while `is_full`."""
        self._left_out += count

    def _is_over(self) -> bool:
        return self._get_seconds() - self._began >= MINUTE_SECONDS


class LineFormatter(logging.Formatter):
    """A message as a line, or as several lines of which none looks like a message; without secrets."""

    def __init__(self) -> None:
        super().__init__(LINE)

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record, tracebacks too."""
        return plain_lines(hide(super().format(record)))


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream, from each logger as many as its allowance has room for."""

    def __init__(self, stream: TextIO, bytes_per_minute: int = BYTES_PER_MINUTE) -> None:
        super().__init__(stream)
        self.setFormatter(LineFormatter())
        self._bytes_per_minute = bytes_per_minute
        self._allowances: dict[str, Allowance] = {}

    def format(self, record: logging.LogRecord) -> str:
        """What is written for a record, "" for nothing."""
        allowance = self._allowances.setdefault(record.name, Allowance(self._bytes_per_minute))
        show = super().format
        notes, text = allowance.take(lambda: show(record))
        lines = [show(_make_note(record, note)) for note in notes]
        return self.terminator.join(lines if text is None else [*lines, text])

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless its logger has written too much in this minute."""
        try:
            text = self.format(record)
            if text:
                self.stream.write(text + self.terminator)
                self.flush()
        except Exception:  # noqa: BLE001 -- as in logging: a line that cannot be written ends nothing
            self.handleError(record)


def _make_note(record: logging.LogRecord, text: str) -> logging.LogRecord:
    """A record of the same logger, at the same moment, with a text of ours."""
    return logging.makeLogRecord(
        {"name": record.name, "levelname": record.levelname, "created": record.created, "msg": text}
    )


def start_log(is_node: bool = False) -> None:
    """Have all of this process write to one log on stderr: loggers, warnings, uncaught errors.

    A node also logs what it does; a ledger logs only what an operator has to know.
    """
    keep_writable(sys.stderr)
    root = logging.getLogger()
    root.handlers = [LogHandler(sys.stderr)]
    root.setLevel(logging.INFO if is_node else logging.WARNING)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # it would write the arguments of a line that cannot be written
    show_crashes()


def show_crashes() -> None:
    """Write errors that no code catches as every other text of strangers is written."""

    def show(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        print(plain_lines(hide(text)), file=sys.stderr)

    def show_in_thread(crash: threading.ExceptHookArgs) -> None:
        show(crash.exc_type, crash.exc_value, crash.exc_traceback)

    def show_unraisable(crash: Any) -> None:
        show(crash.exc_type, crash.exc_value, crash.exc_traceback)

    sys.excepthook = show
    threading.excepthook = show_in_thread
    sys.unraisablehook = show_unraisable


def keep_writable(stream: TextIO) -> None:
    """A character that the terminal's encoding lacks is written as an escape."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
