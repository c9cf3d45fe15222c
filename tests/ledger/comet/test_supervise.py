"""The pair: neither outlives the other, both are started anew, and what starting again cannot help ends it.

Small programs stand where CometBFT and its application do; the processes and their ends are real.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.errors import BadConfig
from roundwork.ledger.comet.home import write_home
from roundwork.ledger.comet.supervise import FATAL, find_cometbft

from ...localnet.test_supervisor import is_alive, wait_until
from ...protocol.world import make_genesis

RUN = """
import sys
from pathlib import Path
from roundwork.ledger.comet import supervise
from roundwork.ledger.comet.home import Home
supervise.STOP_SECONDS = supervise.LAST_WORDS_SECONDS = 0.5
supervise.run(Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3:])
"""
WAITS = "exec sleep 60"
DEAF = "trap '' TERM; while :; do sleep 1; done"


class Pair:
    """A supervisor whose two programs write down their pids and then do what the scripts say."""

    def __init__(self, directory: Path, engine: str = WAITS, application: str = WAITS) -> None:
        write_home(directory, make_genesis([]), "tcp://127.0.0.1:0", Keypair())
        self.directory = directory
        binary = self.write("engine", engine)
        command = [sys.executable, "-c", RUN, str(directory), binary, self.write("application", application)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def write(self, name: str, script: str) -> str:
        path = self.directory / f"{name}.sh"
        path.write_text(f"#!/bin/sh\necho $$ >> {self.directory / name}.pids\n{script}\n")
        path.chmod(0o700)
        return str(path)

    def find(self, name: str) -> list[int]:
        """The pids under which a program has been started, oldest first."""
        path = self.directory / f"{name}.pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def wait_for(self, lives: int) -> None:
        wait_until(lambda: all(len(self.find(name)) == lives for name in ("engine", "application")))

    def end(self) -> str:
        """What it said at its end."""
        return self.process.communicate(timeout=30)[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    pairs: list[Pair] = []

    def start(**scripts: str) -> Pair:
        pairs.append(Pair(tmp_path, **scripts))
        return pairs[-1]

    yield start
    for pair in pairs:
        pair.process.kill()
        pair.process.communicate()


@pytest.mark.parametrize("victim", ["engine", "application"])
def test_when_one_is_killed_both_are_started_anew(start: Callable[..., Pair], victim: str) -> None:
    pair = start()
    for life in range(1, 8):  # being killed never counts as a failure
        pair.wait_for(life)
        os.kill(pair.find(victim)[-1], signal.SIGKILL)

    pair.wait_for(8)
    assert not any(is_alive(pid) for name in ("engine", "application") for pid in pair.find(name)[:-1])


def test_asked_to_end_it_ends_both(start: Callable[..., Pair]) -> None:
    pair = start()
    pair.wait_for(1)

    pair.process.terminate()

    assert "" == pair.end()
    assert 0 == pair.process.returncode
    assert not any(is_alive(pid) for pid in pair.find("engine") + pair.find("application"))


@pytest.mark.parametrize("deaf", ["engine", "application"])
def test_who_does_not_end_when_asked_is_ended(start: Callable[..., Pair], deaf: str) -> None:
    pair = start(**{deaf: DEAF})
    pair.wait_for(1)

    pair.process.terminate()
    pair.end()

    assert 0 == pair.process.returncode
    assert not is_alive(pair.find(deaf)[0])


def test_who_hangs_is_ended_when_the_other_has_gone(start: Callable[..., Pair]) -> None:
    pair = start()
    pair.wait_for(1)
    os.kill(pair.find("engine")[0], signal.SIGSTOP)

    os.kill(pair.find("application")[0], signal.SIGKILL)

    pair.wait_for(2)
    assert not is_alive(pair.find("engine")[0])


def test_killed_itself_it_leaves_nobody_behind(start: Callable[..., Pair]) -> None:
    pair = start()
    pair.wait_for(1)

    pair.process.kill()

    wait_until(lambda: not any(is_alive(pid) for pid in pair.find("engine") + pair.find("application")))


def test_a_pair_that_cannot_run_is_given_up_with_the_last_words_of_the_engine(
    start: Callable[..., Pair],
) -> None:
    pair = start(engine="echo 'panic: the disk is upside down' >&2; exit 2")

    said = pair.end()

    assert 5 == len(pair.find("engine"))
    assert "EngineFailed: CometBFT and its application stopped 5 times within 60 s" in said
    assert said.endswith("panic: the disk is upside down\n")


def test_what_starting_again_cannot_help_ends_it_at_once(start: Callable[..., Pair]) -> None:
    pair = start(application=f"exit {FATAL}")

    assert "EngineFailed: the application cannot run" in pair.end()
    assert 1 == len(pair.find("application"))


def test_why_the_application_ends_is_heard_although_the_engine_goes_first(start: Callable[..., Pair]) -> None:
    pair = start(engine="exit 1", application=f"sleep 0.1; exit {FATAL}")

    assert "EngineFailed: the application cannot run" in pair.end()
    assert 1 == len(pair.find("application"))


def test_a_second_one_in_the_same_home_is_refused(start: Callable[..., Pair], tmp_path: Path) -> None:
    pair = start()
    pair.wait_for(1)
    again = [sys.executable, "-c", RUN, str(tmp_path), "true", "true"]

    second = subprocess.run(again, capture_output=True, text=True, timeout=30)

    assert f"StoreInUse: {tmp_path}: another process runs the ledger" in second.stderr
    assert is_alive(pair.find("engine")[0])


def test_the_engine_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMETBFT", str(tmp_path / "cometbft"))

    with pytest.raises(BadConfig, match="is not found; `make cometbft` installs it"):
        find_cometbft()
