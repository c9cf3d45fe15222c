"""Files are whole or absent, and nothing else is left beside them."""

import stat
from pathlib import Path

import pytest

from roundwork.host.files import (
    READABLE_BY_OWNER,
    create_file,
    make_own_folder,
    rename_folder,
    replace_file,
    warn_of_other_users,
)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new")

        assert b"old" == reader.read()

    assert b"new" == path.read_bytes()
    assert 0o644 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(tmp_path.iterdir())


def test_a_file_that_must_not_exist_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    create_file(path, b"old", READABLE_BY_OWNER)

    with pytest.raises(FileExistsError):
        create_file(path, b"new", READABLE_BY_OWNER)

    assert b"old" == path.read_bytes()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(tmp_path.iterdir())


def test_a_file_that_cannot_be_placed_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()

    with pytest.raises(OSError, match="place"):
        replace_file(tmp_path / "place", b"content")

    assert [tmp_path / "place"] == list(tmp_path.iterdir())


def test_a_folder_gets_its_name_once_it_is_whole_and_never_that_of_another(tmp_path: Path) -> None:
    building, place = tmp_path / "home.new", tmp_path / "home"
    building.mkdir()
    replace_file(building / "key.json", b"key")

    rename_folder(building, place)

    assert [place / "key.json"] == [path for path in tmp_path.rglob("*") if path.is_file()]
    building.mkdir()
    with pytest.raises(OSError, match="home"):
        rename_folder(building, place)
    assert b"key" == (place / "key.json").read_bytes()


def test_a_new_folder_is_closed_to_other_users_and_an_older_one_keeps_its_mode(tmp_path: Path) -> None:
    older = tmp_path / "older"
    older.mkdir(0o755)

    make_own_folder(older)
    make_own_folder(tmp_path / "parent" / "new")

    assert 0o755 == stat.S_IMODE(older.stat().st_mode)
    assert 0o700 == stat.S_IMODE((tmp_path / "parent" / "new").stat().st_mode)


@pytest.mark.parametrize(
    ("mode", "is_warned"), [(0o700, False), (0o710, True), (0o701, True), (0o500, False)]
)
def test_a_folder_that_other_users_can_enter_is_named_with_its_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_warned: bool
) -> None:
    tmp_path.chmod(mode)

    warn_of_other_users(tmp_path)

    assert is_warned == (f"close it: chmod 700 {tmp_path}" in caplog.text)
    assert is_warned == (f"(mode {mode:o})" in caplog.text)
