"""The command line: a file for each noun, loaded when called. Each parses, calls a function, prints."""

import sys

from .commands import compose_help

ASKS_FOR_HELP: tuple[list[str], ...] = ([], ["--help"], ["-h"])


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    An error of ours, or of a path, is a line on stderr and exit code 1; a wrong call has exit code 2. With
    --json, stdout ends with the error as an object.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in ASKS_FOR_HELP:  # without click, whose import takes as long as four interpreters
        print(compose_help())
        return
    from .root import call

    call(arguments)
