"""`roundwork address`: the address of a keypair file."""

from pathlib import Path

import click

from .keys import passphrase_option, read_key
from .options import json_option
from .output import say_either


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@passphrase_option
@json_option
def command(file: Path, passphrase_path: Path | None, as_json: bool) -> None:
    """Print the address of the keypair in FILE."""
    address = str(read_key(file, passphrase_path).pubkey())
    say_either({"address": address}, address, as_json)
