"""The program that a task is demonstrated on, such as the website that a crawler of pages reads."""

import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio.from_thread import start_blocking_portal

from ..errors import PortInUse
from ..package.folder import Demo, Package
from .supervisor import ROUNDWORK, Member, Supervisor, find_port

NAME = "program"
RECORDED_PORT = 28_900
"""The port of the program while answers are recorded: recorded URLs must be the same the next time."""


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
async def running_demo(
    package: Package, params: Mapping[str, str], is_recording: bool = False
) -> AsyncIterator[dict[str, str]]:
    """Run the program that the task needs; all params to run the task with.

    With `is_recording` it runs at RECORDED_PORT. Raises RemoteError if it does not start, PortInUse.
    """
    demo = find_demo(package, params)
    if demo is None:
        yield dict(params)
        return
    with TemporaryDirectory(prefix="roundwork-") as directory:
        supervisor = Supervisor(Path(directory))
        if is_recording:
            _check_free(RECORDED_PORT)
        member, own = describe_demo(demo, RECORDED_PORT if is_recording else find_port(set()))
        try:
            await supervisor.start(member)
            yield {**params, **own}
        finally:
            await supervisor.stop([NAME])


@contextmanager
def running_demo_beside(
    package: Package, params: Mapping[str, str], is_recording: bool = False
) -> Iterator[dict[str, str]]:
    """`running_demo` for a caller without an event loop: the program is kept by a thread.

    So the task's functions run in the main thread, where Ctrl-C and a debugger reach them.
    """
    if find_demo(package, params) is None:
        yield dict(params)
        return
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_demo(package, params, is_recording)) as all_params,
    ):
        yield all_params


def point_at_record(package: Package, params: Mapping[str, str]) -> dict[str, str]:
    """All params to run the task with on answers that were recorded; nothing runs."""
    demo = find_demo(package, params)
    return dict(params) if demo is None else {**params, **describe_demo(demo, RECORDED_PORT)[1]}


def _check_free(port: int) -> None:
    """Raises PortInUse."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortInUse(
                f"port {port} is taken; answers are recorded from the task's demo there"
            ) from error
