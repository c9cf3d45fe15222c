"""`roundwork attack` and `roundwork advise`, as a person calls them."""

import dis
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from roundwork import sealed_strategies
from roundwork import strategies as koii_1
from roundwork.cli.root import root
from roundwork.errors import BadConfig, BadTaskFile, TaskFailed

HELLO = str(Path(__file__).parents[2] / "examples" / "hello")
CIPHER = str(Path(HELLO).with_name("cipher"))
SMALL = ("--nodes", "6", "--seeds", "1", "--rounds", "1")

OWN = '''
from roundwork.strategies import Strategy


class Braggart(Strategy):
    """Adds a word to its proof."""

    name = "braggart"
    doing = "adds a word to its proof"

    def choose_value(self, me, duty, honest, lie):
        me.act(duty, bad_round=duty.round)
        return honest() + " indeed"
'''


OWN_SEALED = (
    OWN.replace("strategies import Strategy", "sealed_strategies import SealedStrategy")
    .replace("(Strategy)", "(SealedStrategy)")
    .replace("duty, honest", "round_number, honest")
    .replace("duty, bad_round=duty.round", "round_number, bad_round=round_number")
)


def run(*words: str) -> Result:
    result = CliRunner().invoke(root, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def read_rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]


def test_every_strategy_has_a_row_and_each_deviates() -> None:
    rows = read_rows(run("attack", HELLO, *SMALL, "--share", "34", "--json"))

    assert len(rows) >= 15
    assert [row["strategy"] for row in rows if not row["acted"] and row["strategy"] != "silent-leader"] == []
    assert set(rows[0]) == {
        "strategy", "nodes", "share", "silent", "stakes", "seeds", "acted", "profit", "lower", "upper",
        "harm", "griefing_factor", "unpaid", "bad_paid", "honest_convicted",
    }  # fmt: skip


def test_under_roundwork_1_every_strategy_has_a_row_and_each_deviates() -> None:
    words = ("--nodes", "10", "--share", "30", "--seeds", "1", "--rounds", "3", "--rules", "roundwork-1")

    rows = read_rows(run("attack", *words, "--json"))

    assert len(rows) >= 40
    idle = {row["strategy"] for row in rows if not row["acted"]}
    assert idle <= {"silent-leader", "list-thief", "list-forger"}  # no member has the first rank here
    bad = {"lie", "guesser", "lazy-worker", "old-proof", "copycat", "hidden-lie", "vote-ring"}
    assert all(row["profit"] < -1 for row in rows if row["strategy"] in bad)
    assert not any(row["honest_convicted"] or row["unpaid"] for row in rows)


def test_under_roundwork_1_a_task_of_ones_own_is_attacked_with_a_strategy_of_ones_own(
    tmp_path: Path,
) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN_SEALED)
    words = ("--nodes", "6", "--seeds", "1", "--rounds", "2", "--rules", "roundwork-1")

    [row] = read_rows(
        run("attack", HELLO, *words, "--strategies", str(file), "--strategy", "braggart", "--json")
    )

    assert (row["acted"], row["bad_paid"]) == (2, 0)
    assert row["profit"] < 0


def test_one_world_shows_no_bounds() -> None:
    words = ("attack", "--nodes", "6", "--rounds", "1", "--strategy", "lie")

    one, two = (run(*words, "--seeds", seeds).stdout for seeds in ("1", "2"))

    assert "none: one world" in one
    assert "none: one world" not in two


@pytest.mark.parametrize("own", ["koii-1", "roundwork-1"])
@pytest.mark.parametrize("rules", [None, "koii-1", "roundwork-1"])
def test_a_task_is_attacked_under_its_own_rules_or_those_that_are_given(
    tmp_path: Path, own: str, rules: str | None
) -> None:
    folder = str(tmp_path / "mine")
    run("new", folder, "--yes", "--rules", own)
    given = () if rules is None else ("--rules", rules)

    [row] = read_rows(run("attack", folder, *SMALL, *given, "--strategy", "lie", "--json"))

    assert row["acted"] > 0
    assert row["profit"] < 0
    is_hardened = (rules or own) == "roundwork-1"
    names = (*SMALL, *given, "--strategy", "guesser" if is_hardened else "no-show", "--json")
    assert read_rows(run("attack", folder, *names))  # a strategy of these rules


