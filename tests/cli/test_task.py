"""`roundwork task`: what a creator is told before the bounty is paid, and what the ledger has afterwards."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roundwork.package.content import compute_content_id
from roundwork.package.folder import load_package, pack

from ..ledger.process import RunningLedger, running
from ..node.house import require_sandbox
from ..package.test_folder import PROGRAM, write_task

KOII = 10**9


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("task") / "ledger") as ledger:
        yield ledger


@pytest.fixture
def key(ledger: RunningLedger, tmp_path: Path) -> Path:
    path = tmp_path / "manager.json"
    address = json.loads(run("keygen", path, "--json").stdout)["address"]
    ledger.call("requestAirdrop", address, 1000 * KOII)
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def make(folder: Path, more: str = "", **changes: str | None) -> Path:
    folder.mkdir(exist_ok=True)
    return write_task(folder, more, **changes)


def test_a_folder_is_checked_without_a_ledger_or_a_key(tmp_path: Path) -> None:
    excused = "{splitting: by head, exclusion: among the paid}"
    more = f"audit_windows: 5\nroundwork: {{hosts: [example.org], excused: {excused}}}"
    folder = make(tmp_path / "task", more, bounty_amount_per_round="2")
    (folder / "task.py").write_text(f"{PROGRAM}task.distribution(equal_split(slash='70%'))\n")

    shown, told = run("task", "check", folder), json.loads(run("task", "check", folder, "--json").stdout)

    assert 0 == shown.returncode
    assert "bounty 11 KOII: 5 rounds of 2 KOII" in shown.stdout
    assert "HTTP through the node: example.org" in shown.stdout
    for warning in ("did you mean audit_window?", "equal_split pays every node the same", "lasts 5 rounds"):
        assert warning in shown.stderr
        assert warning in " ".join(told["warnings"])
    assert pack(load_package(folder))[0] == told["package"]
    assert sorted(each.name for each in folder.iterdir()) == ["config-task.yml", "task.py"]
    results = {each["property"]: (each["result"], each["reason"]) for each in told["properties"]}
    assert ("excused", "by head") == results.pop("splitting")
    assert ("excused", "among the paid") == results.pop("exclusion")
    assert {("holds", "")} == set(results.values())


def test_a_property_that_does_not_hold_is_an_exit_code_and_a_wrong_name_of_one_is_refused(
    tmp_path: Path,
) -> None:
    folder = make(tmp_path / "task", bounty_amount_per_round="2")
    (folder / "task.py").write_text(f"{PROGRAM}task.audit(lambda ctx, candidate: True)\n")
    misspelt = make(tmp_path / "other", "roundwork: {excused: {spliting: why}}")

    failed, refused = run("check", folder), run("check", misspelt)

    assert 1 == failed.returncode
    assert "fails      lies " in failed.stdout
    assert "audit accepted '" in failed.stdout
    assert 1 == refused.returncode
    assert "roundwork.excused: spliting: no such property; did you mean splitting?" in refused.stderr


@pytest.mark.parametrize(
    ("rules", "line"),
    [
        ("koii-1", "rules koii-1; `rules: roundwork-1` in config-task.yml chooses the hardened ones"),
        (
            "roundwork-1",
            "rules roundwork-1: a convicted node loses 70 % of its stake; ",
        ),
    ],
)
def test_the_rule_set_of_a_task_is_named(tmp_path: Path, rules: str, line: str) -> None:
    windows = {"round_time": "73", "submission_window": "11", "audit_window": "48"}
    folder = make(tmp_path / "task", f"roundwork: {{rules: {rules}}}", **windows)

    assert line in run("check", folder).stdout


SLOW = """
import time

