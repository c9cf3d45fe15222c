"""A task's saved values: damage is named, and never read as no values."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roundwork.sdk.saved import SavedCorrupt, SavedFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "saved.sqlite"
    with closing(SavedFile(str(path))) as file:
        file.across_rounds()["key"] = "a value"
    return path


@pytest.mark.parametrize("size", [1, 50, 99, 100, 600, 4096, 9000])
def test_what_is_left_of_a_cut_file_is_no_new_one(path: Path, size: int) -> None:
    os.truncate(path, size)

    with pytest.raises(SavedCorrupt, match="delete it"):
        SavedFile(str(path))


def test_a_damaged_table_is_named(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"rows INTEGER", b"raws INTEGER"))

    with pytest.raises(SavedCorrupt, match="no such column: rows; delete it"):
        SavedFile(str(path))


def test_a_file_of_the_last_version_keeps_its_values_and_gets_a_total(tmp_path: Path) -> None:
    path = tmp_path / "saved.sqlite"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute(
            "CREATE TABLE saved (round INTEGER, key TEXT, value TEXT NOT NULL, PRIMARY KEY (round, key))"
            " WITHOUT ROWID"
        )
        old.execute("INSERT INTO saved VALUES (-1, 'key', '\"a value\"')")

    for _ in range(2):
        with closing(SavedFile(str(path))) as file:
            assert {"key": "a value"} == dict(file.across_rounds())
