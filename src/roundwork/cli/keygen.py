"""`roundwork keygen`: make a keypair, or two, or derive them again from a mnemonic."""

from pathlib import Path

import click

from ..errors import BadKeypair
from .keys import get_passphrase, passphrase_option, read_mnemonic
from .options import json_option, show
from .output import say, say_revealed

path_type = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("path", type=path_type)
@click.option("--staking", type=path_type, help="Make a node's staking key in this file too.")
@click.option("--mnemonic", is_flag=True, help="Derive the keys from a new mnemonic, which is shown once.")
@click.option("--words", type=click.Choice(["12", "24"]), default="12", help="Words of the new mnemonic.")
@click.option("--recover", is_flag=True, help="Ask for a mnemonic, or read it from stdin; derive from that.")
@click.option("--encrypt", is_flag=True, help="Encrypt the files with a passphrase.")
@passphrase_option
@json_option
def command(
    path: Path,
    staking: Path | None,
    mnemonic: bool,
    words: str,
    recover: bool,
    encrypt: bool,
    passphrase_path: Path | None,
    as_json: bool,
) -> None:
    """Make a keypair in the file PATH, which is never overwritten."""
    from solders.keypair import Keypair

    from ..host.keypairs import FOLDER, is_seen_by_git, write_keypair
    from ..node.keystore import derive_keypairs, make_mnemonic

    if mnemonic and recover:
        raise click.UsageError("--mnemonic makes new words, --recover reads old ones: give one of the two")
    for each in filter(None, (path, staking)):
        if each.exists():  # refuse before words are shown that would lead to no file
            raise BadKeypair(f"{each} exists already; a keypair is never overwritten")
    phrase = make_mnemonic(int(words)) if mnemonic else read_mnemonic() if recover else None
    main, other = (Keypair(), Keypair()) if phrase is None else derive_keypairs(phrase)
    passphrase = _choose_passphrase(passphrase_path) if encrypt else None
    write_keypair(path, main, passphrase)
    facts = {"address": str(main.pubkey()), "path": str(path)}
    if staking is not None:
        write_keypair(staking, other, passphrase)
        facts |= {"staking_address": str(other.pubkey()), "staking_path": str(staking)}
    if mnemonic:
        facts["mnemonic"] = str(phrase)
    show(facts, as_json, say_revealed)
    for each in filter(None, (path, staking)):
        if is_seen_by_git(each):
            say(f"warning: git adds {each} to a commit; it leaves out what lies in {FOLDER}/", err=True)
    if mnemonic:
        say("Write the words down: they are shown once and kept nowhere.", err=True)


def _choose_passphrase(path: Path | None) -> str:
    passphrase = get_passphrase(path, "Passphrase", confirm=True)
    if not passphrase:
        raise BadKeypair(
            "--encrypt needs a passphrase: in ROUNDWORK_PASSPHRASE, in a --passphrase-file, or typed"
        )
    return passphrase
