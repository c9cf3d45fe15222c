"""config-task.yml: for each field what is missing, of another type, out of range or unknown; what is said."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from roundwork.errors import BadConfig
from roundwork.package.config import FIELDS, OUR_FIELDS, read_config, read_terms
from roundwork.package.folder import load_package
from roundwork.package.requirements import compute_limits
from roundwork.package.terms import compose_fields
from roundwork.protocol.tasks.configuration import compute_terms

ADDRESS = "FJG2aEPtertCXoedgteCCMmgngSZo1Zd715oNBzR7xpR"
GOOD: dict[str, Any] = {
    "task_name": "hello",
    "description": "Says hello",
    "repositoryUrl": "https://example.org/x",
    "round_time": 30,
    "audit_window": 12,
    "submission_window": 12,
    "minimum_stake_amount": 1.5,
    "total_bounty_amount": 11,
    "bounty_amount_per_round": 1,
}

TEXT = [(7, "must be text"), (["a"], "must be text"), (True, "must be text")]
SLOTS = [
    *((value, "must be an integer of at least 1 slots") for value in ("soon", 1.5, True, [1], 0, -5, 2**63)),
]
MONEY = [
    *(("lots", "must be a number of KOII"), (True, "must be a number of KOII"), ([1], "must be a number")),
    *((0, "more than 0"), (-1, "more than 0"), (10**10, "must be a number of KOII")),
    (Decimal("0.0000000001"), "with at most 9 decimals"),
]
PATH = [
    *((7, "must be a path"), ("x" * 1001, "must be a path of 1 to 1000 bytes")),
    *(("a/" + "x" * 256, "names of at most 255 bytes"), ("a\0b", "without zero bytes")),
]
FORM_OF_ADDRESS = [(value, "must be an address: 32 bytes in base58") for value in (7, "0OIl", ADDRESS[:-9])]

WRONG: dict[str, list[tuple[Any, str]]] = {
    "task_name": [*TEXT, ("x" * 25, "must be text of 1 to 24 bytes"), ("ä" * 13, "1 to 24 bytes")],
    "author": [*TEXT, ("x" * 201, "1 to 200 bytes")],
    "description": [*TEXT, ("x" * 100_001, "1 to 100000 bytes")],
    "markdownDescriptionPath": PATH,
    "repositoryUrl": [
        (7, "must be a URL"),
        ("example", "must be a URL"),
        ("ftp://example.org", "must be a URL"),
        ("https://a b", "must be a URL"),
    ],
    "imageUrl": [*TEXT, ("x" * 2001, "1 to 2000 bytes")],
    "infoUrl": [*TEXT, ("x" * 2001, "1 to 2000 bytes")],
    "task_executable_network": [
        (7, "must be one of DEVELOPMENT, ARWEAVE, IPFS"),
        ("ipfs", "must be one of DEVELOPMENT, ARWEAVE, IPFS; did you mean IPFS?"),
    ],
    "task_audit_program": PATH,
    "round_time": [
        *SLOTS,
        (23, "round_time is 23 slots; 24 to 4294967296 are allowed"),
        (2**40, "4294967296 are allowed"),
    ],
    "audit_window": SLOTS,
    "submission_window": SLOTS,
    "minimum_stake_amount": [
        *[(value, "0 or more" if said == "more than 0" else said) for value, said in MONEY if value != 0],
        (0, "minimum_stake is 0 roe; at least 1000 are needed"),
        (Decimal("0.0000001"), "minimum_stake is 100 roe; at least 1000 are needed"),
    ],
    "task_type": [(7, "must be one of KOII, KPL"), ("SOL", "must be one of KOII, KPL")],
    "token_type": FORM_OF_ADDRESS,
    "total_bounty_amount": [
        ("lots", "must be a number of KOII, at least 10"),
        (True, "at least 10"),
        (Decimal("9.999999999"), "at least 10"),
        (Decimal("10.0000000001"), "with at most 9 decimals"),
    ],
    "bounty_amount_per_round": [
        *MONEY,
        (12, "bounty_per_round is 12000000000 roe; the task starts with a bounty of 11000000000"),
    ],
    "allowed_failed_distributions": [
        (101, "allowed_failed_distributions is 101; 0 to 100 are allowed"),
        ("x", "must be an integer of at least 0"),
        (1.5, "must be an integer"),
        (-1, "of at least 0"),
    ],
    "space": [
        ("big", "must be a number from 0.1 to 50 MB"),
        (Decimal("0.09"), "from 0.1 to 50 MB"),
        (50.5, "from 0.1 to 50 MB"),
        (True, "from 0.1 to 50 MB"),
    ],
    "requirementsTags": [
        ("RAM", "must be a list of requirements"),
        ([7], "entry 1: 7 must have a type among GLOBAL_VARIABLE"),
        ([{"type": "GPU"}], "must have a type among GLOBAL_VARIABLE"),
        ([{"type": "task_variable", "value": "X"}], "did you mean TASK_VARIABLE?"),
        ([{"type": "TASK_VARIABLE"}], "must have, for TASK_VARIABLE, a variable's name as value"),
        ([{"type": "GLOBAL_VARIABLE", "value": "A B"}], "letters, digits, _; not 'A B'"),
    ],
    "tags": [
        ("AI", "must be a list of tags"),
        (["AI", 7], "entry 2: 7 must be text of 1 to 50 bytes; put it in quotes"),
        (["x" * 51], "of 1 to 50 bytes"),
    ],
    "environment": [(7, "must be one of TEST, PRODUCTION"), ("PRODUCTIVE", "did you mean PRODUCTION?")],
    "task_id": FORM_OF_ADDRESS,
    "migrationDescription": [*TEXT, ("x" * 2001, "1 to 2000 bytes")],
}

OURS_WRONG: dict[str, list[tuple[Any, str]]] = {
    "params": [("x", "must be fields"), ({1: 2}, "must be fields")],
    "hosts": [
        ("example.org", "must be a list of hosts"),
        (["http://example.org"], "must be a host: example.org, *.example.org"),
        (["a.b", 7], "entry 2: 7 must be a host"),
        (["a b"], "must be a host"),
    ],
    "limits": [
        ("x", "must have fields among memory, disk, processes"),
        ({"speed": 1}, "must have fields among"),
        ({"memory": "1 MB"}, "has memory '1 MB', which must lie between"),
        ({"cpu_percent": 101}, "has cpu_percent 101, which must lie between 1 and 100"),
        ({"processes": 1.5}, "has processes 1.5, which must be an integer"),
    ],
    "secrets": [
        ("TOKEN", "must be a list of names"),
        (["a b"], "must be a variable's name of letters, digits and _"),
    ],
    "rules": [
        (7, "must be one of koii-1, roundwork-1"),
        ("koii1", "did you mean koii-1?"),
        ("roundwork", "did you mean roundwork-1?"),
        (["roundwork-1"], "must be one of"),
        ({"slash": "50%"}, "must have a name, one of koii-1, roundwork-1"),
        ({"name": "roundwork-1", "slash": Decimal("0.7")}, "'slash': 0.7} must have a slash"),
        ({"name": "koii-1", "slash": "50%"}, "must be a name alone for koii-1"),
        ({"name": "roundwork-1", "slashes": "50%"}, "did you mean slash?"),
        *(
            ({"name": "roundwork-1", "slash": value}, "must have a slash from 10% to 100%")
            for value in (50, "9%", "101%", "050%", "50.5%", "1/2", "", True)
        ),
        *(
            ({"name": "roundwork-1", "split": value}, "must have a split among equal, stake")
            for value in ("heads", 7, "", ["stake"])
        ),
    ],
    "requires_python": [(7, "must be text")],
    "demo": [("x", "must have the fields command and params"), ({"command": []}, "command and params")],
    "excused": [("x", "must be names of properties"), ({"splitting": ""}, "with the reason")],
}

REQUIRED = {name for name, field in FIELDS.items() if field.default is ...}


class Exact(yaml.SafeDumper):
    """Writes decimals as they are."""


Exact.add_representer(
    Decimal, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", f"{value:f}")
)


def write(fields: dict[str, Any]) -> str:
    return yaml.dump(fields, Dumper=Exact, allow_unicode=True)


def read(folder: Path, fields: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    path = folder / "config-task.yml"
    path.write_text(write(fields))
    return read_config(path)


def refuse(folder: Path, text: str) -> str:
    path = folder / "config-task.yml"
    path.write_text(text)
    with pytest.raises(BadConfig) as refused:
        read_config(path)
    assert str(refused.value).startswith(f"{path}")
    return str(refused.value).removeprefix(f"{path}").removeprefix(": ")


def test_the_tables_have_every_field() -> None:
    assert FIELDS.keys() == WRONG.keys()
    assert OUR_FIELDS.keys() == OURS_WRONG.keys()


@pytest.mark.parametrize(
    ("name", "value", "said"), [(name, *one) for name, rows in WRONG.items() for one in rows]
)
def test_a_wrong_value_is_named_with_its_field_and_what_is_allowed(
    tmp_path: Path, name: str, value: Any, said: str
) -> None:
    told = refuse(tmp_path, write({**GOOD, name: value}))

    assert told.startswith(f"{name}: ")
    assert said in told


@pytest.mark.parametrize(
    ("name", "value", "said"), [(name, *one) for name, rows in OURS_WRONG.items() for one in rows]
)
def test_a_wrong_value_of_our_own_is_named_too(tmp_path: Path, name: str, value: Any, said: str) -> None:
    told = refuse(tmp_path, write({**GOOD, "roundwork": {name: value}}))

    assert told.startswith(f"roundwork.{name}: ")
    assert said in told


HARDENED: dict[str, Any] = {
    **GOOD,
    "round_time": 60,
    "submission_window": 11,
    "audit_window": 48,
    "roundwork": {"rules": "roundwork-1"},
}


@pytest.mark.parametrize(
    ("rules", "written"),
    [
        ("koii-1", b""),
        ({"name": "koii-1"}, b""),
        ("roundwork-1", b"rules:roundwork-1"),
        ({"name": "roundwork-1", "slash": "70%", "split": "equal"}, b"rules:roundwork-1"),
        ({"name": "roundwork-1", "slash": "10%"}, b"rules:roundwork-1 slash:10"),
        ({"name": "roundwork-1", "split": "stake"}, b"rules:roundwork-1 split:stake"),
        (
            {"name": "roundwork-1", "slash": "100%", "split": "stake"},
            b"rules:roundwork-1 slash:100 split:stake",
        ),
    ],
)
def test_the_rule_set_is_written_as_the_law_reads_it(tmp_path: Path, rules: Any, written: bytes) -> None:
    config, warnings = read(tmp_path, {**HARDENED, "roundwork": {"rules": rules}})

    fields = compose_fields(read_terms(config))
    assert [] == warnings
    assert written == fields["locals"]
    if written:
        terms = compute_terms(written)
        assert terms == (config["roundwork"]["rules"][1:])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("audit_window", 40, "audit_window is 40 slots; roundwork-1 needs at least 48 at a gap of 2 slots"),
        ("submission_window", 10, "submission_window is 10 slots; roundwork-1 needs at least 11"),
        ("round_time", 59, "round_time is 59 slots; roundwork-1 needs at least 60"),
        (
            "minimum_stake_amount",
            Decimal("0.004"),
            "minimum_stake is 4000000 roe; roundwork-1 needs at least",
        ),
        ("allowed_failed_distributions", 4, "allowed_failed_distributions is 4; roundwork-1 allows 0 to 3"),
    ],
)
def test_what_only_roundwork_1_refuses_is_named_with_its_reason(
    tmp_path: Path, name: str, value: Any, said: str
) -> None:
    told = refuse(tmp_path, write({**HARDENED, name: value}))
    config, _ = read(tmp_path, {**HARDENED, name: value, "roundwork": {"rules": "koii-1"}})

    assert told.startswith(f"{name}: {said}")
    assert "koii-1" == read_terms(config).rules


def test_a_main_js_is_not_played_under_roundwork_1(tmp_path: Path) -> None:
    (tmp_path / "config-task.yml").write_text(write(HARDENED))
    (tmp_path / "main.js").touch()

    with pytest.raises(BadConfig, match=r"roundwork.rules: roundwork-1 is not for a main.js"):
        load_package(tmp_path)
    (tmp_path / "task.py").touch()
    assert "roundwork-1" == load_package(tmp_path).rules


def test_a_main_js_under_roundwork_1_is_not_told_to_lengthen_its_windows_first(tmp_path: Path) -> None:
    (tmp_path / "main.js").touch()
    short = {**HARDENED, "audit_window": 8, "task_audit_program": "main.js"}
    (tmp_path / "config-task.yml").write_text(write(short))

    with pytest.raises(BadConfig, match=r"for a main\.js, .* leave roundwork\.rules out"):
        load_package(tmp_path)


def test_a_token_task_under_roundwork_1_is_checked_with_its_amounts_only_when_it_is_deployed(
    tmp_path: Path,
) -> None:
    token = {"task_type": "KPL", "token_type": ADDRESS, "minimum_stake_amount": Decimal("0.000001")}

    config, _ = read(tmp_path, {**HARDENED, **token})

    assert (1000, "roundwork-1") == (read_terms(config).minimum_stake, read_terms(config).rules)


@pytest.mark.parametrize("empty", [None, "", "  "])
@pytest.mark.parametrize("name", FIELDS)
def test_an_empty_field_is_a_missing_one(tmp_path: Path, name: str, empty: str | None) -> None:
    text = write({**GOOD, "markdownDescriptionPath": "x.md", name: empty})

    if name in REQUIRED:
        assert f"{name} is missing: it must be" in refuse(tmp_path, text)
    else:
        (tmp_path / "config-task.yml").write_text(text)
        config, _ = read_config(tmp_path / "config-task.yml")
        assert FIELDS[name].default == config[name]


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_field_that_is_not_there_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    told = refuse(tmp_path, write({each: value for each, value in GOOD.items() if each != name}))

    assert told.startswith(f"{name} is missing: it must be ")


@pytest.mark.parametrize("name", FIELDS)
def test_a_misspelt_field_is_warned_of_with_the_right_one(tmp_path: Path, name: str) -> None:
    _, warnings = read(tmp_path, {**GOOD, f"{name}x": 1})

    assert [f"{tmp_path / 'config-task.yml'}: {name}x: no such field; did you mean {name}?"] == warnings


@pytest.mark.parametrize("name", OUR_FIELDS)
def test_a_misspelt_field_of_our_own_is_refused(tmp_path: Path, name: str) -> None:
    told = refuse(tmp_path, write({**GOOD, "roundwork": {f"{name}x": 1}}))

    assert f"roundwork.{name}x: no such field; did you mean {name}?" == told


def test_a_field_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    told = refuse(tmp_path, write(GOOD) + "round_time: 31\n")

    assert "round_time is given twice" in told


def test_a_token_task_needs_its_mint_and_another_kind_does_not(tmp_path: Path) -> None:
    assert "token_type is missing" in refuse(tmp_path, write({**GOOD, "task_type": "KPL"}))
    config, _ = read(tmp_path, {**GOOD, "task_type": "KPL", "token_type": ADDRESS})
    assert ADDRESS == config["token_type"]


def test_a_description_or_its_file_is_needed(tmp_path: Path) -> None:
    fields = {name: value for name, value in GOOD.items() if name != "description"}

    assert "description is missing: it must be given, or markdownDescriptionPath" in refuse(
        tmp_path, write(fields)
    )
    assert (
        "x.md" == read(tmp_path, {**fields, "markdownDescriptionPath": "x.md"})[0]["markdownDescriptionPath"]
    )


@pytest.mark.parametrize(
    ("field", "warned"),
    [
        ({"tags": ["AI", "ML"]}, ["tags: 'ML' is none of Data Gathering, Hosting"]),
        ({"tags": ["web crawling"]}, ["tags: 'web crawling' is none of", "did you mean Web Crawling?"]),
        (
            {"requirementsTags": [{"type": "STORAGE", "value": "test"}]},
            ["requirementsTags: has STORAGE 'test', which must be a size", "it sets no limit now"],
        ),
        (
            {"requirementsTags": [{"type": "RAM", "value": "1 MB"}]},
            ["has RAM '1 MB', which must lie between 67108864 and"],
        ),
        (
            {"requirementsTags": [{"type": "CPU", "value": "fast"}]},
            ["has CPU 'fast', which must be a number of cores, \"4-core\""],
        ),
        ({"requirementsTags": [{"type": "CPU", "value": "0"}]}, ["has CPU 0, which must be an integer"]),
    ],
)
def test_what_existing_tasks_run_with_although_it_means_nothing_is_warned_of(
    tmp_path: Path, field: dict[str, Any], warned: list[str]
) -> None:
    config, [warning] = read(tmp_path, {**GOOD, **field})

    for text in warned:
        assert text in warning
    assert {} == compute_limits(config["requirementsTags"])


@pytest.mark.parametrize(
    "name",
    ["secret_web3_storage_key", "task_audit_program_id", "human_readable_name", "task_description"],
)
def test_fields_of_older_files_are_read_over(tmp_path: Path, name: str) -> None:
    assert [] == read(tmp_path, {**GOOD, name: "main"})[1]
