"""What `node status` shows of a running node: written when it changes, gone when the node ends."""

from pathlib import Path

import pytest

from roundwork.node.standing import FAILURES_MAX, STANDING_FILE, Standing, StandingFile, read_standing


def test_failures_are_shown_until_their_duty_is_done_or_not_owed(tmp_path: Path) -> None:
    kept = StandingFile(tmp_path, 5, "address")
    kept.open()
    kept.note_failure("a duty", "doing it", "first reason")
    kept.note_failure("a duty", "doing it", "last reason")
    kept.note_failure("another", "sending it", "no money")

    assert {"doing it": "last reason", "sending it": "no money"} == read_failures(tmp_path)
    kept.note_done("a duty")
    assert {"sending it": "no money"} == read_failures(tmp_path)
    kept.keep({"a third"})
    assert Standing(5, "address") == read_standing(tmp_path)
    kept.close()
    assert read_standing(tmp_path) is None


def test_a_standing_has_room_for_so_many_failures(tmp_path: Path) -> None:
    kept = StandingFile(tmp_path, 0, "")
    for at in range(2 * FAILURES_MAX):
        kept.note_failure(at, f"duty {at}", "it failed")
    kept.note_failure(0, "duty 0", "another reason")

    assert FAILURES_MAX == len(read_failures(tmp_path))
    assert "another reason" == read_failures(tmp_path)["duty 0"]


def test_a_standing_that_cannot_be_written_is_logged_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / STANDING_FILE).mkdir()

    StandingFile(tmp_path, 0, "").open()

    assert "cannot be written" in caplog.text
    assert read_standing(tmp_path) is None


def read_failures(directory: Path) -> dict[str, str]:
    standing = read_standing(directory)
    assert standing is not None
    return standing.failures
