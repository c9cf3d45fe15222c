"""`roundwork new` and `roundwork try`: from nothing to a task that is tried, tested and checked."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from roundwork.cli.attack import Desk
from roundwork.package.config import FIELDS, OUR_FIELDS
from roundwork.package.folder import load_package

from ..node.house import require_sandbox
from .terminal import type_into


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, cwd=cwd
    )


def make(folder: Path, *options: str) -> Path:
    done = run("new", folder, "--yes", *options)
    assert 0 == done.returncode, done.stderr
    return folder


def try_json(folder: Path, *options: object) -> tuple[int, dict[str, Any]]:
    done = run("try", folder, "--json", *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


KINDS = [
    (),
    ("--proof", "blob"),
    ("--reward", "heads", "--penalty", "50%"),
    ("--rules", "koii-1", "--reward", "heads", "--penalty", "1/2"),
    ("--rules", "koii-1", "--proof", "blob"),
]


@pytest.mark.parametrize("options", KINDS, ids=["text", "blob", "heads", "koii-1", "koii-1-blob"])
def test_a_new_task_passes_try_its_own_test_and_check(tmp_path: Path, options: tuple[str, ...]) -> None:
    require_sandbox("sandlock")
    folder = make(tmp_path / "chain", *options)

    tried, facts = try_json(folder)
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    checked = run("check", folder)

    assert (0, "valid") == (tried, facts["opinion"])
    assert ("koii-1" in options) == (min(facts["amounts"]) < 0), "under roundwork-1 the ledger slashes"
    assert "valid" not in {each["opinion"] for each in facts["mutations"]}
    assert 0 == tested.returncode, tested.stdout
    assert 0 == checked.returncode, checked.stdout
    assert "_window" not in checked.stderr
    rules = "koii-1" if "koii-1" in options else "roundwork-1"
    assert rules == load_package(folder).rules


def test_the_configuration_explains_every_field(tmp_path: Path) -> None:
    text = (make(tmp_path / "chain") / "config-task.yml").read_text()

    read = yaml.safe_load(text)
    assert FIELDS.keys() | {"roundwork"} == read.keys()
    assert OUR_FIELDS.keys() == read["roundwork"].keys()
    fields = [
        line for line in text.splitlines() if line and not line.startswith("#") and line != "roundwork:"
    ]
    assert [] == [line for line in fields if " # " not in line]


def test_answers_are_typed_and_stand_where_they_belong(tmp_path: Path) -> None:
    folder = tmp_path / "counting"
    code, shown = type_into(
        ["new", folder],
        ("What does a node do", 'Count the "birds" of a picture \\ """x'),
        ("proof the result itself", "blob"),
        ("another node check it", ""),
        ("paid by stake", "heads"),
        ("a convicted node lose", "20%"),
    )

    assert 0 == code, shown
    program = (folder / "task.py").read_text()
    assert 'Count the "birds" of a picture' in program
    assert "equal_split()" in program
    rules = yaml.safe_load((folder / "config-task.yml").read_text())["roundwork"]["rules"]
    assert {"name": "roundwork-1", "slash": "20%", "split": "equal"} == rules
    assert "birds" in yaml.safe_load((folder / "config-task.yml").read_text())["description"]
    tried, facts = try_json(folder)
    assert (0, "valid") == (tried, facts["opinion"])


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("7up", (), "cannot be a task's name"),
        ("full", (), "has files already; name a folder that does not exist"),
        ("fine", ("--penalty", "70"), "penalty: '70' is not a share"),
        ("fine", ("--penalty", "1/2"), "penalty: '1/2' must be a whole number from 10% to 100%"),
        ("fine", ("--penalty", "5%"), "--rules koii-1 takes other shares"),
        ("fine", ("--proof", "photo"), "'photo' is not one of 'text', 'blob'"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, options: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()

    done = run("new", tmp_path / name, "--yes", *options)

    assert 0 != done.returncode
    assert reason in done.stderr
    assert ["full", "x"] == sorted(each.name for each in tmp_path.rglob("*"))


def test_try_shows_values_opinions_amounts_and_timings(tmp_path: Path) -> None:
    folder = make(tmp_path / "chain")

    done, other = run("try", folder), try_json(folder, "--seed", 2, "--round", 5, "--param", "links=3")[1]

    assert 0 == done.returncode
    assert (
        "under roundwork-1 a list takes nothing; the ledger takes 70 % of a convicted node's stake"
        in done.stdout
    )
    for part in ("ctx.state['result'] = '", "64 bytes", "valid", "is invalid", "to a convicted one", " ms"):
        assert part in done.stdout
    assert other["value"] not in done.stdout


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("task.work(lambda ctx: 1 / 0)", "TaskFailed: ZeroDivisionError: division by zero (task.py, line "),
        ("task.audit(lambda ctx, candidate: 1)", "audit returned 1; it must return True, False"),
        ("task.distribution(lambda round: {'x': 1})", "distribution pays 'x', who submitted nothing"),
        (
            "task.distribution(lambda round: {each.public_key: round.bounty for each in round.submitters})",
            "TaskFailed: distribution pays 30 KOII of a bounty of 10 KOII: no ledger takes this list",
        ),
        ("import nothing_like_it", "BadTaskFile: "),
    ],
)
def test_a_function_that_fails_is_an_exit_code_with_its_line(tmp_path: Path, line: str, reason: str) -> None:
    folder = make(tmp_path / "chain")
    (folder / "task.py").write_text(f"{(folder / 'task.py').read_text()}\n{line}\n")

    done, (code, facts) = run("try", folder), try_json(folder)

    assert (1, 1) == (done.returncode, code)
    assert reason in done.stderr
    assert reason in f"{facts['error']}: {facts['text']}"


