"""Where a task's Python code runs: one locked virtual environment per set of pinned requirements."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ...errors import BadTaskFile
from ...host.hold import wait_and_hold
from ..confinement.interpreter import find_interpreter

PACKAGE = Path(__file__).parents[2]
SDK_FILES = (
    "__init__.py",
    "sdk/__init__.py",
    "sdk/bundle.py",
    "sdk/routes.py",
    "sdk/saved.py",
    "sdk/splits.py",
    "sdk/task.py",
    "sdk/worker.py",
)
"""All of roundwork that a task's process can see."""

BOOTSTRAP = """\
import sys
from marshal import loads
sys.path.insert(0, {sdk!r})
try:
    with open({bundle!r}, "rb") as file:
        version, prefix, modules = loads(file.read())
except (OSError, EOFError, ValueError, TypeError):
    modules = None
if modules and (version, prefix) == (sys.version, sys.base_prefix):
    first = dict(__name__="bundle")
    exec(loads(modules["roundwork.sdk.bundle"][1]), first)
    first["install_bundle"](modules)
from roundwork.sdk.worker import main
main()
"""
"""A worker's first lines. A bundle that is missing, broken or another interpreter's is not used."""

SURVEY = """\
import sys
sys.path.insert(0, {sdk!r})
from roundwork.sdk.bundle import write_bundle
from roundwork.sdk.worker import Channel, Worker
start = dict(filter="", task="", node="", program="task.py", home=".", params={{}}, secrets={{}})
call = dict(call="submission", seconds=1, round=0, seed="", random_seed="")
assert Worker(Channel(0, 1), start).answer(call) == dict(answer=None)
write_bundle("bundle", ({sdk!r}, {library!r}))
"""
"""Does what every worker does until its first answer, then writes the modules that it has loaded."""

BARE: tuple[str, ...] = ("-s", "-P", "-S")
"""Flags that leave out the interpreter's own site-packages."""

INSTALL_SECONDS = 600


class Environment(msgspec.Struct, frozen=True):
    """An interpreter for tasks: the command that starts a worker, and the folders that it must read."""

    command: tuple[str, ...]
    readable: tuple[Path, ...]


def find_environments() -> Path:
    """Where the environments of tasks are kept on this machine."""
    return Path(os.environ.get("ROUNDWORK_CACHE", Path.home() / ".cache" / "roundwork")) / "environments"


async def prepare_environment(
    directory: Path, lock: bytes | None = None, requires_python: str | None = None
) -> Environment:
    """The environment for a requirements.lock, made under `directory` if it is missing.

    Without a lock it is the bare standard library. Only wheels are installed, every line pinned and hashed,
    so no code of a package runs at installation. Several nodes may share `directory`. Raises BadTaskFile.
    """
    return await asyncio.to_thread(_prepare, directory, lock, requires_python)


def compute_environment_id(lock: bytes, requires_python: str | None) -> str:
    """The name of the environment's folder: the sha256 of both."""
    return hashlib.sha256(lock + b"\0" + (requires_python or "").encode()).hexdigest()


def _prepare(directory: Path, lock: bytes | None, requires_python: str | None) -> Environment:
    _check_python(requires_python)
    directory.mkdir(parents=True, exist_ok=True)
    python = os.path.realpath(sys.executable)
    sdk = _prepare_sdk(directory.absolute())
    _prepare_bundle(python, sdk)
    readable = [sdk, Path(python), *find_interpreter()]
    if lock is None:
        flags = BARE
    else:
        folder = directory / compute_environment_id(lock, requires_python)
        with wait_and_hold(directory / "lock"):
            if not (folder / "complete").exists():
                _install(folder, lock)
        python, flags = str(folder / "bin" / "python"), BARE[:-1]
        readable.append(folder)
    bootstrap = BOOTSTRAP.format(sdk=str(sdk), bundle=str(sdk / "bundle"))
    return Environment((python, *flags, "-c", bootstrap), tuple(readable))


def _check_python(requires_python: str | None) -> None:
    if requires_python is None:
        return
    try:
        is_met = SpecifierSet(requires_python).contains(platform.python_version())
    except InvalidSpecifier as error:
        raise BadTaskFile(
            f"requires-python {requires_python!r} is not a version specifier: {error}"
        ) from error
    if not is_met:
        raise BadTaskFile(
            f"the task requires Python {requires_python}; this node runs {platform.python_version()}"
        )


def _prepare_sdk(directory: Path) -> Path:
    """A folder with the few files of roundwork that a worker imports, compiled, named by their hash.

    The hash covers version and age of the standard library too: the bundle beside them has code of it.
    """
    contents = {name: (PACKAGE / name).read_bytes() for name in SDK_FILES}
    library = Path(sysconfig.get_path("stdlib"))
    parts = sorted(contents.items()), sys.version, str(library), library.stat().st_mtime_ns
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    sdk = directory / f"sdk-{digest}"
    if sdk.exists():
        return sdk
    building = directory / f".sdk-{digest}-{os.getpid()}"
    for name, content in contents.items():
        target = building / "roundwork" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        # Compiled here, because the worker cannot write there; unchecked, because the name is the hash.
        py_compile.compile(
            str(target),
            dfile=str(sdk / "roundwork" / name),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    try:
        building.rename(sdk)
    except OSError:
        # Another node was faster; what it built is the same.
        shutil.rmtree(building)
    return sdk


def _prepare_bundle(python: str, sdk: Path) -> None:
    """The modules that a worker loads, in one file of the SDK's folder: bundle.py says why.

    A worker is run once to find them, so the list is right for each version of Python.
    Raises CalledProcessError.
    """
    if (sdk / "bundle").exists():
        return
    with TemporaryDirectory(dir=sdk.parent) as folder:
        Path(folder, "task.py").write_text(
            "from roundwork import Task\ntask = Task('survey')\ntask.submission(lambda ctx: None)\n"
        )
        survey = SURVEY.format(sdk=str(sdk), library=sysconfig.get_path("stdlib"))
        command = [python, *BARE, "-c", survey]
        subprocess.run(command, cwd=folder, env={}, check=True, stdin=subprocess.DEVNULL)
        Path(folder, "bundle").rename(sdk / "bundle")


def _install(folder: Path, lock: bytes) -> None:
    """Make the virtual environment. Raises BadTaskFile with pip's last words."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=True)
    requirements = folder / "requirements.lock"
    requirements.write_bytes(lock)
    command = [
        *(
            str(folder / "bin" / "python"),
            "-I",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise BadTaskFile(f"requirements.lock was not installed within {INSTALL_SECONDS} s") from error
    if done.returncode:
        last_lines = done.stderr.strip().splitlines()[-3:]
        raise BadTaskFile("requirements.lock cannot be installed: " + " | ".join(last_lines))
    (folder / "complete").touch()
