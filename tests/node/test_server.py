"""A node as a process: it starts with what it is given or can fetch, and says plainly why it cannot."""

import asyncio
import json
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
import pytest
from solders.keypair import Keypair

from roundwork.client.operations import airdrop, deploy, read_task, set_active
from roundwork.client.rpc import Client
from roundwork.host.keypairs import read_keypair, write_keypair
from roundwork.localnet.supervisor import find_port
from roundwork.node.confinement.watch import list_descendants
from roundwork.node.server import CLAIM_FEES, choose_claim_least
from roundwork.node.setting import NodeSetting
from roundwork.package.folder import load_package, pack
from roundwork.protocol.params import KOII

from ..ledger.process import RunningLedger, running
from ..localnet.test_supervisor import wait_until
from ..town import Town
from .house import require_sandbox

HELLO = Path(__file__).parents[2] / "examples" / "hello"


class RunningNode:
    """A `roundwork node run` process that is ready."""

    def __init__(self, process: subprocess.Popen[str], facts: dict[str, str]) -> None:
        self.process = process
        self.address = facts["node"]
        self.endpoint = facts["endpoint"]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path_factory.mktemp("nodes") / "ledger") as ledger:
        yield ledger


@pytest.fixture(scope="module")
def task(ledger: RunningLedger) -> str:
    return deploy_folder(ledger, HELLO)


def deploy_folder(ledger: RunningLedger, folder: Path) -> str:
    async def run() -> str:
        async with Client(ledger.url) as client:
            manager = Keypair()
            await airdrop(client, str(manager.pubkey()), 3_000 * KOII)
            package = load_package(folder)
            address = await deploy(client, manager, package, pack(package)[0])
            await set_active(client, manager, address, True)
            return address

    return asyncio.run(run())


def launch(
    ledger: RunningLedger, task: str, directory: Path, *options: object, stderr: Any = subprocess.PIPE
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "roundwork", "node", "run", "--json", "--url", ledger.url]
    command += ["--task", task, "--directory", str(directory), *map(str, options)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
    )


@contextmanager
def run_node(ledger: RunningLedger, task: str, directory: Path, *options: object) -> Iterator[RunningNode]:
    with launch(ledger, task, directory, *options) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()
            yield RunningNode(process, json.loads(line))
        finally:
            process.terminate()
            process.communicate(timeout=20)


def fail(ledger: RunningLedger, task: str, directory: Path, *options: object) -> str:
    """Why a node does not start."""
    with launch(ledger, task, directory, *options) as process:
        _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    return told.splitlines()[-1]


def make_rich(ledger: RunningLedger, directory: Path) -> None:
    write_keypair(directory / "main.json", pair := Keypair())
    ledger.fund(pair, 100 * KOII)


def read_stakes(ledger: RunningLedger, task: str) -> dict[str, str]:
    """The endpoint of each node with stake."""

    async def run() -> dict[str, str]:
        async with Client(ledger.url) as client:
            return {one.node: one.endpoint for one in (await read_task(client, task)).stakes if one.amount}

    return asyncio.run(run())


def test_a_second_node_fetches_the_package_from_the_first(
    ledger: RunningLedger, task: str, tmp_path: Path
) -> None:
    make_rich(ledger, tmp_path / "first")
    with ExitStack() as stack:
        first = stack.enter_context(
            run_node(ledger, task, tmp_path / "first", "--package", HELLO, "--stake", KOII)
        )
        wait_until(lambda: read_stakes(ledger, task).get(first.address) == first.endpoint)
        second = stack.enter_context(run_node(ledger, task, tmp_path / "second"))

        fetched = tmp_path / "second" / "package"
        assert (HELLO / "task.py").read_bytes() == (fetched / "task.py").read_bytes()
        content_id = pack(load_package(HELLO))[0]
        assert urlopen(f"{second.endpoint}/ipfs/{content_id}").status == 200
        [peer] = json.loads(urlopen(f"{second.endpoint}/nodes/{task}").read())
        assert (first.address, first.endpoint) == (peer["submitterPubkey"], peer["data"]["url"])
        assert b"roundwork_lane_starts" in urlopen(f"{second.endpoint}/metrics").read()