def test_the_debugger_opens_where_a_function_fails(tmp_path: Path) -> None:
    folder = make(tmp_path / "chain")
    (folder / "task.py").write_text(
        f"{(folder / 'task.py').read_text()}\n@task.work\ndef work(ctx):\n    here = 77\n    return 1 / 0\n"
    )

    code, shown = type_into(["try", folder, "--pdb"], ("(Pdb)", "p here + 1"), ("(Pdb)", "q"))

    assert 1 == code
    assert "78" in shown


def test_the_debugger_opens_in_the_authors_line_also_for_a_changed_submission(tmp_path: Path) -> None:
    folder = make(tmp_path / "chain")
    text = (folder / "task.py").read_text()
    request = "\n@task.work\ndef work(ctx):\n    here = 77\n    ctx.http.get('http://example.org/')\n"
    (folder / "task.py").write_text(f"{text}{request}")
    code, shown = type_into(["try", folder, "--pdb"], ("(Pdb)", "p here + 1"), ("(Pdb)", "q"))
    assert (1, True) == (code, "78" in shown), shown

    audit = "\n@task.audit\ndef audit(ctx, candidate):\n    if candidate.value == ctx.state.get('result'):\n"
    (folder / "task.py").write_text(
        f"{text}{audit}        return True\n    here = 77\n    return {{}}[here]\n"
    )
    tried, facts = try_json(folder)
    code, shown = type_into(["try", folder, "--pdb"], ("(Pdb)", "p here + 1"), ("(Pdb)", "q"))
    assert (1, True) == (code, "78" in shown), shown
    assert 1 == tried, facts


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--record"], "--record needs --answers"),
        (["--pdb", "--json"], "--pdb is a debugger for people; leave out --json"),
        (["--secret", "KEY=value"], "secret 'KEY' is not in roundwork.secrets"),
        (["--param", "linsk=3"], "param 'linsk' is not in config-task.yml"),
        (
            ["--answers", "nothing.json"],
            "nothing.json does not exist; --record of `simulate` and `try` makes it",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path: Path, options: list[str], reason: str) -> None:
    done = run("try", make(tmp_path / "chain"), *options)

    assert 0 != done.returncode
    assert reason in done.stderr


