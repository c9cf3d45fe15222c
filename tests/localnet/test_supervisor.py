"""Processes are started, waited for, started again when asked, and never left behind."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roundwork.errors import RemoteError, StoreInUse
from roundwork.host.hold import is_held
from roundwork.localnet.supervisor import PORTS, Member, Supervisor, ask_restart, find_port, supervise

READY = "import json, time; print(json.dumps({'node': 'its address'}), flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY


def member_of(source: str, name: str = "one", port: int | None = None) -> Member:
    return Member(name, "honest", [sys.executable, "-c", source], port)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_is_ready_when_it_says_so(tmp_path: Path) -> None:
    async def run() -> Member:
        supervisor, member = Supervisor(tmp_path), member_of(READY)
        await supervisor.start(member)
        assert is_alive(member.pid)
        assert supervisor.find_ended() == {}
        await supervisor.stop(["one"])
        assert supervisor.find_ended() == {"one": "killed by SIGTERM"}
        return member

    member = asyncio.run(run())
    assert member.address == "its address"
    assert not is_alive(member.pid)


def test_a_program_is_ready_when_it_listens(tmp_path: Path) -> None:
    port = find_port(set())
    source = f"import http.server; http.server.HTTPServer(('127.0.0.1', {port}), None).serve_forever()"

    async def run() -> None:
        supervisor = Supervisor(tmp_path)
        await supervisor.start(member_of(source, port=port))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await supervisor.stop(["one"])

    asyncio.run(run())


def test_a_process_that_answers_with_an_error_has_time_to_log_the_reason(tmp_path: Path) -> None:
    answer = 'import sys, time; print(\'{"error": "BadTaskFile"}\', flush=True); time.sleep(0.5)'
    source = f"{answer}; sys.exit('give each with --secret')"

    with pytest.raises(RemoteError, match="give each with --secret"):
        asyncio.run(Supervisor(tmp_path).start(member_of(source)))


@pytest.mark.parametrize("listens", [False, True])
def test_what_ends_before_it_is_ready_is_reported_with_its_last_words(tmp_path: Path, listens: bool) -> None:
    port = find_port(set()) if listens else None

    async def run() -> None:
        await Supervisor(tmp_path).start(member_of("raise ValueError('its reason')", port=port))

    with pytest.raises(RemoteError, match=r"(?s)one did not start.*ValueError: its reason"):
        asyncio.run(run())


def test_what_does_not_follow_a_request_to_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roundwork.localnet.supervisor.STOP_SECONDS", 0.3)

    async def run() -> dict[str, str]:
        supervisor = Supervisor(tmp_path)
        await supervisor.start(member_of(DEAF))
        await supervisor.stop(["one", "never started"])
        return supervisor.find_ended()

    assert asyncio.run(run()) == {"one": "killed by SIGKILL"}


def restart_from_elsewhere(directory: Path, name: str) -> tuple[threading.Thread, list[object]]:
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(ask_restart(directory, name))
        except RemoteError as error:
            answers.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answers


async def answer_one(supervisor: Supervisor) -> None:
    async with asyncio.timeout(20):
        while not await supervisor.answer_restarts():  # noqa: ASYNC110 # it looks at files
            await asyncio.sleep(0.02)


def test_a_killed_process_is_started_again_when_somebody_asks(tmp_path: Path) -> None:
    async def run() -> None:
        supervisor, member = Supervisor(tmp_path), member_of(READY)
        supervisor.members.append(member)
        await supervisor.start(member)
        before = member.pid
        os.kill(before, signal.SIGKILL)
        asking, answers = restart_from_elsewhere(tmp_path, "one")
        await answer_one(supervisor)
        await asyncio.to_thread(asking.join)
        assert answers == [member.pid]
        assert before != member.pid
        assert is_alive(member.pid)
        await supervisor.stop(["one"])

    with supervise(tmp_path):
        asyncio.run(run())


def test_a_running_process_is_not_started_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roundwork.localnet.supervisor.END_SECONDS", 0.2)

    async def run() -> list[object]:
        supervisor, member = Supervisor(tmp_path), member_of(READY)
        supervisor.members.append(member)
        await supervisor.start(member)
        asking, answers = restart_from_elsewhere(tmp_path, "one")
        await answer_one(supervisor)
        await asyncio.to_thread(asking.join)
        await supervisor.stop(["one"])
        return answers

    with supervise(tmp_path):
        [answer] = asyncio.run(run())
    assert "one runs, as process" in str(answer)


def test_asking_where_nobody_supervises_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="the network stopped"):
        ask_restart(tmp_path, "one")


def test_a_directory_has_one_supervisor(tmp_path: Path) -> None:
    with supervise(tmp_path / "new"):
        assert is_held(tmp_path / "new")
        assert 0o700 == stat.S_IMODE((tmp_path / "new").stat().st_mode)
        with pytest.raises(StoreInUse, match="another `up` runs here"), supervise(tmp_path / "new"):
            pass

    assert not is_held(tmp_path / "new")
    assert not is_held(tmp_path / "nowhere")


def test_processes_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    source = f"""
import asyncio, sys, time
from pathlib import Path
from roundwork.localnet.supervisor import Member, Supervisor
member = Member("one", "honest", [sys.executable, "-c", {READY!r}])
asyncio.run(Supervisor(Path({str(tmp_path)!r})).start(member))
print(member.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()

    wait_until(lambda: not is_alive(pid))


def test_ports_are_given_out_once_and_not_from_those_of_connections() -> None:
    taken: set[int] = set()

    firsts = [find_port(taken, span=2) for _ in range(20)]

    assert 40 == len(taken) == len({port for first in firsts for port in (first, first + 1)})
    assert set(PORTS) >= set(firsts)
