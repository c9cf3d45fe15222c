"""Packages and folders of strangers: what they hold takes no more than a package may, and leads nowhere."""

import os
import socket
from pathlib import Path

import msgspec
import pytest

from roundwork.errors import BadConfig, BadTaskFile
from roundwork.package.content import compute_content_id
from roundwork.package.folder import CONFIG, FILES_MAX, FORMAT, PACKAGE_BYTES_MAX, load_package, unpack

MIB = 1024 * 1024


def compose(files: dict[str, bytes]) -> tuple[str, dict[str, bytes]]:
    """The content id of a package with these files, and its blobs."""
    blobs = {compute_content_id(content): content for content in files.values()}
    ids = {name: compute_content_id(content) for name, content in files.items()}
    manifest = msgspec.json.encode({"format": FORMAT, "files": ids})
    return compute_content_id(manifest), {**blobs, compute_content_id(manifest): manifest}


def measure(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_many_names_of_one_blob_fill_no_disk(tmp_path: Path) -> None:
    content = bytes(8 * MIB)
    content_id, blobs = compose({f"file-{number}": content for number in range(1000)})

    with pytest.raises(BadTaskFile, match="is too large"):
        unpack(content_id, blobs.get, tmp_path / "package")

    assert measure(tmp_path) <= PACKAGE_BYTES_MAX


def test_a_package_of_too_many_files_is_refused_before_the_first_is_written(tmp_path: Path) -> None:
    content_id, blobs = compose(dict.fromkeys((f"file-{number}" for number in range(FILES_MAX + 1)), b""))

    with pytest.raises(BadTaskFile, match="is too large"):
        unpack(content_id, blobs.get, tmp_path / "package")

    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("kind", ["a device without an end", "a pipe", "a folder", "a socket"])
def test_a_configuration_that_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Git keeps links: a folder that was cloned may hold one to any device."""
    path = tmp_path / CONFIG
    with socket.socket(socket.AF_UNIX) as unix:
        match kind:
            case "a device without an end":
                path.symlink_to("/dev/zero")
            case "a pipe":
                os.mkfifo(path)
            case "a folder":
                path.mkdir()
            case _:
                unix.bind(str(path))

        with pytest.raises(BadConfig, match="cannot be read"):
            load_package(tmp_path)


def test_a_configuration_that_is_endless_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / CONFIG).open("wb") as file:
        file.truncate(2**40)

    with pytest.raises(BadConfig, match="bytes are too many"):
        load_package(tmp_path)
