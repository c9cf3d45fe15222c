"""Answers of the network to tasks: recorded once in a file, and given again in every later simulation.

So the same seed means the same bytes, also for a task that reads the outside world.
"""

import binascii
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from ..errors import BadConfig, Malformed
from ..host.files import replace_file
from ..sdk.task import Unavailable
from ..wire import decode_json
from .services import Answer, Network, NoNetwork

REQUEST_SECONDS = 30.0
ANSWER_BYTES_MAX = 8 * 1024 * 1024


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer, or the fact that none came. `body` is base64."""

    url: str
    """Of the answer, after redirects."""
    status: int
    """0: no host answered."""
    headers: dict[str, str]
    body: str


class RecordedNetwork:
    """Gives recorded answers. A request that is not recorded is unavailable, or is made and recorded."""

    def __init__(self, path: Path, is_recording: bool) -> None:
        """Raises BadConfig for a file that is not a record, or that cannot be written."""
        self._path = path
        self._is_recording = is_recording
        self._answers: dict[str, Recorded] = {}
        if path.exists():
            self._answers = _read_answers(path)
        elif not is_recording:
            raise BadConfig(f"{path} does not exist; --record of `simulate` and `try` makes it")
        elif not path.absolute().parent.is_dir():
            raise BadConfig(f"{path} cannot be written: its folder does not exist")

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """The recorded answer. Raises Unavailable."""
        name = name_request(method, url, body)
        recorded = self._answers.get(name)
        if recorded is None:
            if not self._is_recording:
                raise Unavailable(f"{method} {url} is not recorded in {self._path}")
            recorded = self._answers[name] = _ask(method, url, headers, body)
        if not recorded.status:
            raise Unavailable(f"{method} {url}: no host answered when it was recorded")
        return msgspec.to_builtins(recorded)  # type: ignore[no-any-return] # a struct becomes a dict

    def save(self) -> None:
        """Write the file anew."""
        replace_file(self._path, msgspec.json.format(msgspec.json.encode(self._answers, order="sorted")))


def _read_answers(path: Path) -> dict[str, Recorded]:
    """Raises BadConfig."""
    try:
        answers = decode_json(path.read_bytes(), dict[str, Recorded])
        for answer in answers.values():
            a2b_base64(answer.body, strict_mode=True)
    except (OSError, Malformed, binascii.Error) as error:
        raise BadConfig(f"{path} has no recorded answers: {error}") from None
    return answers


def name_request(method: str, url: str, body: bytes) -> str:
    """What a request is kept under: its method and URL, and the digest of its body if it has one."""
    return f"{method} {url}" + (f" {sha256(body).hexdigest()}" if body else "")


@contextmanager
def open_network(path: Path | str | None, is_recording: bool) -> Iterator[Network]:
    """The network of a simulation: the answers of a file, or none; new answers are kept at the end.

    Raises BadConfig.
    """
    if path is None:
        if is_recording:
            raise BadConfig("there is no file to record answers in")
        yield NoNetwork()
        return
    network = RecordedNetwork(Path(path), is_recording)
    try:
        yield network
    finally:
        if is_recording:
            network.save()


def _ask(method: str, url: str, headers: dict[str, str], body: bytes) -> Recorded:
    """Make a request for real."""
    import httpx2

    try:
        answer: Any = httpx2.request(
            method, url, headers=headers, content=body, follow_redirects=True, timeout=REQUEST_SECONDS
        )
    except httpx2.HTTPError:
        return Recorded(url, 0, {}, "")
    text = b2a_base64(answer.content[:ANSWER_BYTES_MAX], newline=False).decode()
    return Recorded(str(answer.url), answer.status_code, dict(answer.headers), text)
