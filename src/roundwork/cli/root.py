"""The root of the commands: it knows them by name and loads the one that is called."""

import importlib
import io
import sys
from typing import NoReturn

import click

from ..errors import RoundworkError
from ..host.logs import keep_writable, show_crashes
from ..shown import hide
from .commands import COMMANDS, MODULES, compose_help
from .environment import take_passphrase
from .output import STOPPED, fail, fail_without_reader, keep_stdout_for_json, say_json

HELP = {"-h", "--help"}
RUN_HERE = {"try", "simulate", "attack"}
"""The commands that run a task's code in this process."""


class LazyGroup(click.Group):
    """A group whose commands are modules beside this one, each with its `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f".{MODULES.get(name, name)}", __package__)
        command: click.Command = module.command
        return command

    def get_help(self, ctx: click.Context) -> str:
        return compose_help()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="roundwork")
def root() -> None:
    """Gradual consensus: real work in timed rounds, audited by peers, paid by a ledger."""


def call(arguments: list[str]) -> None:
    """Run a command and end the process if it fails. Every error is escaped like the text of strangers."""
    show_crashes()
    take_passphrase()
    if "--json" in arguments and RUN_HERE & set(arguments[:1]) and HELP.isdisjoint(arguments):
        keep_stdout_for_json()
    keep_writable(sys.stdout)
    keep_writable(sys.stderr)
    try:
        code = root.main(arguments, prog_name="roundwork", standalone_mode=False)
    except RoundworkError as error:
        name = type(error).__name__
        _fail(arguments, name, str(error), f"{name}: {error}")
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        _fail(arguments, "UsageError", error.format_message(), shown.getvalue(), error.exit_code)
    except click.Abort as error:
        is_stopped = isinstance(error.__context__, KeyboardInterrupt)
        _fail(arguments, "Abort", "aborted", "Aborted!", STOPPED if is_stopped else 1)
    except BrokenPipeError:
        fail_without_reader()
    except OSError as error:
        if error.filename is None:
            raise
        text = f"{error.filename}: {error.strerror}; name another path"
        name = type(error).__name__
        _fail(arguments, name, text, f"{name}: {text}")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(arguments: list[str], name: str, text: str, shown: str, code: int = 1) -> NoReturn:
    """End with an error: a text for people on stderr, and with --json an object on stdout for programs."""
    if "--json" in arguments:
        say_json({"error": name, "text": hide(text)})
    fail(shown, code)
