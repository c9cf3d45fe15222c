"""What strangers write changes neither a terminal nor a log, and forges no line of either."""

import ast
import asyncio
import contextlib
import csv
import io
import json
import logging
import os
import pty
import select
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

import roundwork
from roundwork.client.operations import airdrop, deploy, set_active, stake
from roundwork.client.rpc import Client
from roundwork.errors import BadTaskFile, TaskFailed
from roundwork.host.logs import FULL, LINE_BYTES, MINUTE_SECONDS, Allowance, LogHandler
from roundwork.node.python.channel import LOG_BYTES_PER_MINUTE, TaskLog
from roundwork.node.python.environments import Environment
from roundwork.node.python.lanes import Lanes
from roundwork.package.folder import load_package, pack
from roundwork.protocol.params import KOII
from roundwork.shown import CONTINUED, LINE_CHARACTERS_MAX, LINES_MAX, Blackout, plain, plain_lines

from ..ledger.process import RunningLedger, running
from ..localnet.test_supervisor import wait_until
from ..node.house import HEADER, House, require_sandbox
from ..node.javascript.mainjs import open_program, require_node
from ..node.test_server import make_rich, read_stakes

SOURCE = Path(roundwork.__file__).parent
FORGED = "2026-01-01 00:00:00,000 ERROR roundwork forged"
HOSTILE = (
    f"a\x1b[2J\x1b]0;title\x07\x9b31m\x7f\x00\u202eright\u200bwide\u2066\ufeff\u2028line\u2029\x85"
    f"\n{FORGED}\r{FORGED}\r\n{FORGED}\x0b\x0c[bold]:smile:"
)
NAME = "n\x1b[2J\u202e\nERROR forged"
ENDPOINT = "http://h\x1b[2J\u202e\nERROR forged"
VALUE = "v\x1b[2J\u202e\nERROR forged"
SILENCE_SECONDS = 60
SEPARATORS = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of what is not seen, or not as what it is."""

PROGRAM = f"""{HEADER}
HOSTILE = {HOSTILE!r}

@task.work
def work(ctx):
    print(HOSTILE)
    print(HOSTILE, file=sys.stderr)

@task.submission
def submission(ctx):
    return {VALUE!r}

@task.audit
def audit(ctx, candidate):
    return True

@task.routes
def routes(ctx):
    def fail(request):
        raise ValueError(HOSTILE)
    return {{"/": fail}}
"""


def check_harmless(shown: str) -> None:
    """Every character is seen as it is, and no line is one that a stranger wrote."""
    for line in shown.replace("\r\n", "\n").split("\n"):
        for char in line:
            assert unicodedata.category(char) not in SEPARATORS, (line, char)
        assert not line.startswith((FORGED, "ERROR forged")), line


@given(st.text() | st.text(st.sampled_from([*HOSTILE, "\u034f", "\ufe0f", "\u3164", "\t", "\xa0", "\ud800"])))
def test_a_plain_text_is_one_line_that_is_seen_as_it_is(text: str) -> None:
    shown = plain(text)

    check_harmless(shown)
    assert "\n" not in shown
    assert plain(shown) == shown
    shown.encode()


@given(st.text(st.characters(categories=["L", "N", "P", "S"], max_codepoint=0x24F), min_size=1))
def test_words_of_people_are_not_changed(text: str) -> None:
    assert text == plain(text)


@given(st.lists(st.text()).map("\n".join))
def test_further_lines_begin_with_a_mark(text: str) -> None:
    _, *more = plain_lines(text).split("\n")

    assert all(line.startswith(CONTINUED) for line in more)
    check_harmless(plain_lines(text))


def test_a_text_is_bounded() -> None:
    assert LINE_CHARACTERS_MAX + 50 > len(plain("x" * 10**6)) > LINE_CHARACTERS_MAX
    assert LINES_MAX + 1 == len(plain_lines("x\n" * 10**5).split("\n"))


def test_only_one_module_prints_for_commands_and_one_for_logs() -> None:
    """`print` is for help, for crashes, and in the sandbox, whose output is read as a stranger's."""
    allowed = {
        "cli/__init__.py": {"print"},
        "cli/output.py": {"print", "echo"},
        "host/logs.py": {"print"},
        "sdk/task.py": {"print"},
        "sdk/worker.py": {"print"},
        "node/confinement/confine.py": {"print"},
    }
    for path in SOURCE.rglob("*.py"):
        name = str(path.relative_to(SOURCE))
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("echo", "secho", "print", "basicConfig", "lastResort", "print_exc"):
                is_rich = "console" in ast.unparse(node.func).lower()
                assert is_rich or called in allowed.get(name, ()), f"{name}:{node.lineno}"
            if called == "print" and "console" in ast.unparse(node.func).lower():
                # A table, or a line that `say_on` has made plain.
                assert ast.unparse(node.args[0]).startswith(("Text(plain(hide(", "table")), name


