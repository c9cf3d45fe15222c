"""What a running node does by itself and what fails now, kept on disk for `node status`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable
from pathlib import Path

import msgspec

from ..errors import Malformed
from ..host.files import replace_file
from ..wire import decode_json

STANDING_FILE = "running.json"
"""In the directory of the task's memory."""

FAILURES_MAX = 50
"""Failures that are kept for `node status`. The log has all of them."""

log = logging.getLogger(__name__)


class Standing(msgspec.Struct, frozen=True):
    """A node at work on a task."""

    claim_least: int = 0
    """The least available balance that the node claims by itself; 0 if it never claims."""
    claim_to: str = ""
    """The address that such a claim pays."""
    failures: dict[str, str] = {}
    """Why each duty failed that is still owed, by the duty in words."""


class StandingFile:
    """Keeps the standing of a node on disk from `open` to `close`, and writes it when it has changed.

    It is for reading only: if it cannot be written, a line in the log says so, and the node goes on.
    """

    def __init__(self, directory: Path, claim_least: int, claim_to: str) -> None:
        self._path = directory / STANDING_FILE
        self._standing = Standing(claim_least, claim_to)
        self._failures: dict[Hashable, tuple[str, str]] = {}
        """By duty: the duty in words, and why it failed."""

    def open(self) -> None:
        """The node begins."""
        self._write()

    def close(self) -> None:
        """The node ends."""
        self._path.unlink(missing_ok=True)

    def note_failure(self, duty: Hashable, subject: str, reason: str) -> None:
        """Keep why a duty failed."""
        if duty in self._failures or len(self._failures) < FAILURES_MAX:
            self._failures[duty] = subject, reason
            self._update()

    def note_done(self, duty: Hashable) -> None:
        """Forget the failure of a duty that is done now."""
        if self._failures.pop(duty, None):
            self._update()

    def keep(self, owed: Collection[Hashable]) -> None:
        """Forget the failures of duties that are not owed any more."""
        if any(duty not in owed for duty in self._failures):
            self._failures = {duty: each for duty, each in self._failures.items() if duty in owed}
            self._update()

    def _update(self) -> None:
        failures = dict(self._failures.values())
        if failures != self._standing.failures:
            self._standing = msgspec.structs.replace(self._standing, failures=failures)
            self._write()

    def _write(self) -> None:
        try:
            replace_file(self._path, msgspec.json.encode(self._standing))
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error.strerror)


def read_standing(directory: Path) -> Standing | None:
    """The standing of a node; None where none is kept."""
    try:
        return decode_json((directory / STANDING_FILE).read_bytes(), Standing)
    except (OSError, Malformed):
        return None