def test_strict_fails_where_cheating_wins_and_only_there() -> None:
    wins, loses = ("--strategy", "last-slot-accuser", "--share", "34"), ("--strategy", "lie")

    assert run("attack", *SMALL, *wins, "--strict").exit_code == 1
    assert run("attack", *SMALL, *wins).exit_code == 0
    assert run("attack", *SMALL, *loses, "--strict").exit_code == 0


def test_the_table_shows_a_winner_first() -> None:
    words = ("--strategy", "lie", "--strategy", "last-slot-accuser", "--share", "34")

    lines = run("attack", *SMALL, *words).output.splitlines()

    assert lines[0].startswith("strategy")
    assert lines[1].startswith("last-slot-accuser")
    assert lines[2].startswith("lie ")


def test_a_strategy_of_the_authors_own_file_is_played(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)

    words = ("--strategies", str(path), "--strategy", "braggart", "--json")
    [row] = read_rows(run("attack", HELLO, *SMALL, *words))

    assert (row["strategy"], row["bad_paid"]) == ("braggart", 0.0)
    assert row["profit"] < 0
    path.write_text("x = 1\n")
    with pytest.raises(BadTaskFile, match="defines no subclass"):
        run("attack", HELLO, *SMALL, *words)


def test_processes_give_the_rows_that_one_process_gives_and_a_saved_table_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    words = ("attack", *SMALL, "--strategy", "lie", "--strategy", "striker", "--json")

    alone = read_rows(run(*words))
    together = read_rows(run(*words, "--jobs", "2", "--save", str(path)))
    resumed = run(*words, "--save", str(path), "--resume", "--against", str(path))

    assert alone == together == read_rows(resumed)
    assert len(path.read_text().splitlines()) == 2
    assert "2 rows compared, 0 of the saved table were not played; nothing differs\n" in resumed.stderr
    path.write_text("{}\n")
    with pytest.raises(BadConfig, match="line 1: no row"):
        run(*words, "--against", str(path))


@pytest.mark.parametrize(
    "changes", [("--seeds", "2"), ("--work-cost", "0.9"), ("--rules", "roundwork-1"), (HELLO,)]
)
def test_rows_of_another_run_are_not_taken_for_those_of_this_one(
    tmp_path: Path, changes: tuple[str, ...]
) -> None:
    path = tmp_path / "rows"
    words = ("attack", *SMALL, "--strategy", "lie", "--save", str(path))
    run(*words)

    with pytest.raises(BadConfig, match=r"rows, line 1: a row of another run \(task, params, rules"):
        run(*words, "--resume", *changes)