def test_a_restart_costs_no_stake_whether_the_port_is_the_same_or_another(
    ledger: RunningLedger, task: str, tmp_path: Path
) -> None:
    options = ("--package", HELLO, "--stake", KOII)
    for name in ("mover", "other"):
        make_rich(ledger, tmp_path / name)

    def list_places(node: RunningNode) -> set[str]:
        return {entry["data"]["url"] for entry in json.loads(urlopen(f"{node.endpoint}/nodes/{task}").read())}

    with run_node(ledger, task, tmp_path / "other", *options) as other:
        with run_node(ledger, task, tmp_path / "mover", *options) as first:
            wait_until(lambda: {first.address, other.address} <= read_stakes(ledger, task).keys(), 60)
        with run_node(ledger, task, tmp_path / "mover", *options) as same:
            assert first.endpoint == same.endpoint
        with run_node(ledger, task, tmp_path / "mover", *options, "--port", find_port(set())) as moved:
            wait_until(lambda: moved.endpoint in list_places(other), 60)

    assert first.endpoint != moved.endpoint
    [stake] = [each for each in ledger.call("getTask", task)["stakes"] if each["node"] == first.address]
    assert (KOII, first.endpoint) == (stake["amount"], stake["endpoint"])


def test_keys_are_made_once_and_belong_to_their_owner(
    ledger: RunningLedger, task: str, tmp_path: Path
) -> None:
    addresses = set()
    for _ in range(2):
        with run_node(ledger, task, tmp_path / "node", "--package", HELLO) as node:
            addresses.add(node.address)

    assert {str(read_keypair(tmp_path / "node" / "staking.json").pubkey())} == addresses
    for name in ("main.json", "staking.json", "secret"):
        assert (tmp_path / "node" / name).stat().st_mode & 0o077 == 0


