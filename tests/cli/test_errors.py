"""Errors of commands: a line on stderr, and with --json an object at the end of stdout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HELLO = Path(__file__).parents[2] / "examples" / "hello"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "code", "name", "text"),
    [
        (("task", "check", "nowhere"), 1, "BadTaskFile", "nowhere is not a folder"),
        (("up", HELLO, "--nodes", "2", "--play", "late=3"), 1, "BadConfig", "3 of them are to play late"),
        (("up", HELLO, "--play", "nobody=1"), 1, "BadConfig", "there is no way to play 'nobody'"),
        (("up", HELLO, "--play", "late=-1"), 2, "UsageError", "the count is digits"),
        (("node", "run", "--spend", "bonds=1"), 2, "UsageError", "challenges or accusations"),
        (("node", "run", "--spend", "challenges=-1"), 2, "UsageError", "= and digits"),
        (("up", HELLO, "--play", "late"), 2, "UsageError", "not of the form NAME=VALUE"),
        (("up", HELLO, "--play", "honest=1"), 2, "UsageError", "all nodes play so that no --play names"),
        (("up", HELLO, "--play", "liar=1", "--liars", "1"), 2, "UsageError", "give one of them"),
        (("up", HELLO, "--stakes", "2,10;5"), 2, "UsageError", "'10;5' is not an amount: write digits"),
        (("up", HELLO, "--stakes", "2,.5"), 2, "UsageError", "'.5' is not an amount: write digits"),
        (("up", HELLO, "--stakes", "2,,5"), 2, "UsageError", "'' is not an amount: write digits"),
        (("up", HELLO, "--stakes", "0.5"), 1, "BadConfig", "a stake of at least 1 KOII"),
        (("up", HELLO, "--round-slots", "3"), 1, "BadConfig", "--round-slots 3: at least 20"),
        (("ledger", "info", "--directory", "nowhere"), 1, "", "nowhere"),
        (("balance", "x"), 2, "UsageError", "'x' is"),
        (("transfer", "x"), 2, "UsageError", "'x' is"),
        (("nothing",), 2, "UsageError", "No such command 'nothing'"),
        (("up", "--nothing"), 2, "UsageError", "--nothing"),
    ],
)
def test_an_error_is_a_line_and_under_json_an_object(
    arguments: tuple[object, ...], code: int, name: str, text: str
) -> None:
    plain, machine = run(*arguments), run(*arguments, "--json")

    assert (code, "") == (plain.returncode, plain.stdout)
    assert text in plain.stderr
    assert (code, plain.stderr) == (machine.returncode, machine.stderr)
    [line] = machine.stdout.splitlines()
    error = json.loads(line)
    assert {"error", "text"} == error.keys()
    assert name in ("", error["error"])
    assert text in error["text"]


@pytest.mark.parametrize("arguments", [("--version",), ("up", "--help"), ("task", "check", "-h")])
def test_help_and_version_are_no_errors(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "--json") if "--help" in arguments else run(*arguments)

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["try", "task", "--param", "a=1", "--param", "a=2"], "a is given twice: name it once"),
        (["up", "task", "--play", "lazy=1", "--play", "lazy=2"], "lazy is given twice: name it once"),
        (
            ["replay", "ledger", "task", "--rules", "slash=30%", "--rules", "slash=50%"],
            "slash is given twice",
        ),
        (["try", "task", "--secret", "KEY=a", "--secret", "KEY=b"], "number 2 has the name of one before it"),
    ],
)
def test_a_name_that_is_given_twice_is_refused(words: list[str], reason: str) -> None:
    done = run(*words)

    assert 2 == done.returncode
    assert reason in done.stderr
