"""The command line: one file per noun, loaded when it is called. They parse, call one function, print."""

import importlib
import sys
from typing import Any

import click

COMMANDS = {
    "up": "Run a ledger and several nodes on this machine, and a task on them.",
    "ledger": "Run, inspect and verify a settlement ledger.",
    "node": "Run a node; stake, withdraw, claim.",
    "task": "Deploy, fund and look after tasks.",
    "keygen": "Make a keypair.",
    "balance": "Show what an address holds.",
    "airdrop": "Get money from a development ledger's faucet.",
    "transfer": "Send money.",
}
"""Name and one line for each; `--help` must not load them."""


class LazyGroup(click.Group):
    """Knows its commands by name and loads the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f".{name}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="roundwork")
def root() -> None:
    """Gradual consensus: real work in timed rounds, audited by peers, paid by a ledger."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; errors of ours become one line on stderr and exit code 1."""
    try:
        return root.main(arguments, prog_name="roundwork")
    except Exception as error:  # every other kind is raised again
        from ..errors import RoundworkError

        if not isinstance(error, RoundworkError):
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