def test_a_node_closes_the_directory_that_it_makes_and_warns_of_an_open_one(
    ledger: RunningLedger, task: str, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    older.mkdir(0o755)
    warnings = {}
    for directory in (tmp_path / "new", older):
        with launch(ledger, task, directory, "--package", HELLO) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.terminate()
            _, log = process.communicate(timeout=20)
        warnings[directory] = [line for line in log.splitlines() if "other users can enter" in line]

    assert 0o700 == stat.S_IMODE((tmp_path / "new").stat().st_mode)
    assert [] == warnings[tmp_path / "new"]
    [warning] = warnings[older]
    assert f"chmod 700 {older}" in warning


def test_a_node_waits_for_a_ledger_that_is_not_there_yet(tmp_path: Path) -> None:
    require_sandbox("sandlock")
    directory = tmp_path / "ledger"
    ledger = RunningLedger(directory)
    package = load_package(HELLO)

    async def deploy_hello() -> str:
        async with Client(ledger.url) as client:
            manager = Keypair()
            await airdrop(client, str(manager.pubkey()), 3_000 * KOII)
            return await deploy(client, manager, package, pack(package)[0])

    address = asyncio.run(deploy_hello())
    ledger.kill()
    ledger.stop()
    with launch(ledger, address, tmp_path / "node", "--package", HELLO) as process:
        try:
            assert process.stdout is not None
            again = RunningLedger(directory, ledger.port)
            assert "node" in json.loads(process.stdout.readline())
            again.stop()
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
    assert process.returncode == 0


def test_why_a_node_does_not_start_is_one_line(ledger: RunningLedger, task: str, tmp_path: Path) -> None:
    nowhere = str(Keypair().pubkey())
    other = tmp_path / "other"
    other.mkdir()
    for name in ("task.py", "config-task.yml"):
        (other / name).write_bytes((HELLO / name).read_bytes() + b"\n# changed\n")
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    (spoilt / "main.json").write_text("[1, 2]")
    taken = ledger.port

    asked: dict[str, tuple[Any, ...]] = {
        f"UnknownTask: there is no task at {nowhere}": (nowhere, tmp_path / "a"),
        "is package": (task, tmp_path / "b", "--package", other),
        "is not a folder; a task is a folder with task.py": (task, tmp_path / "c", "--package", "nowhere"),
        "BadKeypair: ": (task, spoilt, "--package", HELLO),
        f"PortInUse: port {taken}": (task, tmp_path / "d", "--package", HELLO, "--port", taken),
        "--endpoint": (task, tmp_path / "e", "--package", HELLO, "--endpoint", "http://" + "x" * 300),
    }
    for message, (address, directory, *options) in asked.items():
        assert message in fail(ledger, address, directory, *options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text + "\ndef (", "cannot be run: SyntaxError: invalid syntax (task.py, line "),
        (lambda text: text.replace("Task(", "Tusk("), "NameError: name 'Tusk' is not defined"),
        (
            lambda text: text.partition("@task.audit")[0],
            "has no @task.audit; a task has work, submission, audit",
        ),
    ],
)
def test_a_task_file_that_cannot_work_is_said_before_the_node_runs(
    ledger: RunningLedger, tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    shutil.copytree(HELLO, tmp_path / "broken")
    program = tmp_path / "broken" / "task.py"
    program.write_text(change(program.read_text()))
    address = deploy_folder(ledger, tmp_path / "broken")

    told = fail(ledger, address, tmp_path / "node", "--package", tmp_path / "broken")

    assert told.startswith(f"BadTaskFile: {program} ")
    assert message in told


def test_a_node_without_fee_money_says_so_and_goes_on_when_it_is_there(
    ledger: RunningLedger, task: str, tmp_path: Path
) -> None:
    main = Keypair()
    write_keypair(tmp_path / "node" / "main.json", main)
    first_fee, account = 10_000, 7_850_880 + 10_000  # what existing clients put on a staking account
    ledger.fund(main, KOII + account + first_fee)

    def submitters() -> set[str]:
        rounds = ledger.call("getTask", task)["open_rounds"]
        return {one["node"] for n in rounds for one in ledger.call("getRound", task, n)["submissions"]}

    with (
        (tmp_path / "log").open("w") as log,
        launch(ledger, task, tmp_path / "node", "--package", HELLO, "--stake", KOII, stderr=log) as process,
    ):
        try:
            assert process.stdout is not None
            node = json.loads(process.stdout.readline())["node"]
            told = f"waits: send fee money to the main key {main.pubkey()} ("
            wait_until(lambda: told in (tmp_path / "log").read_text(), 120)
            assert node not in submitters()
            ledger.fund(main, KOII)
            wait_until(lambda: node in submitters(), 120)
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_a_package_that_nobody_serves_is_asked_for(ledger: RunningLedger, tmp_path: Path) -> None:
    async def deploy_alone() -> str:
        async with Client(ledger.url) as client:
            manager = Keypair()
            await airdrop(client, str(manager.pubkey()), 3_000 * KOII)
            package = msgspec.structs.replace(load_package(HELLO), name="alone")
            return await deploy(client, manager, package, "bafkreinobody")

    told = fail(ledger, asyncio.run(deploy_alone()), tmp_path / "node")

    assert "serves bafkreinobody, which it runs; give its folder with --package" in told


def test_the_limits_of_the_gateway_can_be_set(ledger: RunningLedger, task: str, tmp_path: Path) -> None:
    make_rich(ledger, tmp_path)
    head = b"GET /metrics HTTP/1.1\r\nhost: here\r\nx-a: " + b"b" * 600 + b"\r\n\r\n"
    options = ("--package", HELLO, "--limit", "head_bytes=500", "--limit", "head_fields=20")
    with run_node(ledger, task, tmp_path, *options) as node:
        place = urlsplit(node.endpoint)
        with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
            connection.sendall(head)
            answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert "there is no body_bytes; one of" in fail(ledger, task, tmp_path, "--limit", "body_bytes=5")


def test_no_process_of_a_node_inherits_its_passphrase(
    ledger: RunningLedger, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Keypair()
    write_keypair(tmp_path / "main.json", pair, "correct horse")
    ledger.fund(pair, 100 * KOII)
    monkeypatch.setenv("ROUNDWORK_PASSPHRASE", "correct horse")

    with run_node(ledger, task, tmp_path, "--package", HELLO) as node:
        children = list_descendants(node.process.pid)
        environments = [read_environment(child) for child in children]

    assert children
    assert not any(b"correct horse" in each for each in environments)


def read_environment(pid: int) -> bytes:
    """The variables of a process; nothing if it has just ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_a_secret_that_lost_bytes_and_a_damaged_index_of_blobs_are_named(
    ledger: RunningLedger, task: str, tmp_path: Path
) -> None:
    make_rich(ledger, tmp_path)
    (tmp_path / "secret").write_bytes(b"")
    cut = fail(ledger, task, tmp_path, "--package", HELLO)
    (tmp_path / "secret").unlink()
    (tmp_path / "blobs").mkdir(exist_ok=True)
    (tmp_path / "blobs" / "index.sqlite").write_bytes(b"no database at all " * 500)
    damaged = fail(ledger, task, tmp_path, "--package", HELLO)

    assert "secret has 0 bytes, not 32: samples could be predicted; delete it" in cut
    assert "index.sqlite: file is not a database; delete it: blobs stay" in damaged


@pytest.mark.parametrize(
    ("rules", "is_token", "given", "expected"),
    [
        ("roundwork-1", False, None, CLAIM_FEES * 10_000),
        ("roundwork-1", True, None, 1),
        ("roundwork-1", False, 7, 7),
        ("roundwork-1", True, 0, 0),
        ("koii-1", False, None, 0),
        ("koii-1", False, 7, 0),
    ],
)
def test_a_node_claims_by_itself_what_is_worth_its_fee_as_its_operator_says(
    rules: str, is_token: bool, given: int | None, expected: int
) -> None:
    setting = NodeSetting(ledger_url="", task="", directory=Path(), claim_least=given)
    task = msgspec.structs.replace(Town(1).task, rules=rules, mint="mint" if is_token else None)

    assert expected == choose_claim_least(setting, task, 10_000)