def heed_interrupts() -> None:
    """A shell lets what it runs in the background ignore Ctrl-C, and so would the process of a test."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_shows_the_rows_that_are_done(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    words = ("attack", "--nodes", "20", "--rounds", "12", "--jobs", "2", "--json", "--save", str(path))
    process = subprocess.Popen(
        [sys.executable, "-m", "roundwork", *words],
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    try:
        while not (path.exists() and path.read_bytes().endswith(b"\n")):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        shown, _ = process.communicate(timeout=60)
    finally:
        process.kill()

    assert 130 == process.returncode
    assert len(path.read_bytes().splitlines()) <= len(shown.splitlines()) < 15


@pytest.mark.parametrize("command", [("attack",), ("advise", HELLO)])
@pytest.mark.parametrize("cost", ["nan", "inf", "-1"])
def test_a_cost_that_is_none_is_refused(command: tuple[str, ...], cost: str) -> None:
    refused = run(*command, "--work-cost", cost)

    assert 2 == refused.exit_code
    assert "Invalid value for '--work-cost'" in refused.stderr


def test_what_is_played_otherwise_than_it_is_written_is_named() -> None:
    words = ("attack", HELLO, "--strategy", "lie", "--rounds", "1", "--seeds", "1", "--nodes", "6")

    small = run(*words, "--share", "5", "--silent", "9").stderr
    usual = run(*words, "--share", "34", "--silent", "50").stderr
    longer = run(*words, "--rules", "roundwork-1").stderr

    assert "5 % of 6 nodes are less than a node: the coalition has 1 node\n" in small
    assert "9 % of 5 honest nodes are less than half a node: none is silent\n" in small
    assert "the task has no @task.lie, so lie submits the honest value with its last character" in usual
    assert 1 == len(usual.splitlines())
    assert "too short for roundwork-1: audit_window 24 became 48, round_time 60 became 73\n" in longer


def test_a_task_with_a_lie_of_its_own_has_nothing_to_note() -> None:
    words = ("--strategy", "lie", "--rounds", "1", "--seeds", "1", "--nodes", "6", "--share", "34")

    assert "" == run("attack", CIPHER, *words).stderr
    assert "@task.lie" not in run("attack", HELLO, *words[2:], "--strategy", "lazy-checker").stderr


@pytest.mark.parametrize("strategies", [koii_1.STRATEGIES, sealed_strategies.STRATEGIES])
def test_strategies_that_call_the_lie_say_so(strategies: dict[str, Any]) -> None:
    called = {
        name
        for name, strategy in strategies.items()
        if any("lie" == each.argval for each in dis.get_instructions(strategy.choose_value))
    }

    assert called == {name for name, strategy in strategies.items() if strategy.is_lying}


def test_advice_from_times_needs_both(tmp_path: Path) -> None:
    refused = run("advise", CIPHER, "--work-seconds", "1")

    assert 2 == refused.exit_code
    assert "--work-seconds needs --audit-seconds: costs follow from both" in refused.stderr


@pytest.mark.parametrize(
    ("command", "option"), [("attack", "--save"), ("simulate", "--html"), ("simulate", "--trace")]
)
@pytest.mark.parametrize(("name", "words"), [("no/file", "there is no folder"), (".", "is a directory")])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, command: str, option: str, name: str, words: str
) -> None:
    task = tmp_path / "nothing"  # which would be refused next

    refused = run(command, str(task), option, str(tmp_path / name))

    assert 2 == refused.exit_code
    assert f"Invalid value for '{option}'" in refused.stderr
    assert words in refused.stderr


def test_what_is_given_twice_is_played_once() -> None:
    words = ("attack", *SMALL, "--strategy", "lie", "--nodes", "5", "--nodes", "6", "--strategy", "lie")

    assert [6, 5] == [row["nodes"] for row in read_rows(run(*words, "--json"))]


COSTS = re.compile(
    r"costs: a round's work (\S+) R, an audit (\S+) R, (.*); --work-cost (\S+) --audit-cost (\S+) "
)


def read_costs(text: str) -> tuple[str, str, str]:
    """The costs that a run names below its table, and where they come from."""
    found = COSTS.search(text)
    assert found is not None
    assert (found[1], found[2]) == (found[4], found[5])
    return found[1], found[2], found[3]


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
def test_measured_costs_are_named_and_play_the_same_table_when_they_are_given(rules: str) -> None:
    words = ("attack", CIPHER, *SMALL, "--rules", rules, "--strategy", "lazy-checker", "--json")

    measured = run(*words)
    work, audit, source = read_costs(measured.stderr)
    given = run(*words, "--work-cost", work, "--audit-cost", audit)

    assert source.startswith("from the times of the task's functions on this machine")
    assert float(work) > 0
    assert float(audit) > 0
    assert (work, audit, "as given") == read_costs(given.stderr)
    assert measured.stdout == given.stdout


def test_without_a_task_costs_are_the_usual_ones() -> None:
    shown = run("attack", *SMALL, "--strategy", "lie").output

    assert ("0.3", "0.02", "as usual, because no task is given that could be timed") == read_costs(shown)


def test_one_cost_is_given_and_the_other_measured() -> None:
    shown = run("attack", CIPHER, *SMALL, "--strategy", "lie", "--work-cost", "0.9").output

    work, audit, source = read_costs(shown)

    assert "0.9" == work
    assert 0 < float(audit) < 0.9
    assert source.startswith("one as given, the other from the times")


def test_rows_are_taken_up_with_the_costs_that_they_have(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    words = ("attack", CIPHER, *SMALL, "--save", str(path), "--strategy", "lie")

    work, audit, _ = read_costs(run(*words).output)
    resumed = run(*words, "--strategy", "striker", "--resume")

    assert (work, audit, f"as in the rows of {path}") == read_costs(resumed.output)
    assert 2 == len(path.read_text().splitlines())
    with pytest.raises(BadConfig, match=rf"its costs are --work-cost {work} --audit-cost {audit}\)"):
        run(*words, "--resume", "--work-cost", "0.77")


def test_a_scenario_gives_costs_sizes_and_faults(tmp_path: Path) -> None:
    path, rows = tmp_path / "scenario.yml", tmp_path / "rows"
    words = ("attack", CIPHER, "--seeds", "1", "--strategy", "lie", "--json")
    quiet = "nodes: 5\nrounds: 1\nrules: koii-1\nwork_cost: 0.25\naudit_cost: 0\n"
    path.write_text(quiet)

    result = run(*words, "--scenario", str(path), "--save", str(rows))
    [row] = read_rows(result)
    [other] = read_rows(run(*words, "--scenario", str(path), "--nodes", "6", "--work-cost", "1"))

    assert ("0.25", "0", "as given") == read_costs(result.stderr)
    assert (5, 6) == (row["nodes"], other["nodes"])
    path.write_text(quiet + "faults: {crashes: [{node: node-5, slot: 1, slots: 500}]}\n")
    [down] = read_rows(run(*words, "--scenario", str(path)))
    assert 0 == down["acted"] < row["acted"]
    with pytest.raises(BadConfig, match="a row of another run"):
        run(*words, "--scenario", str(path), "--save", str(rows), "--resume")


@pytest.mark.parametrize(
    "field", ["liars: 1", "plays: {lazy: 1}", "stakes: [5]", "seed: 3", "signatures: on"]
)
def test_a_field_that_has_no_meaning_in_an_attack_is_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text(f"{field}\n")

    with pytest.raises(
        BadConfig, match=rf"{field.split(':')[0]}: a scenario of `attack` has no such field; "
    ):
        run("attack", *SMALL, "--scenario", str(path))


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
def test_advice_derives_costs_from_times_as_an_attack_does(rules: str) -> None:
    words = ("advise", CIPHER, "--rules", rules, "--json")

    usual = json.loads(run(*words).output)
    timed = json.loads(run(*words, "--work-seconds", "15", "--audit-seconds", "1").output)
    dear = json.loads(run(*words, "--work-seconds", "1", "--audit-seconds", "1", "--work-cost", "0.9").output)

    assert (0.3, 0.02) == (timed["work_cost"], timed["audit_cost"])
    assert usual["edge"] == timed["edge"]
    assert 0.9 == dear["work_cost"]
    assert dear["audit_cost"] > 0.02


def test_a_param_that_the_task_does_not_have_is_refused() -> None:
    with pytest.raises(BadConfig, match="nonsense"):
        run("attack", HELLO, *SMALL, "--param", "nonsense=1")


def test_where_no_audit_looks_no_stake_helps() -> None:
    for rules in ("koii-1", "roundwork-1"):
        shown = run("advise", HELLO, "--rules", rules, "--lazy", "100")
        facts = run("advise", HELLO, "--rules", rules, "--lazy", "100", "--json")

        assert (0, 0) == (shown.exit_code, facts.exit_code)
        assert "no minimum stake makes cheating lose: no audit finds it" in shown.output
        assert json.loads(facts.output)["minimum_stake_needed"] is None


def test_strict_does_not_count_a_row_without_a_deviation() -> None:
    words = ("attack", HELLO, "--rules", "roundwork-1", *SMALL, "--strategy", "hidden-lie", "--strict")

    assert "it never deviated" in run(*words).output
    assert 0 == run(*words).exit_code


def test_a_row_without_a_deviation_is_named() -> None:
    words = ("attack", HELLO, "--rules", "roundwork-1", *SMALL)

    idle, busy = (run(*words, "--strategy", name).output for name in ("hidden-lie", "no-show"))

    assert "hidden-lie, 6 nodes: it never deviated in this task" in idle  # hello's lie needs the work
    assert "never deviated" not in busy


@pytest.mark.parametrize("strategy", ["lie", "guesser", "hidden-lie", "challenged-lie"])
def test_a_lie_about_a_cipher_is_submitted_and_loses(strategy: str) -> None:
    words = ("attack", str(Path(HELLO).with_name("cipher")), "--strategy", strategy, "--json")

    [row] = read_rows(run(*words, *SMALL))

    assert row["acted"]
    assert row["bad_paid"] == row["honest_convicted"] == 0
    assert row["profit"] < -0.9  # a node that submits nothing loses less


def test_the_crawler_is_attacked_on_recorded_answers() -> None:
    site = Path(HELLO).parents[1] / "docs" / "attack-site.json"
    words = ["attack", str(Path(HELLO).with_name("crawler")), "--rules", "roundwork-1", "--strategy", "lie"]
    words += ["--answers", str(site), "--param", "start=http://site.invalid/", "--json"]

    [row] = read_rows(run(*words, *SMALL))

    assert row["acted"]
    assert row["bad_paid"] == row["honest_convicted"] == 0
    assert row["profit"] < -1


def test_advice_names_the_margin_and_where_it_breaks() -> None:
    words = ("advise", HELLO, "--nodes", "100")

    facts = json.loads(run(*words, "--json").output.splitlines()[-1])
    text = run(*words).output

    assert facts["edge"] < 0
    assert 0 < facts["lazy_limit"] <= 1
    assert "cheating loses" in text
    assert "does not pay: 0 KOII; honest work is better even without a slash" in text
    assert f"{round(facts['lazy_limit'] * 100)} %" in text


def test_advice_counts_the_checkers_that_a_small_network_has() -> None:
    words = ("advise", HELLO, "--rules", "roundwork-1", "--lazy", "50", "--nodes")

    three = json.loads(run(*words, "3", "--json").output)

    assert three["checks"] == 2
    assert three["caught"] == pytest.approx(1 - 0.5**2)
    with pytest.raises(BadConfig, match=r"--nodes 2: under roundwork-1 a round with fewer than 3"):
        run(*words, "2")
    assert 0 == run("advise", HELLO, "--rules", "koii-1", "--nodes", "2").exit_code


def test_advice_fails_in_strict_mode_where_cheating_pays() -> None:
    words = ("advise", HELLO, "--nodes", "1000", "--lazy", "99", "--gain", "50")

    assert "cheating earns" in run(*words).output
    assert run(*words, "--strict").exit_code == 1


@pytest.mark.parametrize("example", ["cipher", "crawler"])
def test_the_stakes_of_examples_keep_jurors_looking(example: str) -> None:
    words = ("advise", str(Path(HELLO).with_name(example)), "--rules", "roundwork-1")

    facts, few = (json.loads(run(*words, *more, "--json").output) for more in ((), ("--nodes", "10")))

    assert facts["warnings"] == []
    assert facts["minimum_stake_waking"] == 4_200_000_000
    assert "from 5.2 KOII on it does not" in few["warnings"][0]  # with fewer nodes a reward is larger


def test_under_roundwork_1_advice_says_how_much_bad_work_to_plant() -> None:
    words = ("advise", HELLO, "--rules", "roundwork-1", "--lazy", "50")

    facts, text = json.loads(run(*words, "--json").output), run(*words).output

    assert facts["checks"] == 3
    assert facts["caught"] == pytest.approx(1 - 0.5**3)
    assert facts["planted"] == [0.04, 0.08]
    assert facts["canaries"] > facts["planted"][0]
    assert "that is too little here" in text
    assert "plant 4% of the submissions, 8% if over a fifth of the nodes may be dishonest" in text
    assert "20 nodes, 3 drawn ones check each submission; a bad submission is found with 87.50%" in text


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
@pytest.mark.parametrize(
    ("line", "verdicts"),
    [
        ("task.audit(lambda ctx, candidate: False)", "(convicted|inconclusive)"),
        ("task.distribution(lambda round: {})", "untried"),
    ],
)
def test_a_task_that_pays_no_honest_node_is_refused(
    tmp_path: Path, line: str, verdicts: str, rules: str
) -> None:
    folder = tmp_path / "task"
    shutil.copytree(CIPHER, folder)
    with (folder / "task.py").open("a") as file:
        file.write(f"\n{line}\n")

    with pytest.raises(
        TaskFailed, match=rf"no honest node is paid in 1 round; .*: \d+ {verdicts}\. The audit"
    ):
        run("attack", str(folder), *SMALL, "--rules", rules, "--strategy", "lie")


@pytest.mark.parametrize("option", [["--param", "a=1"], ["--secret", "KEY=value"], ["--answers", "answers"]])
def test_an_option_of_a_task_is_refused_without_one(option: list[str]) -> None:
    result = run("attack", *SMALL, *option)

    assert 2 == result.exit_code
    assert "--param, --secret and --answers are for a TASK, and none is named" in result.output


def test_rows_are_not_mixed_with_those_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    words = ("attack", *SMALL, "--strategy", "lie", "--save", str(path))
    run(*words)
    before = path.read_bytes()

    again, resumed = run(*words), run(*words, "--resume")

    assert 2 == again.exit_code
    assert "has rows: --resume plays those that it lacks; else name another file" in again.output
    assert 0 == resumed.exit_code
    assert before == path.read_bytes()


def test_a_secret_reaches_the_task_that_asks_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    shutil.copytree(HELLO, folder)
    config, program = folder / "config-task.yml", folder / "task.py"
    config.write_text(config.read_text().replace("roundwork:\n", "roundwork:\n  secrets: [KEY]\n"))
    program.write_text(
        program.read_text().replace(
            'ctx.state["value"] = "', 'assert ctx.secrets["KEY"] == "value"\n    ctx.state["value"] = "'
        )
    )
    words = ("attack", str(folder), *SMALL, "--strategy", "lie")

    assert 0 == run(*words, "--secret", "KEY=value").exit_code
    with pytest.raises(TaskFailed, match="AssertionError"):
        run(*words, "--secret", "KEY=other")
    with pytest.raises(BadTaskFile, match="the task asks for KEY; give each with --secret"):
        run(*words)


@pytest.mark.parametrize(("source", "rules"), [(OWN, "koii-1"), (OWN_SEALED, "roundwork-1")])
def test_an_own_strategy_that_notes_no_deviation_is_told_how(tmp_path: Path, source: str, rules: str) -> None:
    path = tmp_path / "own.py"
    words = ("attack", CIPHER, *SMALL, "--rules", rules, "--strategies", str(path), "--strategy", "braggart")
    silent = "\n".join(line for line in source.splitlines() if "me.act" not in line)

    path.write_text(silent)
    unnoted = run(*words)
    path.write_text(re.sub(r"me\.act\(\w+, ", "me.act(", source))
    noted = run(*words)

    assert "braggart, 6 nodes: it never called `me.act`, so its row proves nothing" in unnoted.output
    assert "proves nothing" not in noted.output


RAISING = """

@task.audit
def audit(ctx, candidate):
    assert candidate.value == 'Hello, World!'
    return True
"""


@pytest.mark.parametrize("rules", ["koii-1", "roundwork-1"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_audit_that_raises_on_a_lie_is_named(tmp_path: Path, rules: str, jobs: str) -> None:
    folder = tmp_path / "task"
    shutil.copytree(HELLO, folder)
    with (folder / "task.py").open("a") as file:
        file.write(RAISING)

    shown = run("attack", str(folder), *SMALL, "--rules", rules, "--strategy", "lie", "--jobs", jobs)

    assert re.search(r"lie, 6 nodes: audit failed at \d+ of \d+ calls: AssertionError", shown.stderr)
    assert 1 == shown.stderr.count("audit failed at")
