"""Keys on disk: Solana's files, mnemonics, passphrases."""

import json
import stat

import pytest
from solders.keypair import Keypair

from roundwork.errors import BadKeypair
from roundwork.node import keystore

PHRASE = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"


def test_a_keypair_file_is_solanas_and_its_owners_alone(tmp_path):
    path = tmp_path / "keys" / "main.json"

    pair = keystore.make_keypair(path)

    assert list(bytes(pair)) == json.loads(path.read_text())
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert pair == keystore.make_keypair(path)


def test_a_keypair_is_never_overwritten(tmp_path):
    path = tmp_path / "main.json"
    keystore.write_keypair(path, Keypair())

    with pytest.raises(BadKeypair, match="never overwritten"):
        keystore.write_keypair(path, Keypair())


def test_main_and_staking_key_follow_from_a_mnemonic_by_the_ecosystems_paths():
    main, staking = keystore.derive_keypairs(PHRASE)

    # solders derives from the BIP39 seed of the phrase, which is a published test vector
    seed = bytes.fromhex(
        "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1"
        "9a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4"
    )
    assert Keypair.from_seed_and_derivation_path(seed, "m/44'/501'/0'") == main
    assert Keypair.from_seed_and_derivation_path(seed, "m/44'/501'/99'/0'") == staking
    assert main == keystore.derive_keypairs(f"  {PHRASE.upper()} ")[0]
    assert main != keystore.derive_keypairs(PHRASE, "more")[0]


@pytest.mark.parametrize("words", [12, 24])
def test_a_new_mnemonic_has_so_many_words_and_derives(words):
    phrase = keystore.make_mnemonic(words)

    assert words == len(phrase.split())
    assert keystore.derive_keypairs(phrase)


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        (PHRASE.replace("about", "abandon"), "checksum"),
        (PHRASE.replace("about", "roundwork"), "'roundwork'"),
        ("abandon about", "12"),
    ],
)
def test_a_bad_mnemonic_is_named(phrase, said):
    with pytest.raises(BadKeypair, match=said):
        keystore.derive_keypairs(phrase)


def test_an_encrypted_keypair_opens_with_its_passphrase_only(tmp_path):
    path, pair = tmp_path / "main.json", Keypair()
    keystore.write_keypair(path, pair, "correct horse")

    assert pair == keystore.read_keypair(path, "correct horse")
    assert bytes(pair).hex() not in path.read_text()
    with pytest.raises(BadKeypair, match="passphrase is wrong"):
        keystore.read_keypair(path, "battery staple")
    with pytest.raises(BadKeypair, match="passphrase"):
        keystore.read_keypair(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense", "not JSON"),
        ("[1, 2, 3]", "64"),
        ('{"a": 1}', "64 integers"),
        (json.dumps([256] * 64), "0 to 255"),
        (json.dumps([1] * 64), "public half"),
        ('{"format": "roundwork/keystore/1"}', "damaged|passphrase"),
    ],
)
def test_a_bad_file_is_named_with_what_would_be_right(tmp_path, content, said):
    path = tmp_path / "bad.json"
    path.write_text(content)

    with pytest.raises(BadKeypair, match=said) as caught:
        keystore.read_keypair(path)

    assert "bad.json" in str(caught.value)


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(BadKeypair, match="keygen"):
        keystore.read_keypair(tmp_path / "none.json")
