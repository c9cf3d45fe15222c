"""The loop of one node in one task, for every kind of program: it reads views, and runs jobs beside."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from ..client.rpc import Client
from ..errors import RoundworkError
from ..participant.postponed import Postponed
from ..participant.step import View
from ..views import PartKey
from .lookout import CurrentTask, Identity, Lookout
from .memory import MemoryFile
from .peers.parts import PartBook
from .peers.reasons import SlashNotices

Name = TypeVar("Name", bound=Hashable)

log = logging.getLogger(__name__)


class Loop(Generic[Name]):
    """Hands on a view of each slot, and keeps the jobs that come of it, each under its name.

    The view is handed on again when a part has come or a job has ended.
    """

    def __init__(
        self,
        client: Client,
        identity: Identity,
        current: CurrentTask,
        directory: Path,
        notices: SlashNotices,
        parts: PartBook,
    ) -> None:
        """Raises StoreFull, StoreCorrupt."""
        self.file = MemoryFile(directory / "memory.db")
        self.postponed = Postponed()
        self._notices = notices
        self._parts = parts
        self._news = parts.news
        """Set when a head or a part has come, or a job has ended."""
        self._lookout = Lookout(client, identity, current, self._news)
        self._jobs: dict[Name, asyncio.Task[None]] = {}
        self._faults: set[tuple[str, str]] = set()
        """What failed by which errors, as far as it is in the log already."""

    @property
    def slot(self) -> int:
        """The slot of the last view, -1 before the first."""
        return self._lookout.slot

    @property
    def slot_seconds(self) -> float:
        """How long a slot takes."""
        return self._lookout.slot_seconds

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Send a transaction inside this: the next view shows what came of it."""
        try:
            yield
        finally:
            self._lookout.note_sent()

    def show_parts(self, view: View, needed: Collection[PartKey]) -> View:
        """The view with those of the needed parts that are at hand; the others are read meanwhile."""
        self._parts.need(needed, view.head, self.slot_seconds)
        return msgspec.structs.replace(view, rounds=self._parts.compose(needed))

    async def run(self, act: Callable[[View], None]) -> None:
        """Call `act` with views until this is cancelled; jobs then end, too.

        Raises UnknownTask, and each RoundworkError of `act` or a job. Other errors are logged: views that
        cannot be true, of a ledger that errs or lies, must not end a node with a stake.
        """
        view: View | None = None
        try:
            await self._lookout.begin()
            while True:
                is_new = self._news.is_set()
                self._news.clear()
                self._reap()
                fresh = await self._lookout.look()
                view = fresh or view
                if view is not None and (fresh or (is_new and not self._lookout.is_blind)):
                    self._act(act, view)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.slot_seconds / 2):
                        await self._news.wait()
        finally:
            for job in self._jobs.values():
                job.cancel()
            await asyncio.gather(*self._jobs.values(), return_exceptions=True)
            self._lookout.close()
            await self._parts.close()
            self._notices.close()
            self.file.close()

    def start(self, name: Name, work: Coroutine[Any, Any, None]) -> None:
        """Start a job under a name that no other has."""
        assert name not in self._jobs
        job = self._jobs[name] = asyncio.create_task(work)
        job.add_done_callback(lambda _: self._news.set())

    def has(self, name: Name) -> bool:
        """Whether a job of this name runs, or came to its end after the last view was read."""
        return name in self._jobs

    def list_running(self) -> list[Name]:
        """The names of the jobs that run."""
        return [name for name, job in self._jobs.items() if not job.done()]

    def _act(self, act: Callable[[View], None], view: View) -> None:
        try:
            self._notices.look(view)
            act(view)
        except RoundworkError:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it was, the next view may be a true one
            self._report_fault("a view", error)

    def _report_fault(self, what: str, error: Exception) -> None:
        """Log an error that nothing here should raise, each kind once."""
        fault = (what, type(error).__name__)
        if fault not in self._faults:
            self._faults.add(fault)
            log.error("the ledger shows what cannot be, or this node has a fault: %s", what, exc_info=error)

    def _reap(self) -> None:
        """Let go of jobs that are done. No view is handed on before it shows what they have sent."""
        for name, job in list(self._jobs.items()):
            if job.done():
                del self._jobs[name]
                try:
                    job.result()
                except RoundworkError:
                    raise
                except Exception as error:  # noqa: BLE001 -- as above; its duty is owed again after a while
                    self.postponed.put(name, self.slot)
                    self._report_fault(type(name).__name__, error)