def test_a_log_line_cannot_be_forged() -> None:
    stream = io.StringIO()
    handler = LogHandler(stream)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        trace = sys.exc_info()
    for arguments, info in (((HOSTILE, "x"), None), (("x", HOSTILE), None), (("x", "y"), trace)):
        handler.emit(logging.LogRecord("node", logging.INFO, "", 0, "%s: %s", arguments, info))

    check_harmless(stream.getvalue())
    lines = stream.getvalue().splitlines()
    assert 3 == sum(" INFO node " in line for line in lines)
    assert all(line.startswith(CONTINUED) for line in lines if " INFO node " not in line)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def get(self) -> float:
        return self.seconds


def test_a_log_is_bounded_by_bytes_in_a_minute() -> None:
    clock = Clock()
    allowance = Allowance(1000, clock.get)
    made = 0

    def make_text() -> str:
        nonlocal made
        made += 1
        return "x" * (100 - LINE_BYTES)

    taken = [allowance.take(make_text) for _ in range(10_000)]

    assert [([], make_text())] * 10 == taken[:10]
    assert [([FULL], None)] + [([], None)] * 9_989 == taken[10:]
    assert 12 == made, "lines that are left out cost work"
    clock.seconds = MINUTE_SECONDS
    assert (["(9990 lines were left out)"], "y") == allowance.take(lambda: "y")
    assert ([], "z") == allowance.take(lambda: "z")


