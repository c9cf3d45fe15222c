"""`up`: a whole network of real processes, killed and started again while rounds go on."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, read_task
from roundwork.client.rpc import Client
from roundwork.client.token_operations import find_account
from roundwork.errors import BadConfig, BadTaskFile
from roundwork.ledger.inspect import read_info
from roundwork.localnet.network import STATE_FILE, Network, Plan, prepare
from roundwork.localnet.watch import is_node
from roundwork.node.javascript.standing import STANDING_FILE
from roundwork.package.folder import Package
from roundwork.participant.moment import compute_timetable
from roundwork.protocol.params import KOII, base58_of, key_of

from ..ledger.process import NEWEST
from ..ledger.process import running as running_ledger
from ..node.house import require_sandbox
from ..node.javascript.mainjs import require_node
from .test_supervisor import is_alive, wait_until

pytestmark = pytest.mark.timeout(300)
"""Real networks in real time, also on a loaded machine."""

HELLO = Path(__file__).parents[2] / "examples" / "hello"
HELLO_JS = HELLO.with_name("hello-js")
CRAWLER = HELLO.with_name("crawler")
ROUNDWORK = [sys.executable, "-m", "roundwork"]
FAST = ["--round-slots", "50", "--slot-ms", "60"]
"""Three seconds a round."""


class Up:
    """A running `roundwork up --json`."""

    def __init__(self, directory: Path, *options: str, task: Path = HELLO) -> None:
        self.directory = directory
        command = [*ROUNDWORK, "up", str(task), "--json", "--directory", str(directory), *FAST, *options]
        environment = {name: value for name, value in os.environ.items() if name != "ROUNDWORK_CACHE"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    @property
    def network(self) -> Network:
        return msgspec.json.decode((self.directory / STATE_FILE).read_bytes(), type=Network)

    def find(self, name: str) -> int:
        return next(member.pid for member in self.network.members if member.name == name)

    def wait_for_nodes(self, count: int) -> None:
        def is_so() -> bool:
            nodes = [member for member in self.network.members if is_node(member)]
            return [bool(node.address) for node in nodes] == [True] * count

        self.wait_for(is_so)

    def wait_for(self, is_so: Callable[[], bool], seconds: float = 60) -> None:
        def is_now() -> bool:
            assert self.process.poll() is None, self.process.communicate()
            return (self.directory / STATE_FILE).exists() and is_so()

        wait_until(is_now, seconds)

    def read_slot(self) -> int:
        return int(read_info(self.directory / "ledger").get("slot", 0))

    def give(self, roe: int) -> str:
        """Have the faucet pay somebody new; the address, once that is acknowledged."""

        async def run() -> str:
            async with Client(self.network.url) as client:
                await airdrop(client, address := str(Keypair().pubkey()), roe)
                return address

        return asyncio.run(run())

    def read_balances(self, addresses: list[str]) -> list[int]:
        async def run() -> list[int]:
            async with Client(self.network.url) as client:
                return [await client.get_balance(one) for one in addresses]

        return asyncio.run(run())

    def restart(self, name: str) -> subprocess.CompletedProcess[str]:
        command = [*ROUNDWORK, "up", "--restart", name, "--directory", str(self.directory)]
        return subprocess.run(command, capture_output=True, text=True, timeout=90)

    def count_settled(self) -> int:
        async def run() -> int:
            async with Client(self.network.url) as client:
                task = await read_task(client, self.network.task)
                newest = compute_timetable(task).compute_round(task.slot)
                views = await client.get_rounds(self.network.task, list(range(newest + 1)))
                return sum(one.status == "PayoutSuccessful" for one in views.values())

        return asyncio.run(run())

    def finish(self, seconds: float = 100, code: int = 0) -> tuple[dict[str, Any], str]:
        """Its last line, and what it told on stderr."""
        out, told = self.process.communicate(timeout=seconds)
        assert self.process.returncode == code, told
        return json.loads(out.splitlines()[-1]), told

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=40)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    require_sandbox("sandlock")
    return tmp_path / "up"


def verify(directory: Path) -> dict[str, Any]:
    command = [*ROUNDWORK, "ledger", "verify", "--json", "--directory", str(directory / "ledger")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
def test_nodes_and_ledger_are_killed_and_rounds_go_on(directory: Path) -> None:
    up = Up(directory, "--nodes", "5", "--rounds", "1000")
    try:
        up.wait_for_nodes(5)
        pids = {member.name: member.pid for member in up.network.members}
        paid: list[str] = []
        for name in ("node-1", "ledger", "node-5", "node-2", "ledger"):
            slot = up.read_slot()
            paid += [up.give(KOII) for _ in range(3)]
            os.kill(up.find(name), signal.SIGKILL)
            answer = up.restart(name)
            assert f"{name} pid {up.find(name)}\n" == answer.stdout, answer.stderr
            assert [KOII] * len(paid) == up.read_balances(paid)
            up.wait_for(partial(lambda slot: up.read_slot() > slot + 10, slot))
        up.wait_for(lambda: up.count_settled() >= 5)
        up.process.send_signal(signal.SIGINT)
        summary, told = up.finish(code=1)
    finally:
        up.end()

    assert 5 <= summary["rounds_settled"]
    assert summary["supply_constant"] is True
    facts = verify(directory)
    assert (summary["state_hash"], 10**9 * KOII) == (facts["state_hash"], facts["supply"])
    for name, pid in pids.items():
        assert f"pid {pid}" in told
        assert name in told
    by_role: dict[str, list[dict[str, Any]]] = {"honest": [], "liar": []}
    for node in summary["nodes"]:
        by_role[node["role"]].append(node)
    [liar] = by_role["liar"]
    assert (liar["earned"], liar["name"]) == (0, "node-5")
    assert liar["slashed"] > 0
    for node in by_role["honest"]:
        assert node["slashed"] == 0
        assert node["earned"] == node["available"] > 0
        assert node["stake"] == 10 * KOII


@pytest.mark.slow
def test_a_task_pays_slashes_and_is_claimed_in_a_token_that_is_made_for_it(directory: Path) -> None:
    up = Up(directory, "--token", "--nodes", "3", "--rounds", "2")
    try:
        summary, _ = up.finish(150)
    finally:
        up.end()

    assert summary["supply_constant"] is True
    first, second, liar = summary["nodes"]
    assert liar["earned"] == 0 < liar["slashed"]
    for node in (first, second):
        assert (node["slashed"], node["stake"]) == (0, 10 * KOII)
        assert node["earned"] == node["available"] > 0
    facts = verify(directory)  # it looks through the books of every token, too
    assert (summary["state_hash"], 10**9 * KOII) == (facts["state_hash"], facts["supply"])
    friend = str(Keypair().pubkey())
    account = base58_of(find_account(key_of(friend), summary["token"]))
    with running_ledger(directory / "ledger", None, "--slot-ms", "60") as ledger:
        where = ["--url", ledger.url, "--task", up.network.task, "--directory", str(directory / "node-1")]
        claim = [*ROUNDWORK, "node", "claim", *where, "--to", friend, "--json"]
        claimed = json.loads(subprocess.run(claim, capture_output=True, check=True).stdout)["amount"]

        held = ledger.call("getTokenAccountBalance", account, NEWEST)["value"]["amount"]
        supply = ledger.call("getTokenSupply", summary["token"], NEWEST)["value"]["amount"]
    assert (str(claimed), str(summary["token_supply"])) == (held, supply)
    assert claimed >= first["earned"]  # the ledger that runs again may pay another round before the claim
    verify(directory)


@pytest.mark.slow
def test_honest_nodes_are_paid_alike_and_the_summary_has_the_agreed_shape(directory: Path) -> None:
    slow = ("--slot-ms", "120")  # nobody is too late for a window because the machine is busy
    up = Up(directory, "--nodes", "4", "--rounds", "2", "--sandbox", "sandlock", *slow)
    try:
        summary, told = up.finish()
    finally:
        up.end()

    keys = ["rounds_settled", "rounds_unpaid", "supply_constant", "state_hash", "nodes", "ok", "conclusion"]
    assert keys == list(summary)[: len(keys)]
    assert [2, 0, True] == [summary[key] for key in keys[:3]]
    node_keys = ["name", "key", "role", "submitted", "earned", "slashed", "stake", "available", "verdicts"]
    assert [node_keys] * 4 == [list(node) for node in summary["nodes"]]
    honest = [node["earned"] for node in summary["nodes"] if node["role"] == "honest"]
    assert 3 == len(honest)
    assert 1 == len(set(honest))
    assert (True, []) == (summary["ok"], summary["faults"])
    assert told.splitlines()[-1] == summary["conclusion"]
    good = (
        "as it should be: 2 rounds ended, all paid; 3 honest earned 19.999999998 KOII; node-4 (liar) earned"
    )
    assert summary["conclusion"].startswith(good)
    check_picture(summary)
    assert verify(directory)["state_hash"] == summary["state_hash"]
    assert (directory / "cache" / "environments").is_dir()  # nothing outside of its directory is touched


def check_picture(summary: dict[str, Any]) -> None:
    """What the picture shows is there, too: rounds, verdicts, reasons, warnings."""
    *_, liar = summary["nodes"]
    paid = [view for view in summary["rounds"] if view["status"] == "PayoutSuccessful"]
    for view in paid:
        [lie] = [each for each in view["submissions"] if each["name"] == liar["name"]]
        assert ("convicted", False) == (lie["verdict"], lie["auditors"][lie["trigger_by"]])
        assert view["lists"][0]["amounts"][liar["key"]] < 0
    assert {"convicted": 2} == liar["verdicts"]
    slashes = [(slash["node"], slash["round"], slash["amount"] > 0) for slash in summary["slashes"]]
    assert [(liar["name"], view["round"], True) for view in paid] == slashes
    assert all("found its proof 'Hello, Worldx' invalid" in slash["reason"] for slash in summary["slashes"])
    assert {liar["name"]} <= {warning["node"] for warning in summary["warnings"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    require_sandbox("sandlock")
    up = Up(tmp_path_factory.mktemp("running") / "up", "--nodes", "1", "--liars", "0", "--rounds", "1000")
    up.wait_for_nodes(1)
    yield up
    up.end()


def test_a_second_up_in_the_same_directory_is_refused(running: Up) -> None:
    second = Up(running.directory)

    _, told = second.process.communicate(timeout=30)

    assert 1 == second.process.returncode
    assert "StoreInUse" in told
    assert "use another --directory" in told


def test_only_what_is_there_and_dead_is_started_again(running: Up) -> None:
    unknown, alive = running.restart("node-7"), running.restart("ledger")

    assert (1, 1) == (unknown.returncode, alive.returncode)
    assert unknown.stderr == "BadConfig: --restart node-7: it is one of ledger, node-1\n"
    assert "ledger runs, as process" in alive.stderr


def test_an_up_that_is_killed_leaves_nobody_behind(directory: Path) -> None:
    up = Up(directory, "--nodes", "1", "--liars", "0")
    try:
        up.wait_for_nodes(1)
        pids = [member.pid for member in up.network.members]
        up.process.kill()
        wait_until(lambda: not any(map(is_alive, pids)))
    finally:
        up.end()

    stopped = up.restart("node-1")
    assert stopped.stderr == f"BadConfig: --directory {directory}: no network runs there\n"


def test_an_up_that_is_asked_to_end_ends_everybody(directory: Path) -> None:
    up = Up(directory, "--nodes", "1", "--liars", "0")
    try:
        up.wait_for_nodes(1)
        pids = [member.pid for member in up.network.members]
        slot = up.read_slot()
        up.wait_for(lambda: up.read_slot() > slot + 20)
        up.process.send_signal(signal.SIGINT)
        summary, told = up.finish(code=1)
    finally:
        up.end()

    assert told.splitlines()[-1] == summary["conclusion"]
    assert "rounds were over when it was stopped" in summary["conclusion"]
    assert verify(directory)["state_hash"] == summary["state_hash"]
    assert not any(map(is_alive, pids))
    assert verify(directory)["blocks"] > 0


def test_a_main_js_that_ends_is_shown_by_up_and_by_node_status(directory: Path, tmp_path: Path) -> None:
    require_node()
    task = tmp_path / "main-js"
    shutil.copytree(HELLO.parent / "hello-js", task)
    with (task / "main.js").open("a") as program:
        program.write("process.on('message', () => { throw new Error('not today'); });\n")
    up = Up(directory, "--nodes", "1", "--liars", "0", task=task)
    try:
        up.wait_for_nodes(1)
        options = [
            "--task",
            up.network.task,
            "--url",
            up.network.url,
            "--directory",
            str(directory / "node-1"),
        ]
        status = [*ROUNDWORK, "node", "status", *options]

        def read_status(*options: str) -> str:
            return subprocess.run([*status, *options], capture_output=True, text=True, check=True).stdout

        up.wait_for(lambda: json.loads(read_status("--json")).get("program", {}).get("starts", 0) > 1)
        shown = read_status()
        up.process.send_signal(signal.SIGINT)
        _, told = up.finish(code=1)
    finally:
        up.end()

    how = "ended by an exception that nothing caught: started again in"
    assert re.search(
        rf"main\.js +(runs|waits for its restart), started \d+ times; the last one {how} \d+ s\n", shown
    )
    assert f"node-1   task {up.network.task}: its main.js {how} 2 s\n" in told
    assert not (directory / "node-1" / STANDING_FILE).exists()


def test_a_process_that_does_not_start_is_quoted_and_nothing_is_left(directory: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(HELLO, broken)
    with (broken / "config-task.yml").open("a") as config:
        config.write("  secrets: [TOKEN]\n")
    command = [*ROUNDWORK, "up", str(broken), "--directory", str(directory), "--nodes", "2", *FAST]

    done = subprocess.run(command, capture_output=True, text=True, timeout=90)

    assert 1 == done.returncode
    assert "RemoteError: node-1 did not start; its log" in done.stderr
    assert "the task asks for TOKEN" in done.stderr
    network = msgspec.json.decode((directory / STATE_FILE).read_bytes(), type=Network)
    assert not any(is_alive(member.pid) for member in network.members if member.pid)


def test_files_that_no_up_made_are_not_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [*ROUNDWORK, "up", str(HELLO), "--directory", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert 1 == done.returncode
    assert "it holds files that no `up` made" in done.stderr
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 0}, "at least one node"),
        ({"nodes": 2, "liars": 3}, "not more liars"),
        ({"nodes": 2, "plays": {"copycat": 2, "late": 1}, "liars": 0}, "3 of them are to play copycat, late"),
        ({"plays": {"copyact": 1}}, "there is no way to play 'copyact'; the ways are honest, liar, copycat"),
        ({"stakes": (2 * KOII, KOII // 2)}, "--stakes 0.5 KOII: the task needs a stake of at least 1 KOII"),
        ({"task": HELLO_JS, "plays": {"copycat": 1}}, "a main.js cannot play copycat: it plays honest, liar"),
        ({"round_slots": 19}, "--round-slots 19: at least 20"),
        ({"round_slots": 59, "rules": "roundwork-1"}, "59: a round of roundwork-1 has at least 60 slots"),
        ({"task": CRAWLER, "params": {"pages": "x"}}, "param pages: 'x' must be of the kind of "),
        ({"task": HELLO / "nowhere"}, "is not a folder"),
        ({"sandbox": "paper"}, "--sandbox paper"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_before_anything_starts(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    plan = msgspec.structs.replace(Plan(task=HELLO, directory=tmp_path / "up"), **changes)

    with pytest.raises((BadConfig, BadTaskFile), match=message):
        prepare(plan, print)

    assert not (tmp_path / "up").exists()


def test_a_task_for_another_kind_of_machine_runs_with_any_machine_only(tmp_path: Path) -> None:
    task = tmp_path / "elsewhere"
    shutil.copytree(HELLO, task)
    with (task / "config-task.yml").open("a") as config:
        config.write("requirementsTags:\n  - {type: OS, value: [Plan 9, BeOS]}\n")
    plan = Plan(task=task, directory=tmp_path / "up")

    with pytest.raises(BadConfig, match=r"asks for OS Plan 9, BeOS; .* with --any-machine"):
        prepare(plan, print)
    network = prepare(msgspec.structs.replace(plan, is_any_machine=True), print)
    network.network = Network("http://127.0.0.1:1", "TASK", [])

    assert "--any-machine" in network._describe_node(0, "honest", {}).command


def test_windows_of_roundwork_1_are_long_enough_for_the_measured_audit_of_all_nodes_here(
    tmp_path: Path,
) -> None:
    task = tmp_path / "task"
    shutil.copytree(HELLO, task)
    with (task / "task.py").open("a") as program:
        program.write("\n\n@task.audit\ndef audit(ctx, candidate):\n    import time\n")
        program.write("    end = time.monotonic() + 0.5\n    while time.monotonic() < end:\n        pass\n")
        program.write("    return candidate.value == 'Hello, World!'\n")
    plan = Plan(task=task, directory=tmp_path / "up", rules="roundwork-1", nodes=os.cpu_count() or 1)

    said: list[str] = []

    def choose(plan: Plan) -> Package:
        network = prepare(plan, said.append)
        asyncio.run(network._choose_windows({}))
        return network.package

    short, long = choose(msgspec.structs.replace(plan, round_slots=60)), choose(plan)

    assert (11, 48) == (short.submission_window, short.audit_window)
    audits = 2 * 3 * 0.5 * 1000 / plan.slot_ms
    assert long.audit_window // 8 > audits
    assert long.round_time > long.submission_window + long.audit_window
    [warning] = [line for line in said if line.startswith("rounds are ")]
    assert f"rounds are {long.round_time:,} slots, " in warning
    assert "an audit took 0.5" in warning


def test_a_main_js_is_not_started_under_roundwork_1(tmp_path: Path) -> None:
    plan = Plan(task=HELLO_JS, directory=tmp_path / "up", rules="roundwork-1")

    with pytest.raises(BadConfig, match=r"--rules roundwork-1: a main\.js is played under koii-1 only"):
        prepare(plan, print)


def test_windows_are_the_tasks_own_or_scaled_to_the_round(tmp_path: Path) -> None:
    own = prepare(Plan(task=HELLO, directory=tmp_path), print).package
    scaled = prepare(Plan(task=HELLO, directory=tmp_path, round_slots=30, rounds=7), print).package

    assert (60, 24, 24) == (own.round_time, own.submission_window, own.audit_window)
    assert (30, 12, 12) == (scaled.round_time, scaled.submission_window, scaled.audit_window)
    assert scaled.total_bounty == 27 * scaled.bounty_per_round
