"""`roundwork keygen`: make a keypair."""

from pathlib import Path

import click

from .options import json_option, show

path_type = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("path", type=path_type)
@click.option("--staking", type=path_type, help="Make a node's staking key in this file too.")
@click.option("--mnemonic", is_flag=True, help="Make a mnemonic too, and derive the keys from it.")
@click.option("--words", type=click.Choice(["12", "24"]), default="12", help="Words of the mnemonic.")
@click.option("--recover", is_flag=True, help="Ask for a mnemonic and derive the keys from that.")
@click.option("--encrypt", is_flag=True, help="Ask for a passphrase and encrypt the files.")
@json_option
def command(
    path: Path,
    staking: Path | None,
    mnemonic: bool,
    words: str,
    recover: bool,
    encrypt: bool,
    as_json: bool,
) -> None:
    """Make a keypair in the file PATH, which is never overwritten."""
    from solders.keypair import Keypair

    from ..node.keystore import derive_keypairs, make_mnemonic, write_keypair

    phrase = None
    if recover:
        phrase = click.prompt("Mnemonic", hide_input=True)
    elif mnemonic:
        phrase = make_mnemonic(int(words))
    main, other = (Keypair(), Keypair()) if phrase is None else derive_keypairs(phrase)
    passphrase = None
    if encrypt:
        passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
    write_keypair(path, main, passphrase)
    facts = {"address": str(main.pubkey()), "path": str(path)}
    if staking is not None:
        write_keypair(staking, other, passphrase)
        facts |= {"staking_address": str(other.pubkey()), "staking_path": str(staking)}
    if mnemonic and not recover:
        facts["mnemonic"] = str(phrase)
    show(facts, as_json)