LOOP = "    while True:\n        pass\n"
STUBBORN = """
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""
THREAD = (
    "    thread = threading.Thread(target=time.sleep, args=(60,))\n    thread.start()\n    thread.join()\n"
)


@pytest.mark.parametrize(
    ("options", "hanging"),
    [([], LOOP), (["--json"], LOOP), (["--watch"], LOOP), ([], STUBBORN), ([], THREAD)],
    ids=["loop", "json", "watch", "stubborn", "thread"],
)
def test_a_function_that_hangs_is_left_with_control_c(
    tmp_path: Path, options: list[str], hanging: str
) -> None:
    folder, mark = make(tmp_path / "chain"), tmp_path / "begun"
    with (folder / "task.py").open("a") as file:
        file.write("\nimport threading\nimport time\n\n@task.work\ndef work(ctx):\n")
        file.write(f"    open({str(mark)!r}, 'w').close()\n{hanging}")
    command = [sys.executable, "-m", "roundwork", "try", str(folder), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=_take_interrupts) as trying:
        while not mark.exists() and trying.poll() is None:
            time.sleep(0.01)
        trying.send_signal(signal.SIGINT)
        _, shown = trying.communicate(timeout=20)

    assert 130 == trying.returncode
    assert "Aborted!" in shown
    assert "Traceback" not in shown


def test_what_a_task_prints_is_not_between_the_lines_of_json(tmp_path: Path) -> None:
    folder = make(tmp_path / "chain")
    with (folder / "task.py").open("a") as file:
        file.write("\nimport os\nprint('from the task')\nos.system('echo from a child')\n")
    attack = ("attack", folder, "--nodes", 5, "--rounds", 1, "--seeds", 2, "--jobs", 2, "--strategy", "lie")
    costs = ("--work-cost", 0.3, "--audit-cost", 0.02)

    for command in (("try", folder), ("simulate", folder, "--nodes", 3, "--rounds", 1), (*attack, *costs)):
        done = run(*command, "--json")

        assert 0 == done.returncode, done.stderr
        assert "from the task" in done.stderr
        assert "from a child" in done.stderr
        assert 1 == len(list(map(json.loads, done.stdout.splitlines())))
    assert "from the task" in run("try", folder).stdout


def test_a_task_can_be_made_in_the_folder_of_the_shell(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    folder.mkdir()

    done = run("new", ".", "--yes", cwd=folder)

    assert 0 == done.returncode, done.stderr
    assert "chain" == load_package(folder).name


def _take_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore Ctrl-C


def test_changed_submissions_are_audited_while_the_demo_runs(tmp_path: Path) -> None:
    code, facts = try_json(Path(__file__).parents[2] / "examples" / "crawler")

    assert 0 == code
    assert {"invalid"} == {each["opinion"] for each in facts["mutations"]}, facts["mutations"]


def test_watching_tries_again_after_each_saved_change(tmp_path: Path) -> None:
    folder = make(tmp_path / "chain")
    command = [sys.executable, "-m", "roundwork", "try", str(folder), "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        try:
            first = json.loads(watching.stdout.readline())
            watching.stderr.readline()
            text = (folder / "task.py").read_text()
            (folder / "task.py").write_text(f"{text}\ntask.submission(lambda ctx: 'again')\n")
            second = json.loads(watching.stdout.readline())
        finally:
            watching.kill()

    assert "valid" == first["opinion"]
    assert ("again", "invalid") == (second["value"], second["opinion"])


def test_requests_of_a_try_are_recorded_and_given_again_without_the_demo(tmp_path: Path) -> None:
    crawler = Path(__file__).parents[2] / "examples" / "crawler"
    code, facts = try_json(crawler, "--answers", tmp_path / "answers.json", "--record")
    again, given = try_json(crawler, "--answers", tmp_path / "answers.json")

    assert (0, "valid") == (code, facts["opinion"]), facts
    assert (0, facts["value"], facts["requests"]) == (again, given.get("value"), given.get("requests")), given
    assert len(facts["requests"]) > 8
    assert len(json.loads((tmp_path / "answers.json").read_text())) >= 9

    command = [sys.executable, "-m", "roundwork", "simulate", str(crawler), "--nodes", "3", "--rounds", "1"]
    options = ["--answers", str(tmp_path / "answers.json"), "--json"]
    simulated = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    desk = Desk(crawler, {}, None, None, tmp_path / "answers.json")
    assert 0 == simulated.returncode, simulated.stderr
    assert 1 == json.loads(simulated.stdout)["rounds_settled"]
    assert "http://127.0.0.1:28900/" == desk.params["start"]
