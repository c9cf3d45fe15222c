"""config-task.yml: every published field, and ours under `roundwork:`, each with its rule in one table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..errors import BadConfig, Rejected
from ..protocol.params import KOII_1, RULE_SETS, TASK_SPACE_MAX, Genesis, TaskKey
from ..protocol.tasks.configuration import (
    SLASH_PERCENT,
    SLOTS_MIN,
    STAKE_FEES,
    STAKE_MIN,
    check_bounty,
    check_configuration,
    check_hardened,
)
from ..protocol.tasks.instructions import CreateTask
from ..protocol.tasks.layouts import TEXT_BYTES_MAX
from .fields import (
    Parse,
    WrongEntry,
    choice,
    integer,
    list_of,
    money,
    parse_address,
    parse_url,
    path,
    quantity,
    show,
    suggest,
    suggest_given,
    text,
    to_json,
)
from .requirements import (
    ANY_HOST,
    HOST,
    TAG_FIELDS,
    find_doubts,
    find_remark,
    parse_limits,
    parse_requirement,
)
from .terms import Terms, compose_fields
from .yaml_file import check_numbers, load_yaml

NETWORKS = ("DEVELOPMENT", "ARWEAVE", "IPFS")
TASK_TYPES = ("KOII", "KPL")
ENVIRONMENTS = ("TEST", "PRODUCTION")
TAGS = (
    *("Data Gathering", "Hosting", "Storage", "Bandwidth", "Social Posting"),
    *("Witness", "Web Crawling", "Database", "AI", "DeFi"),
)
OLDER_FIELDS = frozenset(
    ("secret_web3_storage_key", "task_audit_program_id", "human_readable_name", "task_description")
)
"""Fields of older files, which have no effect."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAM_OR_NAME = re.compile(r"\$[A-Za-z_]\w*|[A-Za-z0-9-]+(:\d{1,5})?")
"""Hosts that only our own field may name: "$start", "localhost"."""


class Field(NamedTuple):
    """A field: how it is read, and its value if the file does not have it (...: the file must have it)."""

    parse: Parse
    default: Any = ...


