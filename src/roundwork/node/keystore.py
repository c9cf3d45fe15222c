"""The keys of a node: where they lie, and the mnemonic that they can be derived from."""

import re
from pathlib import Path

from mnemonic import Mnemonic
from solders.keypair import Keypair

from ..errors import BadKeypair

MAIN_PATH = "m/44'/501'/0'"
STAKING_PATH = "m/44'/501'/99'/0'"

_WORD = re.compile(r"[^\W\d_]+")
"""Words may stand behind one another with any separators, also numbered. No error quotes a word."""


def find_staking_path(directory: Path, task: str, kind: str = "python") -> Path:
    """Where a node in `directory` keeps the key that it stakes in a task with.

    A JavaScript task is handed the key to its own stake, so it has one that nothing else is staked with.
    """
    own = directory / f"staking-{task}.json"
    return own if kind == "javascript" or own.exists() else directory / "staking.json"


def make_mnemonic(words: int = 12) -> str:
    """A new mnemonic of 12 or 24 words."""
    phrase: str = Mnemonic("english").generate({12: 128, 24: 256}[words])
    return phrase


def derive_keypairs(phrase: str, passphrase: str = "") -> tuple[Keypair, Keypair]:
    """The main and the staking keypair of a mnemonic. Raises BadKeypair if a word or the sum is wrong."""
    found = _WORD.findall(phrase.lower())
    phrase = " ".join(found)
    words = Mnemonic("english")
    unknown = [at for at, word in enumerate(found, 1) if word not in words.wordlist]
    if unknown:
        raise BadKeypair(f"word {unknown[0]} of {len(found)} is not in the English word list")
    if len(found) not in (12, 15, 18, 21, 24) or not words.check(phrase):
        raise BadKeypair(f"{len(found)} words whose checksum is wrong; a mnemonic has 12 or 24")
    seed = words.to_seed(phrase, passphrase)
    main = Keypair.from_seed_and_derivation_path(seed, MAIN_PATH)
    return main, Keypair.from_seed_and_derivation_path(seed, STAKING_PATH)
