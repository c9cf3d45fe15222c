"""One node as its operator wants it."""

from pathlib import Path

import msgspec

from ..host.front import FRONT_LIMITS, FrontLimits
from ..participant.plays import HONEST, Play
from ..participant.sealed_step import Bounds

FIRST_TASK_FILE = "first-task"
"""Names the task whose memory and files lie in the node's directory itself."""


class NodeSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One node as its operator wants it. Money in roe."""

    ledger_url: str
    task: str
    directory: Path
    """Keys, memory, blobs and the task's files are kept here."""
    task_directory: Path | None = None
    """Where the memory, package and files of a successor are kept, after the node has moved."""
    package: Path | None = None
    """The task's folder, if it is at hand; else the package is fetched from other nodes."""
    program: str | None = None
    """Another program of the package: a path from its program's folder, or from its root."""
    host: str = "127.0.0.1"
    port: int = 0
    endpoint: str | None = None
    """Where others reach the gateway, if not at host and port."""
    peers: tuple[str, ...] = ()
    """URLs of nodes to ask beside those that the ledger names."""
    priority_fee: int = 0
    """What each transaction of the node pays on top of its fee, in roe."""
    stake: int = 0
    """The stake to hold: the node adds to it whenever it is below the task's minimum; 0: never."""
    claim_least: int | None = None
    """The least available balance that the node claims by itself under roundwork-1; 0: never; None: 100 fees
    of a claim. In the smallest unit of the task's token, if it has one; None: everything."""
    claim_to: str | None = None
    """The address that such a claim pays; None for the main key's."""
    sandbox: str | None = None
    params: dict[str, str] = {}
    secrets: dict[str, str] = {}
    is_any_machine: bool = False
    """Run tasks that ask for another kind of machine, too."""
    bounds: Bounds = Bounds()
    """How often the node pays by itself in a round of roundwork-1."""
    play: Play = HONEST
    limits: FrontLimits = FRONT_LIMITS
    """Of the gateway."""
    passphrase: str | None = None
    """Of the keypair files, if they are encrypted."""

    @property
    def home(self) -> Path:
        """Where memory, package and files of the task are kept."""
        return self.task_directory or self.directory


def find_home(directory: Path, task: str) -> Path:
    """Where a node that works in `directory` keeps memory, package and files of a task."""
    path = directory / FIRST_TASK_FILE
    is_first = not path.exists() or path.read_bytes() == task.encode()
    return directory if is_first else find_task_directory(directory, task)


def find_task_directory(directory: Path, task: str) -> Path:
    """The same for a task that is not the first one of the directory."""
    return directory / task[:8]  # the path of a socket lies in it, and must be short
