"""The only way from a command to a terminal: lines for people, JSON for programs, errors."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

import click

from ..shown import hide, plain, plain_lines

STOPPED = 130
"""The exit code after Ctrl-C, as a shell gives it."""

_results: TextIO | None = None
"""Where JSON goes if stdout is kept for it; None: stdout."""


def keep_stdout_for_json() -> None:
    """Let whatever else writes to stdout write to stderr: a task's code, a library, a child process."""
    global _results
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # there is no stdout, or it is no file
        return
    sys.stdout.flush()
    _results = os.fdopen(os.dup(number), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), number)
    sys.stdout = sys.stderr


def say(line: str, err: bool = False) -> None:
    """Print one line for people.

    Text of strangers in it cannot end the line, move the cursor or be invisible.
    """
    click.echo(plain(hide(line)), err=err)


def say_revealed(line: str) -> None:
    """Print one line with the secrets in it, as `keygen --mnemonic` has to."""
    click.echo(plain(line))


def say_json(facts: Any) -> None:
    """Print one line of JSON. It is exact: a character that is not printable ASCII is an escape of JSON."""
    click.echo(json.dumps(facts).replace("\x7f", "\\u007f"), file=_results)


def say_either(facts: Any, line: str, as_json: bool) -> None:
    """Print facts as JSON, or the line that says the same for people."""
    if as_json:
        say_json(facts)
    else:
        say(line)


def say_exactly(text: str) -> None:
    """Print a file that a person named, without a change."""
    click.echo(text, nl=False)


def report_error(error: Exception, as_json: bool) -> None:
    """Print an error without an end of the process: for people on stderr, with --json also on stdout."""
    name = type(error).__name__
    if as_json:
        say_json({"error": name, "text": hide(str(error))})
    print(plain_lines(hide(f"{name}: {error}")), file=sys.stderr)


def report_once() -> Callable[[Exception], None]:
    """A function that prints to stderr what is waited for, each text once."""
    reported: set[str] = set()

    def report(error: Exception) -> None:
        if str(error) not in reported:
            reported.add(str(error))
            say(f"waiting: {error}", err=True)

    return report


def fail(text: str, code: int = 1) -> NoReturn:
    """Print why a command fails to stderr and end. A text of several lines stays one."""
    print(plain_lines(hide(text)), file=sys.stderr)
    sys.exit(code)


def fail_without_reader() -> NoReturn:
    """End because the reader of stdout has gone, and prevent a second failure of Python for that reason."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (_results or sys.stdout).fileno())
    sys.exit(1)
