"""The keys of a node: the published derivation of mnemonics, and a staking key for each JavaScript task."""

import hashlib
import hmac
from pathlib import Path

import pytest

from roundwork.errors import BadKeypair
from roundwork.host.keypairs import make_keypair
from roundwork.node.keystore import (
    MAIN_PATH,
    STAKING_PATH,
    derive_keypairs,
    find_staking_path,
    make_mnemonic,
)

PHRASE = "abandon " * 11 + "about"


def derive(seed: bytes, path: str) -> bytes:
    """SLIP-0010 for Ed25519, straight from its text."""
    digest = hmac.digest(b"ed25519 seed", seed, hashlib.sha512)
    for step in path.removeprefix("m/").split("/"):
        index = int(step.removesuffix("'")) + 2**31
        digest = hmac.digest(digest[32:], b"\0" + digest[:32] + index.to_bytes(4, "big"), hashlib.sha512)
    return digest[:32]


def test_a_mnemonic_gives_the_keys_that_wallets_derive() -> None:
    main, staking = derive_keypairs(PHRASE)
    seed = hashlib.pbkdf2_hmac("sha512", PHRASE.encode(), b"mnemonic", 2048)

    assert derive(seed, MAIN_PATH) == main.secret()
    assert derive(seed, STAKING_PATH) == staking.secret()
    assert ("m/44'/501'/0'", "m/44'/501'/99'/0'") == (MAIN_PATH, STAKING_PATH)


def test_the_addresses_are_those_that_are_published_for_the_best_known_mnemonic() -> None:
    # Printed by Trust Wallet, bip_utils and others for m/44'/501'/0' of this phrase.
    main, _ = derive_keypairs(PHRASE)

    assert "GjJyeC1r2RgkuoCWMyPYkCWSGSGLcz266EaAkLA27AhL" == str(main.pubkey())


def test_spaces_and_capitals_do_not_matter_and_a_passphrase_does() -> None:
    assert derive_keypairs(PHRASE) == derive_keypairs(f"  {PHRASE.upper()}\n")
    assert derive_keypairs(PHRASE) != derive_keypairs(PHRASE, "more")


@pytest.mark.parametrize("words", [12, 24])
def test_a_new_mnemonic_is_a_good_one(words: int) -> None:
    phrase = make_mnemonic(words)

    assert words == len(phrase.split())
    assert derive_keypairs(phrase)
    assert phrase != make_mnemonic(words)


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("abandon " * 12, "12 words whose checksum is wrong"),
        ("abandon " * 10 + "about", "11 words"),
        ("", "0 words"),
        (PHRASE.replace("about", "roundwork"), "word 12 of 12 is not in the English word list"),
    ],
)
def test_a_mistyped_mnemonic_is_refused_with_the_reason(phrase: str, message: str) -> None:
    with pytest.raises(BadKeypair, match=message):
        derive_keypairs(phrase)


def test_a_javascript_task_has_a_staking_key_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "staking-Task.json"

    assert tmp_path / "staking.json" == find_staking_path(tmp_path, "Task")
    assert own == find_staking_path(tmp_path, "Task", "javascript")

    make_keypair(own)

    assert own == find_staking_path(tmp_path, "Task")
    assert tmp_path / "staking.json" == find_staking_path(tmp_path, "Other")
