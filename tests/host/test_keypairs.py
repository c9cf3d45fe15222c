"""Keypair files: what is written is read again, and what is no key is refused with the reason."""

import json
import stat
import subprocess
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.errors import BadKeypair
from roundwork.host.keypairs import make_keypair, read_address, read_keypair, write_keypair

PAIR = Keypair.from_seed(bytes(range(32)))


def test_a_keypair_file_is_an_array_of_64_integers_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "key.json"

    write_keypair(path, PAIR)

    assert list(bytes(PAIR)) == json.loads(path.read_text())
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)
    assert PAIR == read_keypair(path)
    assert [path] == list(path.parent.iterdir())


def test_git_leaves_out_the_keys_that_lie_in_our_folder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    write_keypair(tmp_path / ".roundwork" / "node" / "main.json", PAIR)
    write_keypair(tmp_path / ".roundwork" / "manager.json", PAIR)
    (tmp_path / "task.py").touch()

    command = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
    assert "?? task.py\n" == subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_keypair_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "key.json"

    assert make_keypair(path) == make_keypair(path)


def test_a_keypair_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    write_keypair(path, PAIR)

    with pytest.raises(BadKeypair, match="never overwritten"):
        write_keypair(path, Keypair())

    assert PAIR == read_keypair(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1, 2, 3]", "holds 3 values; a keypair is a JSON array of 64 integers"),
        (json.dumps([256] * 64), "not integers from 0 to 255"),
        (json.dumps(["1"] * 64), "not integers from 0 to 255"),
        (json.dumps([1.5] * 64), "not integers from 0 to 255"),
        ("64", "holds something else"),
        ("99999999999999", "holds something else"),
        ('{"secret": 1}', "holds something else"),
        (json.dumps([7] * 64), "public half does not belong to its secret half"),
    ],
)
def test_what_is_no_keypair_is_refused_with_the_file_and_the_reason(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)

    with pytest.raises(BadKeypair, match=message) as caught:
        read_keypair(path)

    assert str(path) in str(caught.value)


def test_a_missing_file_is_said_to_be_missing_and_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadKeypair, match=r"No such file.*roundwork keygen"):
        read_keypair(tmp_path / "key.json")


def test_an_encrypted_keypair_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    write_keypair(path, PAIR, "correct horse")

    assert PAIR == read_keypair(path, "correct horse")
    with pytest.raises(BadKeypair, match="passphrase is wrong"):
        read_keypair(path, "wrong horse")
    with pytest.raises(BadKeypair, match="ROUNDWORK_PASSPHRASE"):
        read_keypair(path)


def test_an_encrypted_file_shows_the_address_and_not_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    write_keypair(path, PAIR, "correct horse")

    text = path.read_text()

    assert str(PAIR.pubkey()) == json.loads(text)["address"]
    assert bytes(PAIR).hex()[:32] not in text


def test_the_address_of_a_file_is_read_without_its_passphrase(tmp_path: Path) -> None:
    plain, locked = tmp_path / "plain.json", tmp_path / "locked.json"
    write_keypair(plain, PAIR)
    write_keypair(locked, PAIR, "correct horse")

    assert str(PAIR.pubkey()) == read_address(plain) == read_address(locked)
    for address in (5, "x", None):
        locked.write_text(json.dumps({**json.loads(locked.read_text()), "address": address}))
        with pytest.raises(BadKeypair, match="is damaged"):
            read_address(locked)


@pytest.mark.parametrize(
    "change", [{"salt": "zz"}, {"sealed": ""}, {"sealed": "00" * 104}, {"salt": 5}, {"salt": "00"}]
)
def test_a_damaged_encrypted_file_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "key.json"
    write_keypair(path, PAIR, "correct horse")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(BadKeypair, match="damaged"):
        read_keypair(path, "correct horse")


def test_another_address_in_an_encrypted_file_is_damage(tmp_path: Path) -> None:
    path, other = tmp_path / "key.json", str(Keypair().pubkey())
    write_keypair(path, PAIR, "correct horse")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "address": other}))

    with pytest.raises(BadKeypair, match="is damaged: its content is not as it was written"):
        read_address(path)

    del content["sum"]  # as older versions wrote it
    path.write_text(json.dumps(content))
    assert (str(PAIR.pubkey()), PAIR) == (read_address(path), read_keypair(path, "correct horse"))
    path.write_text(json.dumps({**content, "address": other}))
    with pytest.raises(BadKeypair, match="its address is not that of its key"):
        read_keypair(path, "correct horse")
