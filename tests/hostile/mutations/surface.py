"""What every attacked surface is, and the run of mutated inputs against it."""

import asyncio
import gc
import logging
import re
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

HANG_SECONDS = 30.0
"""An input that is not done by then hangs. No input takes a hundredth of it."""

HONEST_EVERY = 50
"""Inputs between two honest requests."""

CAUSES_MAX = 20
"""A run ends after so many faults."""


class Wrong(AssertionError):
    """What a mutated input did that no input may do."""


class Hang(BaseException):
    """An input held the interpreter until the deadline. No handler of the product catches it."""


class Surface(Protocol):
    """A place that reads bytes of others, opened for attacks."""

    def make(self, random: Random) -> Any:
        """One mutated input, which follows from the generator alone."""

    async def attack(self, made: Any) -> None:
        """Send an input, and judge what came of it. Raises Wrong."""

    async def confirm(self) -> None:
        """Send honest requests, and check their answers and all money. Raises Wrong."""


class Kind(NamedTuple):
    """One kind of input."""

    name: str
    open: Callable[[Path], AbstractAsyncContextManager[Surface]]
    """Opens the surface; the directory is its own."""
    open_process: Callable[[Path], AbstractAsyncContextManager[Surface]]
    """The same against processes."""


class Finding(NamedTuple):
    """A fault, and the first input that showed it."""

    kind: str
    seed: str
    number: int
    is_process: bool
    text: str
    inputs: int = 1
    """How many inputs showed it."""

    @property
    def cause(self) -> str:
        """What is the same for all inputs that show one fault: where it arose and how it is called."""
        [line, *_] = self.text.splitlines()
        places = re.findall(r'File "[^"]*/roundwork/([^"]*)", line (\d+)', self.text)
        return f"{places[-1] if places else ''} {re.sub(r'[^A-Za-z ]+.*', '', line)}"

    def describe(self) -> str:
        """The finding, and the command that replays it."""
        process = " --process" if self.is_process else ""
        command = (
            f"python -m tests.hostile.mutations {self.kind} --seed {self.seed} --only {self.number}{process}"
        )
        return f"{self.kind} {self.number} (and {self.inputs - 1} more): {self.text}\n  replay: {command}"


def merge(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each fault."""
    first: dict[str, Finding] = {}
    for finding in findings:
        known = first.get(finding.cause)
        first[finding.cause] = (
            finding if known is None else known._replace(inputs=known.inputs + finding.inputs)
        )
    return list(first.values())


class Watch(logging.Handler):
    """Exceptions that nothing caught: they are logged, printed by a thread, or end in the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.name == "asyncio":
            shown = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            self.faults.append(f"{record.name} logged: {record.getMessage()}\n{shown}".rstrip())

    def note_thread(self, failure: threading.ExceptHookArgs) -> None:
        """What threading calls for an exception that ended a thread."""
        shown = "".join(
            traceback.format_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)
        )
        self.faults.append(f"a thread ended: {shown.rstrip()}")

    def check(self) -> None:
        """Raises Wrong if there was one since the last check."""
        faults, self.faults = self.faults, []
        if faults:
            raise Wrong("\n".join(faults))


@contextmanager
def watch() -> Iterator[Watch]:
    """Watch this process for exceptions that nothing caught."""
    watching = Watch()
    gc.collect()  # tasks that an earlier test left behind are reported before the watch begins
    root, before = logging.getLogger(), threading.excepthook
    root.addHandler(watching)
    threading.excepthook = watching.note_thread
    try:
        yield watching
    finally:
        threading.excepthook = before
        root.removeHandler(watching)


@contextmanager
def alarm() -> Iterator[None]:
    """Raise Hang if what is within holds the interpreter for twice the deadline."""

    def ring(*_: object) -> None:
        raise Hang(f"still at work after {2 * HANG_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 2 * HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Run:
    """Inputs of one kind, by their numbers, against a surface that is opened anew when an input broke it."""

    def __init__(self, kind: Kind, seed: str, is_process: bool, has_alarm: bool) -> None:
        """`has_alarm`: nothing else in this process uses SIGALRM."""
        self.findings: list[Finding] = []
        self._kind = kind
        self._seed = seed
        self._is_process = is_process
        self._has_alarm = has_alarm
        self._number = -1
        self._made: Any = None

    async def run(self, numbers: Sequence[int], directory: Path) -> None:
        """Attack with all inputs, or until there are many findings."""
        left = list(numbers)
        open_ = self._kind.open_process if self._is_process else self._kind.open
        while left and len(self.findings) < CAUSES_MAX:
            home = directory / f"{len(numbers) - len(left)}"
            home.mkdir(parents=True)
            self._number = -1
            try:
                with watch() as watching:
                    async with open_(home) as surface:
                        await self._run_open(surface, watching, left)
                    watching.check()
            except Exception as error:
                if self._number < 0:  # no input is to blame
                    raise
                self._note(error)

    async def _run_open(self, surface: Surface, watching: Watch, left: list[int]) -> None:
        """Attack until all inputs are done; or until an honest request fails, which is raised."""
        since = 0
        while left and len(self.findings) < CAUSES_MAX:
            self._number = left.pop(0)
            self._made = surface.make(Random(f"{self._seed}/{self._kind.name}/{self._number}"))
            is_good = await self._try(surface.attack(self._made), watching)
            since += 1
            if not is_good or since == HONEST_EVERY or not left:
                since = 0
                await self._within(surface.confirm())
                watching.check()

    async def _try(self, work: Any, watching: Watch) -> bool:
        try:
            await self._within(work)
            watching.check()
        except (Exception, Hang) as error:  # noqa: BLE001 -- whatever an input causes is what is looked for
            self._note(error)
            return False
        return True

    async def _within(self, work: Any) -> None:
        """Wait for work, but not for ever."""
        try:
            async with asyncio.timeout(HANG_SECONDS):
                if self._has_alarm:
                    with alarm():
                        await work
                else:
                    await work
        except TimeoutError as error:
            raise Wrong(f"not answered within {HANG_SECONDS:g} s") from error

    def _note(self, error: BaseException) -> None:
        shown = (
            str(error) if isinstance(error, Wrong) else "".join(traceback.format_exception(error)).rstrip()
        )
        if not isinstance(error, Wrong):
            shown = f"{type(error).__name__}: {error}\n{shown}"
        text = f"{shown}\n  input: {self._made!r:.2000}"
        finding = Finding(self._kind.name, self._seed, self._number, self._is_process, text)
        self.findings = merge([*self.findings, finding])


def run(
    kind: Kind,
    seed: str,
    numbers: Sequence[int],
    directory: Path,
    is_process: bool = False,
    has_alarm: bool = False,
) -> list[Finding]:
    """Attack with the inputs of these numbers; what was found.

    An input follows from the seed, the kind and its number alone.
    """
    running = Run(kind, seed, is_process, has_alarm)
    asyncio.run(running.run(numbers, directory))
    return running.findings
