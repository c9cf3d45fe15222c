"""The program that a task is demonstrated on, such as the website that a crawler of pages reads."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..package.folder import Demo, Package
from .supervisor import ROUNDWORK, Member, Supervisor, find_port

NAME = "program"


def find_demo(package: Package, params: Mapping[str, str]) -> Demo | None:
    """The program that the task needs; None where `params` say what to use in its place."""
    demo = package.demo
    return None if demo is None or demo.params.keys() <= params.keys() else demo


def describe_demo(demo: Demo, port: int) -> tuple[Member, dict[str, str]]:
    """The process, and the params that point at it."""
    python, *_ = ROUNDWORK
    words = [python if word == "python" else word.replace("{port}", str(port)) for word in demo.command]
    return Member(NAME, NAME, words, port), {
        name: value.replace("{port}", str(port)) for name, value in demo.params.items()
    }


@asynccontextmanager
async def running_demo(package: Package, params: Mapping[str, str]) -> AsyncIterator[dict[str, str]]:
    """Run the program that the task needs; all params to run the task with.

    Raises RemoteError if it does not start.
    """
    demo = find_demo(package, params)
    if demo is None:
        yield dict(params)
        return
    with TemporaryDirectory(prefix="roundwork-") as directory:
        supervisor = Supervisor(Path(directory))
        member, own = describe_demo(demo, find_port(set()))
        try:
            await supervisor.start(member)
            yield {**params, **own}
        finally:
            await supervisor.stop([NAME])
