"""The root of the commands: it knows them by name and loads the one that is called."""

import importlib

import click

from . import COMMANDS, compose_help


class LazyGroup(click.Group):
    """A group whose commands are modules beside this one, each with its `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f".{name}", __package__)
        command: click.Command = module.command
        return command

    def get_help(self, ctx: click.Context) -> str:
        return compose_help()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="roundwork")
def root() -> None:
    """Gradual consensus: real work in timed rounds, audited by peers, paid by a ledger."""
