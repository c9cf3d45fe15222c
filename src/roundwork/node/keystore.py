"""Keys on disk: keypair files of Solana's form, mnemonics, and keypairs encrypted with a passphrase."""

import json
import os
import tempfile
from pathlib import Path

from mnemonic import Mnemonic
from nacl import pwhash, secret
from nacl.exceptions import CryptoError
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from ..errors import BadKeypair

MAIN_PATH = "m/44'/501'/0'"
STAKING_PATH = "m/44'/501'/99'/0'"
FORMAT = "roundwork/keystore/1"


def make_keypair(path: Path, passphrase: str | None = None) -> Keypair:
    """A new keypair in a file that only its owner reads, or the one that is there. Raises BadKeypair."""
    if path.exists():
        return read_keypair(path, passphrase)
    pair = Keypair()
    write_keypair(path, pair, passphrase)
    return pair


def write_keypair(path: Path, pair: Keypair, passphrase: str | None = None) -> None:
    """Write a keypair to a new file, encrypted if there is a passphrase. Raises BadKeypair if it exists.

    The file is whole or not there, whatever happens meanwhile.
    """
    text = json.dumps(list(bytes(pair))) if passphrase is None else _encrypt(pair, passphrase)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=path.parent)  # which only its owner can read
        try:
            with open(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.link(part, path)
        finally:
            os.unlink(part)
    except FileExistsError:
        raise BadKeypair(f"{path} exists already; a keypair is never overwritten") from None
    except OSError as error:
        raise BadKeypair(f"{path} cannot be written: {error.strerror}") from error


def is_encrypted(path: Path) -> bool:
    """Whether a file holds an encrypted keypair; not if it cannot be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def read_address(path: Path) -> str:
    """The address of a keypair file; of an encrypted one as it says. Raises BadKeypair."""
    if not is_encrypted(path):
        return str(read_keypair(path).pubkey())
    address = json.loads(path.read_text()).get("address")
    try:
        return str(Pubkey.from_string(address))
    except (TypeError, ValueError):
        raise BadKeypair(f"{path} is damaged: its address is {address!r:.60}") from None


def read_keypair(path: Path, passphrase: str | None = None) -> Keypair:
    """A keypair from a file, plain or encrypted. Raises BadKeypair, which says what would be right."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise BadKeypair(f"{path} cannot be read: {error.strerror}; `roundwork keygen` makes one") from None
    except (ValueError, RecursionError):
        raise BadKeypair(f"{path} is not JSON; a keypair is a JSON array of 64 integers") from None
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return _decrypt(path, content, passphrase)
    if not isinstance(content, list) or len(content) != 64:
        found = f"{len(content)} values" if isinstance(content, list) else "something else"
        raise BadKeypair(f"{path} holds {found}; a keypair is a JSON array of 64 integers")
    try:
        raw = bytes(content)
    except (TypeError, ValueError):
        raise BadKeypair(f"{path} holds values that are no integers from 0 to 255") from None
    return _from_bytes(path, raw)


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
    phrase = " ".join(phrase.lower().split())
    words = Mnemonic("english")
    unknown = [word for word in phrase.split() if word not in words.wordlist]
    if unknown:
        raise BadKeypair(f"{unknown[0]!r} is not a word of the English word list")
    if len(phrase.split()) not in (12, 15, 18, 21, 24) or not words.check(phrase):
        raise BadKeypair(f"{len(phrase.split())} words whose checksum is wrong; a mnemonic has 12 or 24")
    seed = words.to_seed(phrase, passphrase)
    main = Keypair.from_seed_and_derivation_path(seed, MAIN_PATH)
    return main, Keypair.from_seed_and_derivation_path(seed, STAKING_PATH)


def _from_bytes(path: Path, raw: bytes) -> Keypair:
    try:
        return Keypair.from_bytes(raw)
    except ValueError:
        raise BadKeypair(f"{path}: its public half does not belong to its secret half") from None


def _encrypt(pair: Keypair, passphrase: str) -> str:
    salt = os.urandom(pwhash.argon2id.SALTBYTES)
    box = secret.SecretBox(_stretch(passphrase, salt))
    sealed = bytes(box.encrypt(bytes(pair)))
    return json.dumps(
        {"format": FORMAT, "address": str(pair.pubkey()), "salt": salt.hex(), "sealed": sealed.hex()}
    )


def _decrypt(path: Path, content: dict[str, str], passphrase: str | None) -> Keypair:
    if passphrase is None:
        raise BadKeypair(
            f"{path} is encrypted; give its passphrase in ROUNDWORK_PASSPHRASE or --passphrase-file"
        )
    try:
        salt, sealed = bytes.fromhex(content["salt"]), bytes.fromhex(content["sealed"])
        raw = secret.SecretBox(_stretch(passphrase, salt)).decrypt(sealed)
    except CryptoError:
        raise BadKeypair(f"{path}: the passphrase is wrong, or the file is damaged") from None
    except (KeyError, ValueError, TypeError) as error:
        raise BadKeypair(f"{path} is damaged: {error}") from None
    return _from_bytes(path, raw)


def _stretch(passphrase: str, salt: bytes) -> bytes:
    key: bytes = pwhash.argon2id.kdf(
        secret.SecretBox.KEY_SIZE,
        passphrase.encode(),
        salt,
        opslimit=pwhash.argon2id.OPSLIMIT_INTERACTIVE,
        memlimit=pwhash.argon2id.MEMLIMIT_INTERACTIVE,
    )
    return key
