"""Keys of the command line: which file, and where the passphrase of an encrypted file comes from."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import BadKeypair, Malformed
from ..shown import SECRETS
from ..wire import decode_text
from .client_config import find_client_config, report_choice
from .environment import PASSPHRASE, take_passphrase

if TYPE_CHECKING:
    from solders.keypair import Keypair

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])

passphrase_option = click.option(
    "--passphrase-file",
    "passphrase_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The passphrase of encrypted keypairs; else {PASSPHRASE}, else it is read from the terminal.",
)
"""There is no option for the passphrase itself: every process on the machine can read arguments."""


def key_option(name: str, variable: str, help: str) -> Callable[[AnyCommand], AnyCommand]:
    """An option for a keypair file; without it, the file that Solana's configuration names."""
    return click.option(
        name, variable, type=click.Path(path_type=Path), callback=choose_key, help=help, show_default=False
    )


def choose_key(ctx: click.Context, param: click.Parameter, given: Path | None) -> Path:
    """The keypair file that was given, or the configured one. Raises MissingParameter."""
    if given is not None:
        return given
    found = find_client_config()
    if found is None or not found.keypair_path:
        raise click.MissingParameter(ctx=ctx, param=param)
    report_choice(f"key {found.keypair_path} (keypair_path of {found.path})")
    return Path(found.keypair_path).expanduser()


def choose_address(ctx: click.Context, param: click.Parameter, given: str | None) -> str:
    """The address that was given, or that of the configured keypair. Raises BadKeypair, MissingParameter."""
    return given or str(read_key(choose_key(ctx, param, None), None).pubkey())


def read_key(path: Path, passphrase_path: Path | None) -> "Keypair":
    """The keypair in a file. Raises BadKeypair."""
    return read_keys([path], passphrase_path)[0]


def read_keys(paths: list[Path], passphrase_path: Path | None) -> "list[Keypair]":
    """The keypairs in files that have one passphrase, if any. Raises BadKeypair."""
    from ..host.keypairs import is_encrypted, read_keypair

    locked = [path for path in paths if is_encrypted(path)]
    passphrase = get_passphrase(passphrase_path, f"Passphrase of {locked[0]}") if locked else None
    return [read_keypair(path, passphrase) for path in paths]


def read_node_keys(directory: Path, task: str, passphrase_path: Path | None) -> "tuple[Keypair, Keypair]":
    """A node's main keypair, and the keypair that holds its stake in a task. Raises BadKeypair."""
    from ..node.keystore import find_staking_path

    main, staking = read_keys([directory / "main.json", find_staking_path(directory, task)], passphrase_path)
    return main, staking


def get_passphrase(path: Path | None, question: str | None, confirm: bool = False) -> str | None:
    """The first line of a file, else the variable, else the answer to the question at a terminal.

    Raises BadKeypair for a file that cannot be read or is empty.
    """
    if path is not None:
        try:
            passphrase = decode_text(path.read_bytes()).partition("\n")[0].rstrip("\r")
        except (OSError, Malformed) as error:
            raise BadKeypair(f"{path}, the passphrase file, cannot be read: {error}") from None
        if not passphrase:
            raise BadKeypair(f"{path}, the passphrase file, is empty")
        return _keep(passphrase)
    if passphrase := take_passphrase():
        return _keep(passphrase)
    if question is None or not sys.stdin.isatty():
        return None
    answer: str = click.prompt(question, hide_input=True, confirmation_prompt=confirm, err=True)
    return _keep(answer)


def _keep(passphrase: str) -> str:
    """The same passphrase; from now on this process hides it in all that it writes."""
    SECRETS.add("passphrase", passphrase)
    return passphrase


def read_mnemonic() -> str:
    """The words, from a terminal without showing them, or a line of stdin. They are never an argument."""
    if sys.stdin.isatty():
        words: str = click.prompt("Mnemonic", hide_input=True, err=True)
    else:
        words = sys.stdin.readline()
    SECRETS.add("mnemonic", words.strip())
    return words
