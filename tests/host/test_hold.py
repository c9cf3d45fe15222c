"""Locks: one holder of a directory or a file at a time, free again when the holder ends, however it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from roundwork.errors import StoreInUse
from roundwork.host.hold import hold, is_held, wait_and_hold

HOLDER = """
import sys
from pathlib import Path
from roundwork.host.hold import hold
with hold(Path(sys.argv[1]), ""):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["", "lock"])
def test_a_directory_or_a_file_has_one_holder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    with hold(path, "first"):
        assert is_held(path)
        with pytest.raises(StoreInUse, match=r"^second$"), hold(path, "second"):
            pass

    assert not is_held(path)


def test_a_path_that_does_not_exist_is_not_held_and_not_made(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")
    assert [] == list(tmp_path.iterdir())


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert "held\n" == holder.stdout.readline()
        assert is_held(tmp_path)

        holder.kill()

        with wait_and_hold(tmp_path):
            assert is_held(tmp_path)
    assert not is_held(tmp_path)
