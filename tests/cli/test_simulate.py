"""`roundwork simulate`, as a person calls it."""

import json
import re
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from roundwork.cli.root import root
from roundwork.errors import BadConfig, BadTaskFile
from roundwork.package.folder import load_package
from roundwork.package.windows import FETCH_SECONDS, Timings, find_short_windows
from roundwork.sim.loading import load_task
from roundwork.sim.report import describe_timing, list_timings
from roundwork.sim.scenario import Scenario, compose_setting
from roundwork.sim.worlds import make_world

HELLO = str(Path(__file__).parents[2] / "examples" / "hello")


def run(*words: str) -> Result:
    result = CliRunner().invoke(root, ["simulate", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_json(*words: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run(*words, "--json").stdout.splitlines()[-1])
    return facts


def test_a_liar_is_slashed_and_the_honest_are_paid_in_tables_and_in_json() -> None:
    words = (HELLO, "--nodes", "5", "--rounds", "2", "--liars", "1")

    facts, lines = run_json(*words), run(*words).output.splitlines()

    assert [node["role"] for node in facts["nodes"]] == ["honest"] * 4 + ["liar"]
    assert facts["nodes"][0]["earned"] == 5_000_000_000
    assert facts["nodes"][4]["slashed"] > 0
    assert lines[-1] == f"state hash {facts['state_hash']}"
    assert any(re.match(r"node-5 +liar .* 10\b", line) for line in lines)
    assert any(line.startswith("audit takes ") and " covers it" in line for line in lines)


def test_under_roundwork_1_a_liar_is_slashed_in_tables_and_in_json() -> None:
    words = (HELLO, "--nodes", "6", "--rounds", "2", "--liars", "1", "--rules", "roundwork-1")

    facts, lines = run_json(*words), run(*words).output.splitlines()

    liar = facts["nodes"][5]
    assert [round_["convicted"] for round_ in facts["rounds"]] == [1, 1]
    assert [round_["missing"] for round_ in facts["rounds"]] == [0, 0]
    assert liar["slashed"] > 0 == liar["earned"]
    assert liar["net"] == -liar["slashed"]
    assert all(node["net"] >= node["earned"] > 0 for node in facts["nodes"][:5])
    assert any(" missing " in line for line in lines)
    assert lines[-1] == f"state hash {facts['state_hash']}"


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
def test_a_copycat_on_the_crawler_earns_nothing_and_is_slashed_under_either_rule_set(rules: str) -> None:
    site = Path(HELLO).parents[1] / "docs" / "attack-site.json"
    words = [str(Path(HELLO).with_name("crawler")), "--answers", str(site), "--rules", rules]
    words += ["--param", "start=http://site.invalid/", "--nodes", "5", "--rounds", "3", "--play", "copycat=1"]

    *honest, copycat = run_json(*words)["nodes"]

    assert ("copycat", 0) == (copycat["role"], copycat["worked"])
    assert copycat["submitted"] > 0 == copycat["earned"]
    assert copycat["slashed"] > 0
    assert all(node["earned"] > 0 == node["slashed"] for node in honest)


def test_one_seed_writes_the_same_trace_and_another_seed_another_one(tmp_path: Path) -> None:
    traces = []
    for number, seed in enumerate((7, 7, 8)):
        path = tmp_path / str(number)
        run(HELLO, "--nodes", "3", "--rounds", "1", "--seed", str(seed), "--trace", str(path))
        traces.append(path.read_bytes())

    assert traces[0] == traces[1] != traces[2]
    assert json.loads(traces[0].splitlines()[0])["transactions"][0]["instruction"] == "Stake"


def test_the_report_needs_no_network_and_no_script(tmp_path: Path) -> None:
    path = tmp_path / "report.html"

    run(HELLO, "--nodes", "4", "--rounds", "2", "--play", "accuser=1", "--html", str(path))

    page = path.read_text()
    assert page.count("<svg") == 3
    assert not re.search(r"<script|https?://|src=|<link", page)


def test_options_come_before_the_scenario(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text(
        "nodes: 4\nrounds: 1.0\nplays: {silent: 1}\nstakes: [2, 20.5]\n"
        "network: {delay_slots_max: 3}\nfaults: {outages: [{slot: 20, slots: 10}]}\n"
    )

    facts = run_json(HELLO, "--scenario", str(path), "--nodes", "3")

    assert [node["role"] for node in facts["nodes"]] == ["honest", "honest", "silent"]
    assert [node["stake"] for node in facts["nodes"]] == [2_000_000_000, 20_500_000_000, 2_000_000_000]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nodes: 0\n", "nodes: 0 cannot be used; it must be a whole number from 1"),
        ("stakes: [2, '0.5']\n", "stakes: 0.5 KOII: the task needs a stake of at least 1 KOII"),
        ("nodes: 2\nstakes: [2, 3, 4]\n", "stakes: 3 are given for 2 nodes; at most one a node"),
        ("nodes: 2\nliars: 3\n", "nodes: 2 are too few: liars and plays name 3 of them"),
        ("nodes: 010\n", r"nodes: 010 can be read in two ways: YAML reads 8 \(base 8\)"),
        ("stakes: [2, 1:30]\n", "stakes: entry 2: 1:30 can be read in two ways"),
        ("network: {delay_slots_max: 0x3}\n", "network: delay_slots_max: 0x3 can be read in two ways"),
        ("rules: roundwork-1\nround_slots: 30\n", "30: a round of roundwork-1 has at least 60 slots"),
    ],
)
def test_a_wrong_scenario_is_refused_and_its_field_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text(text)

    with pytest.raises(BadConfig, match=words):
        run(HELLO, "--scenario", str(path))


def test_a_round_that_is_too_short_for_its_rules_is_refused() -> None:
    with pytest.raises(BadConfig, match="--round-slots 59: a round of roundwork-1 has at least 60 slots"):
        run(HELLO, "--rules", "roundwork-1", "--round-slots", "59")

    assert 0 == run(HELLO, "--nodes", "2", "--rounds", "1", "--round-slots", "20").exit_code


@pytest.mark.parametrize(("nodes", "is_small"), [(2, True), (3, False)])
def test_a_round_that_is_too_small_to_be_paid_is_named(nodes: int, is_small: bool) -> None:
    words = (HELLO, "--nodes", str(nodes), "--rounds", "2", "--rules", "roundwork-1")

    shown = run(*words)

    reason = "2 rounds closed unpaid: a round of roundwork-1 with fewer than 3 submissions is not paid\n"
    assert is_small == (reason in shown.stderr)
    assert is_small == (" 2 unpaid," in shown.stdout)


def test_windows_that_become_longer_are_named() -> None:
    words = (HELLO, "--nodes", "2", "--rounds", "1")

    longer, own = run(*words, "--rules", "roundwork-1"), run(*words)

    assert "too short for roundwork-1: audit_window 24 became 48, round_time 60 became 73" in longer.stderr
    assert "" == own.stderr


def test_a_param_of_an_option_leaves_the_other_params_of_the_scenario(tmp_path: Path) -> None:
    folder, path = tmp_path / "task", tmp_path / "scenario.yml"
    folder.mkdir()
    (folder / "task.py").write_text(TASK.replace('ctx.http.get(ctx.params["start"]).text', "str(ctx.params)"))
    config = (Path(HELLO) / "config-task.yml").read_text()
    (folder / "config-task.yml").write_text(
        config.replace("roundwork:", "roundwork:\n  params: {a: 1, b: 1}")
    )
    path.write_text("nodes: 1\nrounds: 1\nparams: {a: 2}\n")
    trace = tmp_path / "trace"

    run(str(folder), "--scenario", str(path), "--param", "b=3", "--trace", str(trace))

    assert "{'a': 2, 'b': 3}" in trace.read_text()


def test_more_nodes_than_a_list_has_room_for_are_refused() -> None:
    with pytest.raises(BadConfig, match="nodes 65,001: a distribution list of koii-1 has room for 65,000"):
        run(HELLO, "--nodes", "65001")


def test_faults_are_said_on_the_command_line_beside_those_of_the_scenario(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text("nodes: 4\nrounds: 1\nfaults: {crashes: [{node: node-1, slot: 50, slots: 60}]}\n")
    torn = ("--fault", "restart=62:1:torn", "--fault", "slow-disk=node-2:2")

    facts = run_json(HELLO, "--scenario", str(path), *torn)
    again = run_json(HELLO, "--scenario", str(path), *torn)
    without = run_json(HELLO, "--scenario", str(path))

    assert 3 == facts["rounds"][0]["submissions"] == without["rounds"][0]["submissions"]
    assert facts["state_hash"] == again["state_hash"] != without["state_hash"]
    with pytest.raises(BadConfig, match=r"it is written restart=SLOT:SLOTS"):
        run(HELLO, "--fault", "restart=62")


def test_a_main_js_is_refused() -> None:
    with pytest.raises(BadTaskFile, match=r"only task\.py is simulated"):
        run(HELLO + "-js")


TASK = """
from roundwork import Task, proportional_split

task = Task("page")
task.distribution(proportional_split())


@task.work
def work(ctx):
    ctx.state["page"] = ctx.http.get(ctx.params["start"]).text


@task.submission
def submission(ctx):
    return ctx.state["page"]


@task.audit
def audit(ctx, candidate):
    return ctx.http.get(ctx.params["start"]).text == candidate.value
"""


def write_task(folder: Path, program: str) -> str:
    """A task of this program with the windows and the money of hello."""
    folder.mkdir()
    (folder / "task.py").write_text(program)
    (folder / "config-task.yml").write_bytes((Path(HELLO) / "config-task.yml").read_bytes())
    return str(folder)


SEEDED = TASK.replace('ctx.http.get(ctx.params["start"]).text', "{}").format(
    "ctx.seed.hex()", "candidate.seed.hex()"
)


def write_broken(folder: Path, step: str, condition: str = "True") -> str:
    """A task one of whose functions fails where a condition holds."""
    own = "@task.distribution\ndef distribution(round):\n    return {}"
    lines = SEEDED.replace("task.distribution(proportional_split())", own).splitlines()
    [at] = [at for at, line in enumerate(lines) if line.startswith(f"def {step}(")]
    lines.insert(at + 1, f"    if {condition}: raise ValueError('broken on purpose')")
    return write_task(folder, "\n".join(lines))


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
@pytest.mark.parametrize("step", ["work", "submission", "audit"])
def test_a_function_that_always_fails_is_named_and_the_exit_code_says_it(
    tmp_path: Path, step: str, rules: str
) -> None:
    folder = write_broken(tmp_path / "task", step)
    words = (folder, "--nodes", "3", "--rounds", "1", "--rules", rules)

    shown, facts = run(*words), run(*words, "--json")

    found = re.search(rf"the task does not work: {step} failed at (\d+) of (\d+) calls: (.*)", shown.stderr)
    assert found is not None
    assert found[1] == found[2]
    assert "ValueError: broken on purpose (task.py, line" in found[3]
    assert 1 == shown.exit_code == facts.exit_code
    failed = json.loads(facts.stdout.splitlines()[-1])["failed_functions"]
    assert step == failed[0]["step"]  # without its work the submission may fail, too


def test_a_distribution_that_always_fails_is_named(tmp_path: Path) -> None:
    folder = write_broken(tmp_path / "task", "distribution")

    shown = run(folder, "--nodes", "3", "--rounds", "1")

    assert 1 == shown.exit_code
    assert "the task does not work: distribution failed at" in shown.stderr


def test_a_function_that_fails_now_and_then_is_named_with_its_count(tmp_path: Path) -> None:
    folder = write_broken(tmp_path / "task", "work", "ctx.round == 0")

    shown = run(folder, "--nodes", "3", "--rounds", "2")

    assert 0 == shown.exit_code
    assert re.search(r"work failed at \d+ of \d+ calls: ValueError: broken on purpose", shown.stderr)


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
def test_a_task_that_submits_nothing_is_named(tmp_path: Path, rules: str) -> None:
    folder = write_task(tmp_path / "task", SEEDED.replace('return ctx.state["page"]', "return None"))

    shown = run(folder, "--nodes", "3", "--rounds", "1", "--rules", rules)

    assert 1 == shown.exit_code
    assert "the task does not work: no node submitted anything: @task.submission gave nothing" in shown.stderr


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
def test_who_is_paid_does_not_depend_on_signatures(tmp_path: Path, rules: str) -> None:
    words = (HELLO, "--nodes", "5", "--rounds", "2", "--liars", "1", "--rules", rules)
    path = tmp_path / "scenario.yml"
    path.write_text("signatures: off\n")

    on, off, usual = (run_json(*words, *more) for more in (["--signatures"], ["--no-signatures"], []))

    assert usual["state_hash"] == on["state_hash"] != off["state_hash"]
    assert off["state_hash"] == run_json(*words, "--scenario", str(path))["state_hash"]
    assert (on["rounds"], on["slot"]) == (off["rounds"], off["slot"])
    money = ("earned", "slashed", "stake")
    assert [[node[name] for name in money] for node in on["nodes"]] == [
        [node[name] for name in money] for node in off["nodes"]
    ]


def test_answers_of_the_network_are_recorded_once_and_given_again(tmp_path: Path) -> None:
    folder, answers = tmp_path / "task", str(tmp_path / "answers.json")
    folder.mkdir()
    (folder / "task.py").write_text(TASK)
    config = (Path(HELLO) / "config-task.yml").read_text()
    (folder / "config-task.yml").write_text(
        config.replace("roundwork:", "roundwork:\n  params: {start: http://127.0.0.1/}")
    )
    count = 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal count
            count += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"page {count}".encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    words = [str(folder), "--nodes", "3", "--rounds", "1", "--answers", answers]
    words += ["--param", f"start=http://127.0.0.1:{server.server_port}/"]
    try:
        recorded = run_json(*words, "--record")
    finally:
        server.shutdown()
        server.server_close()
    given = run_json(*words)

    assert count == 1
    assert recorded["state_hash"] == given["state_hash"]
    assert given["rounds"][0]["submissions"] == 3
    assert run_json(*words[:-1], "start=http://127.0.0.1:1/")["failures"]


def test_simulate_and_check_ask_for_the_same_audit_window() -> None:
    package = load_package(Path(HELLO).parent / "cipher")
    setting = compose_setting(Scenario(nodes=3, rounds=1), package, {}, "")
    world = make_world(setting, load_task(package), None, None)
    world.timings.add("audit", 4.0)
    world.timings.add("submission", 1.0)

    said = [describe_timing(timing) for timing in list_timings(world)]
    short = find_short_windows(setting.terms, Timings(1.0, FETCH_SECONDS, 4.0), setting.slot_ms)

    [audit] = [int(slots) for slots in re.findall(r"audit_window \d+: .* so at least (\d+)", short[0])]
    assert f"that needs audit_window {audit}, and the task's 96 DOES NOT COVER it" in said[0]
    assert "that needs submission_window 17, and the task's 23 covers it" in said[1]
    assert 1 == len(short)


def test_an_interrupt_shows_the_rounds_that_are_done(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    words = [HELLO, "--rounds", "10000", "--json", "--trace", str(trace)]
    with subprocess.Popen(
        [sys.executable, "-m", "roundwork", "simulate", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_interrupts,
    ) as simulating:
        while not (trace.exists() and trace.stat().st_size > 100_000):
            assert simulating.poll() is None
            time.sleep(0.01)
        simulating.send_signal(signal.SIGINT)
        shown, said = simulating.communicate(timeout=60)

    assert 130 == simulating.returncode
    assert 0 < json.loads(shown)["rounds_settled"] < 10_000
    assert said.startswith("stopped in slot ")


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore Ctrl-C


def test_answers_of_the_tasks_own_demo_are_recorded(tmp_path: Path) -> None:
    words = (str(Path(HELLO).parent / "crawler"), "--nodes", "3", "--rounds", "1", "--answers")

    recorded, given = (run_json(*words, str(tmp_path / "answers"), *more) for more in (["--record"], []))

    assert 1 == recorded["rounds_settled"]
    assert recorded["state_hash"] == given["state_hash"]


def test_a_secret_that_is_missing_or_unknown_is_named(tmp_path: Path) -> None:
    folder = Path(write_task(tmp_path / "task", SEEDED))
    config = folder / "config-task.yml"

    with pytest.raises(BadConfig, match=r"secret .KEY. is not in roundwork\.secrets"):
        run(str(folder), "--secret", "KEY=value")
    config.write_text(f"{config.read_text()}  secrets: [KEY]\n")
    with pytest.raises(BadTaskFile, match="the task asks for KEY; give each with --secret"):
        run(str(folder))
