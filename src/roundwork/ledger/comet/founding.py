"""A ledger founded for CometBFT: our genesis if there is none, and a home beside it."""

from contextlib import closing
from pathlib import Path

from solders.keypair import Keypair

from ...errors import BadConfig, BadKeypair
from ...host.keypairs import is_encrypted, read_keypair
from ..chain import read_genesis
from ..server import found_development
from ..store.agreement import GENESIS_FILE, JOURNAL_FILE
from ..store.journal import JournalReader
from .home import Home, write_home


def found_home(directory: Path, p2p: str, validator: Path | None, **settings: int) -> Home:
    """Write the home of the ledger in a directory; found a development ledger if there is none.

    `validator` is a keypair file for the validator's key. Raises BadConfig, BadGenesis, BadKeypair.
    """
    if validator is not None and is_encrypted(validator):
        raise BadKeypair(f"{validator} is encrypted; CometBFT reads a validator's key as it is")
    if not (directory / GENESIS_FILE).exists():
        found_development(directory, (), **settings)
    with closing(JournalReader(directory / JOURNAL_FILE)) as journal:
        if journal.height:
            raise BadConfig(
                f"{directory} holds {journal.height} blocks already, and CometBFT must agree on each "
                "from the first on"
            )
    write_home(directory, read_genesis(directory), p2p, read_keypair(validator) if validator else Keypair())
    return Home(directory)
