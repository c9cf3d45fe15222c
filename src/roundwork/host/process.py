"""Child processes: they end with their parent, on request, or by force."""

import ctypes
import signal
import subprocess

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded here, because a child between fork and exec must not load anything


def die_with_parent(death_signal: signal.Signals) -> None:
    """Get a signal when the parent ends. A child calls this before it becomes its program."""
    _libc.prctl(_PR_SET_PDEATHSIG, death_signal)


def end(process: subprocess.Popen[bytes], patience_seconds: float) -> None:
    """End a process with SIGTERM, and with SIGKILL if it still runs after `patience_seconds`."""
    process.terminate()
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def describe_end(code: int) -> str:
    """How a process ended, from its return code as `subprocess` gives it: negative for a signal."""
    return f"exit {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
