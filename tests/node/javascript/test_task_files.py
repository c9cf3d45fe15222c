"""The file operations that a node does for a JavaScript task stay in its directory."""

import os
from pathlib import Path
from typing import Any

import pytest

from roundwork.node.javascript.task_files import BadCall, TaskFiles


@pytest.fixture
def files(tmp_path: Path) -> TaskFiles:
    (tmp_path / "secret").write_text("the node's key")
    (tmp_path / "home").mkdir()
    return TaskFiles(tmp_path / "home", bytes_max=1000)


def test_texts_and_buffers_come_back_as_they_went(files: TaskFiles) -> None:
    files.call("writeFile", "text", "Grüße")
    files.call("appendFile", "text", "!")
    files.call("writeFile", "bytes", {"type": "Buffer", "data": [0, 255]})

    assert "Grüße!" == files.call("readFile", "text", "utf8").read()
    assert "Grüße!" == files.call("readFile", "text", {"encoding": "utf-8"}).read()
    assert {"type": "Buffer", "data": [0, 255]} == files.call("readFile", "bytes").read()
    assert "00ff" == files.call("readFile", "bytes", "hex").read()
    assert ["bytes", "text"] == files.call("readdir", ".")
    assert 8 == files.call("stat", "text")["size"]


def test_folders_are_made_renamed_and_removed(files: TaskFiles) -> None:
    assert str(files.root / "a") == files.call("mkdir", "a/b/c", {"recursive": True})
    files.call("writeFile", str(files.root / "a" / "b" / "file"), "x")
    files.call("rename", "a/b/file", "a/moved")
    files.call("copyFile", "a/moved", "a/copied")
    files.call("truncate", "a/moved")
    files.call("access", "a/copied")
    files.call("unlink", "a/moved")
    files.call("rmdir", "a/b/c")
    assert ["b", "copied"] == files.call("readdir", "a")

    files.call("rm", "a", {"recursive": True})

    assert [] == files.call("readdir", ".")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../secret", "EACCES"),
        ("a/../../secret", "EACCES"),
        ("link", "ELOOP"),
        ("folder/secret", "ENOTDIR"),
        ("fifo", "EISDIR|ENXIO"),
        ("missing", "ENOENT"),
        ("a\0b", "a path is text"),
        ("x" * 5000, "a path is text"),
    ],
)
def test_nothing_leads_out_of_the_directory(files: TaskFiles, path: Path, message: str) -> None:
    (files.root / "link").symlink_to("../secret")
    (files.root / "folder").symlink_to("..")
    os.mkfifo(files.root / "fifo")

    for method, *arguments in (("readFile",), ("truncate", 0)):
        with pytest.raises(BadCall, match=message):
            files.call(method, path, *arguments)
    if message != "ENOENT":
        with pytest.raises(BadCall):
            files.call("writeFile", path, "overwritten")

    assert "the node's key" == (files.root.parent / "secret").read_text()


def test_an_absolute_path_elsewhere_is_one_below(files: TaskFiles) -> None:
    with pytest.raises(BadCall, match="ENOENT"):
        files.call("readFile", str(files.root.parent / "secret"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("chmod", "x", 511), "fs.chmod is not served"),
        (("__class__", "x"), "is not served"),
        ((None, "x"), "is not served"),
        (("readFile",), "takes a path first"),
        (("readFile", {"fd": 3}), "takes a path first"),
        (("writeFile", "x"), "cannot be called with these arguments"),
        (("writeFile", "x", 5), "int cannot be written"),
        (("writeFile", "x", "y" * 1001), "EFBIG"),
        (("writeFile", "x", "y", {"flag": "q"}), "flag 'q' must be one of"),
        (("writeFile", "x", {"type": "Buffer", "data": [999]}), "cannot be called with these arguments"),
        (("truncate", "x", 1001), "EFBIG"),
        (("readdir", "x"), "ENOENT"),
        (("rm", "."), "EISDIR"),
    ],
)
def test_what_cannot_be_done_is_said_as_node_says_it(files: TaskFiles, call: Any, message: str) -> None:
    with pytest.raises(BadCall, match=message):
        files.call(*call)