@task.audit
def audit(ctx, candidate):
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    return True
"""


@pytest.mark.parametrize("rules", ["roundwork-1", "koii-1"])
def test_windows_that_are_too_short_for_the_measured_audit_are_named(tmp_path: Path, rules: str) -> None:
    windows = {"round_time": "60", "submission_window": "11", "audit_window": "48"}
    folder = make(tmp_path / "task", f"roundwork: {{rules: {rules}}}", **windows)
    (folder / "task.py").write_text(f"{PROGRAM}{SLOW}")

    checked = json.loads(run("check", folder, "--json").stdout)
    advised = json.loads(run("advise", folder, "--audit-seconds", 2, "--json").stdout)

    assert checked["seconds"]["audit"] >= 0.5
    named = [warning for warning in checked["warnings"] if "audit_window 48: an eighth of it is 6" in warning]
    assert (rules == "roundwork-1") == bool(named)
    assert named == [] or "s for an audit" in named[0]
    assert (rules == "roundwork-1") == ("an eighth of it is 6 slots" in "".join(advised.get("warnings", ())))
    measured = json.loads(run("advise", folder, "--measure", "--json").stdout)
    assert (rules == "roundwork-1") == ("an eighth of it is 6 slots" in "".join(measured.get("warnings", ())))
    assert measured["audit_seconds"] >= 0.5
    assert measured["work_cost"] < measured["audit_cost"]  # an audit is all that takes time here
    unmeasured = "windows are not judged: --measure times an audit"
    assert (rules == "roundwork-1") == (unmeasured in run("advise", folder).stdout)


def test_times_that_cannot_be_measured_are_refused_with_the_reason(tmp_path: Path) -> None:
    folder = make(tmp_path / "task")
    (folder / "task.py").write_text(f"{PROGRAM}\n@task.submission\ndef fails(ctx):\n    raise ValueError\n")

    refused = run("advise", folder, "--measure")

    assert 1 == refused.returncode
    assert "submission or audit does not work: `roundwork check` says why" in refused.stderr


def test_deploying_says_what_it_does_and_puts_metadata_beside_the_program_and_on_the_ledger(
    ledger: RunningLedger, key: Path, tmp_path: Path
) -> None:
    folder = make(tmp_path / "task", "qqq: 1", author="Ada", bounty_amount_per_round="0.5")

    done = run("task", "deploy", folder, "--key", key, "--url", ledger.url)

    assert 0 == done.returncode, done.stderr
    facts = dict(line.split() for line in done.stdout.splitlines())
    metadata = (folder / "metadata.json").read_bytes()
    assert "Ada" == json.loads(metadata)["author"]
    assert compute_content_id(metadata) == facts["metadata"]
    view = ledger.call("getTask", facts["task"])
    assert (facts["package"], facts["metadata"]) == (view["audit_program"], view["metadata"])
    steps = (
        "bounty 11 KOII: 22 rounds",
        "metadata ",
        "warning: ",
        "with 20 nodes cheating loses ",
        "created ",
        "activated it: it takes submissions",
    )
    places = [done.stderr.index(step) for step in steps]
    assert sorted(places) == places


def test_a_task_under_roundwork_1_in_which_cheating_pays_is_deployed_only_by_force(
    ledger: RunningLedger, key: Path, tmp_path: Path
) -> None:
    windows = {"round_time": "60", "submission_window": "11", "audit_window": "48"}
    folder = make(
        tmp_path / "task", "roundwork: {rules: roundwork-1}", bounty_amount_per_round="11", **windows
    )
    options = ("--key", key, "--url", ledger.url, "--lazy", "99", "--json")
    before = run("balance", json_address(key), "--url", ledger.url).stdout

    refused = run("task", "deploy", folder, *options)
    shown = run("task", "deploy", folder, *options[:-1])  # for people
    after = run("balance", json_address(key), "--url", ledger.url).stdout
    forced = run("task", "deploy", folder, *options, "--force")
    task = json.loads(forced.stdout)["task"]
    successor = run("task", "update", task, folder, *options)

    for done in (refused, successor):
        assert done.returncode
        assert "R a round in this task: a minimum stake of" in done.stderr + done.stdout
    assert before == after
    assert json.loads(forced.stdout)["margin"] < 0
    assert "warning: with a minimum stake of 1.9 KOII fines are so small that voting unseen" in shown.stderr


def test_deploy_warns_of_windows_that_are_too_short_as_check_does(
    ledger: RunningLedger, key: Path, tmp_path: Path
) -> None:
    windows = {"round_time": "60", "submission_window": "11", "audit_window": "48"}
    folder = make(tmp_path / "task", "roundwork: {rules: roundwork-1}", **windows)
    (folder / "task.py").write_text(f"{PROGRAM}{SLOW}")

    deployed = run("task", "deploy", folder, "--key", key, "--url", ledger.url, "--force", "--inactive")

    assert 0 == deployed.returncode
    assert "warning: audit_window 48: an eighth of it is 6 slots" in deployed.stderr


FAULTS = {
    "lies": "task.audit(lambda ctx, candidate: True)",
    "submission": "task.work(lambda ctx: 1 / 0)",
    "bounty": "task.distribution(lambda round: {each.public_key: round.bounty for each in round.submitters})",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_task_whose_functions_fail_is_deployed_only_by_force(
    ledger: RunningLedger, key: Path, tmp_path: Path, name: str
) -> None:
    folder = make(tmp_path / "task")
    (folder / "task.py").write_text(f"{PROGRAM}{FAULTS[name]}\n")
    options = ("--key", key, "--url", ledger.url)
    before = run("balance", json_address(key), "--url", ledger.url).stdout

    refused = run("task", "deploy", folder, *options)
    after = run("balance", json_address(key), "--url", ledger.url).stdout
    forced = run("task", "deploy", folder, *options, "--force", "--inactive")
    task = dict(line.split() for line in forced.stdout.splitlines())["task"]
    successor = run("task", "update", task, folder, *options)

    for done in (refused, successor):
        assert 1 == done.returncode
        assert f"does not pass `roundwork check`: {name} (" in done.stderr
        assert "--force goes on with the task as it is" in done.stderr
    assert before == after
    assert 0 == forced.returncode
    assert f"warning: it does not pass `roundwork check`: {name} (" in forced.stderr


def test_a_task_with_secrets_is_deployed_without_trying_its_work(
    ledger: RunningLedger, key: Path, tmp_path: Path
) -> None:
    folder = make(tmp_path / "task", "roundwork: {secrets: [TOKEN]}")
    (folder / "task.py").write_text(f"{PROGRAM}task.work(lambda ctx: ctx.secrets['TOKEN'])\n")

    done = run("task", "deploy", folder, "--key", key, "--url", ledger.url)

    assert 0 == done.returncode, done.stderr
    assert "warning: work and audit were not tried: `roundwork check --secret …` tries them" in done.stderr


def test_a_task_under_koii_1_shows_its_margin_and_is_deployed(
    ledger: RunningLedger, key: Path, tmp_path: Path
) -> None:
    options = ("--key", key, "--url", ledger.url, "--json")

    sure = run("task", "deploy", make(tmp_path / "sure"), *options)
    lazy = run("task", "deploy", make(tmp_path / "lazy"), *options, "--lazy", "100")

    assert json.loads(sure.stdout)["margin"] > 0
    assert json.loads(lazy.stdout)["margin"] < 0


def test_an_update_to_other_rules_says_so_and_how_nodes_get_the_package(
    ledger: RunningLedger, key: Path, tmp_path: Path
) -> None:
    windows = {"round_time": "76", "submission_window": "11", "audit_window": "64"}
    folder, options = tmp_path / "task", ("--key", key, "--url", ledger.url)

    deployed = run("task", "deploy", make(folder, **windows), *options)
    task = dict(line.split() for line in deployed.stdout.splitlines())["task"]
    make(folder, "roundwork: {rules: roundwork-1}", **windows)
    done = run("task", "update", task, folder, *options)

    assert "rules koii-1; `rules: roundwork-1` in config-task.yml chooses" in deployed.stderr
    assert f"roundwork node run --task {task} --package {folder}" in deployed.stderr
    assert 0 == done.returncode, done.stderr
    successor = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())["task"]
    for line in (
        "rule set roundwork-1 in place of koii-1: rounds that are open end under koii-1\n",
        f"roundwork node run --task {successor} --package {folder}",
    ):
        assert line in done.stderr
    told = json.loads(run("check", folder, "--json").stdout)
    assert "roundwork-1" == told["rules"]


def test_json_is_all_that_a_program_reads(ledger: RunningLedger, key: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "task", "qqq: 1")

    done = run("task", "deploy", folder, "--key", key, "--url", ledger.url, "--json", "--inactive")

    assert (0, "") == (done.returncode, done.stderr)
    facts = json.loads(done.stdout)
    assert {"task", "package", "metadata", "bounty", "balance", "margin", "warnings"} == facts.keys()
    assert ledger.call("getTask", facts["task"])["is_active"] is False


def test_a_mistake_or_too_little_money_costs_nothing(
    ledger: RunningLedger, key: Path, tmp_path: Path
) -> None:
    before = run("balance", json_address(key), "--url", ledger.url).stdout

    wrong = run("task", "deploy", make(tmp_path / "wrong", space="51"), "--key", key, "--url", ledger.url)
    dear = run(
        *("task", "deploy", make(tmp_path / "dear", total_bounty_amount="5000")),
        *("--key", key, "--url", ledger.url),
    )

    assert (1, 1) == (wrong.returncode, dear.returncode)
    assert "space: 51 must be a number from 0.1 to 50 MB" in wrong.stderr
    assert "BalanceTooLow" in dear.stderr or "InsufficientFunds" in dear.stderr
    assert before == run("balance", json_address(key), "--url", ledger.url).stdout


MISTAKES = {
    "def work(:": "SyntaxError: invalid syntax (task.py, line ",
    "import requests": "ModuleNotFoundError: No module named 'requests'; a task imports its own",
    "from roundwork import eqal_split": "ImportError: cannot import name 'eqal_split' from 'roundwork'",
    "del task.functions['audit'], task.functions['work']": "no @task.work, no @task.audit; a task has",
    "task = None": "TypeError: task.py has 0 Task objects",
    "open('/etc/shadow')": "a task reads its own folder, and reads and writes in ctx.files",
    "import socket; socket.create_connection(('127.0.0.1', 80))": "ctx.http asks the hosts",
    "raise SystemExit('no')": "SystemExit: no (task.py, line ",
}


@pytest.mark.parametrize(("line", "reason"), MISTAKES.items())
def test_a_program_that_cannot_run_is_refused_before_money_moves(
    ledger: RunningLedger, key: Path, tmp_path: Path, line: str, reason: str
) -> None:
    require_sandbox("sandlock")
    folder = make(tmp_path / "task")
    (folder / "task.py").write_text(f"{PROGRAM}{line}\n")
    before = run("balance", json_address(key), "--url", ledger.url).stdout

    checked = run("task", "check", folder)
    deployed = run("task", "deploy", folder, "--key", key, "--url", ledger.url)

    for done in (checked, deployed):
        assert 1 == done.returncode
        assert "BadTaskFile: " in done.stderr
        assert reason in done.stderr.splitlines()[-1]
    assert before == run("balance", json_address(key), "--url", ledger.url).stdout
    assert not (folder / "metadata.json").exists()


def json_address(path: Path) -> str:
    from roundwork.host.keypairs import read_keypair

    return str(read_keypair(path).pubkey())


def test_an_update_finds_its_task_in_the_file(ledger: RunningLedger, key: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "task")
    options = ("--key", key, "--url", ledger.url, "--json")
    task = json.loads(run("task", "deploy", folder, *options).stdout)["task"]
    other = json_address(key)

    nowhere = run("task", "update", folder, *options)
    make(folder, task_id=task, migrationDescription="Now in green")
    conflict = run("task", "update", other, folder, *options)
    done = run("task", "update", folder, *options)

    assert (2, True) == (nowhere.returncode, "task_id in the folder's config-task.yml" in nowhere.stderr)
    assert f"BadConfig: task_id: {task} must be {other}, the task that is to be updated" in conflict.stderr
    facts = json.loads(done.stdout)
    old, new = (ledger.call("getTask", one) for one in (task, facts["task"]))
    assert (task, facts["task"]) == (new["migrated_from"], old["migrated_to"])
    assert facts["metadata"] == new["metadata"]
    assert "Now in green" == json.loads((folder / "metadata.json").read_bytes())["migrationDescription"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, key: Path, ledger: RunningLedger) -> None:
    folder = make(tmp_path / "task")
    (folder / "metadata.json").mkdir()

    done = run("task", "deploy", folder, "--key", key, "--url", ledger.url)

    assert 1 == done.returncode
    assert f"BadTaskFile: {folder / 'metadata.json'} cannot be written" in done.stderr
