"""`roundwork keygen`: make a keypair."""

import json
from pathlib import Path

import click

from .options import json_option


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--mnemonic", is_flag=True, help="Make a mnemonic of 12 words too, and derive the key from it.")
@click.option("--recover", is_flag=True, help="Ask for a mnemonic and derive the key from that.")
@click.option("--staking", is_flag=True, help="With a mnemonic: the staking key instead of the main one.")
@click.option("--encrypt", is_flag=True, help="Ask for a passphrase and encrypt the file.")
@json_option
def command(path: Path, mnemonic: bool, recover: bool, staking: bool, encrypt: bool, as_json: bool) -> None:
    """Make a keypair in the file PATH, which is never overwritten."""
    from solders.keypair import Keypair

    from ..node.keystore import derive_keypairs, make_mnemonic, write_keypair

    phrase = click.prompt("Mnemonic", hide_input=True) if recover else make_mnemonic() if mnemonic else None
    pair = Keypair() if phrase is None else derive_keypairs(phrase)[staking]
    passphrase = None
    if encrypt:
        passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
    write_keypair(path, pair, passphrase)
    facts = {"address": str(pair.pubkey()), "path": str(path)}
    if mnemonic and not recover:
        facts["mnemonic"] = str(phrase)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name}: {value}")
