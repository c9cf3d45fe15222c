"""Children end with their parent, on request, or by force."""

import os
import subprocess
import sys

import pytest

from roundwork.host.process import describe_end, end

STUBBORN = """
import signal, sys
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""
PARENT = """
import signal, subprocess, sys
from roundwork.host.process import die_with_parent
child = subprocess.Popen(
    [sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()"],
    preexec_fn=lambda: die_with_parent(signal.SIGKILL),
)
signal.pause()
"""


def test_a_child_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert b"ready\n" == parent.stdout.readline()

        parent.kill()

        assert b"" == parent.stdout.read()  # at its end only when the child has closed it, too


@pytest.mark.parametrize(("kind", "how"), [("polite", "SIGTERM"), ("stubborn", "SIGKILL")])
def test_a_process_that_does_not_end_on_request_is_killed(kind: str, how: str) -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN, kind], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        end(process, 0.5 if kind == "stubborn" else 30)

        assert process.returncode is not None
        assert f"killed by {how}" == describe_end(process.returncode)


def test_a_return_code_is_described() -> None:
    assert "exit 3" == describe_end(os.waitstatus_to_exitcode(3 << 8))
