"""CometBFT and its application as a pair: both end together and both start again together.

CometBFT stops itself when a connection to its application breaks. An application without CometBFT has a state
in memory that the next handshake does not know. So every crash has the same remedy: stop the other process,
start both.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ...errors import BadConfig, EngineFailed
from ...host.hold import hold
from ...host.process import die_with_parent, end
from .home import APP_SOCKET, RPC_SOCKET, Home

FAILURES_MAX = 5
"""The most stops of the pair within FAILURES_SECONDS. A killed process does not count."""

FAILURES_SECONDS = 60.0
STOP_SECONDS = 5.0
LAST_WORDS_SECONDS = 2.0
"""The application ends by itself when its engine goes, and its exit code may say why it was about to."""

RESTART_SECONDS = 0.2
FATAL = 3
"""The application ends with this code if starting it again cannot help: a port in use, a corrupt store."""

LOG_FILE = "engine.log"
LOG_BYTES_MAX = 10 * 2**20

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


class Pair(NamedTuple):
    """The two processes of a ledger on CometBFT."""

    engine: subprocess.Popen[bytes]
    application: subprocess.Popen[bytes]

    def get_dead(self) -> list[subprocess.Popen[bytes]]:
        """The processes of the pair that have ended."""
        return [process for process in self if process.poll() is not None]


def find_cometbft() -> str:
    """The CometBFT binary: $COMETBFT, or the one on PATH. Raises BadConfig."""
    binary = os.environ.get("COMETBFT") or shutil.which("cometbft")
    if binary is None or shutil.which(binary) is None:
        raise BadConfig(
            f"{binary or 'cometbft'} is not found; `make cometbft` installs it, "
            "then put it on PATH or name it in COMETBFT"
        )
    return str(Path(binary).absolute())


def run(home: Home, binary: str, application: Sequence[str]) -> None:
    """Run the pair until SIGTERM or SIGINT. `application` is its command line, to which --socket-fd is added.

    Blocks those signals here and works in the home. Raises StoreInUse, EngineFailed.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    os.chdir(home.path)
    with hold(Path("lock"), f"{home.directory}: another process runs the ledger in this directory"):
        _keep_running(home, binary, application)


def _keep_running(home: Home, binary: str, application: Sequence[str]) -> None:
    failures: list[float] = []
    while True:
        pair = start(home, binary, application)
        has_request = wait(pair)
        dead = pair.get_dead()
        stop(pair)
        if has_request:
            return
        check_remedy(pair)
        if not any(process.returncode == -signal.SIGKILL for process in dead):
            failures.append(time.monotonic())
            check_failures(home, failures)
        time.sleep(RESTART_SECONDS)


def start(home: Home, binary: str, application: Sequence[str]) -> Pair:
    """Start both. The socket listens before either runs, so that the engine never dials in vain."""
    for stale in (APP_SOCKET, RPC_SOCKET):
        Path(stale).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening, _open_log(home) as log:
        listening.bind(APP_SOCKET)
        listening.listen()
        served = subprocess.Popen(
            [*application, "--socket-fd", str(listening.fileno())],
            pass_fds=[listening.fileno()],
            start_new_session=True,
            preexec_fn=_begin_child,
        )
        engine = subprocess.Popen(
            [binary, "start", "--home", str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_begin_child,
        )
    return Pair(engine, served)


def wait(pair: Pair) -> bool:
    """Wait until one of the pair has ended, or a signal asks this process to end; whether it was a signal."""
    while not pair.get_dead():
        if signal.sigwait(_SIGNALS) != signal.SIGCHLD:
            return True
    return False


def stop(pair: Pair) -> None:
    """End what is left of the pair, the engine first: with SIGTERM, then with SIGKILL."""
    end(pair.engine, STOP_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        pair.application.wait(LAST_WORDS_SECONDS)
    end(pair.application, STOP_SECONDS)


def check_remedy(pair: Pair) -> None:
    """Raises EngineFailed if the application has said that starting it again cannot help."""
    if pair.application.returncode == FATAL:
        raise EngineFailed("the application cannot run; its own message is above")


def check_failures(home: Home, failures: list[float]) -> None:
    """Raises EngineFailed, with the last output of the engine, if starting again does not help."""
    recent = [moment for moment in failures if moment > failures[-1] - FAILURES_SECONDS]
    if len(recent) >= FAILURES_MAX:
        log = home.path / LOG_FILE
        lines = log.read_text(errors="replace").splitlines()
        raise EngineFailed(
            f"CometBFT and its application stopped {len(recent)} times within {FAILURES_SECONDS:.0f} s; "
            f"{log} ends:\n" + "\n".join(lines[-5:])
        )


def _open_log(home: Home) -> BinaryIO:
    log = home.path / LOG_FILE
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.old"))
    return log.open("ab")


def _begin_child() -> None:
    """In the child, before it starts its program: die with the parent, and take signals again."""
    die_with_parent(signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
