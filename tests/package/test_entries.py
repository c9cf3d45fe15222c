"""Entries of config-task.yml as people wrote them: what each is read as, or the reason why it is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from roundwork.errors import BadConfig, BadTaskFile
from roundwork.package.config import read_config
from roundwork.package.folder import load_package
from roundwork.package.metadata import build_metadata
from roundwork.package.permissions import describe_permissions
from roundwork.protocol.params import KOII

GOOD = {
    "task_name": "hello",
    "description": "Says hello",
    "repositoryUrl": "https://example.org/x",
    "round_time": 600,
    "audit_window": 200,
    "submission_window": 200,
    "minimum_stake_amount": 1,
    "total_bounty_amount": 100,
    "bounty_amount_per_round": 1,
}
TAG = "requirementsTags: [{type: TASK_VARIABLE, value: %s}]"

READ: list[tuple[str, str, Any]] = [
    ("round_time: 600.0", "round_time", 600),
    ("round_time: 600", "round_time", 600),
    ("allowed_failed_distributions: 3.00", "allowed_failed_distributions", 3),
    ("minimum_stake_amount: 1.5", "minimum_stake_amount", 3 * KOII // 2),
    ("minimum_stake_amount: 2.000000000", "minimum_stake_amount", 2 * KOII),
    ("total_bounty_amount: 100.0", "total_bounty_amount", 100 * KOII),
    ("roundwork: {limits: {processes: 2.0}}", "roundwork", {"processes": 2}),
    ("task_name: 'no'", "task_name", "no"),
    ("task_name: '0600'", "task_name", "0600"),
    ("round_time: 600 # ten minutes", "round_time", 600),
    ("requirementsTags:", "requirementsTags", ()),
    ("imageUrl: ' '", "imageUrl", ""),
]

TWO_WAYS = "can be read in two ways: YAML reads"
REFUSED: list[tuple[str, str]] = [
    ("round_time: 10:00", f"round_time: 10:00 {TWO_WAYS} 600 (base 60)"),
    ("round_time: 0600", f"round_time: 0600 {TWO_WAYS} 384 (base 8)"),
    ("round_time: 0x258", f"round_time: 0x258 {TWO_WAYS} 600 (base 16)"),
    ("round_time: 0b11", f"round_time: 0b11 {TWO_WAYS} 3 (base 2)"),
    ("round_time: 6_00", f"round_time: 6_00 {TWO_WAYS} 600"),
    ("round_time: 600.5", "round_time: 600.5 must be an integer of at least 1 slots"),
    ("round_time: '600'", "must be an integer of at least 1 slots; write it in digits"),
    ("round_time: 600 slots", "must be an integer of at least 1 slots; write it in digits"),
    ("round_time: 089", "round_time: '089' must be an integer"),
    (
        "minimum_stake_amount: 1,5",
        "'1,5' must be a number of KOII, 0 or more, with at most 9 decimals; write it",
    ),
    ("minimum_stake_amount: 1_000", f"minimum_stake_amount: 1_000 {TWO_WAYS} 1000"),
    ("minimum_stake_amount: 1.5e+1", f"minimum_stake_amount: 1.5e+1 {TWO_WAYS} 15.0"),
    ("minimum_stake_amount: .5", f"minimum_stake_amount: .5 {TWO_WAYS} 0.5"),
    ("minimum_stake_amount: 5.", f"minimum_stake_amount: 5. {TWO_WAYS} 5.0"),
    ("minimum_stake_amount: 1:30.5", f"minimum_stake_amount: 1:30.5 {TWO_WAYS} 90.5 (base 60)"),
    ("minimum_stake_amount: .inf", f"minimum_stake_amount: .inf {TWO_WAYS} inf"),
    ("minimum_stake_amount: +1", f"minimum_stake_amount: +1 {TWO_WAYS} 1"),
    ("minimum_stake_amount: 1koii", "'1koii' must be a number of KOII"),
    ("roundwork: {params: {start: 22:30}}", f"roundwork.params: start: 22:30 {TWO_WAYS} 1350 (base 60)"),
    ("roundwork: {params: {at: [1, 010]}}", f"roundwork.params: at: entry 2: 010 {TWO_WAYS} 8 (base 8)"),
    (
        "requirementsTags: [{type: RAM, value: 5 GB}, {type: CPU, value: 010}]",
        f"requirementsTags: entry 2: value: 010 {TWO_WAYS} 8 (base 8)",
    ),
    ("task_name: no", "task_name: false must be text of 1 to 24 bytes; put it in quotes"),
    ("task_name: 1.10", "task_name: 1.10 must be text of 1 to 24 bytes; put it in quotes"),
    ("task_name: 2024-01-31", "task_name: 2024-01-31 must be text of 1 to 24 bytes; put it in quotes"),
    ("tags: [AI, 7]", "tags: entry 2: 7 must be text of 1 to 50 bytes; put it in quotes"),
    ("roundwork: {hosts: [a.org, 'b c']}", "roundwork.hosts: entry 2: 'b c' must be a host"),
    (
        "roundwork: {secrets: [A, B=1]}",
        "entry 2: 'B=1' must be a variable's name of letters, digits and _; if B is",
    ),
    (
        TAG % "API_KEY (free tier)",
        "not 'API_KEY (free tier)'; if API_KEY is the name, leave out what follows it",
    ),
    (TAG % "'API_KEY # yours'", "if API_KEY is the name, leave out what follows it"),
    (TAG % "yes", "must have text as value, not true; put it in quotes"),
    ("requirementsTags: [{type: TASK_VARIABLE, vaule: X}]", "not ''; there is vaule: did you mean value?"),
    ("requirementsTags: [{typ: CPU, value: 4}]", "GLOBAL_VARIABLE, TASK_VARIABLE, CPU"),
    ("requirementsTags: [{typ: CPU, value: 4}]", "there is typ: did you mean type?"),
    ("roundwork: {limits: {memroy: 1 GB}}", "memroy: no such field; did you mean memory?"),
    ("roundwork: {demo: {command: [python], parms: {}}}", "parms: no such field; did you mean params?"),
    ("roundwork: {hots: [a.org]}", "roundwork.hots: no such field; did you mean hosts?"),
    ("roundwork: {round_time: 600}", "roundwork.round_time: no such field; it belongs outside of roundwork:"),
    ("repositoryUrl: ftp://example.org", "repositoryUrl: 'ftp://example.org' must be a URL, https://…"),
]

WARNED: list[tuple[str, str]] = [
    (
        "repositoryUrl: github.com/a/b",
        "repositoryUrl: 'github.com/a/b' has no scheme; write https://github.com/a/b",
    ),
    ("repositoryUrl: git@github.com:a/b.git", "repositoryUrl: 'git@github.com:a/b.git' has no scheme"),
    ("auhtor: me", "auhtor: no such field; did you mean author?"),
    ("Author: me", "Author: no such field; did you mean author?"),
    ("hosts: [a.org]", "hosts: no such field; it belongs under roundwork:"),
    (
        "requirementsTags: [{type: CPU, value: 4}, {type: RAM, value: 5 GB, descripton: much}]",
        "requirementsTags: entry 2: descripton: no such field; did you mean description?",
    ),
    ("0600: x", "config-task.yml: 0600: no such field"),
]

MISSING = [("round_tine", "round_time"), ("Round_Time", "round_time"), ("roundTime", "round_time")]


def write(folder: Path, entry: str, without: str = "") -> Path:
    """A configuration that is good but for an entry, which replaces the field of its name."""
    name = entry.partition(":")[0]
    fields = {each: value for each, value in GOOD.items() if each not in (name, without)}
    path = folder / "config-task.yml"
    path.write_text(f"{yaml.safe_dump(fields)}{entry}\n")
    return path


def refuse(folder: Path, entry: str, without: str = "") -> str:
    with pytest.raises(BadConfig) as refusal:
        read_config(write(folder, entry, without))
    return str(refusal.value)


@pytest.mark.parametrize(("entry", "name", "value"), READ)
def test_an_entry_that_reads_in_one_way_is_read(tmp_path: Path, entry: str, name: str, value: Any) -> None:
    config, warnings = read_config(write(tmp_path, entry))

    assert [] == warnings
    assert value == (config[name]["limits"] if name == "roundwork" else config[name])


@pytest.mark.parametrize(("entry", "reason"), REFUSED)
def test_an_entry_that_cannot_be_used_is_refused_with_its_place_and_reason(
    tmp_path: Path, entry: str, reason: str
) -> None:
    assert reason in refuse(tmp_path, entry)


@pytest.mark.parametrize(("entry", "text"), WARNED)
def test_a_doubtful_entry_is_a_warning(tmp_path: Path, entry: str, text: str) -> None:
    _, [warning] = read_config(write(tmp_path, entry))

    assert text in warning


@pytest.mark.parametrize(("given", "missing"), MISSING)
def test_a_field_that_is_missing_because_it_is_misspelt_is_told_with_what_stands_there(
    tmp_path: Path, given: str, missing: str
) -> None:
    reason = refuse(tmp_path, f"{given}: 600", without=missing)

    assert f"{missing} is missing: it must be an integer" in reason
    assert f"there is {given}: did you mean {missing}?" in reason


@pytest.mark.parametrize(
    "name", ["Config-Task.yml", "config-task.yaml", "config_task.yml", "CONFIG-TASK.YML"]
)
def test_a_configuration_of_another_name_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, "author: me").rename(tmp_path / name)

    with pytest.raises(BadConfig, match=f"there is {tmp_path / name}: did you mean that"):
        read_config(tmp_path / "config-task.yml")


@pytest.mark.parametrize(
    ("entry", "file"),
    [
        ("author: me", "Task.py"),
        ("author: me", "Main.js"),
        ("task_audit_program: dist/main.js", "Dist/main.js"),
        ("task_audit_program: dist/main.js", "dist/Main.js"),
        ("markdownDescriptionPath: README.md", "Readme.md"),
    ],
)
def test_a_file_that_differs_only_in_case_is_named(tmp_path: Path, entry: str, file: str) -> None:
    write(tmp_path, entry)
    if "markdown" in entry:
        (tmp_path / "task.py").touch()
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    there = tmp_path / (Path(file).parts[0] if file.startswith("Dist") else file)

    with pytest.raises((BadConfig, BadTaskFile), match=f"there is {there}: did you mean that"):
        load_package(tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Requirements.lock", "Requirements.lock: did you mean that?"),
        ("requirements.txt", "requirements.txt is not read"),
    ],
)
def test_a_list_of_requirements_that_nothing_is_installed_from_is_a_warning(
    tmp_path: Path, name: str, reason: str
) -> None:
    write(tmp_path, "author: me")
    (tmp_path / "task.py").touch()
    (tmp_path / name).touch()

    [warning] = load_package(tmp_path).warnings

    assert "requirements.lock is missing, so no package is installed; " in warning
    assert warning.endswith(reason)


def test_how_a_variable_is_got_is_kept_and_shown_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / "task.py").touch()
    url = "https://example.org/keys"
    write(
        tmp_path,
        "requirementsTags:\n"
        f"  - {{type: TASK_VARIABLE, value: API_KEY, description: A key, retrievalInfo: '{url}'}}\n"
        "  - {type: TASK_VARIABLE, value: NAME}",
    )

    package = load_package(tmp_path)

    lines = describe_permissions(package)
    assert f"variable API_KEY: A key (how to get it: {url})" in lines
    assert "variable NAME" in lines
    metadata = build_metadata(package, 0)
    assert f'"retrievalInfo":"{url}"'.encode() in metadata
    assert 1 == metadata.count(b"retrievalInfo")