def read_config(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The fields of a config-task.yml, `roundwork` among them, and warnings about unknown fields.

    Raises BadConfig that names the file, the field, the value and what is allowed.
    """
    raw = load_yaml(path)
    warnings = _warn_of_unknown(path, "", raw, [*FIELDS, "roundwork", *OLDER_FIELDS])
    ours = raw.get("roundwork") or {}
    if not isinstance(ours, dict):
        raise BadConfig(f"{path}: roundwork: {ours!r} must be fields: {', '.join(OUR_FIELDS)}")
    unknown = _warn_of_unknown(path, "roundwork.", ours, list(OUR_FIELDS))
    if unknown:
        # A field of ours that is misspelt would silently permit, or forbid, something.
        raise BadConfig(unknown[0])
    config = _parse_fields(path, "", FIELDS, raw)
    config["roundwork"] = _parse_fields(path, "roundwork.", OUR_FIELDS, ours)
    _check_together(path, config)
    return config, warnings + _warn_of_unknown_in_tags(path, raw) + _doubt_values(path, config)


def _warn_of_unknown(path: Path, prefix: str, raw: Mapping[Any, Any], known: Sequence[str]) -> list[str]:
    return [
        f"{path}: {prefix}{name!s:.100}: no such field{_suggest_place(name, prefix) or suggest(name, known)}"
        for name in raw
        if name not in known
    ]


def _suggest_place(name: Any, prefix: str) -> str:
    """Where a field belongs that stands at the wrong depth."""
    if prefix == "roundwork." and name in FIELDS:
        return "; it belongs outside of roundwork:"
    return "; it belongs under roundwork:" if not prefix and name in OUR_FIELDS else ""


def _warn_of_unknown_in_tags(path: Path, raw: Mapping[Any, Any]) -> list[str]:
    tags = raw.get("requirementsTags")
    return [
        warning
        for index, tag in enumerate(tags if isinstance(tags, list) else (), 1)
        for warning in _warn_of_unknown(path, f"requirementsTags: entry {index}: ", tag, TAG_FIELDS)
    ]


def _doubt_values(path: Path, config: dict[str, Any]) -> list[str]:
    """Values of existing files that no published text allows, and how they are read."""
    url = config["repositoryUrl"]
    strange = [tag for tag in config["tags"] if tag not in TAGS]
    return [
        *([] if "://" in url else [f"{path}: repositoryUrl: {url!r} has no scheme; write https://{url}"]),
        *(f"{path}: tags: {tag!r} is none of {', '.join(TAGS)}{suggest(tag, TAGS)}" for tag in strange),
        *(f"{path}: requirementsTags: {doubt}" for doubt in find_doubts(config["requirementsTags"])),
    ]


def _parse_fields(
    path: Path, prefix: str, fields: Mapping[str, Field], raw: Mapping[str, Any]
) -> dict[str, Any]:
    parsed = {}
    unknown = [name for name in raw if name not in fields]
    for name, field in fields.items():
        value = raw.get(name)
        # Templates leave fields that do not apply as empty text, some of them as a space.
        if value is None or (isinstance(value, str) and not value.strip()):
            if field.default is ...:
                near = suggest_given(name, unknown)
                raise BadConfig(f"{path}: {prefix}{name} is missing: {_describe(field)}{near}")
            parsed[name] = field.default
            continue
        try:
            check_numbers(value, f"{prefix}{name}")
        except ValueError as error:
            raise BadConfig(f"{path}: {error}") from error
        try:
            parsed[name] = field.parse(value)
        except WrongEntry as error:
            raise BadConfig(f"{path}: {prefix}{name}: {error}") from error
        except ValueError as error:
            raise BadConfig(f"{path}: {prefix}{name}: {show(value)} {error}") from error
    return parsed


def _describe(field: Field) -> str:
    """What a field must be, in the words of its own refusal."""
    try:
        field.parse(object())
    except ValueError as error:
        return f"it {error}"
    return "it must be given"


def _check_together(path: Path, config: dict[str, Any]) -> None:
    """Check what the law demands of a task, and the rules that concern several fields."""
    if config["task_audit_program"].endswith(".js"):
        check_language(path, config, "javascript")  # longer windows would not help
    _check_law(path, config)
    if config["task_type"] == "KPL" and not config["token_type"]:
        raise BadConfig(f"{path}: token_type is missing: it must be the token's mint for task_type KPL")
    if not config["description"] and not config["markdownDescriptionPath"]:
        raise BadConfig(f"{path}: description is missing: it must be given, or markdownDescriptionPath")


def _check_law(path: Path, config: dict[str, Any]) -> None:
    """The law's own checks of the task that a deployment would create, in the law's words.

    A task that pays in a token is checked with its amounts when it is deployed: only then is it known how
    many decimals the token has. The ledger is assumed to be founded with the default parameters; another
    one checks the task again when it is deployed there.
    """
    terms = read_terms(config)
    if config["task_type"] != "KOII":
        least = max(STAKE_MIN, STAKE_FEES * USUAL_LEDGER.fee_per_signature)
        terms = msgspec.structs.replace(terms, minimum_stake=least)
    nowhere = bytes(32)
    instruction = CreateTask(
        payer=nowhere,
        task=TaskKey(nowhere),
        pot=nowhere,
        total_bounty=terms.total_bounty,
        **compose_fields(terms),
    )
    try:
        check_configuration(instruction)
        check_hardened(USUAL_LEDGER, instruction)
        check_bounty(instruction.total_bounty, instruction.bounty_per_round)
    except Rejected as error:
        reason = str(error)
        name = reason.partition(" ")[0]
        raise BadConfig(f"{path}: {LAW_NAMES.get(name, name)}: {reason}") from None


def read_terms(config: dict[str, Any]) -> Terms:
    """The terms that the fields of a config-task.yml give a task."""
    return Terms(
        name=config["task_name"],
        description=config["description"],
        executable_network=config["task_executable_network"],
        round_time=config["round_time"],
        audit_window=config["audit_window"],
        submission_window=config["submission_window"],
        minimum_stake=config["minimum_stake_amount"],
        total_bounty=config["total_bounty_amount"],
        bounty_per_round=config["bounty_amount_per_round"],
        allowed_failed_distributions=config["allowed_failed_distributions"],
        rules=config["roundwork"]["rules"].name,
        slash_percent=config["roundwork"]["rules"].slash_percent,
        is_split_by_stake=config["roundwork"]["rules"].is_split_by_stake,
    )


def check_language(path: Path, config: dict[str, Any], kind: str) -> None:
    """Refuse a main.js under rules that only Python tasks are played by. Raises BadConfig."""
    name = config["roundwork"]["rules"].name
    if kind == "javascript" and name != KOII_1.name:
        raise BadConfig(
            f"{path}: roundwork.rules: {name} is not for a main.js, which is played under {KOII_1.name} only:"
            f" leave roundwork.rules out, or write the task in Python"
        )


USUAL_LEDGER = Genesis(time_ms=0, producer="", accounts=())
"""The parameters of a ledger that is founded without options."""

LAW_NAMES = {"minimum_stake": "minimum_stake_amount", "bounty_per_round": "bounty_amount_per_round"}
"""Fields that have another name in the law."""


def _host(value: Any) -> str:
    is_host = isinstance(value, str) and (
        value == ANY_HOST or HOST.fullmatch(value) or _PARAM_OR_NAME.fullmatch(value)
    )
    if not is_host:
        raise ValueError("must be a host: example.org, *.example.org, example.org:8080, $param, * for any")
    return str(value)


def _variable(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"must be a variable's name of letters, digits and _{find_remark(value)}")
    return value


def _params(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be fields, `name: value`")
    return {name: to_json(item) for name, item in value.items()}


def _demo(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != {"command", "params"}:
        unknown = (
            [name for name in value if name not in ("command", "params")] if isinstance(value, dict) else []
        )
        near = "".join(f"; {name}: no such field{suggest(name, ('command', 'params'))}" for name in unknown)
        raise ValueError(f"must have the fields command and params{near}")
    command = list_of(text(1000), "words")(value["command"])
    params = _params(value["params"])
    if not command or not all(isinstance(item, str) for item in params.values()):
        raise ValueError("must have a command of one word or more, and params that are text")
    return {"command": command, "params": params}


def _excused(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(part, str) and part.strip() for item in value.items() for part in item
    ):
        raise ValueError(
            "must be names of properties with the reason, `splitting: who gains by it, and why not`"
        )
    return dict(value)


_slots = integer(SLOTS_MIN, unit=" slots")
_positive = money(Decimal("1e-9"), "more than 0")

FIELDS: dict[str, Field] = {
    "task_name": Field(text(TEXT_BYTES_MAX["name"])),
    "author": Field(text(200), ""),
    "description": Field(text(100_000), ""),
    "markdownDescriptionPath": Field(path(1000), ""),
    "repositoryUrl": Field(parse_url),
    "imageUrl": Field(text(2000), ""),
    "infoUrl": Field(text(2000), ""),
    "task_executable_network": Field(choice(*NETWORKS), "DEVELOPMENT"),
    "task_audit_program": Field(path(1000), ""),
    "round_time": Field(_slots),
    "audit_window": Field(_slots),
    "submission_window": Field(_slots),
    "minimum_stake_amount": Field(money(Decimal(0), "0 or more")),
    "task_type": Field(choice(*TASK_TYPES), "KOII"),
    "token_type": Field(parse_address, ""),
    "total_bounty_amount": Field(money(Decimal(10), "at least 10")),
    "bounty_amount_per_round": Field(_positive),
    "allowed_failed_distributions": Field(integer(0), 3),
    "space": Field(quantity("0.1", str(TASK_SPACE_MAX // 1_000_000), "MB"), Decimal("0.1")),
    "requirementsTags": Field(list_of(parse_requirement, "requirements"), ()),
    "tags": Field(list_of(text(50), "tags"), ()),
    "environment": Field(choice(*ENVIRONMENTS), "TEST"),
    "task_id": Field(parse_address, ""),
    "migrationDescription": Field(text(2000), ""),
}

RULES_FIELDS = ("name", "slash", "split")
SPLITS = ("equal", "stake")
SLASH = re.compile(r"([1-9][0-9]|100)%")


class Rules(NamedTuple):
    """The rule set of a task, and the two numbers that roundwork-1 lets a task choose."""

    name: str = KOII_1.name
    slash_percent: int = SLASH_PERCENT
    is_split_by_stake: bool = False


def _rules(value: Any) -> Rules:
    """A rule set's name, or a name with slash and split."""
    given = value if isinstance(value, dict) else {"name": value}
    for field in given:
        if field not in RULES_FIELDS:
            fields = ", ".join(RULES_FIELDS)
            raise ValueError(f"must have no fields but {fields}{suggest(field, RULES_FIELDS)}")
    if "name" not in given:
        raise ValueError(f"must have a name, one of {', '.join(RULE_SETS)}")
    name = choice(*RULE_SETS)(given["name"])
    slash, split = given.get("slash", f"{SLASH_PERCENT}%"), given.get("split", SPLITS[0])
    if name == KOII_1.name and len(given) > 1:
        raise ValueError(
            f"must be a name alone for {name}, whose slashes are those that distribution returns"
        )
    return Rules(name, read_slash(slash), read_split(split) == "stake")


def read_split(split: Any) -> str:
    """How the ledger splits a bounty under roundwork-1, one of SPLITS. Raises ValueError."""
    if split not in SPLITS:
        raise ValueError(f"must have a split among {', '.join(SPLITS)}, not {show(split)}")
    return str(split)


def read_slash(slash: Any) -> int:
    """The percents of a slash of roundwork-1, such as `70%`. Raises ValueError."""
    if not isinstance(slash, str) or (percent := SLASH.fullmatch(slash)) is None:
        raise ValueError(f"must have a slash from 10% to 100%, a whole number with %, not {show(slash)}")
    return int(percent[1])


OUR_FIELDS: dict[str, Field] = {
    "params": Field(_params, {}),
    "hosts": Field(list_of(_host, "hosts"), ()),
    "limits": Field(parse_limits, {}),
    "secrets": Field(list_of(_variable, "names"), ()),
    "rules": Field(_rules, Rules()),
    "requires_python": Field(text(100), None),
    "demo": Field(_demo, None),
    "excused": Field(_excused, {}),
}
