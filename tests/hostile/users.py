"""Hostile tasks on nodes of root and of an ordinary user, for tests.

The ordinary user is made by root: a user id that owns nothing else, a folder that it may write, and a virtual
environment of a Python that every user may read. `OrdinaryUser.popen` runs programs as it.
"""

import contextlib
import importlib.metadata
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, Self

import msgspec
import pytest
from packaging.requirements import Requirement

import roundwork
from roundwork.errors import TaskFailed
from roundwork.node.confinement.namespaces import find_closed
from roundwork.node.confinement.order import Limits
from roundwork.node.python.environments import Environment

from ..node.house import House, make_environment

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
USER = 64_900 + _WORKER
"""Each worker of pytest-xdist has its own: the kernel counts threads by user."""
LONELY_USER = 64_950 + _WORKER
"""Has no process but those of one test."""
REPOSITORY = Path(__file__).parents[2]
NEEDED = ("roundwork", "pytest", "hypothesis")
"""Distributions that tests run with; what they require comes with them."""


class OrdinaryUser:
    """`folder` is its own; `python` runs roundwork and these tests. Programs start in `folder`."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self.python = python

    def popen(self, arguments: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        """Start this user's Python with arguments, its standard streams piped as text."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [str(self.python), *arguments],
            **{
                **streams,
                "text": True,
                "cwd": self.folder,
                "env": self.environment,
                "user": USER,
                "group": USER,
                "extra_groups": (),
                **options,
            },
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Its variables."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder)}


@contextlib.contextmanager
def make_ordinary_user() -> Iterator[OrdinaryUser]:
    """Make its folder and its environment; both are gone afterwards, its processes must have ended."""
    base = Path(tempfile.mkdtemp(prefix="roundwork-user-", dir="/tmp"))
    try:
        base.chmod(0o755)
        folder = base / "own"
        folder.mkdir()
        os.chown(folder, USER, USER)
        python = _find_python()
        subprocess.run([python, "-m", "venv", "--without-pip", base / "venv"], check=True)
        [packages] = (base / "venv" / "lib").glob("python*/site-packages")
        paths = _offer_code(base)
        (packages / "tests.pth").write_text("".join(f"{path}\n" for path in paths))
        yield OrdinaryUser(folder, base / "venv" / "bin" / "python")
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _find_python() -> str:
    """A Python of this version that every user may read; a binary of another version has other modules."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        real = os.path.realpath(found)
        if os.path.exists(real) and find_closed(real) is None:
            return real
    pytest.skip(f"missing: a {name} that every user may read")


def _offer_code(base: Path) -> list[Path]:
    """Where the ordinary user finds roundwork, these tests and what they need: here, or in a copy."""
    site = Path(pytest.__file__).parents[1]
    source = Path(roundwork.__file__).parents[1]
    here = [site, source, REPOSITORY]
    if all(find_closed(str(path / "x")) is None for path in here):
        return here
    copy = base / "code"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "roundwork", copy / "roundwork", ignore=ignore)
    shutil.copytree(REPOSITORY / "tests", copy / "tests", ignore=ignore)
    for name in _list_distributions():
        for file in importlib.metadata.files(name) or []:
            target = copy / file
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    return [copy]


def _list_distributions() -> set[str]:
    found: set[str] = set()
    waiting = list(NEEDED)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            requirements = map(Requirement, importlib.metadata.requires(name) or [])
            waiting += [
                each.name
                for each in requirements
                if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
            found.add(name)
    return found


class Attacker(Protocol):
    """A node's directory with one hostile task."""

    directory: Path
    sandbox: str
    is_root: bool
    pid: int
    """Of the node."""

    def submit(self, source: str, seconds: float = 20, **options: Any) -> str | None:
        """What the task's submission function returns; options as of House.run. Raises TaskFailed."""


class LocalAttacker:
    """Of a node of this user's, in this process."""

    is_root = True
    pid = os.getpid()

    def __init__(self, directory: Path, environment: Environment, sandbox: str) -> None:
        self.directory = directory
        self.sandbox = sandbox
        self._house = House(directory, environment, sandbox)
        _furnish(directory)

    def submit(self, source: str, seconds: float = 20, **options: Any) -> str | None:
        """In a node in this process."""
        return self._house.submit(source, seconds, **options)


class RemoteAttacker:
    """Of a node of the ordinary user's, in a process that answers calls on its standard streams."""

    is_root = False
    _count = itertools.count()

    def __init__(self, user: OrdinaryUser, sandbox: str) -> None:
        self.directory = user.folder / f"node-{next(self._count)}"
        self.sandbox = sandbox
        self._user = user

    def __enter__(self) -> Self:
        self.process = self._user.popen(["-m", "tests.hostile.users", str(self.directory), self.sandbox])
        self.pid = self.process.pid
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def submit(self, source: str, seconds: float = 20, **options: Any) -> str | None:
        """In that node."""
        limits: Limits = options.pop("limits", Limits())
        call = {"source": source, "seconds": seconds, "limits": msgspec.to_builtins(limits), **options}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the node of the ordinary user ended: {self.process.communicate()[1]}")
        answer = json.loads(line)
        if "failed" in answer:
            raise TaskFailed(answer["failed"])
        found: str | None = answer["answer"]
        return found


def _furnish(directory: Path) -> None:
    (directory / "node-key.json").write_text("the node's key")
    (directory / "other").mkdir()
    (directory / "other" / "state.sqlite").write_text("another task's state")


def main() -> None:
    """Answer the calls of a RemoteAttacker."""
    directory = Path(sys.argv[1])
    directory.mkdir()
    _furnish(directory)
    house = House(directory, make_environment(directory / "environments"), sys.argv[2])
    answers: IO[str] = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        call = json.loads(line)
        limits = msgspec.convert(call.pop("limits"), Limits)
        try:
            answer: dict[str, Any] = {"answer": house.submit(limits=limits, **call)}
        except TaskFailed as error:
            answer = {"failed": str(error)}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