def test_a_flood_of_short_lines_is_a_few_lines_of_a_log() -> None:
    lines: list[str] = []

    async def follow() -> None:
        source = asyncio.StreamReader()
        source.feed_data(b"\n" * 10**6 + b"the end")
        source.feed_eof()
        await TaskLog(lines.append, Blackout()).follow(source)

    asyncio.run(follow())

    assert [*[""] * (LOG_BYTES_PER_MINUTE // LINE_BYTES), FULL] == lines


@pytest.mark.parametrize(
    "piece", ["a-", "A.", "?key", "?x", "&auth", "a://", "://", "bearer ", "authorization:x ", " "]
)
@pytest.mark.parametrize("end", ["", "=", "@"])
def test_a_text_of_a_stranger_takes_no_long_time_to_show(piece: str, end: str) -> None:
    """With a pattern that reads characters again and again, one of these took an hour."""
    blackout = Blackout({"TOKEN": "hunter22-hunter33"})

    for text in (piece * (10**6 // len(piece)), piece + piece[-1] * 10**6, piece[0] + piece[1:] * 300_000):
        assert len(blackout.hide(text + end)) <= len(text) + 10**6


@pytest.mark.parametrize("words", ['File "/', 'File "//', ' File "a/b", line '])
def test_the_traceback_of_a_stranger_takes_no_long_time_to_read(
    tmp_path: Path, environment: Environment, words: str
) -> None:
    """With a pattern that looks for its end again and again, this stopped the node for minutes."""
    house = House(tmp_path, environment, require_sandbox("sandlock"))
    source = f"raise ValueError({words!r} * (15_000 // {len(words)}) + '\\nthe end')"

    with pytest.raises(
        BadTaskFile, match=r"cannot be run: the end.* \(task\.py, line \d+\)|cannot be run: the end"
    ):
        house.run(source, Lanes.check)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path_factory.mktemp("texts") / "ledger") as ledger:
        yield ledger


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task all of whose texts are hostile."""
    folder = tmp_path_factory.mktemp("hostile") / "task"
    folder.mkdir()
    config = {
        "task_name": NAME,
        "author": HOSTILE[:120],
        "description": HOSTILE,
        "repositoryUrl": "https://example.org",
        "infoUrl": HOSTILE,
        "round_time": 120,
        "submission_window": 48,
        "audit_window": 48,
        "minimum_stake_amount": 1,
        "total_bounty_amount": 1000,
        "bounty_amount_per_round": 10,
        "requirementsTags": [
            {"type": "ADDON", "value": HOSTILE, "description": HOSTILE},
            {"type": "TASK_VARIABLE", "value": "TOKEN", "description": HOSTILE, "retrievalInfo": HOSTILE},
        ],
        HOSTILE: HOSTILE,
    }
    (folder / "config-task.yml").write_text(json.dumps(config))
    (folder / "task.py").write_text(PROGRAM)
    return folder


@pytest.fixture(scope="module")
def task(ledger: RunningLedger, folder: Path) -> str:
    package = load_package(folder)

    async def run() -> str:
        async with Client(ledger.url) as client:
            manager, staking = Keypair(), Keypair()
            await airdrop(client, str(manager.pubkey()), 3_000 * KOII)
            address = await deploy(client, manager, package, pack(package)[0])
            await set_active(client, manager, address, True)
            await stake(client, manager, staking, address, KOII, ENDPOINT)
            return address

    return asyncio.run(run())


@contextmanager
def open_terminal(*arguments: object) -> Iterator[int]:
    """A command at a terminal of its own; the terminal, to read from."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "roundwork", *map(str, arguments)])
    try:
        yield terminal
    finally:
        os.kill(pid, 15)
        read_all(terminal)
        os.waitpid(pid, 0)
        os.close(terminal)


def read_all(terminal: int, until: str | None = None) -> str:
    shown = b""
    while until is None or until not in shown.decode("utf-8", "replace"):
        ready, _, _ = select.select([terminal], [], [], SILENCE_SECONDS)
        assert ready, f"{until!r} was not shown: {shown!r}"
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # what Linux says when the other side of a terminal is gone
            piece = b""
        if not piece:
            break
        shown += piece
    return shown.decode()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def test_a_hostile_task_shows_nothing_but_its_letters(
    ledger: RunningLedger, folder: Path, task: str, tmp_path: Path
) -> None:
    """The node at a terminal: what it asks for, its logs, its failures, and requests of strangers."""
    make_rich(ledger, tmp_path / "node")
    options = ("--package", folder, "--stake", 2 * KOII, "--secret", "TOKEN=hunter22", "--yes")
    with open_terminal(
        "node", "run", "--url", ledger.url, "--task", task, "--directory", tmp_path / "node", *options
    ) as terminal:
        shown = read_all(terminal, " at http://")
        shown += read_all(terminal, "\n")
        endpoint = next(word for word in shown.split() if word.startswith("http://127.0.0.1:"))
        shown += read_all(terminal, "sending the proof of round")
        for path in ("", f"%0a{FORGED}", "%1b[2J"):
            answer = httpx2.get(f"{endpoint}/task/{task}/{path}", trust_env=False, timeout=30)
            assert answer.status_code in (404, 502)
        shown += read_all(terminal, "GET /\\x1b[2J: ")
        wait_until(lambda: any(read_stakes(ledger, task)))

    check_harmless(shown)
    for expected in (f"task {plain(NAME)}", "work: a\\x1b[2J", "ValueError: a\\x1b[2J", "variable TOKEN"):
        assert expected in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("task", "show", "TASK"),
        ("task", "list"),
        ("task", "rounds", "TASK"),
        ("task", "rounds", "TASK", "--csv"),
    ],
)
def test_what_the_ledger_knows_is_shown_plainly_and_in_json_exactly(
    ledger: RunningLedger, task: str, arguments: tuple[str, ...]
) -> None:
    words = [task if word == "TASK" else word for word in arguments]

    done = run(*words, "--url", ledger.url)

    assert 0 == done.returncode, done.stderr
    check_harmless(done.stdout + done.stderr)
    if "--csv" in words:
        assert all(row["value"] in ("", plain(VALUE)) for row in csv.DictReader(io.StringIO(done.stdout)))
        return
    exact = run(*words, "--url", ledger.url, "--json")
    assert exact.stdout.isascii()
    assert exact.stdout.removesuffix("\n").isprintable()
    facts = json.loads(exact.stdout)
    if words[1] == "show":
        assert NAME == facts["name"]
        assert ENDPOINT in [each["endpoint"] for each in facts["stakes"]]
        assert f"  {plain(ENDPOINT)}" in done.stdout
    if words[1] == "list":
        assert NAME in [row["name"] for row in facts["tasks"]]
        assert plain(NAME) in done.stdout


def test_a_hostile_folder_is_checked_plainly(folder: Path) -> None:
    secret = ("--secret", "TOKEN=hunter22")
    done = run("task", "check", folder, *secret)

    assert 1 == done.returncode, done.stderr  # its audit accepts every text
    assert "fails      lies " in done.stdout
    check_harmless(done.stdout + done.stderr)
    assert f"task {plain(NAME)}" in done.stdout
    assert (
        load_package(folder).name
        == json.loads(run("task", "check", folder, *secret, "--json").stdout)["name"]
    )


class HostileLedger(BaseHTTPRequestHandler):
    """An RPC that answers with errors, or with what is none."""

    answers: Iterator[bytes] = iter(())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = next(self.answers)
        self.send_response(200 if body.startswith(b"{") else 500)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_errors_of_other_processes_are_shown_plainly() -> None:
    named = {"name": "WrongPhase", "text": HOSTILE}
    answers = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": HOSTILE}}).encode(),
        json.dumps(
            {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "", "data": {"roundwork": named}}}
        ).encode(),
        json.dumps({"jsonrpc": "2.0", "id": 1, "result": {HOSTILE: HOSTILE}}).encode(),
        HOSTILE.encode(),
    ]
    HostileLedger.answers = iter(answers)
    with HTTPServer(("127.0.0.1", 0), HostileLedger) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for _ in answers:
            done = run("balance", str(Keypair().pubkey()), "--url", url)

            assert 1 == done.returncode
            assert "" == done.stdout
            assert done.stderr
            check_harmless(done.stderr)
        server.shutdown()


