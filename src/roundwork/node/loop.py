"""The loop of one node in one task, whatever the kind of its program: views in, jobs beside it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..client.rpc import Client
from ..participant.postponed import Postponed
from ..participant.step import View
from .lookout import CurrentTask, Identity, Lookout
from .memory import MemoryFile
from .peers.reasons import SlashNotices

Name = TypeVar("Name", bound=Hashable)


class Loop(Generic[Name]):
    """Reads a view of each slot, hands it on, and keeps the jobs that come of it, each under its name."""

    def __init__(
        self,
        client: Client,
        identity: Identity,
        current: CurrentTask,
        directory: Path,
        notices: SlashNotices,
    ) -> None:
        """Raises StoreFull, StoreCorrupt."""
        self.file = MemoryFile(directory / "memory.db")
        self.postponed = Postponed()
        self._notices = notices
        self._lookout = Lookout(client, identity, current)
        self._jobs: dict[Name, asyncio.Task[None]] = {}

    @property
    def slot(self) -> int:
        """The slot of the last view, -1 before the first."""
        return self._lookout.slot

    @property
    def slot_seconds(self) -> float:
        """How long a slot takes."""
        return self._lookout.slot_seconds

    async def run(self, act: Callable[[View], None]) -> None:
        """Call `act` with the view of each slot until this is cancelled; jobs then end, too.

        Raises UnknownTask, and what `act` or a job raises.
        """
        try:
            await self._lookout.begin()
            while True:
                self._reap()
                view = await self._lookout.look()
                if view is not None:
                    self._notices.look(view)
                    act(view)
                await asyncio.sleep(self.slot_seconds / 2)
        finally:
            for job in self._jobs.values():
                job.cancel()
            await asyncio.gather(*self._jobs.values(), return_exceptions=True)
            self._notices.close()
            self.file.close()

    def start(self, name: Name, work: Coroutine[Any, Any, None]) -> None:
        """Start a job under a name that no other has."""
        assert name not in self._jobs
        self._jobs[name] = asyncio.create_task(work)

    def has(self, name: Name) -> bool:
        """Whether a job of this name runs, or came to its end after the last view was read."""
        return name in self._jobs

    def list_running(self) -> list[Name]:
        """The names of the jobs that run."""
        return [name for name, job in self._jobs.items() if not job.done()]

    def _reap(self) -> None:
        """Let go of jobs that are done. A view that is read after this shows what came of them."""
        for name, job in list(self._jobs.items()):
            if job.done():
                del self._jobs[name]
                job.result()
