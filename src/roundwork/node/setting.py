"""One node as its operator wants it."""

from pathlib import Path

import msgspec

from ..participant.plays import HONEST, Play


class NodeSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One node as its operator wants it. Money in roe."""

    ledger_url: str
    task: str
    directory: Path
    """Keys, memory, blobs and the task's files are kept here."""
    task_directory: Path | None = None
    """Where memory, package and files of a task are kept that the node has moved to."""
    package: Path | None = None
    """The task's folder, if it is at hand; else the package is fetched from other nodes."""
    program: str | None = None
    """Another program of the package's folder, such as main.js beside task.py."""
    host: str = "127.0.0.1"
    port: int = 0
    endpoint: str | None = None
    """Where others reach the gateway, if not at host and port."""
    peers: tuple[str, ...] = ()
    """URLs of nodes to ask beside those that the ledger names."""
    stake: int = 0
    """What to have at stake: added whenever the stake is below the task's minimum; 0 is never."""
    sandbox: str | None = None
    params: dict[str, str] = {}
    secrets: dict[str, str] = {}
    is_any_machine: bool = False
    """Run tasks that ask for another kind of machine, too."""
    play: Play = HONEST
    passphrase: str | None = None
    """Of the keypair files, if they are encrypted."""

    @property
    def home(self) -> Path:
        """Where memory, package and files of the task are kept."""
        return self.task_directory or self.directory