def test_what_a_person_pastes_is_shown_plainly(tmp_path: Path) -> None:
    for words in (("balance", HOSTILE), (HOSTILE,), ("task", "check", tmp_path / "\x1b[2J\nERROR forged")):
        with open_terminal(*(str(word).replace("\0", "") for word in words)) as terminal:
            shown = read_all(terminal)

        assert shown
        check_harmless(shown)


def test_the_picture_of_up_shows_warnings_plainly() -> None:
    from roundwork.cli.up_view import make_console, say_on

    console = make_console(as_json=False)
    console.file = io.StringIO()
    say_on(console, f"  node-1 {HOSTILE}", "yellow", soft_wrap=True)
    shown = console.file.getvalue()

    check_harmless(shown)
    assert "[bold]:smile:" in shown


FLOOD = """
@task.routes
def routes(ctx):
    def flood(request):
        for _ in range(200):
            print("x" * 99)
        if request.path == "/end":
            os._exit(3)
        return "flooded"
    return {"/": flood}
"""


def test_requests_of_strangers_fill_no_log(house: House) -> None:
    """A new request, and a new process after the last one has ended, write no more."""

    async def ask(lanes: Lanes) -> None:
        for path in ("/", "/end") * 5:
            with contextlib.suppress(TaskFailed):
                await lanes.serve("GET", path, "", [], b"")
        assert 5 == lanes.count_starts()["web"]

    house.run(FLOOD, ask)

    printed = [line.removeprefix("web: ") for line in house.lines]
    assert sum(map(len, printed)) <= LOG_BYTES_PER_MINUTE + len(FULL)
    assert house.lines[-1].endswith(FULL)


def test_what_a_main_js_gives_its_node_to_log_counts_with_what_it_prints(tmp_path: Path) -> None:
    require_node()
    program, lines = open_program(tmp_path, "", "none", variables={"TOKEN": "hunter22-hunter33"})

    for _ in range(2000):
        program.write_log("log: hunter22-hunter33 " + "x" * 99)

    assert sum(map(len, lines)) <= LOG_BYTES_PER_MINUTE + len(FULL)
    assert f"javascript: {FULL}" == lines[-1]
    assert "hunter" not in "".join(lines)
