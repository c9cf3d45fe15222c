"""Keypair files: plain ones of Solana's form, and ones encrypted with a passphrase."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from blake3 import blake3
from nacl import pwhash, secret
from nacl.exceptions import CryptoError
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from ..errors import BadKeypair, Malformed
from ..wire import decode_json
from .files import READABLE_BY_OWNER, create_file, make_own_folder, replace_file

KEYPAIR_BYTES_MAX = 64 * 1024
FORMAT = "roundwork/keystore/1"
GIT_SECONDS = 10.0
FOLDER = ".roundwork"
"""Where commands keep ledgers, nodes and keys if no other place is named."""


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
        make_own_folder(path.parent)
        _hide_from_git(path)
        create_file(path, text.encode(), READABLE_BY_OWNER)
    except FileExistsError:
        raise BadKeypair(f"{path} exists already; a keypair is never overwritten") from None
    except OSError as error:
        raise BadKeypair(f"{path} cannot be written: {error.strerror}") from error


def _hide_from_git(path: Path) -> None:
    """Have git leave out the folder `.roundwork` that a key lies in, as a whole. Raises OSError."""
    ours = next((folder for folder in path.absolute().parents if folder.name == FOLDER), None)
    if ours is not None and not (ours / ".gitignore").exists():
        replace_file(ours / ".gitignore", b"*\n")


def is_seen_by_git(path: Path) -> bool:
    """Whether `git add` adds the file: it lies in a work tree, and no rule there leaves it out."""
    folder = path.absolute().parent
    if not any((each / ".git").exists() for each in (folder, *folder.parents)):
        return False
    command = ["git", "-C", str(folder), "check-ignore", "--no-index", "--quiet", "--", path.name]
    try:
        return subprocess.run(command, capture_output=True, timeout=GIT_SECONDS).returncode == 1
    except (OSError, subprocess.TimeoutExpired):
        return False


def is_encrypted(path: Path) -> bool:
    """Whether a file holds an encrypted keypair; not if it cannot be read."""
    try:
        content = _read_json(path)
    except (OSError, Malformed):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def read_address(path: Path) -> str:
    """The address of a keypair file; of an encrypted one as it says. Raises BadKeypair."""
    if not is_encrypted(path):
        return str(read_keypair(path).pubkey())
    content = _read_json(path)
    _check_sum(path, content)
    try:
        return str(Pubkey.from_string(content["address"]))
    except (LookupError, TypeError, ValueError):
        raise BadKeypair(f"{path} is damaged: its address is {content.get('address')!r:.60}") from None


def read_keypair(path: Path, passphrase: str | None = None) -> Keypair:
    """A keypair from a file, plain or encrypted. Raises BadKeypair, which says what would be right."""
    try:
        content = _read_json(path)
    except OSError as error:
        raise BadKeypair(f"{path} cannot be read: {error.strerror}; `roundwork keygen` makes one") from None
    except Malformed:
        raise BadKeypair(f"{path} is not JSON; a keypair is a JSON array of 64 integers") from None
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return _decrypt(path, content, passphrase)
    if not isinstance(content, list) or len(content) != 64:
        found = f"{len(content)} values" if isinstance(content, list) else "something else"
        raise BadKeypair(f"{path} holds {found}; a keypair is a JSON array of 64 integers")
    try:
        raw = bytes(content)
    except (TypeError, ValueError):
        raise BadKeypair(f"{path} holds values that are not integers from 0 to 255") from None
    return _from_bytes(path, raw)


def _read_json(path: Path) -> Any:
    """Raises OSError, Malformed."""
    with path.open("rb") as file:
        return decode_json(file.read(KEYPAIR_BYTES_MAX))


def _from_bytes(path: Path, raw: bytes) -> Keypair:
    try:
        return Keypair.from_bytes(raw)
    except ValueError:
        raise BadKeypair(f"{path}: its public half does not belong to its secret half") from None


def _encrypt(pair: Keypair, passphrase: str) -> str:
    salt = os.urandom(pwhash.argon2id.SALTBYTES)
    box = secret.SecretBox(_stretch(passphrase, salt))
    sealed = bytes(box.encrypt(bytes(pair)))
    content = {"format": FORMAT, "address": str(pair.pubkey()), "salt": salt.hex(), "sealed": sealed.hex()}
    return json.dumps({**content, "sum": _compute_sum(content)})


def _compute_sum(content: dict[str, Any]) -> str:
    """What shows accidental damage without the passphrase."""
    text = json.dumps([content.get(name) for name in ("address", "salt", "sealed")])
    return blake3(text.encode()).hexdigest(16)


def _check_sum(path: Path, content: dict[str, Any]) -> None:
    """Raises BadKeypair for a damaged file. Files of older versions have no sum."""
    unknown = content.keys() - {"format", "address", "salt", "sealed", "sum"}
    if unknown or ("sum" in content and content["sum"] != _compute_sum(content)):
        raise BadKeypair(f"{path} is damaged: its content is not as it was written")


def _decrypt(path: Path, content: dict[str, Any], passphrase: str | None) -> Keypair:
    _check_sum(path, content)
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
    pair = _from_bytes(path, raw)
    if content.get("address") != str(pair.pubkey()):
        raise BadKeypair(f"{path} is damaged: its address is not that of its key, {pair.pubkey()}")
    return pair


def _stretch(passphrase: str, salt: bytes) -> bytes:
    key: bytes = pwhash.argon2id.kdf(
        secret.SecretBox.KEY_SIZE,
        passphrase.encode("utf-8", "surrogateescape"),  # of a variable that is not UTF-8
        salt,
        opslimit=pwhash.argon2id.OPSLIMIT_INTERACTIVE,
        memlimit=pwhash.argon2id.MEMLIMIT_INTERACTIVE,
    )
    return key
